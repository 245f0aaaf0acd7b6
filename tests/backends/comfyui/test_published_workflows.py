"""Kinds of workflows that people publish: each is bound right, or refused with what could be meant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from imagegen.backends.comfyui.bindings import find_bindings
from imagegen.backends.comfyui.client import Client
from imagegen.backends.comfyui.graph import ObjectInfo
from imagegen.backends.comfyui.workflow import Workflow, analyse_workflow, find_binding_conflicts
from imagegen.errors import ImagegenError
from tests.backends.comfyui import workflows as w
from tests.backends.comfyui.fake_server import FakeComfyUI
from tests.backends.comfyui.workflows import Nodes, changed, node, sd15

POSITIVE, NEGATIVE = ["6", 0], ["7", 0]
CLIP, MODEL = ["4", 1], ["4", 0]


def bound(graph: Nodes, field: str, bind: Mapping[str, Sequence[str]] | None = None) -> str:
    """The places of a field as one reads them, `?` with the candidates where it is refused or cannot be set."""
    try:
        workflow = analyse_workflow(graph, bind or {})
    except ImagegenError as error:
        return "? " + "; ".join(f"{problem.what} | {problem.hint}" for problem in error.problems)
    return of(workflow, field)


def of(workflow: Workflow, field: str) -> str:
    if unclear := workflow.unclear(field):
        return f"? {unclear}"
    return " ".join(map(str, workflow.inputs.get(field, ())))


def through(class_type: str, outputs: Sequence[int], **inputs: object) -> Nodes:
    """A node between the encoders and the sampler. outputs: what the sampler takes as positive and as negative."""
    between = node(class_type, **inputs, positive=POSITIVE, negative=NEGATIVE)
    sampler = {"positive": ["60", outputs[0]], "negative": ["60", outputs[1]]}
    return changed(sd15(n60=between), n3=sampler)


def encoded(text: object, **nodes: dict[str, object]) -> Nodes:
    """The positive encoder takes its text from a link."""
    return changed(sd15(**nodes), n6={"text": text})


@pytest.mark.parametrize(
    ("graph", "prompt", "negative"),
    [
        (
            changed(through("ApplyInstantID", (1, 2), model=MODEL, weight=0.8), n3={"model": ["60", 0]}),
            "6.text",
            "7.text",
        ),
        (through("ControlNetApplyAdvanced", (0, 1), strength=1.0, control_net=["4", 0]), "6.text", "7.text"),
        (
            changed(through("InpaintModelConditioning", (0, 1), vae=["4", 2]), n3={"latent_image": ["60", 2]}),
            "6.text",
            "7.text",
        ),
        (
            changed(through("WanThing", (1, 2), model=MODEL), n3={"model": ["60", 0], "latent_image": ["60", 3]}),
            "6.text",
            "7.text",
        ),
        (changed(through("Acn", (0, 1), model_optional=MODEL), n3={"model": ["60", 2]}), "6.text", "7.text"),
    ],
    ids=["model first", "both", "latent last", "model first, latent last", "model last"],
)
def test_a_node_with_both_sides_passes_each_on_at_its_own_output(graph: Nodes, prompt: str, negative: str) -> None:
    assert (bound(graph, "prompt"), bound(graph, "negative")) == (prompt, negative)


def test_a_node_with_both_sides_for_two_samplers_passes_each_on() -> None:
    twice = changed(through("TwoSamplers", (0, 1)), n3={"latent_image": ["60", 4]})
    second = node("KSampler", seed=1, steps=4, positive=["60", 2], negative=["60", 3], latent_image=["3", 0])
    graph = changed(twice | {"61": second}, n8={"samples": ["61", 0]})
    assert (bound(graph, "prompt"), bound(graph, "negative")) == ("6.text", "7.text")
    crossed = changed(graph, n61={"positive": ["60", 3], "negative": ["60", 2]})
    assert bound(crossed, "prompt").startswith("? has several inputs for the prompt")


def test_sides_that_are_taken_crosswise_are_refused_with_both() -> None:
    crossed = bound(through("ControlNetApplyAdvanced", (1, 0)), "prompt")
    assert crossed.startswith("? has several inputs for the prompt: 6.text (")
    assert 'bind: {prompt: "6.text"} or bind: {prompt: "7.text"}' in crossed
    styler = node("SDXLPromptStyler", text_positive="a raven", text_negative="blurry", style="anime")
    straight = changed(sd15(n14=styler), n6={"text": ["14", 0]}, n7={"text": ["14", 1]})
    assert (bound(straight, "prompt"), bound(straight, "negative")) == ("14.text_positive", "14.text_negative")
    assert bound(changed(straight, n6={"text": ["14", 1]}, n7={"text": ["14", 0]}), "prompt").startswith("? ")
    shifted = changed(through("ApplyInstantID", (0, 1), model=MODEL), n3={"model": ["60", 0]})
    assert bound(shifted, "prompt").startswith("? ")


def described(**outputs: list[str]) -> ObjectInfo:
    """What a server says of its nodes: each class with the names of its outputs; all are of one type."""
    return lambda name: {"output": ["CONDITIONING"] * len(outputs[name]), "output_name": outputs[name]} if name in outputs else None  # fmt: skip


def test_what_the_server_says_of_an_output_goes_before_the_usual_order() -> None:
    graph = through("Swapping", (0, 1))
    workflow = analyse_workflow(graph, {})
    assert of(workflow, "prompt") == "6.text"
    assert [*find_binding_conflicts(workflow, ["prompt"], described(Swapping=["positive", "negative"]))] == []
    (problem,) = find_binding_conflicts(workflow, ["prompt"], described(Swapping=["negative", "positive"]))
    assert problem.hint == 'say which: bind: {prompt: "7.text"} or bind: {prompt: "6.text"}'
    assert [*find_binding_conflicts(analyse_workflow(graph, {"prompt": ["6.text"]}), ["prompt"], described(Swapping=["negative", "positive"]))] == []  # fmt: skip


def test_what_a_server_says_over_http_agrees_with_the_file_but_for_what_it_ignores() -> None:
    mask = {"vae": ["4", 2], "pixels": ["10", 0], "mask": ["10", 1], "noise_mask": True}
    inpaint = changed(through("InpaintModelConditioning", (0, 1), **mask), n3={"latent_image": ["60", 2]})
    graph = inpaint | {"10": node("LoadImage", image="x.png")}
    guided = changed(w.flux(), n22={"cfg": 5.0})  # a BasicGuider, which has none
    with FakeComfyUI() as server:
        info = Client(server.url).object_info
        for workflow in (
            analyse_workflow(graph, {}),
            analyse_workflow(w.flux(), {}),
            analyse_workflow(w.sdxl_with_refiner(), {}),
        ):
            assert [*find_binding_conflicts(workflow, workflow.inputs, info)] == []
        (problem,) = find_binding_conflicts(analyse_workflow(guided, {}), ["prompt", "seed", "cfg"], info)
    assert problem.what == "comfyui.workflow: the CFG goes to 22.cfg (BasicGuider: 5.0), but by the server's description of its nodes to no input that it knows"  # fmt: skip
    assert problem.hint == 'leave the CFG out of the job; if it is right: bind: {cfg: "22.cfg"}'


def test_an_input_that_the_server_ignores_takes_nothing() -> None:
    shown = node("Teller", text="a crow, shown last time", anything=["15", 0])
    graph = encoded(["14", 0], n14=shown, n15=node("Text Multiline", text="a raven"))
    assert bound(graph, "prompt").startswith("? has several inputs")
    entry = {"input": {"required": {"anything": ["*", {}]}}, "output": ["STRING"], "output_name": ["text"]}
    found = find_bindings(graph, "9", lambda name: entry if name == "Teller" else None)
    assert [str(place) for place in found["prompt"].groups[0]] == ["15.text"]


def test_a_bundle_is_followed_by_the_side_that_is_taken_from_it() -> None:
    context = node("Context (rgthree)", model=MODEL, positive=POSITIVE, negative=NEGATIVE)
    taken = {"positive": ["21", 4], "negative": ["21", 5], "model": ["21", 1]}
    graph = changed(sd15(n20=context, n21=node("Context Big (rgthree)", base_ctx=["20", 0])), n3=taken)
    assert (bound(graph, "prompt"), bound(graph, "negative")) == ("6.text", "7.text")


def test_a_guider_that_names_no_side_takes_that_of_the_output() -> None:
    graph = changed(
        w.flux(), n22={"conditioning": ["60", 1], "model": ["60", 0]}, n26={"conditioning": ["6", 0]}
    ) | {
        "7": node("CLIPTextEncode", text="blurry", clip=["11", 0]),
        "60": node("ApplyPulid", model=["30", 0], positive=["26", 0], negative=["7", 0]),
    }  # fmt: skip
    assert bound(graph, "prompt") == "6.text"


@pytest.mark.parametrize(
    ("encoder", "places"),
    [
        (node("CLIPTextEncodeKandinsky5", clip=CLIP, clip_l="a raven", qwen25_7b="a raven"), "6.clip_l 6.qwen25_7b"),
        (node("CLIPTextEncodeHunyuanDiT", clip=CLIP, bert="a raven", mt5xl="a raven"), "6.bert 6.mt5xl"),
        (node("CLIPTextEncodeFlux", clip=CLIP, clip_l="a", t5xxl="a", guidance=3.5), "6.clip_l 6.t5xxl"),
        (node("CLIPTextEncodeLumina2", clip=CLIP, system_prompt="superior", user_prompt="a raven"), "6.user_prompt"),
        (node("CLIPTextEncodeLumina2", clip=CLIP, system_prompt="You are good", user_prompt="a"), "6.user_prompt"),
        (node("SomeEncode", clip=CLIP, caption="a raven", new_words="a raven", mode="fast"), "6.caption 6.new_words"),
        (node("CLIPTextEncodeFlux", clip=CLIP, clip_l="", t5xxl="a raven", guidance=3.5), "6.clip_l 6.t5xxl"),
        (
            node("Director", clip=CLIP, global_prompt="a raven", local_prompts="", magic_prompt="AUTO"),
            "6.global_prompt",
        ),
        (node("TextEncodeQwenImageEdit", clip=CLIP, prompt="a raven", image=["10", 0]), "6.prompt"),
    ],
)
def test_an_encoder_is_known_by_the_texts_that_it_takes(encoder: dict[str, object], places: str) -> None:
    assert bound(sd15(n6=encoder, n10=node("LoadImage", image="x.png")), "prompt") == places


def test_an_encoder_whose_texts_differ_is_refused() -> None:
    style = node("CLIPTextEncodeSDXL", clip=CLIP, text_g="a raven", text_l="oil painting")
    message = bound(sd15(n6=style), "prompt")
    assert '6.text_g (CLIPTextEncodeSDXL: "a raven") or 6.text_l (CLIPTextEncodeSDXL: "oil painting")' in message


def test_texts_for_both_sides_in_one_node_go_to_their_sides() -> None:
    loader = node("Efficient Loader", ckpt_name="m", positive="a raven", negative="blurry", empty_latent_width=512, empty_latent_height=640)  # fmt: skip
    links = {"model": ["2", 0], "positive": ["2", 1], "negative": ["2", 2], "latent_image": ["2", 3]}
    graph = changed(sd15(n2=loader), n3=links)
    found = [bound(graph, field) for field in ("prompt", "negative", "width", "height")]
    assert found == ["2.positive", "2.negative", "2.empty_latent_width", "2.empty_latent_height"]
    wan = sd15(
        n3=node("WanVideoSampler", seed=1, steps=4, cfg=6.0, text_embeds=["6", 0], image_embeds=["5", 0], model=MODEL),
        n6=node("WanVideoTextEncode", positive_prompt="a raven", negative_prompt="blurry", t5=["4", 1]),
    )
    assert (bound(wan, "prompt"), bound(wan, "negative")) == ("6.positive_prompt", "6.negative_prompt")


def test_a_node_with_a_text_and_a_conditioning_of_its_own_is_refused() -> None:
    box = node("GLIGENTextBoxApply", conditioning_to=POSITIVE, clip=CLIP, text="a cup", width=64, height=64)
    message = bound(changed(sd15(n50=box), n3={"positive": ["50", 0]}), "prompt")
    assert '50.text (GLIGENTextBoxApply: "a cup") or 6.text (CLIPTextEncode: "a bottle' in message


def test_what_a_text_is_put_together_from_is_refused_with_every_part() -> None:
    text = node("PrimitiveStringMultiline", value="oil painting")
    joined = encoded(["14", 0], n14=node("StringConcatenate", string_a="a raven", string_b=["15", 0], delimiter=", "), n15=text)  # fmt: skip
    assert 'bind: {prompt: "14.string_a"} or bind: {prompt: "15.value"}' in bound(joined, "prompt")
    replaced = encoded(
        ["46", 0],
        n46=node("StringReplace", string=["47", 0], find="{prompt}", replace=["15", 0]),
        n47=node("PrimitiveString", value="You are an artist. {prompt}"),
        n15=text,
    )
    assert "47.value" in bound(replaced, "prompt")
    assert "15.value" in bound(replaced, "prompt")


def test_the_last_text_that_a_node_showed_is_none() -> None:
    shown = node("ShowText|pysssss", text=["15", 0], text_0="a crow, shown last time")
    graph = encoded(["14", 0], n14=shown, n15=node("Text Multiline", text="a raven"))
    assert bound(graph, "prompt") == "15.text"


def test_a_node_that_only_waits_for_another_passes_on_the_conditioning() -> None:
    picture = node("LoadImage", image="a raven.png")
    waits = node("ExecutionOrder", signal=POSITIVE, value=["10", 0])
    graph = changed(sd15(n60=waits, n10=picture), n3={"positive": ["60", 0]})
    assert bound(graph, "prompt") == "6.text"
    assert bound(encoded(["10", 0], n10=picture), "prompt").startswith("? has no input for the prompt")


def test_an_empty_text_is_found_beside_the_settings_of_its_node() -> None:
    function = node("StringFunction", action="append", tidy_tags="yes", text_a="", text_b="")
    assert bound(encoded(["14", 0], n14=function), "prompt") == "14.text_a"
    assert bound(encoded(["14", 0], n14=node("Text", text="none")), "prompt") == "14.text"
    switch = node("Universal", selection_in=["16", 0], input1=["15", 0], input2=["17", 0])
    texts = {
        "n15": node("Text", text="a raven"),
        "n16": node("Formula", text="[1,2][0]"),
        "n17": node("T", text="a crow"),
    }
    message = bound(encoded(["14", 0], n14=switch, **texts), "prompt")
    assert "15.text" in message
    assert "17.text" in message
    assert "16.text" not in message


def test_the_words_for_a_language_model_are_not_the_prompt() -> None:
    llm = node("Enhancer", prompt=["15", 0], system_prompt=["16", 0], seed=1)
    user, system = node("Text", text="a raven"), node("Text", text="You are an artist.")
    assert bound(encoded(["14", 0], n14=llm, n15=user, n16=system), "prompt") == "15.text"
    asks = node("Enhancer", question=["15", 0], system_prompt=["16", 0], model_name="llama", template="alpaca")
    assert bound(encoded(["14", 0], n14=asks, n15=user, n16=system), "prompt") == "15.text"
    alone = node("Enhancer", system_prompt=["16", 0], seed=1)
    assert bound(encoded(["14", 0], n14=alone, n16=system), "prompt").startswith(
        "? may have an input for the prompt, or none: 16.text"
    )
    caption = node("Captioner", prompt="Describe this image", image=["10", 0])
    reported = bound(encoded(["14", 0], n14=caption, n10=node("LoadImage", image="x.png")), "prompt")
    assert '"Describe this image"' in reported
    assert "or bind: {prompt: []} if it takes none" in reported


def test_a_size_is_set_wherever_the_picture_has_it() -> None:
    graph = w.flux() | {"17": node("Flux2Scheduler", steps=20, width=1024, height=1024)}
    assert bound(graph, "width") == "27.width 17.width 30.width"
    other = changed(graph, n17={"width": 832})
    assert bound(other, "width") == '? 27.width (EmptySD3LatentImage: 1024) with 30.width (ModelSamplingFlux: 1024) or 17.width (Flux2Scheduler: 832)'  # fmt: skip
    assert bound(other, "prompt") == "6.text"


def test_a_stage_whose_conditioning_brings_another_stages_latent_goes_with_it() -> None:
    stage = node("KSampler", seed=5, steps=10, cfg=1.1, positive=["61", 0], negative=["62", 0], latent_image=["5", 1])
    zeroed = node("ConditioningZeroOut", conditioning=POSITIVE)
    joined = node("StageB", conditioning=["62", 0], stage_c=["3", 0])
    graph = changed(sd15(n60=stage, n61=joined, n62=zeroed), n8={"samples": ["60", 0]})
    assert (bound(graph, "prompt"), bound(graph, "seed")) == ("6.text", "60.seed 3.seed")
    assert bound(graph, "steps").startswith("? 60.steps (KSampler: 10) or 3.steps (")


def test_a_sampler_beside_the_pictures_way_takes_nothing() -> None:
    aside = node("SamplerCustomAdvanced", noise=["93", 0], guider=["94", 0], sampler=["95", 0], latent_image=["5", 0])
    graph = changed(
        sd15(
            n60=node("ControlNetApplyAdvanced", positive=POSITIVE, negative=NEGATIVE, image=["99", 0]),
            n92=aside,
            n93=node("DisableNoise"),
            n94=node("BasicGuider", model=["96", 0], conditioning=["97", 0]),
            n95=node("KSamplerSelect", sampler_name="lcm"),
            n96=node("UNETLoader", unet_name="depth"),
            n97=node("LotusConditioning"),
            n99=node("VAEDecode", samples=["92", 0], vae=["4", 2]),
        ),
        n3={"positive": ["60", 0], "negative": ["60", 1]},
    )
    assert (bound(graph, "sampler"), bound(graph, "checkpoint")) == ("3.sampler_name", "4.ckpt_name")
    through_latent = changed(graph, n60={"pixels": ["99", 0]}, n3={"latent_image": ["60", 2]})
    assert (bound(through_latent, "sampler"), bound(through_latent, "prompt")) == ("3.sampler_name", "6.text")


def test_marks_of_other_programs_are_understood_or_refused() -> None:
    graph = changed(sd15(), n6={"text": "%prompt%"}, n7={"text": "%negative_prompt%"}, n3={"cfg": "%scale%"})
    workflow = analyse_workflow(graph, {})
    assert workflow.marked == {"prompt", "negative", "cfg"}
    assert "%user_avatar%, which does not exist" in bound(changed(graph, n5={"width": "%user_avatar%"}), "prompt")


def test_percent_signs_that_are_a_nodes_own_or_an_addresss_are_no_marks() -> None:
    template = node("Formula", text="%other%, seen from afar", other=["15", 0])
    graph = encoded(
        ["14", 0], n14=template, n15=node("Text", text="a raven"), n16=node("LoadImage", image="%E3%83.png")
    )
    assert bound(graph, "prompt").startswith("? has several inputs for the prompt: 14.text (")
    twice = bound(changed(graph, n14={"text": "%their%"}, n15={"text": "%their%, %their%"}), "prompt")
    assert twice.count("which does not exist") == 1
    assert "14.text, 15.text have the mark %their%, which does not exist" in twice


def test_a_node_that_makes_the_image_by_itself_takes_prompt_and_seed() -> None:
    save = node("SaveImage", filename_prefix="x", images=["10", 0])
    partner = {"9": save, "10": node("OpenAIGPTImage1", prompt="a raven", seed=1, size="auto", n=1)}
    assert (bound(partner, "prompt"), bound(partner, "seed")) == ("10.prompt", "10.seed")
    seedless = {"9": save, "10": node("RunwayTextToImageNode", prompt="a raven", ratio="1:1")}
    assert "if it takes none: bind: {seed: []}" in bound(seedless, "prompt")
    assert bound(seedless, "prompt", {"seed": []}) == "10.prompt"
    assert bound(seedless, "seed", {"seed": []}) == ""


def test_a_dual_guiders_second_conditioning_is_the_negative_one() -> None:
    guider = node("DualCFGGuider", model=["12", 0], cond1=["6", 0], cond2=["7", 0], negative=["7", 0], cfg_conds=5.0)
    graph = w.flux() | {"22": guider, "7": node("CLIPTextEncode", text="blurry", clip=["11", 0])}
    assert (bound(graph, "prompt"), bound(graph, "negative")) == ("6.text", "7.text")


def test_a_node_that_shows_an_image_is_not_taken_for_one_that_may_save() -> None:
    graph = sd15(n9=node("PreviewImage", images=["8", 0]), n30=node("Image Saver", images=["8", 0], path="x"))
    assert 'bind: {output: "30"} or bind: {output: "9"}' in bound(graph, "prompt")
    assert bound(sd15(n9=node("PreviewImage", images=["8", 0])), "prompt") == "6.text"
    assert 'bind: {output: "9"}' in bound(sd15(n9=node("DiskWriter", pictures=["8", 0], path="x")), "prompt")


def test_an_unknown_node_that_may_save_is_named_with_the_line_to_write() -> None:
    graph = sd15(n9=node("Image Saver", filename="%time_%seed", images=["8", 0]))
    assert 'bind: {output: "9"}' in bound(graph, "prompt")
    assert bound(graph, "prompt", {"output": ["9"]}) == "6.text"


@pytest.mark.parametrize(
    ("switch", "held"),
    [
        (node("ComfySwitchNode", switch=True, on_false=["51", 0], on_true=["52", 0]), "52.value"),
        (node("ComfySwitchNode", switch=False, on_false=["51", 0], on_true=["52", 0]), "51.value"),
        (node("ComfySwitchNode", switch=["53", 0], on_false=["51", 0], on_true=8), "50.on_true"),
        (node("ImpactSwitch", select=2, sel_mode=False, input1=["51", 0], input2=["52", 0]), "52.value"),
        (node("ComfySwitchNode", switch=["4", 0], on_false=["51", 0], on_true=["52", 0]), ""),
    ],
)
def test_of_a_switch_the_branch_that_is_on_counts(switch: dict[str, object], held: str) -> None:
    numbers = {"n51": node("PrimitiveInt", value=20), "n52": node("PrimitiveInt", value=8)}
    graph = changed(sd15(n50=switch, n53=node("PrimitiveBoolean", value=True), **numbers), n3={"steps": ["50", 0]})
    assert bound(graph, "steps") == held


def test_a_checkpoint_is_found_behind_the_branch_that_is_on() -> None:
    switch = node("ComfySwitchNode", switch=True, on_false=MODEL, on_true=["52", 0])
    graph = changed(sd15(n50=switch, n52=node("UNETLoader", unet_name="turbo")), n3={"model": ["50", 0]})
    assert bound(graph, "checkpoint") == "52.unet_name"


@pytest.mark.parametrize(
    "computed",
    [
        node("MathExpression", expression="a*2", a=["51", 0]),
        node("Multiply", value=["51", 0], factor=2),
        node("ResolutionSelector", aspect_ratio="1:1", megapixels=1),
        node("SizeTimes", width=512, height=512, scale_factor=2.0),
    ],
)
def test_a_size_that_is_computed_is_not_that_of_any_node(computed: dict[str, object]) -> None:
    graph = changed(sd15(n50=computed, n51=node("PrimitiveInt", value=512)), n5={"width": ["50", 0]})
    assert bound(graph, "width") == ""


def test_the_size_of_a_tile_is_not_that_of_the_picture() -> None:
    upscale = node("UltimateSDUpscale", seed=1, steps=9, tile_width=512, tile_height=512, image=["8", 0])
    graph = changed(sd15(n10=upscale), n10={"positive": POSITIVE, "negative": NEGATIVE}, n9={"images": ["10", 0]})
    assert bound(graph, "width") == "5.width"
    seam = changed(graph, n10={"seam_fix_width": 64})
    assert bound(seam, "width") == "5.width"


def test_a_size_by_another_name_is_not_set_unasked() -> None:
    crop = node("InpaintCrop", image=["10", 0], preresize_min_width=1024, preresize_min_height=1024)
    graph = changed(sd15(n5=node("VAEEncode", pixels=["11", 0]), n10=node("LoadImage", image="x.png"), n11=crop), n3={})
    assert bound(graph, "width").startswith("? 11.preresize_min_width (")


def test_a_size_beside_a_preset_is_not_set_unasked() -> None:
    graph = changed(sd15(), n5={"resolution": "1:1 square"})
    assert bound(graph, "width").startswith("? 5.width")
    kept = node("ImageResize", width=512, height=512, keep_proportion=True, image=["10", 0])
    resized = sd15(n5=node("VAEEncode", pixels=["11", 0]), n10=node("LoadImage", image="x.png"), n11=kept)
    assert bound(resized, "width").startswith("? 11.width (")
    assert bound(changed(resized, n11={"keep_proportion": False}), "width") == "11.width"
    for also in ({"method": "keep proportion"}, {"condition": "downscale if bigger"}, {"height": 0}):
        graph = changed(resized, n11={"keep_proportion": False, **also})
        assert bound(graph, "width").startswith("? 11.width (")
