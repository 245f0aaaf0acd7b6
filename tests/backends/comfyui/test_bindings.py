"""Where a workflow takes what, in the shapes that people have."""

from __future__ import annotations

import pytest

from imagegen.backends.comfyui.bindings import find_bindings
from tests.backends.comfyui import workflows as w
from tests.backends.comfyui.workflows import Nodes, changed, node, sd15

PLAIN = {
    "prompt": "6.text",
    "negative": "7.text",
    "seed": "3.seed",
    "width": "5.width",
    "height": "5.height",
    "steps": "3.steps",
    "cfg": "3.cfg",
    "sampler": "3.sampler_name",
    "scheduler": "3.scheduler",
    "checkpoint": "4.ckpt_name",
}
IN_PARTS = {"seed": "25.noise_seed", "sampler": "16.sampler_name", "scheduler": "17.scheduler", "steps": "17.steps"}


def found(graph: Nodes, output: str = "9") -> dict[str, str]:
    """As one reads it: inputs of one group with `+`, groups with `|` between them; parts of a text after a `?`."""
    texts = {
        field: "|".join("+".join(map(str, one)) for one in known.groups) + "".join(f"?{place}" for place in known.parts)
        for field, known in find_bindings(graph, output).items()
    }
    return {field: text for field, text in texts.items() if text}


def without(*fields: str, **changes: str) -> dict[str, str]:
    return {field: text for field, text in {**PLAIN, **changes}.items() if field not in fields}


@pytest.mark.parametrize(
    ("graph", "expected"),
    [
        (sd15(), PLAIN),
        (w.control_net(), PLAIN),
        (w.loras(), PLAIN),
        (w.image_to_image(), without("width", "height")),
        (w.sampler_custom(), {**PLAIN, **IN_PARTS, "seed": "3.noise_seed"}),
        (w.cfg_guider(), {**PLAIN, **IN_PARTS, "cfg": "22.cfg"}),
        (
            w.flux(),
            without("negative", "cfg", **IN_PARTS, width="27.width+30.width", height="27.height+30.height", checkpoint="12.unet_name"),
        ),
        (
            w.primitives(),
            {**PLAIN, "seed": "50.value", "steps": "51.value", "prompt": "52.value", "width": "53.value", "height": "53.value"},
        ),
    ],
    ids=["sd15", "control net", "loras", "image to image", "SamplerCustom", "CFGGuider", "flux", "primitives"],
)  # fmt: skip
def test_the_samplers_links_lead_to_each_input(graph: Nodes, expected: dict[str, str]) -> None:
    assert found(graph) == expected


def test_base_and_refiner_take_together_what_they_agree_on() -> None:
    places = found(w.sdxl_with_refiner(), "19")
    assert places == {
        "prompt": "15.text+6.text_g+6.text_l",
        "negative": "16.text+7.text_g+7.text_l",
        "seed": "11.noise_seed+10.noise_seed",
        "steps": "11.steps+10.steps",
        "cfg": "11.cfg+10.cfg",
        "sampler": "11.sampler_name+10.sampler_name",
        "scheduler": "11.scheduler+10.scheduler",
        "width": "5.width+15.width+16.width+6.width+6.target_width+7.width+7.target_width",
        "height": "5.height+15.height+16.height+6.height+6.target_height+7.height+7.target_height",
        "checkpoint": "12.ckpt_name|4.ckpt_name",
    }


def test_the_passes_of_a_hires_fix_share_what_they_agree_on_and_their_seeds() -> None:
    places = found(w.hires_fix(node("LatentUpscale", upscale_method="area", width=1024, height=1024, crop="disabled")))
    assert places["seed"] == "11.seed+3.seed"
    assert places["prompt"] == "6.text"
    assert places["cfg"] == "11.cfg+3.cfg"
    assert places["steps"] == "11.steps|3.steps"
    assert places["width"] == "10.width|5.width"
    scaled = w.hires_fix(node("LatentUpscaleBy", upscale_method="area", scale_by=2))
    assert found(changed(scaled, n3={"cfg": 8}, n11={"cfg": 8.0}))["cfg"] == "11.cfg+3.cfg"


def test_a_latent_that_is_scaled_by_a_factor_has_the_size_that_it_begins_with() -> None:
    assert found(w.hires_fix(node("LatentUpscaleBy", upscale_method="area", scale_by=1.5)))["width"] == "5.width"


def test_two_texts_that_are_combined_are_two_places_unless_they_hold_the_same() -> None:
    combined = sd15(
        n10=node("CLIPTextEncode", text="at night", clip=["4", 1]),
        n11=node("ConditioningCombine", conditioning_1=["6", 0], conditioning_2=["10", 0]),
    )
    graph = changed(combined, n3={"positive": ["11", 0]})
    assert found(graph)["prompt"] == "6.text|10.text"
    same = changed(graph, n10={"text": graph["6"]["inputs"]["text"]})
    assert found(same)["prompt"] == "6.text+10.text"


@pytest.mark.parametrize("source", ["6", "7"])
def test_a_conditioning_that_is_zeroed_out_has_no_text(source: str) -> None:
    zeroed = sd15(n10=node("ConditioningZeroOut", conditioning=[source, 0]))
    assert found(changed(zeroed, n3={"negative": ["10", 0]})) == without("negative")


def test_one_text_for_both_is_the_prompt() -> None:
    assert found(changed(sd15(), n3={"negative": ["6", 0]})) == without("negative")


def test_an_image_that_goes_into_a_conditioning_does_not_lead_to_the_texts_of_another_sampler() -> None:
    graph = changed(
        sd15(
            n20=node("KSampler", **{**sd15()["3"]["inputs"], "positive": ["21", 0]}),
            n21=node("CLIPTextEncode", text="a sketch", clip=["4", 1]),
            n22=node("ReferenceLatent", conditioning=["6", 0], latent=["20", 0]),
        ),
        n3={"positive": ["22", 0]},
    )
    groups = find_bindings(graph, "9")["prompt"].groups
    assert [[str(place) for place in group] for group in groups] == [["6.text"]]
    assert found(graph)["seed"] == "3.seed"
    earlier_stage = changed(graph, n20={"positive": ["6", 0]})
    assert found(earlier_stage)["seed"] == "3.seed+20.seed"
    assert found(earlier_stage)["steps"] == "3.steps"


def test_a_text_put_together_by_other_nodes_is_found_where_it_is_held() -> None:
    graph = changed(
        sd15(
            n10=node("StringConcatenate", string_a="photo of ", string_b=["11", 0], delimiter=""),
            n11=node("PrimitiveString", value="a bottle"),
        ),
        n6={"text": ["10", 0]},
    )
    assert found(graph)["prompt"] == "?10.string_a?11.value"  # each is a part of it
    assert found(changed(graph, n10={"string_a": ""}))["prompt"] == "11.value"


def test_a_number_that_is_computed_has_no_place() -> None:
    graph = changed(sd15(n10=node("SimpleMath", value="a*2", a=["5", 0])), n3={"steps": ["10", 0]})
    assert "steps" not in found(graph)
    two = changed(sd15(n10=node("Add", a=["5", 0], b=["5", 1])), n3={"steps": ["10", 0]})
    assert "steps" not in found(two)


def test_a_value_is_followed_through_nodes_that_hand_it_on() -> None:
    graph = changed(
        sd15(n10=node("Reroute", anything=["11", 0]), n11=node("SamplerPicker", sampler_name="lcm", scheduler="beta")),
        n3={"sampler_name": ["10", 0]},
    )
    assert found(graph)["sampler"] == "11.sampler_name"


def test_nodes_that_paint_over_an_image_take_the_seed_too() -> None:
    detailer = node("FaceDetailer", image=["8", 0], seed=9, steps=20, positive=["6", 0], negative=["7", 0])
    graph = changed(sd15(n10=detailer), n9={"images": ["10", 0]})
    assert found(graph)["seed"] == "10.seed+3.seed"


def test_a_sampler_that_the_image_does_not_come_from_counts_for_nothing() -> None:
    aside = {**sd15()["3"]["inputs"], "seed": 9, "steps": 3}
    assert found(sd15(n20=node("KSampler", **aside), n21=node("PreviewImage", images=["20", 0]))) == PLAIN


@pytest.mark.parametrize(
    "circle",
    [
        {"n6": {"text": ["6", 0]}},
        {"n3": {"positive": ["3", 0]}},
        {"n3": {"latent_image": ["3", 0]}},
        {"n3": {"seed": ["3", 0], "model": ["3", 0]}},
        {"n5": {"width": ["5", 0]}},
        {"n8": {"samples": ["9", 0]}},
        {"n3": {"model": ["3", 0], "seed": ["3", 0], "on_true": ["3", 0], "on_false": ["3", 0], "switch": ["3", 0]}},
        {"n6": {"positive": ["6", 0], "negative": ["6", 1], "text": ["6", 0]}},
    ],
)
def test_links_in_a_circle_end(circle: dict[str, dict[str, object]]) -> None:
    find_bindings(changed(sd15(), **circle), "9")


def test_a_graph_of_thousands_of_nodes_is_followed_to_its_end() -> None:
    graph = sd15()
    for number in range(2000):
        above = [f"c{number - 1}", 0] if number else ["7", 0]
        graph[f"c{number}"] = node("Both", positive=above, negative=above)
        graph[f"s{number}"] = node("Join", text_a=[f"s{number + 1}", 0], text_b=[f"s{number + 1}", 0])
        graph[f"b{number}"] = node("Switch", switch=[f"b{number + 1}", 0], on_true=["4", 0], on_false=["4", 0])
    graph |= {"s2000": node("Text", text="a raven"), "b2000": node("PrimitiveBoolean", value=True)}
    changes = {"positive": ["6", 0], "negative": ["c1999", 0], "model": ["b0", 0]}
    found = find_bindings(changed(graph, n3=changes, n6={"text": ["s0", 0]}), "9")
    assert [str(place) for place in found["prompt"].groups[0]] == ["s2000.text"]
