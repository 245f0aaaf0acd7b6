"""A job's section for ComfyUI, resolved: what it comes to, what of it decides pixels, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from imagegen.backends.comfyui.graph import NodeInput
from imagegen.backends.comfyui.prompt import collect_values, get_workflow, unsupported_fields
from tests.backends.comfyui import workflows as w
from tests.backends.comfyui.sections import FILE, Sections
from tests.backends.comfyui.workflows import Nodes, changed, node, sd15

IMAGE = w.image_to_image()
FACE = {"images": {"10.image": "refs/face.png"}}


def test_without_a_workflow_the_built_in_one_takes_loras_and_a_vae(sections: Sections) -> None:
    found = sections.given(
        checkpoint="a.safetensors", vae="v.pt", loras={"x": 0.5, "y": {"model": 1, "clip": 0}, "z": {}}
    )
    assert found.model == "a.safetensors"
    assert found.extra["loras"] == {"x": [0.5, 0.5], "y": [1.0, 0.0], "z": [1.0, 1.0]}
    assert found.extra["vae"] == "v.pt"
    assert found.only_if_given == frozenset()


def test_the_checkpoint_is_that_of_the_command_line_then_the_job_then_the_environment(sections: Sections) -> None:
    assert sections.given().model is None
    sections.environment = {"COMFYUI_CKPT": "environment.pt"}
    assert sections.given().model == "environment.pt"
    assert sections.given(checkpoint="job.pt").model == "job.pt"
    sections.command_line = {"checkpoint": "line.pt"}
    assert sections.given(checkpoint="job.pt").model == "line.pt"


def test_a_workflows_own_checkpoint_counts_as_the_jobs(sections: Sections) -> None:
    sections.environment = {"COMFYUI_CKPT": "environment.pt"}
    assert sections.of(sd15()).model == "v1-5-pruned-emaonly.ckpt"
    assert sections.of(sd15(), checkpoint="job.pt").model == "job.pt"
    assert sections.of(changed(sd15(), n4={"ckpt_name": "%checkpoint%"})).model == "environment.pt"
    sections.environment = {}
    assert sections.of(changed(sd15(), n4={"ckpt_name": "%checkpoint%"})).model is None
    sections.command_line = {"checkpoint": "line.pt"}
    assert sections.of(sd15(), checkpoint="job.pt").model == "line.pt"


def test_a_checkpoint_that_the_workflow_has_no_place_for_is_refused(sections: Sections) -> None:
    graph = changed(sd15(n4=node("MyLoader", model="x")), n3={"model": ["4", 0]})
    assert sections.of(graph).model == ""
    sections.workflow(graph)
    message = "checkpoint 'a.pt': has no input for the checkpoint: the sampler's links lead to none"
    assert sections.refused(workflow=FILE, checkpoint="a.pt")[0].what == message
    sections.command_line = {"checkpoint": "a.pt"}
    assert sections.refused(workflow=FILE)[0].what == message


def test_fields_that_the_file_marks_count_also_where_the_job_gives_none(sections: Sections) -> None:
    assert "steps" in sections.of(sd15()).only_if_given
    assert "steps" not in sections.of(changed(sd15(), n3={"steps": "%steps%"})).only_if_given
    assert not sections.of(sd15()).only_if_given & {"prompt", "seed"}


@pytest.mark.parametrize(
    ("section", "key"),
    [({"bind": {"cfg": "3.cfg"}}, "bind"), ({"set": {"3.cfg": 1}}, "set"), (FACE, "images")],
)
def test_options_of_a_workflow_without_one_are_refused(sections: Sections, section: dict[str, Any], key: str) -> None:
    (problem,) = sections.refused(**section)
    assert (problem.where, problem.what) == (key, "needs a workflow, but the job names none")


@pytest.mark.parametrize(("section", "key"), [({"loras": {"a": 1}}, "loras"), ({"vae": "v"}, "vae")])
def test_options_of_the_built_in_workflow_beside_another_are_refused(
    sections: Sections, section: dict[str, Any], key: str
) -> None:
    sections.workflow(sd15())
    (problem,) = sections.refused(workflow=FILE, **section)
    assert (problem.where, problem.what) == (key, "is for the built-in workflow, but the job has its own")


def test_a_problem_of_the_file_is_told_under_the_key_that_names_it(sections: Sections) -> None:
    (problem,) = sections.refused(workflow=FILE)
    assert (problem.where, problem.what) == ("workflow", f"{FILE}: there is no such file")
    sections.write(FILE, b"{\n,}")
    (problem,) = sections.refused(workflow=FILE)
    assert problem.what.startswith(f"{FILE}:2:1: not valid JSON")


@pytest.mark.parametrize(
    ("graph", "other"),
    [
        (sd15(), changed(sd15(), n3={"seed": 2**64 - 1})),
        (sd15(), changed(sd15(), n6={"text": "another"})),
        (sd15(), changed(sd15(), n9={"filename_prefix": "mine/x"})),
        (w.flux(), changed(w.flux(), n25={"noise_seed": 1})),
        (w.primitives(), changed(w.primitives(), n50={"value": 1}, n52={"value": "x"})),
        (w.sdxl_with_refiner(), changed(w.sdxl_with_refiner(), n10={"noise_seed": 1}, n11={"noise_seed": 2})),
        (sd15(), {key: {**body, "_meta": {"title": "x"}} for key, body in reversed(sd15().items())}),
    ],
    ids=["seed", "prompt", "prefix", "noise", "primitives", "two seeds", "titles and order"],
)
def test_what_is_replaced_and_what_draws_nothing_decides_nothing(
    sections: Sections, graph: Nodes, other: Nodes
) -> None:
    assert sections.fingerprint(graph) == sections.fingerprint(other)


@pytest.mark.parametrize(
    "other",
    [
        changed(sd15(), n3={"denoise": 0.5}),
        changed(sd15(), n7={"text": "blur"}),
        changed(sd15(), n6={"text": "%prompt%, oil"}),
        changed(sd15(), n3={"steps": "%steps%"}),
        sd15(n20=node("PreviewImage", images=["8", 0])),
        {**sd15(), "8": {**sd15()["8"], "class_type": "VAEDecodeTiled"}},
    ],
    ids=["another input", "negative", "text around a mark", "a mark", "a node", "a class"],
)
def test_all_else_in_the_file_decides(sections: Sections, other: Nodes) -> None:
    assert sections.fingerprint(sd15()) != sections.fingerprint(other)


def test_naming_what_is_found_anyway_changes_nothing_and_naming_another_does(sections: Sections) -> None:
    plain = sections.fingerprint(sd15())
    assert sections.fingerprint(sd15(), {"bind": {"prompt": "6.text", "seed": ["3.seed"], "output": "9"}}) == plain
    assert sections.fingerprint(sd15(), {"bind": {"prompt": "7.text"}}) != plain
    assert sections.fingerprint(sd15(), {"bind": {"cfg": "3.denoise"}}) != plain
    two = sd15(n10=sd15()["9"])
    assert sections.fingerprint(two, {"bind": {"output": "9"}}) != sections.fingerprint(two, {"bind": {"output": "10"}})


def test_a_field_that_the_workflow_does_not_take_is_not_in_the_request(sections: Sections) -> None:
    enlarge = {
        "9": node("SaveImage", filename_prefix="x", images=["8", 0]),
        "8": node("ImageUpscaleWithModel", image=["10", 0], upscale_model=["7", 0]),
        "7": node("UpscaleModelLoader", model_name="4x.pth"),
        "10": node("LoadImage", image="x.png"),
    }
    none: dict[str, dict[str, list[str]]] = {"bind": {"prompt": [], "seed": []}}
    first = sections.fingerprint(enlarge, none)
    assert sections.fingerprint(enlarge, none, seed=8, prompt="another") == first
    assert {"prompt", "seed"} <= sections.of(enlarge, **none).only_if_given
    sections.workflow(enlarge)
    refused = [problem.hint for problem in sections.refused(workflow=FILE)]
    assert all(f"bind: {{{field}: []}}" in hint for field, hint in zip(("prompt", "seed"), refused, strict=True))


def test_a_set_value_decides_and_what_it_replaces_does_not(sections: Sections) -> None:
    set_ = {"set": {"3.denoise": 0.5}}
    assert sections.fingerprint(sd15(), set_) == sections.fingerprint(changed(sd15(), n3={"denoise": 0.1}), set_)
    assert sections.fingerprint(sd15(), set_) != sections.fingerprint(sd15(), {"set": {"3.denoise": 0.6}})


def test_a_reference_image_decides_by_what_is_in_it(sections: Sections) -> None:
    sections.write("refs/face.png", b"one")
    sections.write("refs/same.png", b"one")
    first = sections.fingerprint(IMAGE, FACE)
    assert sections.fingerprint(changed(IMAGE, n10={"image": "another.png"}), FACE) == first
    assert sections.fingerprint(IMAGE, {"images": {"10.image": "refs/same.png"}}) == first
    sections.write("refs/face.png", b"two")
    assert sections.fingerprint(IMAGE, FACE) != first


def test_where_the_server_is_decides_nothing(sections: Sections) -> None:
    server = {
        "server": {"url": "http://example.org:1", "start": "never"},
        "allow_flat": True,
        "checkpoint_dirs": ["~/x"],
    }
    assert sections.fingerprint(sd15(), server) == sections.fingerprint(sd15())
    several = {"server": {"url": ["http://a", "http://b"]}}
    assert sections.fingerprint(sd15(), several) == sections.fingerprint(sd15())


def test_the_secret_is_for_the_settings_server_only(sections: Sections) -> None:
    sections.environment = {"COMFYUI_URL": "http://gpu:8188/"}
    assert sections.machine()["trusted"] == ["http://gpu:8188"]
    assert sections.machine(server={"url": "http://gpu:8188/"})["trusted"] == ["http://gpu:8188"]
    assert sections.machine(server={"url": "http://other:8188"})["trusted"] == []
    sections.environment = {"COMFYUI_URL": "http://gpu:8188, http://gpu2:8188"}
    several = sections.machine(server={"url": ["http://other:8188/", "http://gpu2:8188"]})
    assert (several["urls"], several["trusted"]) == (["http://other:8188", "http://gpu2:8188"], ["http://gpu2:8188"])
    assert sections.machine()["urls"] == ["http://gpu:8188", "http://gpu2:8188"]


@pytest.mark.parametrize(
    ("section", "where", "what"),
    [
        ({"set": {"33.cfg": 1}}, "set.33.cfg", "'33.cfg': the workflow has no node '33'; did you mean '3'?"),
        ({"set": {"3.cgf": 1}}, "set.3.cgf", "'3.cgf': node 3 (KSampler) has no input 'cgf'; did you mean 'cfg'?"),
        ({"set": {"3.model": 1}}, "set.3.model", "it comes from node 4 by a link"),
        ({"set": {"3.cfg": 1}}, "set.3.cfg", "the CFG goes there"),
        ({"set": {"10.image": "x"}, **FACE}, "images.10.image", "it is given in set too"),
        ({"images": {"5.pixels": "refs/face.png"}}, "images.5.pixels", "it comes from node 10 by a link"),
        ({"images": {"10.image": "no.png"}}, "images.10.image", "no.png: there is no such file"),
        ({"images": {"10.image": "big.png"}}, "images.10.image", "big.png: is larger than 16 MiB"),
    ],
)
def test_what_is_set_must_be_there_and_free(sections: Sections, section: dict[str, Any], where: str, what: str) -> None:
    sections.write("refs/face.png", b"one")
    sections.write("big.png", bytes(16 * 1024**2 + 1))
    sections.workflow(IMAGE)
    (problem,) = sections.refused(workflow=FILE, **section)
    assert (problem.where, problem.what) == (where, what)


def test_a_batch_is_refused_unless_it_is_set_to_one(sections: Sections) -> None:
    batch = changed(sd15(), n5={"batch_size": 4})
    sections.workflow(batch)
    (problem,) = sections.refused(workflow=FILE)
    assert problem.what == "node 5 makes a batch of 4, but one prompt makes one image"
    assert problem.hint == 'set: {"5.batch_size": 1}'
    sections.given(workflow=FILE, set={"5.batch_size": 1})
    sections.workflow(sd15())
    assert sections.refused(workflow=FILE, set={"5.batch_size": 2})
    sections.workflow(changed(sd15(n50=node("PrimitiveInt", value=4)), n5={"batch_size": ["50", 0]}))
    assert sections.refused(workflow=FILE)[0].hint == 'set: {"50.value": 1}'


def test_a_clip_skip_goes_into_the_workflows_own_node_and_counts_where_the_job_gives_it(sections: Sections) -> None:
    skip = node("CLIPSetLastLayer", clip=["4", 1], stop_at_clip_layer=-2)
    skips = {**changed(sd15(), n6={"clip": ["50", 0]}, n7={"clip": ["50", 0]}), "50": skip}
    request = sections.request(skips, clip_skip=3)
    assert collect_values(request, get_workflow(request))[NodeInput("50", "stop_at_clip_layer")] == -3
    plain = sections.fingerprint(skips)
    assert sections.fingerprint(skips, clip_skip=1) != plain, "the workflow has another one"
    assert sections.fingerprint(sd15()) != plain


def test_a_clip_skip_set_by_its_node_as_in_earlier_releases_stays_as_it_was(sections: Sections) -> None:
    skip = node("CLIPSetLastLayer", clip=["4", 1], stop_at_clip_layer=-2)
    skips = {**changed(sd15(), n6={"clip": ["50", 0]}, n7={"clip": ["50", 0]}), "50": skip}
    by_node = {"50.stop_at_clip_layer": -3}
    request = sections.request(skips, {"set": by_node})
    assert collect_values(request, get_workflow(request))[NodeInput("50", "stop_at_clip_layer")] == -3
    assert "clip_skip" not in get_workflow(request).inputs
    (problem,) = unsupported_fields(sections.request(skips, {"set": by_node}, clip_skip=2))
    assert problem.what.startswith("generate.clip_skip: "), "which of the two counts is not guessed"
