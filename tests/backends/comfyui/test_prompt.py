"""The workflow with a request's values in their places."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagegen.backends.comfyui.bindings import find_bindings
from imagegen.backends.comfyui.graph import NodeInput, list_literals, replace_inputs
from imagegen.backends.comfyui.prompt import (
    collect_values,
    find_job_key,
    get_workflow,
    group_identical,
    text_to_image,
    unsupported_fields,
)
from imagegen.backends.comfyui.workflow import FIELDS
from imagegen.plan.request import Request
from tests.backends.comfyui import workflows as w
from tests.backends.comfyui.sections import Sections
from tests.backends.comfyui.workflows import Nodes, changed, sd15

__all__ = []


MARKED = changed(
    sd15(),
    n3={"seed": "%seed%", "cfg": "%cfg%"},
    n4={"ckpt_name": "%checkpoint%"},
    n6={"text": "photo of %prompt%, %width% wide"},
    n7={"text": "%negative%"},
)


def values(request: Request) -> dict[str, Any]:
    return {str(place): value for place, value in collect_values(request, get_workflow(request)).items()}


def test_a_workflow_takes_prompt_and_seed_and_keeps_the_rest_as_it_is(sections: Sections) -> None:
    assert values(sections.request(sd15())) == {
        "6.text": "a tall figure",
        "3.seed": 7,
        "4.ckpt_name": "v1-5-pruned-emaonly.ckpt",
    }


def test_it_takes_what_the_job_gives(sections: Sections) -> None:
    found = values(sections.request(sd15(), {"checkpoint": "b.pt"}, steps=30, cfg=2.0, width=64, negative="blur"))
    assert found == {
        "6.text": "a tall figure",
        "3.seed": 7,
        "4.ckpt_name": "b.pt",
        "3.steps": 30,
        "3.cfg": 2.0,
        "5.width": 64,
        "7.text": "blur",
    }


def test_each_encoder_and_each_sampler_takes_what_they_share(sections: Sections) -> None:
    found = values(sections.request(w.sdxl_with_refiner(), steps=9))
    assert {found[place] for place in ("6.text_g", "6.text_l", "15.text")} == {"a tall figure"}
    assert {found[place] for place in ("10.noise_seed", "11.noise_seed")} == {7}
    assert {found[place] for place in ("10.steps", "11.steps")} == {9}


def test_marks_are_filled_as_numbers_where_they_stand_alone_and_as_text_within_one(sections: Sections) -> None:
    sections.environment = {"COMFYUI_CKPT": "c.pt"}
    assert values(sections.request(MARKED)) == {
        "3.seed": 7,
        "3.cfg": 7.0,
        "4.ckpt_name": "c.pt",
        "6.text": "photo of a tall figure, 1024 wide",
        "7.text": "",
    }


def test_a_mark_in_a_jobs_own_prompt_is_text(sections: Sections) -> None:
    assert values(sections.request(MARKED, prompt="100%width%"))["6.text"] == "photo of 100%width%, 1024 wide"


def test_set_values_are_put_in(sections: Sections) -> None:
    assert values(sections.request(sd15(), {"set": {"3.denoise": 0.5}}))["3.denoise"] == 0.5


def test_the_built_in_workflow_takes_everything(sections: Sections) -> None:
    request = sections.request(section={"checkpoint": "a.pt"}, steps=3)
    assert set(values(request)) == {
        "positive.text", "negative.text", "sampler.seed", "sampler.steps", "sampler.cfg", "sampler.sampler_name",
        "sampler.scheduler", "latent.width", "latent.height", "checkpoint.ckpt_name",
    }  # fmt: skip


TEXT = st.text(max_size=20) | st.sampled_from(["%seed%", "%prompt%%negative%", "100%"])
GIVEN = st.fixed_dictionaries(
    {"prompt": TEXT, "seed": st.integers(0, 2**64 - 1)},
    optional={
        "negative": TEXT,
        "steps": st.integers(1, 100),
        "cfg": st.floats(0, 30),
        "sampler": TEXT,
        "scheduler": TEXT,
        "width": st.integers(16, 4096),
        "height": st.integers(16, 4096),
    },
)


@given(st.sampled_from([sd15(), MARKED, w.flux(), w.cfg_guider(), w.primitives(), w.sdxl_with_refiner()]), GIVEN)
def test_only_the_places_of_the_fields_are_ever_changed(graph: Nodes, fields: dict[str, Any]) -> None:
    with TemporaryDirectory() as folder:
        request = Sections(Path(folder)).request(graph, **fields)
    workflow = get_workflow(request)
    found = collect_values(request, workflow)
    assert set(found) <= {place for places in workflow.inputs.values() for place in places}
    after = replace_inputs(workflow.graph, found)
    assert {place for place, value in list_literals(after) if value != workflow.value(place)} <= set(found)
    assert after.keys() == graph.keys()
    for field in ("prompt", "seed"):
        for place in workflow.inputs[field]:
            assert str(fields[field]) in str(found[place])


def test_what_the_workflow_has_no_place_for_is_refused_by_name(sections: Sections) -> None:
    problems = unsupported_fields(sections.request(w.flux(), negative="blur", cfg=1.0, steps=4))
    assert [problem.what for problem in problems] == [
        "generate.negative: comfyui.workflow has no input for the negative prompt: the sampler's links lead to none",
        "generate.cfg: comfyui.workflow has no input for the CFG: the sampler's links lead to none",
    ]
    assert unsupported_fields(sections.request(w.flux(), {"bind": {"cfg": "26.guidance"}}, cfg=1.0)) == []
    assert unsupported_fields(sections.request(section={"checkpoint": "a"}, negative="blur")) == []


def test_two_values_for_one_place_are_refused(sections: Sections) -> None:
    assert unsupported_fields(sections.request(w.primitives(), width=512, height=512)) == []
    assert unsupported_fields(sections.request(w.primitives(), width=512)) == []
    (problem,) = unsupported_fields(sections.request(w.primitives(), width=512, height=768))
    assert problem.what == "comfyui.workflow: width 512 and height 768 both go to 53.value"
    assert unsupported_fields(sections.request(MARKED, width=64)) == []


@pytest.mark.parametrize(
    ("place", "key"),
    [
        ("3.steps", "generate.steps"),
        ("3.denoise", "comfyui.set.3.denoise"),
        ("4.ckpt_name", ""),  # the file's own
        ("3.cfg", ""),
        ("6.text", "prompt"),
    ],
)
def test_what_decides_an_input_is_called_by_the_jobs_key(sections: Sections, place: str, key: str) -> None:
    request = sections.request(sd15(), {"set": {"3.denoise": 0.5}}, steps=3)
    workflow = get_workflow(request)
    of_text = {str(one): one for one, _ in list_literals(workflow.graph)}
    assert find_job_key(request, workflow, of_text[place]) == key


def test_the_built_in_workflows_inputs_are_all_the_jobs(sections: Sections) -> None:
    request = sections.request(section={"checkpoint": "a.pt", "loras": {"l": 1}, "vae": "v"})
    workflow = get_workflow(request)
    keys = {place.input: find_job_key(request, workflow, place) for place, _ in list_literals(workflow.graph)}
    assert (keys["ckpt_name"], keys["lora_name"], keys["vae_name"], keys["sampler_name"]) == (
        "comfyui.checkpoint", "comfyui.loras", "comfyui.vae", "generate.sampler",
    )  # fmt: skip


def test_requests_that_differ_in_what_is_drawn_are_alike_and_in_how_are_not(sections: Sections) -> None:
    base = sections.request(sd15())
    fields = {name: getattr(base, name) for name in ("backend", "model", "extra")}
    requests = [
        Request(name="a", prompt="a", seed=1, **fields),
        Request(name="b", prompt="b", seed=2, negative="n", **fields),
        Request(name="c", prompt="a", seed=1, steps=3, **fields),
        Request(name="d", prompt="a", seed=1, **{**fields, "extra": {**base.extra, "urls": ["http://other"]}}),
        Request(name="e", prompt="a", seed=1, **{**fields, "extra": {**base.extra, "images": {"1.image": "x"}}}),
        Request(name="f", prompt="a", seed=1, **{**fields, "extra": {**base.extra, "images": {"1.image": "y"}}}),
    ]
    assert [[one.name for one in same] for same in group_identical(requests)] == [["a", "b"], ["c"], ["d"], ["e", "f"]]


def test_every_field_of_a_workflow_is_one_of_a_request() -> None:
    assert set(FIELDS) - {"checkpoint"} <= set(Request.__dataclass_fields__)


LORAS = {"b.safetensors": [0.5, 0.25], "a.safetensors": [1.0, 1.0]}


def test_its_places_are_those_that_its_links_lead_to() -> None:
    for workflow in (text_to_image({}, ""), text_to_image(LORAS, "v.pt"), text_to_image(LORAS, "", 2)):
        latent = {**workflow.graph["latent"], "inputs": {"width": 64, "height": 64}}  # a size of 0 is none
        graph = {**workflow.graph, "latent": latent}
        found = {
            field: known.groups[0] for field, known in find_bindings(graph, workflow.output).items() if known.groups
        }
        assert found == workflow.inputs


def test_loras_are_chained_by_name_for_the_model_and_for_clip() -> None:
    graph = text_to_image(LORAS, "").graph
    one, two = graph["lora 1"]["inputs"], graph["lora 2"]["inputs"]
    assert (one["lora_name"], one["model"], one["clip"]) == ("a.safetensors", ["checkpoint", 0], ["checkpoint", 1])
    assert (two["lora_name"], two["model"], two["clip"]) == ("b.safetensors", ["lora 1", 0], ["lora 1", 1])
    assert (two["strength_model"], two["strength_clip"]) == (0.5, 0.25)
    assert graph["sampler"]["inputs"]["model"] == ["lora 2", 0]
    assert graph["positive"]["inputs"]["clip"] == graph["negative"]["inputs"]["clip"] == ["lora 2", 1]
    assert graph == text_to_image(dict(reversed(LORAS.items())), "").graph


def test_a_vae_of_its_own_decodes_in_place_of_the_checkpoints() -> None:
    assert text_to_image({}, "").graph["decode"]["inputs"]["vae"] == ["checkpoint", 2]
    graph = text_to_image({}, "v.pt").graph
    assert graph["decode"]["inputs"]["vae"] == ["vae", 0]
    assert graph["vae"]["inputs"] == {"vae_name": "v.pt"}


def test_a_clip_skip_takes_the_layer_that_many_from_the_end_for_both_texts() -> None:
    graph = text_to_image(LORAS, "", 2).graph
    assert graph["clip skip"]["inputs"]["clip"] == ["lora 2", 1]
    assert graph["positive"]["inputs"]["clip"] == graph["negative"]["inputs"]["clip"] == ["clip skip", 0]
    request = Request("comfyui", "A", "a", clip_skip=2)
    assert collect_values(request, get_workflow(request))[NodeInput("clip skip", "stop_at_clip_layer")] == -2
    assert "clip skip" not in text_to_image(LORAS, "").graph
