"""What a server's description of its nodes says of a graph. The entries are a real server's, v0.33.0, shortened."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from imagegen.backends.choices import describe_choices
from imagegen.backends.comfyui.checks import check_graph, check_on_server, find_spelling
from imagegen.backends.comfyui.graph import NodeInput
from imagegen.errors import Problem
from tests.backends.comfyui.sections import Sections
from tests.backends.comfyui.workflows import Nodes, changed, node, sd15

__all__ = []


CHECKPOINTS = ["sub/tiny2.safetensors", "v1-5-pruned-emaonly.ckpt"]
SAMPLERS = ["euler", "euler_ancestral", "heun", "dpmpp_2m"]


def entry(output: bool = False, **required: list[Any]) -> dict[str, Any]:
    return {"input": {"required": required}, "output_node": output}


INFO: dict[str, dict[str, Any]] = {
    "KSampler": entry(
        model=["MODEL", {}],
        seed=["INT", {"min": 0, "max": 2**64 - 1, "control_after_generate": True}],
        steps=["INT", {"default": 20, "min": 1, "max": 10000}],
        cfg=["FLOAT", {"default": 8.0, "min": 0.0, "max": 100.0, "step": 0.1}],
        sampler_name=[SAMPLERS, {}],
        scheduler=["COMBO", {"multiselect": False, "options": ["normal", "karras"]}],
        positive=["CONDITIONING", {}],
        negative=["CONDITIONING", {}],
        latent_image=["LATENT", {}],
        denoise=["FLOAT", {"min": 0.0, "max": 1.0}],
    ),
    "CheckpointLoaderSimple": entry(ckpt_name=[CHECKPOINTS, {}]),
    "EmptyLatentImage": entry(
        width=["INT", {"min": 16, "max": 16384, "step": 8}],
        height=["INT", {"min": 16, "max": 16384, "step": 8}],
        batch_size=["INT", {"min": 1, "max": 4096}],
    ),
    "CLIPTextEncode": entry(text=["STRING", {"multiline": True}], clip=["CLIP", {}]),
    "VAEDecode": entry(samples=["LATENT"], vae=["VAE"]),
    "SaveImage": {
        "input": {"required": {"images": ["IMAGE"], "filename_prefix": ["STRING", {}]}, "hidden": {"prompt": "PROMPT"}},
        "output_node": True,
    },
    "LoadImage": entry(image=[["example.png"], {"image_upload": True}]),
    "BatchImagesNode": entry(images=["COMFY_AUTOGROW_V3", {"template": {"prefix": "image", "min": 2}}]),
    "Tags": entry(tags=["COMBO", {"multiselect": True, "options": ["a", "b"]}]),
}


def checked(graph: Nodes, keys: dict[NodeInput, str] | None = None, output: str = "9") -> list[Problem]:
    uploaded = {NodeInput("10", "image")}
    return check_graph(graph, output, INFO.get, lambda: list(INFO), keys or {}, uploaded)


def find_problems(graph: Nodes) -> list[str]:
    return [problem.what for problem in checked(graph)]


def test_what_the_server_would_take_has_no_problem() -> None:
    assert checked(sd15()) == []


def test_a_class_that_is_not_installed_is_told_with_the_nearest() -> None:
    (problem,) = checked(sd15(n8=node("VAEDecodeX", samples=["3", 0], whatever=3)))
    assert problem.what == "node 8: the server has no node class 'VAEDecodeX'"
    assert "the nearest that the server has: VAEDecode, " in problem.hint


def test_a_choice_that_is_not_there_is_told_with_the_nearest_first() -> None:
    (problem,) = checked(changed(sd15(), n3={"sampler_name": "eulr_ancestral"}))
    assert problem.what == "node 3 (KSampler): sampler_name: 'eulr_ancestral' is not there"
    assert problem.hint.startswith("choose one of euler_ancestral, euler, ")
    assert find_problems(changed(sd15(), n3={"scheduler": "karas"})) == [
        "node 3 (KSampler): scheduler: 'karas' is not there"
    ]


def test_a_problem_is_told_by_the_jobs_key_where_one_decides() -> None:
    (problem,) = checked(changed(sd15(), n3={"steps": 0}), {NodeInput("3", "steps"): "generate.steps"})
    assert problem.what == "generate.steps: 0 is too small: ComfyUI accepts at least 1"


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"n3": {"seed": 2**64}}, "node 3 (KSampler): seed: 18446744073709551616 is too large: ComfyUI accepts at most 18446744073709551615"),
        ({"n3": {"seed": -1}}, "node 3 (KSampler): seed: -1 is too small: ComfyUI accepts at least 0"),
        ({"n3": {"cfg": 100.5}}, "node 3 (KSampler): cfg: 100.5 is too large: ComfyUI accepts at most 100.0"),
        ({"n3": {"steps": "many"}}, "node 3 (KSampler): steps: expected a number, found 'many'"),
        ({"n3": {"steps": {"a": 1}}}, "node 3 (KSampler): steps: expected a number, found \"{'a': 1}\""),
        ({"n5": {"width": 70}}, "node 5 (EmptyLatentImage): width: 70 is not a multiple of 8: ComfyUI would make the image smaller"),
    ],
)  # fmt: skip
def test_numbers_are_held_to_the_servers_bounds(inputs: dict[str, dict[str, Any]], message: str) -> None:
    assert find_problems(changed(sd15(), **inputs)) == [message]


@pytest.mark.parametrize("value", ["20", 20.0, 2**64 - 1 - 2**63])
def test_what_the_server_reads_as_a_number_is_one(value: object) -> None:
    assert find_problems(changed(sd15(), n3={"seed": value})) == []


def test_a_size_of_the_job_is_left_to_the_check_that_needs_no_server() -> None:
    graph = changed(sd15(), n5={"width": 70})
    assert checked(graph, {NodeInput("5", "width"): "generate.width"}) == []
    (problem,) = checked(graph, {NodeInput("5", "width"): "comfyui.set.5.width"})
    assert str(problem).startswith("comfyui.set.5.width: 70 is not a multiple of 8")
    assert problem.hint == "make it 64 or 72"


def test_the_inputs_that_a_node_lacks_are_told_together() -> None:
    graph = sd15()
    del graph["3"]["inputs"]["denoise"], graph["3"]["inputs"]["cfg"]
    (problem,) = checked(graph)
    assert problem.what == "node 3 (KSampler) needs cfg, denoise, which the workflow does not have"


def test_inputs_that_stand_for_any_number_of_them_are_not_missing() -> None:
    grown = node("BatchImagesNode", **{"images.image0": ["8", 0], "images.image1": ["8", 0]})
    assert checked(sd15(n20=grown)) == []


def test_inputs_that_the_server_does_not_know_are_left_to_it() -> None:
    assert checked(changed(sd15(), n3={"control_after_generate": "randomize"})) == []


def test_files_that_the_server_does_not_list_are_left_to_it() -> None:
    uploaded = sd15(n10=node("LoadImage", image="x.png"))
    assert find_problems({**uploaded, "11": node("LoadImage", image="sub/y.png")}) == []
    assert find_problems({**uploaded, "11": node("LoadImage", image="y.png [output]")}) == []
    (problem,) = checked({**uploaded, "11": node("LoadImage", image="y.png")})
    assert problem.what == "node 11 (LoadImage): image: 'y.png' is not on the server"
    assert "comfyui.images" in problem.hint


def test_lists_of_choices_are_left_to_the_server() -> None:
    assert find_problems(sd15(n12=node("Tags", tags=["a", "b", "c"]))) == []


def test_the_output_must_give_an_image_file() -> None:
    (problem,) = checked(sd15(), output="8")
    assert problem.what == "node 8 (VAEDecode) saves no image, so it cannot be the output"


def test_every_problem_is_told_at_once() -> None:
    graph = changed(sd15(n8=node("Nope")), n3={"sampler_name": "x", "steps": 0}, n4={"ckpt_name": "y.ckpt"})
    assert len(checked(graph)) == 4


def test_a_name_is_known_in_the_spelling_of_either_system() -> None:
    assert find_spelling("sub\\tiny2.safetensors", CHECKPOINTS) == "sub/tiny2.safetensors"
    assert find_spelling("sub/a.pt", ["sub\\a.pt"]) == "sub\\a.pt"
    assert find_spelling("tiny2.safetensors", CHECKPOINTS) is None
    assert find_problems(changed(sd15(), n4={"ckpt_name": "sub\\tiny2.safetensors"})) == []


def test_many_choices_are_cut_and_none_is_said() -> None:
    assert (
        describe_choices("a9", [f"a{n}" for n in range(12)])
        == "choose one of a9, a0, a1, a2, a3, a4, a5, a6 and 4 more"
    )
    assert describe_choices("a", []) == "there are none"
    assert describe_choices("a", ["b"]) == "there is only b"


CLASSES: dict[str, dict[str, Any]] = {
    "Painter": {"input": {"required": {"prompt": ["STRING"], "seed": ["INT", {"min": 0, "max": 2**31 - 1}]}}},
    "SaveImage": {"input": {"required": {"images": ["IMAGE"], "filename_prefix": ["STRING"]}}, "output_node": True},
}


def test_the_seed_of_each_image_is_held_against_what_the_node_takes(sections: Sections) -> None:
    save = node("SaveImage", filename_prefix="x", images=["10", 0])
    first = sections.request({"9": save, "10": node("Painter", prompt="a raven", seed=1)}, seed=7)
    second = replace(first, name="Yrr", seed=2**31)
    random = replace(first, name="Okka", seed=None)
    (problem,) = check_on_server([first, second, random], CLASSES.get, lambda: list(CLASSES))
    assert problem.where == "Yrr"
    assert problem.what == "generate.seed: 2147483648 is too large: ComfyUI accepts at most 2147483647"
    assert "seed: {mode: sequence, base: 1}" in problem.hint
