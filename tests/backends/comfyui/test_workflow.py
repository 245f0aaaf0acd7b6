"""A workflow file: read, refused with how to get the right one, and understood."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from imagegen.backends.comfyui.workflow import Workflow, analyse_workflow, explain_missing, read_workflow
from imagegen.errors import ImagegenError, Problem
from tests.backends.comfyui import workflows as w
from tests.backends.comfyui.workflows import Nodes, changed, node, sd15

EDITOR = {"id": "x", "nodes": [{"id": 3, "type": "KSampler"}], "links": [[1, 4, 0, 3, 0, "MODEL"]], "version": 0.4}


def read(values: object, name: str = "jobs/workflows/x.json") -> Any:
    return read_workflow(name, json.dumps(values, indent=1).encode())


def refused(values: object) -> tuple[Problem, ...]:
    with pytest.raises(ImagegenError) as caught:
        read(values)
    return caught.value.problems


def places(workflow: Workflow) -> dict[str, str]:
    return {field: "+".join(map(str, found)) for field, found in workflow.inputs.items()}


def problems(graph: Nodes, bind: Mapping[str, Sequence[str]] | None = None) -> list[Problem]:
    with pytest.raises(ImagegenError) as caught:
        analyse_workflow(graph, bind or {})
    return list(caught.value.problems)


def test_a_file_is_read_with_its_titles_and_without_what_the_server_adds() -> None:
    titled = {key: {**body, "_meta": {"title": "Load"}} for key, body in sd15().items()}
    assert read({key: {**body, "is_changed": ["x"]} for key, body in titled.items()}) == titled


def test_the_largest_seed_is_read_to_its_last_digit() -> None:
    assert read(changed(sd15(), n3={"seed": 2**64 - 1}))["3"]["inputs"]["seed"] == 2**64 - 1


@pytest.mark.parametrize("extra", [{}, {"client_id": "a"}, {"workflow": EDITOR}])
def test_what_was_posted_to_the_api_is_taken_too(extra: dict[str, Any]) -> None:
    assert read({"prompt": sd15(), **extra}) == sd15()


def test_a_node_called_prompt_is_a_node() -> None:
    assert read({"prompt": node("SaveImage", filename_prefix="x")}) == {
        "prompt": node("SaveImage", filename_prefix="x")
    }


def test_the_editors_format_is_refused_with_how_to_export_the_right_one() -> None:
    (problem,) = refused(EDITOR)
    assert problem.what == "is a workflow for ComfyUI's editor, which its API does not accept"
    assert "Export (API)" in problem.hint


@pytest.mark.parametrize(
    ("values", "where", "what"),
    [
        ({}, "1:1", "is not a workflow: it has no nodes"),
        ([], "1:1", "is not a workflow: it has no nodes"),
        ({"prompt": {}}, "2:2", "is not a workflow: it has no nodes"),
        ({"3": {"inputs": {}}}, "2:2", "node '3' has no class_type"),
        ({"name": "x", "version": 2}, "2:2", "node 'name' has no class_type"),
        ({"3": {"class_type": "A", "inputs": [1]}}, "4:3", "node '3': its inputs are not a mapping"),
        (
            {"3.1": node("A")},
            "2:2",
            "node '3.1': an ID must not have a dot in it, which separates a node from its input",
        ),
        ({"3": node("A", x=["4", 0])}, "5:4", "3.x is linked to node '4', which does not exist"),
    ],
)
def test_what_is_no_workflow_is_refused_with_its_line(values: object, where: str, what: str) -> None:
    problem = refused(values)[0]
    assert (problem.where, problem.what) == (f"jobs/workflows/x.json:{where}", what)
    assert problem.hint


def test_every_dangling_link_is_told() -> None:
    assert len(refused({"3": node("A", x=["4", 0], y=["5", 0])})) == 2


def test_what_is_no_json_is_told_with_its_place() -> None:
    with pytest.raises(ImagegenError) as caught:
        read_workflow("x.json", b'{"3": {,}}')
    assert caught.value.problems[0].where == "x.json:1:8"
    with pytest.raises(ImagegenError, match=r"is not a \.json file"):
        read_workflow("x.png", b"")


def test_a_named_input_goes_before_a_found_one() -> None:
    bind = {"prompt": ["7.text"], "seed": ["3.seed", "5.batch_size"], "cfg": ["3.denoise"]}
    found = places(analyse_workflow(sd15(), bind))
    assert (found["prompt"], found["seed"], found["cfg"]) == ("7.text", "3.seed+5.batch_size", "3.denoise")
    assert found["steps"] == "3.steps"


def test_a_link_can_be_named_and_gives_way_to_the_value() -> None:
    assert places(analyse_workflow(w.primitives(), {"prompt": ["6.text"]}))["prompt"] == "6.text"


def test_a_mark_goes_before_what_the_links_say_and_asks_for_its_field_always() -> None:
    graph = changed(
        sd15(), n6={"text": "photo of %prompt%, %sampler%"}, n7={"text": "%prompt%"}, n3={"steps": "%steps%"}
    )
    workflow = analyse_workflow(graph, {})
    assert places(workflow)["prompt"] == "6.text+7.text"
    assert places(workflow)["sampler"] == "6.text"
    assert workflow.marked == {"prompt", "sampler", "steps"}


def test_marks_of_comfyui_itself_in_a_file_name_are_left_alone() -> None:
    assert analyse_workflow(changed(sd15(), n9={"filename_prefix": "%year%/%seed%"}), {}).marked == frozenset()


def test_a_mark_that_is_none_is_refused() -> None:
    (problem,) = problems(changed(sd15(), n6={"text": "%promt%"}))
    assert problem.what == "6.text has the mark %promt%, which does not exist; did you mean 'prompt'?"


@pytest.mark.parametrize(
    ("bind", "where", "what", "hint"),
    [
        ({"prompt": ["66.text"]}, "bind.prompt", "'66.text': the workflow has no node '66'; did you mean '6'?", "it has 3, 4, "),
        ({"cfg": ["3.cgf"]}, "bind.cfg", "'3.cgf': node 3 (KSampler) has no input 'cgf'; did you mean 'cfg'?", "it has seed, "),
        ({"output": ["12"]}, "bind.output", "the workflow has no node '12'", "images are saved by 9"),
    ],
)  # fmt: skip
def test_a_name_that_is_not_there_is_told_with_those_that_are(
    bind: dict[str, list[str]], where: str, what: str, hint: str
) -> None:
    (problem,) = problems(sd15(), bind)
    assert (problem.where, problem.what.partition(";")[0]) == (where, what.partition(";")[0])
    assert problem.hint.startswith(hint)


def test_what_cannot_be_found_is_told_by_name_with_an_input_that_might_be_meant() -> None:
    graph = {key: body for key, body in sd15().items() if key != "3"}
    graph["8"] = node("Mystery", samples=["6", 0], noise_seed=3)
    found = problems(graph)
    assert [problem.what for problem in found] == [
        "has no input for the prompt: the sampler's links lead to none",
        "has no input for the seed: the sampler's links lead to none",
    ]
    assert found[0].hint == (
        'name one, such as bind: {prompt: "6.text"} (6.text (CLIPTextEncode: "a bottle with a galaxy in it")) or '
        'bind: {prompt: "7.text"} (7.text (CLIPTextEncode: "text, watermark")), or write "%prompt%" into the file, '
        "or bind: {prompt: []} if it takes none"
    )
    assert 'bind: {seed: "8.noise_seed"}' in found[1].hint


def test_what_could_go_to_several_places_is_told_with_all_of_them() -> None:
    graph = changed(w.sdxl_with_refiner(), n6={"text_l": "style"})
    (problem,) = problems(graph)
    assert problem.what == (
        'has several inputs for the prompt: 15.text (CLIPTextEncodeSDXLRefiner: "evening sunset") or '
        '6.text_g (CLIPTextEncodeSDXL: "evening sunset") or 6.text_l (CLIPTextEncodeSDXL: "style")'
    )
    assert problem.hint.startswith('say which: bind: {prompt: "15.text"} or bind: {prompt: "6.text_g"} or bind: ')
    bound = analyse_workflow(graph, {"prompt": ["6.text_g", "6.text_l"]})
    assert explain_missing(bound, "checkpoint").what == (
        'has several inputs for the checkpoint: 12.ckpt_name (CheckpointLoaderSimple: "sd_xl_refiner_1.0.safetensors") '
        'or 4.ckpt_name (CheckpointLoaderSimple: "sd_xl_base_1.0.safetensors")'
    )


def test_a_field_without_a_place_is_called_by_its_words() -> None:
    assert "input for the negative prompt" in explain_missing(analyse_workflow(w.flux(), {}), "negative").what
    assert (
        'bind: {negative: "NODE.INPUT"}' in explain_missing(analyse_workflow(w.flux(), {}), "negative").hint
    )  # not the prompt's
    assert 'bind: {cfg: "NODE.INPUT"}' in explain_missing(analyse_workflow(w.flux(), {}), "cfg").hint


def test_of_several_nodes_that_save_one_must_be_named() -> None:
    two = sd15(n10=sd15()["9"])
    (problem,) = problems(two)
    assert problem.what == "saves images in 2 nodes: 9 (SaveImage), 10 (SaveImage)"
    assert problem.hint == 'say which to take: bind: {output: "9"} or bind: {output: "10"}'
    assert analyse_workflow(two, {"output": ["10"]}).output == "10"


def test_a_workflow_that_saves_nothing_is_refused() -> None:
    graph = {key: body for key, body in sd15().items() if key != "9"}
    assert problems(graph)[0].what == "saves no image: it has no SaveImage node"


def test_the_checkpoint_of_the_file_is_known_unless_it_is_marked_or_linked() -> None:
    assert analyse_workflow(sd15(), {}).checkpoint == "v1-5-pruned-emaonly.ckpt"
    assert analyse_workflow(w.flux(), {}).checkpoint == "flux1-dev.safetensors"
    assert analyse_workflow(changed(sd15(), n4={"ckpt_name": "%checkpoint%"}), {}).checkpoint == ""
    assert (
        analyse_workflow(changed(sd15(), n4={"ckpt_name": ["9", 0]}), {"checkpoint": ["4.ckpt_name"]}).checkpoint == ""
    )
