"""The fake server behaves as ComfyUI does: the same facts of it always, and of a real server where one is named.

COMFYUI_TEST_URL=http://127.0.0.1:8188 pytest -m "" tests/backends/comfyui/fake_server/test_fake_server.py

The real server should have nothing else to do meanwhile: others' prompts change what is cached.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.backends.comfyui.fake_server import FakeComfyUI, Fault
from tests.backends.comfyui.fake_server.talk import LONG, Graph, Talk, png

pytestmark = pytest.mark.long  # what only tests a fake server, CI need not run each time

REAL = os.environ.get("COMFYUI_TEST_URL", "").rstrip("/")
IS_REAL = pytest.mark.skipif(not REAL, reason="COMFYUI_TEST_URL names no real server")
FAILED = "prompt_outputs_failed_validation"


@pytest.fixture(params=["fake", pytest.param("real", marks=IS_REAL)])
def talk(request: pytest.FixtureRequest) -> Iterator[Talk]:
    if request.param == "real":
        yield Talk(REAL)
        return
    with FakeComfyUI(loras=["thin.safetensors"], vaes=["soft.safetensors"]) as server:
        server.faults.append(Fault("hangs", word=LONG, times=None))
        yield Talk(server.url)


def change(node: str, **inputs: Any) -> Callable[[Graph], None]:
    """A change of one node's inputs; None takes one out."""

    def apply(graph: Graph) -> None:
        for name, value in inputs.items():
            graph[node]["inputs"][name] = value
            if value is None:
                del graph[node]["inputs"][name]

    return apply


INVALID = {
    "a checkpoint that is not there": (change("4", ckpt_name="nope"), "4", "value_not_in_list", "ckpt_name", ["9"]),
    "a wrong sampler": (change("3", sampler_name="eular"), "3", "value_not_in_list", "sampler_name", ["9"]),
    "an input left out": (change("3", seed=None), "3", "required_input_missing", "seed", ["9"]),
    "too few steps": (change("3", steps=0), "3", "value_smaller_than_min", "steps", ["9"]),
    "too high a CFG": (change("3", cfg=100.5), "3", "value_bigger_than_max", "cfg", ["9"]),
    "a seed of 65 bits": (change("3", seed=2**64), "3", "value_bigger_than_max", "seed", ["9"]),
    "a negative seed": (change("3", seed=-1), "3", "value_smaller_than_min", "seed", ["9"]),
    "text for a number": (change("3", seed="x"), "3", "invalid_input_type", "seed, x, invalid literal", ["9"]),
    "a link of another type": (
        change("8", samples=["4", 0]),
        "8",
        "return_type_mismatch",
        "samples, received_type(MODEL) mismatch input_type(LATENT)",
        ["9"],
    ),
    "a link that is none": (change("8", samples=["3"]), "8", "bad_linked_input", "samples", ["9"]),
    "a dangling link": (change("3", model=["99", 0]), "3", "exception_during_inner_validation", "'99'", ["9"]),
    "a link to an output that is not there": (
        change("8", samples=["3", 7]),
        "8",
        "exception_during_inner_validation",
        "tuple index out of range",
        ["9"],
    ),
    "a dangling link at the output": (
        change("9", images=["99", 0]),
        "9",
        "exception_during_validation",
        "'99'",
        ["9"],
    ),
    "a circle": (change("3", latent_image=["3", 0]), "3", "dependency_cycle", "3 (KSampler) -> 3 (KSampler)", ["9"]),
}


@pytest.mark.parametrize("case", INVALID)
def test_an_invalid_node_is_refused_by_name(talk: Talk, case: str) -> None:
    apply, node, type_, details, outputs = INVALID[case]
    graph = talk.graph()
    apply(graph)
    answer = talk.post("/prompt", {"prompt": graph})
    assert answer.status_code == 400
    message = answer.json()
    assert message["error"]["type"] == FAILED
    assert set(message["node_errors"]) == {node}
    assert message["node_errors"][node]["dependent_outputs"] == outputs
    assert message["node_errors"][node]["class_type"] == graph[node]["class_type"]
    (error,) = message["node_errors"][node]["errors"]
    assert error["type"] == type_
    assert error["details"].startswith(details)
    assert error["message"]
    if type_.startswith("exception"):
        assert error["extra_info"]["exception_type"] in ("KeyError", "IndexError")
        assert error["extra_info"]["traceback"]
    elif type_ != "dependency_cycle":
        assert error["extra_info"]["input_name"] == details.split(",")[0].split(":")[0]


def test_a_value_that_is_no_choice_is_told_with_the_choices(talk: Talk) -> None:
    graph = talk.graph()
    graph["4"]["inputs"]["ckpt_name"] = "nope.safetensors"
    graph["3"]["inputs"]["scheduler"] = "norml"
    message = talk.post("/prompt", {"prompt": graph}).json()
    assert message["error"] | {"message": ""} == {"type": FAILED, "message": "", "details": "", "extra_info": {}}
    choices = talk.get("/models/checkpoints").json()
    (error,) = message["node_errors"]["4"]["errors"]
    assert error["details"] == f"ckpt_name: 'nope.safetensors' not in {choices}"
    assert error["extra_info"]["input_config"][0] == choices
    assert error["extra_info"]["received_value"] == "nope.safetensors"
    assert set(message["node_errors"]) == {"3", "4"}


def test_over_twenty_choices_are_only_counted(talk: Talk) -> None:
    samplers = talk.get("/object_info/KSampler").json()["KSampler"]["input"]["required"]["sampler_name"][0]
    message = talk.post("/prompt", {"prompt": talk.graph(sampler_name="eular")}).json()
    (error,) = message["node_errors"]["3"]["errors"]
    assert error["details"] == f"sampler_name: 'eular' not in (list of length {len(samplers)})"
    assert len(samplers) > 20
    assert error["extra_info"]["input_config"] is None


def test_all_that_is_wrong_with_a_node_is_told(talk: Talk) -> None:
    graph = talk.graph(seed="x", steps=0, cfg=101, sampler_name="eular")
    del graph["3"]["inputs"]["denoise"]
    message = talk.post("/prompt", {"prompt": graph}).json()
    assert sorted(error["type"] for error in message["node_errors"]["3"]["errors"]) == [
        "invalid_input_type",
        "required_input_missing",
        "value_bigger_than_max",
        "value_not_in_list",
        "value_smaller_than_min",
    ]


def test_what_is_wrong_with_the_output_itself_is_in_the_details_too(talk: Talk) -> None:
    graph = talk.graph()
    del graph["9"]["inputs"]["filename_prefix"]
    message = talk.post("/prompt", {"prompt": graph}).json()
    assert message["error"]["details"] == "Required input is missing: filename_prefix"


def without(graph: Graph, node: str) -> Graph:
    return {id_: found for id_, found in graph.items() if id_ != node}


REFUSED: dict[str, tuple[Callable[[Graph], Any], str]] = {
    "no output": (lambda graph: {"prompt": without(graph, "9")}, "prompt_no_outputs"),
    "an empty graph": (lambda _: {"prompt": {}}, "prompt_no_outputs"),
    "no prompt": (lambda graph: {"workflow": graph}, "no_prompt"),
    "a list": (lambda graph: [graph], "no_prompt"),
    "a UI workflow as the body": (lambda _: {"nodes": [{"id": 1}], "links": [], "version": 0.4}, "no_prompt"),
    "a prompt_id that is no UUID": (lambda graph: {"prompt": graph, "prompt_id": "fox"}, "invalid_prompt_id"),
    "a prompt_id in capitals": (
        lambda graph: {"prompt": graph, "prompt_id": str(uuid.uuid4()).upper()},
        "invalid_prompt_id",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_refused_body(talk: Talk, case: str) -> None:
    make, type_ = REFUSED[case]
    answer = talk.post("/prompt", make(talk.graph()))
    assert (answer.status_code, answer.json()["error"]["type"]) == (400, type_)
    assert answer.json()["node_errors"] == {}
    assert set(answer.json()["error"]) == {"type", "message", "details", "extra_info"}


def test_an_unknown_class_is_named_with_its_node(talk: Talk) -> None:
    graph = talk.graph()
    graph["3"] = {"class_type": "NoSuchNode", "inputs": {}, "_meta": {"title": "Mine"}}
    answer = talk.post("/prompt", {"prompt": graph})
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert (error["type"], error["details"]) == ("missing_node_type", "Node ID '#3'")
    assert error["extra_info"] == {"node_id": "3", "class_type": "NoSuchNode", "node_title": "Mine"}
    assert answer.json()["node_errors"] == {}


def test_a_node_without_a_class(talk: Talk) -> None:
    graph = talk.graph()
    del graph["3"]["class_type"]
    error = talk.post("/prompt", {"prompt": graph}).json()["error"]
    assert error["type"] == "missing_node_type"
    assert error["extra_info"] == {"node_id": "3", "class_type": None, "node_title": None}


CRASHES: dict[str, Callable[[Graph], Any]] = {
    "a UI workflow as the prompt": lambda _: {"prompt": {"nodes": [], "links": [], "version": 0.4}},
    "a prompt of null": lambda _: {"prompt": None},
    "extra_data of null": lambda graph: {"prompt": graph, "extra_data": None},
    "a number that is none": lambda graph: {"prompt": graph, "number": "abc"},
    "a bare number": lambda _: 5,
}


@pytest.mark.parametrize("case", CRASHES)
def test_the_server_gets_itself_in_trouble(talk: Talk, case: str) -> None:
    answer = talk.post("/prompt", CRASHES[case](talk.graph()))
    assert (answer.status_code, answer.headers["Content-Type"]) == (500, "text/plain; charset=utf-8")
    assert answer.text == "500 Internal Server Error\n\nServer got itself in trouble"


def test_a_body_that_is_not_json_is_a_500(talk: Talk) -> None:
    for path in ("/prompt", "/queue", "/history", "/free"):
        answer = talk.post(path, data=b"{not json")
        assert (answer.status_code, answer.headers["Content-Type"]) == (500, "text/plain; charset=utf-8")
    assert talk.get("/history?max_items=abc").status_code == 500


def test_a_200_with_node_errors_has_lost_an_output(talk: Talk) -> None:
    graph = talk.graph()
    graph["10"] = {"class_type": "SaveImage", "inputs": {"images": ["8", 0]}}
    answer = talk.post("/prompt", {"prompt": graph, "client_id": talk.client_id})
    assert answer.status_code == 200
    assert set(answer.json()["node_errors"]) == {"10"}
    assert answer.json()["node_errors"]["10"]["dependent_outputs"] == ["10"]
    entry = talk.entry(answer.json()["prompt_id"])
    assert entry["status"]["status_str"] == "success"
    assert set(entry["outputs"]) == {"9"}
    assert entry["prompt"][4] == ["9"]


def test_numbers_may_come_as_text_and_are_kept_as_numbers(talk: Talk) -> None:
    entry = talk.run(talk.graph(steps="2", cfg=5))
    inputs = entry["prompt"][2]["3"]["inputs"]
    assert (inputs["steps"], inputs["cfg"]) == (2, 5.0)
    assert json.dumps(inputs["cfg"]) == "5.0"


def test_the_highest_seed_and_unknown_inputs_are_taken(talk: Talk) -> None:
    talk.run(talk.graph(seed=2**64 - 1, whatever=[1, 2, 3]))


def test_a_size_that_is_no_multiple_of_eight_is_rounded_down(talk: Talk) -> None:
    graph = talk.graph()
    graph["5"]["inputs"] |= {"width": 70, "height": 95}
    assert talk.picture(talk.data(graph)).size == (64, 88)


def test_success_answers_with_id_and_number(talk: Talk) -> None:
    answers = [talk.post("/prompt", {"prompt": talk.graph(), "client_id": talk.client_id}).json() for _ in range(2)]
    assert all(set(answer) == {"prompt_id", "number", "node_errors"} for answer in answers)
    assert answers[0]["node_errors"] == {}
    assert answers[1]["number"] == answers[0]["number"] + 1
    for answer in answers:
        assert str(uuid.UUID(answer["prompt_id"])) == answer["prompt_id"]
        talk.entry(answer["prompt_id"])


def test_a_prompt_id_is_honoured_and_not_told_apart_from_its_double(talk: Talk) -> None:
    id_ = str(uuid.uuid4())
    first, second = talk.graph("first"), talk.graph("second")
    with talk.occupied():
        assert [talk.submit(first, prompt_id=id_), talk.submit(second, prompt_id=id_)] == [id_, id_]
        assert talk.queue()[1].count(id_) == 2
    talk.until(lambda: not talk.is_left(id_))
    assert "second" in talk.images(talk.entry(id_))[0]["filename"]


def test_the_same_number_and_id_is_a_500_and_queued_all_the_same(talk: Talk) -> None:
    id_ = str(uuid.uuid4())
    body = {"client_id": talk.client_id, "number": -(10**6), "prompt_id": id_}
    with talk.occupied():
        first = talk.post("/prompt", {"prompt": talk.graph(), **body})
        second = talk.post("/prompt", {"prompt": talk.graph(), **body})
        assert (first.status_code, second.status_code) == (200, 500)
        assert talk.queue()[1].count(id_) == 2
    talk.until(lambda: not talk.is_left(id_))


def test_the_order_is_by_number_then_by_id(talk: Talk) -> None:
    ids = sorted(str(uuid.uuid4()) for _ in range(4))
    names = {ids[0]: "equal, lower ID", ids[1]: "equal, higher ID", ids[2]: "in front", ids[3]: "as it came"}
    with talk.socket() as socket, talk.occupied():
        talk.submit(talk.graph(), prompt_id=ids[3])
        talk.submit(talk.graph(), prompt_id=ids[1], number=-(10**6))
        talk.submit(talk.graph(), prompt_id=ids[0], number=-(10**6))
        answer = talk.post(
            "/prompt", {"prompt": talk.graph(), "client_id": talk.client_id, "front": True, "prompt_id": ids[2]}
        )
        assert answer.json()["number"] <= 0
        running, waiting = talk.queue()
        assert set(ids) <= set(waiting)
        talk.post("/interrupt", {"prompt_id": running[0]})
        begun = [data["prompt_id"] for type_, data in talk.events(socket, ids[3]) if type_ == "execution_start"]
    assert [names[id_] for id_ in begun if id_ in names] == list(names.values())


def test_history_is_silent_until_a_job_is_done(talk: Talk) -> None:
    with talk.occupied() as running:
        waiting = talk.submit(talk.graph())
        assert [talk.get(f"/history/{id_}").json() for id_ in (running, waiting, uuid.uuid4())] == [{}, {}, {}]
        talk.post("/queue", {"delete": [waiting]})


def test_what_history_says_of_a_success(talk: Talk) -> None:
    graph = talk.graph()
    id_ = talk.submit(graph)
    entry = talk.entry(id_)
    number, its_id, kept, extra_data, outputs = entry["prompt"]
    assert (its_id, set(kept), outputs) == (id_, set(graph), ["9"])
    assert isinstance(number, int)
    assert set(extra_data) == {"client_id", "create_time"}
    assert entry["outputs"] == {
        "9": {"images": [{"filename": "x_00001_.png", "subfolder": talk.folder, "type": "output"}]}
    }
    assert (entry["status"]["status_str"], entry["status"]["completed"]) == ("success", True)
    names = [name for name, _ in entry["status"]["messages"]]
    assert names == ["execution_start", "execution_cached", "execution_success"]
    for _, data in entry["status"]["messages"]:
        assert data["prompt_id"] == id_
        assert abs(data["timestamp"] / 1000 - time.time()) < 60
    assert entry["meta"] == {"9": {"node_id": "9", "display_node": "9", "parent_node": None, "real_node_id": "9"}}


def test_what_history_says_of_an_error(talk: Talk) -> None:
    graph = talk.graph()
    graph["9"]["inputs"]["filename_prefix"] = "../x"
    id_ = talk.submit(graph)
    entry = talk.entry(id_)
    assert (entry["status"]["status_str"], entry["status"]["completed"]) == ("error", False)
    assert (entry["outputs"], entry["meta"]) == ({}, {})
    name, data = entry["status"]["messages"][-1]
    assert name == "execution_error"
    assert set(data) == {
        *("prompt_id", "node_id", "node_type", "executed", "exception_message", "exception_type", "traceback"),
        *("current_inputs", "current_outputs", "timestamp"),
    }
    assert (data["node_id"], data["node_type"], data["exception_type"]) == ("9", "SaveImage", "Exception")
    assert "outside the output folder" in data["exception_message"]
    assert data["executed"]
    assert isinstance(data["traceback"], list)


def test_an_interruption_hits_the_job_that_is_named(talk: Talk) -> None:
    with talk.occupied() as running:
        waiting = talk.submit(talk.graph())
        for id_ in (waiting, str(uuid.uuid4())):
            answer = talk.post("/interrupt", {"prompt_id": id_})
            assert (answer.status_code, answer.content) == (200, b"")
        time.sleep(0.3)
        assert running in talk.queue()[0]
        talk.post("/interrupt", {"prompt_id": running})
        entry = talk.entry(running)
    assert (entry["status"]["status_str"], entry["status"]["completed"]) == ("error", False)
    assert entry["outputs"] == {}
    name, data = entry["status"]["messages"][-1]
    assert name == "execution_interrupted"
    assert set(data) == {"prompt_id", "node_id", "node_type", "executed", "timestamp"}
    assert data["node_type"] == entry["prompt"][2][data["node_id"]]["class_type"]
    assert talk.entry(waiting)["status"]["status_str"] == "success"


def test_what_waits_can_be_deleted_and_nothing_else(talk: Talk) -> None:
    with talk.occupied() as running:
        waiting, kept = talk.submit(talk.graph()), talk.submit(talk.graph())
        answer = talk.post("/queue", {"delete": [waiting, running, str(uuid.uuid4())]})
        assert (answer.status_code, answer.content) == (200, b"")
        assert running in talk.queue()[0]
        assert waiting not in talk.queue()[1]
        assert kept in talk.queue()[1]
    talk.entry(kept)
    assert talk.get(f"/history/{waiting}").json() == {}


def test_queue_and_prompt_tell_what_is_left(talk: Talk) -> None:
    with talk.occupied() as running:
        graph = talk.graph()
        waiting = talk.submit(graph)
        found = talk.get("/queue").json()
        (job,) = [job for job in found["queue_running"] if job[1] == running]
        assert set(job[3]) == {"client_id", "create_time"}
        (job,) = [job for job in found["queue_pending"] if job[1] == waiting]
        assert (set(job[2]), job[4], len(job)) == (set(graph), ["9"], 5)
        assert talk.get("/prompt").json()["exec_info"]["queue_remaining"] >= 2
        talk.post("/queue", {"delete": [waiting]})


def test_a_job_is_found_by_its_id_in_every_state(talk: Talk) -> None:
    def status(id_: str) -> dict[str, Any]:
        return dict(talk.get(f"/api/jobs/{id_}").json())

    bad = talk.graph()
    bad["9"]["inputs"]["filename_prefix"] = "../x"
    with talk.occupied() as running:
        waiting, failing = talk.submit(talk.graph()), talk.submit(bad)
        assert (status(running)["status"], status(waiting)["status"]) == ("in_progress", "pending")
        assert set(status(waiting)) == {
            *("id", "status", "priority", "create_time", "outputs_count", "previewable_outputs_count")
        }
    talk.entry(failing)
    assert (status(running)["status"], status(failing)["status"]) == ("cancelled", "failed")
    assert status(failing)["execution_error"]["node_id"] == "9"
    done = status(waiting)
    assert (done["id"], done["status"]) == (waiting, "completed")
    assert done["outputs"] == talk.entry(waiting)["outputs"]
    assert done["execution_status"] == talk.entry(waiting)["status"]
    assert done["preview_output"] == {**talk.images(talk.entry(waiting))[0], "nodeId": "9", "mediaType": "images"}
    unknown = talk.get(f"/api/jobs/{uuid.uuid4()}")
    assert (unknown.status_code, unknown.json()) == (404, {"error": "Job not found"})
    assert talk.get(f"/jobs/{waiting}").status_code == 404


def test_a_job_can_be_cancelled_by_id(talk: Talk) -> None:
    def cancel(id_: str) -> object:
        return talk.post(f"/api/jobs/{id_}/cancel").json()["cancelled"]

    with talk.occupied() as running:
        waiting = talk.submit(talk.graph())
        assert [cancel(id_) for id_ in (waiting, waiting, running, str(uuid.uuid4()))] == [True, False, True, False]
        assert talk.entry(running)["status"]["messages"][-1][0] == "execution_interrupted"


def test_history_can_be_forgotten_by_id(talk: Talk) -> None:
    id_ = talk.submit(talk.graph())
    talk.entry(id_)
    assert list(talk.get("/history?max_items=1").json()) == [id_]
    assert talk.post("/history", {"delete": [id_, "unknown"]}).status_code == 200
    assert talk.get(f"/history/{id_}").json() == {}


def test_the_same_graph_again_saves_nothing_and_lists_the_old_file(talk: Talk) -> None:
    graph = talk.graph()
    first, again = talk.run(graph), talk.run(graph)
    assert again["outputs"] == first["outputs"]
    assert again["status"]["status_str"] == "success"
    assert talk.cached(again) == sorted(graph)
    assert talk.view({**talk.images(first)[0], "filename": "x_00002_.png"}).status_code == 404


def test_another_prefix_saves_again(talk: Talk) -> None:
    graph = talk.graph()
    first = talk.run(graph)
    graph["9"]["inputs"]["filename_prefix"] = f"{talk.folder}/other"
    again = talk.run(graph)
    assert talk.cached(again) == sorted(set(graph) - {"9"})
    files = [talk.view(talk.images(entry)[0]).content for entry in (first, again)]
    assert talk.picture(files[0]).tobytes() == talk.picture(files[1]).tobytes()


def test_only_the_last_prompt_stays_cached_until_it_is_freed(talk: Talk) -> None:
    one, other = talk.graph(), talk.graph()
    talk.run(one)
    talk.run(other)
    entry = talk.run(one)
    assert talk.cached(entry) == ["4", "5", "6", "7"]
    assert talk.images(entry)[0]["filename"] == "x_00003_.png", "the counter goes on"
    assert talk.post("/free", {"unload_models": True, "free_memory": True}).status_code == 200
    time.sleep(0.5)  # it is done when nothing runs, and not before the next prompt if that comes at once
    assert talk.cached(talk.run(one)) == []


VIEWS: dict[str, tuple[dict[str, str | None], int]] = {
    "as history says": ({}, 200),
    "the kind in the name": ({"filename": "x_00001_.png [output]", "type": "temp"}, 200),
    "no filename": ({"filename": None}, 404),
    "an empty filename": ({"filename": ""}, 400),
    "an absolute filename": ({"filename": "/etc/passwd"}, 400),
    "dots in the filename": ({"filename": "x..png"}, 400),
    "a kind that is none": ({"type": "elsewhere"}, 400),
    "a subfolder that leads out": ({"subfolder": "../.."}, 403),
    "a missing file": ({"filename": "nope.png"}, 404),
    "another kind": ({"type": "temp"}, 404),
}


def test_what_can_be_viewed(talk: Talk) -> None:
    image = talk.images(talk.run(talk.graph()))[0]
    for case, (parameters, status) in VIEWS.items():
        asked = {name: value for name, value in {**image, **parameters}.items() if value is not None}
        answer = talk.view(asked)
        assert answer.status_code == status, case
        assert (answer.content == b"") == (status != 200), case
        assert int(answer.headers["Content-Length"]) == len(answer.content)
        assert answer.headers.get("Content-Type") == ("image/png" if status == 200 else None)


def test_a_prefix_with_two_dots_is_saved_but_cannot_be_viewed(talk: Talk) -> None:
    entry = talk.run(talk.graph("a..b"))
    assert talk.images(entry)[0]["filename"] == "a..b_00001_.png"
    assert talk.view(talk.images(entry)[0]).status_code == 400


def test_an_empty_prefix_is_a_dot(talk: Talk) -> None:
    graph = talk.graph()
    graph["9"]["inputs"]["filename_prefix"] = ""
    image = talk.images(talk.run(graph))[0]
    assert image["filename"].startswith("._0")
    assert image["subfolder"] == ""


def test_the_file_has_the_graph_and_what_was_asked_for_in_its_text(talk: Talk) -> None:
    graph = talk.graph()
    data = talk.data(graph, extra_data={"extra_pnginfo": {"workflow": {"id": "w"}, "mine": "ours"}})
    texts = talk.picture(data).info
    assert list(texts) == ["prompt", "workflow", "mine"]
    assert json.loads(texts["prompt"])["4"] == graph["4"]
    assert (json.loads(texts["workflow"]), json.loads(texts["mine"])) == ({"id": "w"}, "ours")


def test_a_preview_goes_to_the_temporary_folder(talk: Talk) -> None:
    graph = talk.graph()
    graph["9"] = {"class_type": "PreviewImage", "inputs": {"images": ["8", 0]}}
    image = talk.images(talk.run(graph))[0]
    assert (image["type"], image["subfolder"]) == ("temp", "")
    assert talk.picture(talk.view(image).content).size == (64, 64)


def test_the_same_graph_is_the_same_file_and_one_of_a_batch_is_not(talk: Talk) -> None:
    graph = talk.graph()
    first = talk.data(graph)
    talk.run(talk.graph())
    assert talk.data(graph) == first
    graph["5"]["inputs"]["batch_size"] = 3
    images = talk.images(talk.run(graph))
    assert [image["filename"] for image in images] == ["x_00004_.png", "x_00005_.png", "x_00006_.png"]
    pictures = [talk.picture(talk.view(image).content).tobytes() for image in images]
    assert len({talk.picture(first).tobytes(), *pictures}) == 4


@pytest.mark.parametrize(("node", "name", "value"), [("3", "seed", 5), ("6", "text", "a bird"), ("3", "steps", 3)])
def test_what_decides_the_pixels(talk: Talk, node: str, name: str, value: object) -> None:
    graph = talk.graph()
    first = talk.picture(talk.data(graph))
    graph[node]["inputs"][name] = value
    assert talk.picture(talk.data(graph)).tobytes() != first.tobytes()
    colours = first.convert("RGB").getcolors(10**6)
    assert colours is not None
    assert len(colours) > 1, "it is not flat"


def upload(talk: Talk, data: bytes, name: str = "ref.png", **fields: str) -> Any:
    form = {"subfolder": talk.folder, **fields}
    answer = talk.post("/upload/image", files={"image": (name, data, "image/png")}, data=form)
    return answer.json() if answer.status_code == 200 else answer.status_code


def test_uploads_never_replace_another_image_unasked(talk: Talk) -> None:
    place = {"subfolder": talk.folder, "type": "input"}
    assert upload(talk, png()) == {"name": "ref.png", **place}
    assert upload(talk, png()) == {"name": "ref.png", **place}
    assert upload(talk, png(colour=91)) == {"name": "ref (1).png", **place}
    assert upload(talk, png(colour=92), overwrite="true") == {"name": "ref.png", **place}
    assert talk.view({"filename": "ref.png", **place}).content == png(colour=92)
    assert talk.view({"filename": "ref (1).png", **place}).content == png(colour=91)


def test_refused_uploads(talk: Talk) -> None:
    assert upload(talk, png(), subfolder="../..") == 400
    assert talk.post("/upload/image", files={"other": ("a.png", png())}).status_code == 400


def test_an_uploaded_image_is_used_and_told_apart_by_content(talk: Talk) -> None:
    upload(talk, png(70, 66))
    graph = talk.graph(denoise=0.5)
    graph["10"] = {"class_type": "LoadImage", "inputs": {"image": f"{talk.folder}/ref.png"}}
    graph["5"] = {"class_type": "VAEEncode", "inputs": {"pixels": ["10", 0], "vae": ["4", 2]}}
    first = talk.picture(talk.data(graph))
    assert first.size == (64, 64)
    upload(talk, png(70, 66, colour=250), overwrite="true")
    again = talk.run(graph)
    assert "10" not in talk.cached(again)
    assert talk.picture(talk.view(talk.images(again)[0]).content).tobytes() != first.tobytes()


def test_an_input_image_that_is_not_there_is_refused(talk: Talk) -> None:
    graph = talk.graph()
    graph["10"] = {"class_type": "LoadImage", "inputs": {"image": "nope.png"}}
    graph["9"]["inputs"]["images"] = ["10", 0]
    message = talk.post("/prompt", {"prompt": graph}).json()
    (error,) = message["node_errors"]["10"]["errors"]
    assert error["type"] == "custom_validation_failed"
    assert error["details"] == "image - Invalid image file: nope.png"


def test_a_sampler_of_separate_nodes(talk: Talk) -> None:
    graph = talk.graph()
    graph["3"] = {
        "class_type": "SamplerCustomAdvanced",
        "inputs": {
            "noise": ["20", 0],
            "guider": ["21", 0],
            "sampler": ["22", 0],
            "sigmas": ["23", 0],
            "latent_image": ["5", 0],
        },
    }
    graph["20"] = {"class_type": "RandomNoise", "inputs": {"noise_seed": 7}}
    graph["21"] = {
        "class_type": "CFGGuider",
        "inputs": {"model": ["4", 0], "positive": ["24", 0], "negative": ["25", 0], "cfg": 5},
    }
    graph["22"] = {"class_type": "KSamplerSelect", "inputs": {"sampler_name": "euler"}}
    graph["23"] = {
        "class_type": "BasicScheduler",
        "inputs": {"model": ["4", 0], "scheduler": "simple", "steps": 2, "denoise": 1},
    }
    graph["24"] = {"class_type": "FluxGuidance", "inputs": {"conditioning": ["6", 0], "guidance": 3.5}}
    graph["25"] = {"class_type": "ConditioningZeroOut", "inputs": {"conditioning": ["6", 0]}}
    assert talk.picture(talk.data(graph)).size == (64, 64)
    graph["22"]["inputs"]["sampler_name"] = "eular"
    message = talk.post("/prompt", {"prompt": graph}).json()
    (error,) = message["node_errors"]["22"]["errors"]
    assert (error["type"], error["extra_info"]["input_config"]) == ("value_not_in_list", None)


def test_loras_and_a_vae_of_ones_own(talk: Talk) -> None:
    loras, vaes = (talk.get(f"/models/{kind}").json() for kind in ("loras", "vae"))
    if not (loras and vaes):
        pytest.skip("the server has none")
    plain = talk.graph()
    graph = json.loads(json.dumps(plain))
    strengths = {"strength_model": 0.8, "strength_clip": 0.8}
    graph["11"] = {
        "class_type": "LoraLoader",
        "inputs": {"model": ["4", 0], "clip": ["4", 1], "lora_name": loras[0], **strengths},
    }
    graph["12"] = {"class_type": "VAELoader", "inputs": {"vae_name": vaes[0]}}
    graph["3"]["inputs"]["model"], graph["6"]["inputs"]["clip"] = ["11", 0], ["11", 1]
    graph["8"]["inputs"]["vae"] = ["12", 0]
    assert talk.picture(talk.data(graph)).tobytes() != talk.picture(talk.data(plain)).tobytes()


def test_the_events_of_a_prompt(talk: Talk) -> None:
    with talk.socket() as socket:
        id_ = talk.submit(talk.graph(steps=3))
        events = list(talk.events(socket, id_))
    assert events[0][0] == "status"
    assert events[0][1]["sid"] == talk.client_id
    assert "exec_info" in events[0][1]["status"]
    ours = [(type_, data) for type_, data in events if data.get("prompt_id") == id_]
    order = [type_ for type_, _ in ours if type_ != "progress_state"]
    assert order[:3] == ["execution_start", "execution_cached", "executing"]
    assert order[-3:] == ["executed", "execution_success", "executing"]
    assert events[-2][0] == "status"
    progress = [data for type_, data in ours if type_ == "progress"]
    assert progress[-1] == {"value": 3, "max": 3, "prompt_id": id_, "node": "3"}
    assert [data["node"] for type_, data in ours if type_ == "executing"][-2:] == ["9", None]
    ((_, executed),) = [(type_, data) for type_, data in ours if type_ == "executed"]
    assert executed["node"] == "9"
    assert executed["output"] == talk.entry(id_)["outputs"]["9"]
    states = [data["nodes"] for type_, data in ours if type_ == "progress_state"]
    assert {"value", "max", "state", "node_id", "prompt_id"} <= set(states[-1]["3"])
    assert states[-1]["3"]["state"] == "finished"
    assert {state["3"]["value"] for state in states if "3" in state} >= {0, 1, 3}


def test_history_has_the_job_when_the_socket_says_executing_null(talk: Talk) -> None:
    early = 0
    with talk.socket() as socket:
        for _ in range(8):
            id_ = talk.submit(talk.graph())
            for type_, _data in talk.events(socket, id_):
                if type_ == "execution_success":
                    early += talk.get(f"/history/{id_}").json() == {}
            assert id_ in talk.get(f"/history/{id_}").json()
    assert early > 0, "execution_success comes too early"


def test_the_events_of_a_failure_and_of_an_interruption(talk: Talk) -> None:
    graph = talk.graph()
    graph["9"]["inputs"]["filename_prefix"] = "../x"
    with talk.socket() as socket:
        id_ = talk.submit(graph)
        events = [type_ for type_, data in talk.events(socket, id_) if data.get("prompt_id") == id_]
        assert events[-2:] == ["execution_error", "executing"]
        assert "execution_success" not in events
        with talk.occupied() as running:
            talk.post("/interrupt", {"prompt_id": running})
            events = [type_ for type_, data in talk.events(socket, running) if data.get("prompt_id") == running]
        assert events[-2:] == ["execution_interrupted", "executing"]


def test_events_go_to_the_client_that_submitted(talk: Talk) -> None:
    with talk.socket() as ours, talk.socket(uuid.uuid4().hex) as other:
        id_ = talk.submit(talk.graph())
        list(talk.events(ours, id_))
        assert set(talk.overheard(other)) == {"status"}


def test_a_client_id_used_twice_falls_silent_with_the_older_socket(talk: Talk) -> None:
    with talk.socket() as older, talk.socket() as newer:
        older.close()
        time.sleep(1)
        talk.run(talk.graph())
        assert talk.overheard(newer) == ["status"], "its greeting, and no more"


def test_a_ping_is_answered(talk: Talk) -> None:
    with talk.socket() as socket:
        socket.recv()
        socket.ping("still there?")
        opcode, frame = socket.recv_data_frame(control_frame=True)
        assert (opcode, frame.data) == (10, b"still there?")


def test_a_request_for_ws_that_is_no_handshake(talk: Talk) -> None:
    assert talk.get("/ws").status_code == 400


def test_the_lists_of_models(talk: Talk) -> None:
    for folder in ("checkpoints", "loras", "vae", "diffusion_models", "text_encoders"):
        answer = talk.get(f"/models/{folder}")
        assert answer.status_code == 200
        assert all(isinstance(name, str) for name in answer.json())
    assert talk.get("/models/nope").status_code == 404
    info = talk.get("/object_info/CheckpointLoaderSimple").json()
    required = info["CheckpointLoaderSimple"]["input"]["required"]
    assert required["ckpt_name"][0] == talk.get("/models/checkpoints").json()


def test_what_is_known_of_a_class(talk: Talk) -> None:
    assert talk.get("/object_info/Nope").json() == {}
    info = talk.get("/object_info/KSamplerSelect").json()["KSamplerSelect"]
    type_, more = info["input"]["required"]["sampler_name"]
    assert (type_, "euler" in more["options"]) == ("COMBO", True)
    everything = talk.get("/object_info").json()
    assert everything["KSamplerSelect"] == info
    assert everything["SaveImage"]["output_node"] is True


def test_the_system_says_what_it_is(talk: Talk) -> None:
    found = talk.get("/system_stats").json()
    assert {"os", "ram_total", "ram_free", "comfyui_version", "python_version", "pytorch_version", "argv"} <= set(
        found["system"]
    )
    assert {"name", "type", "index", "vram_total", "vram_free"} <= set(found["devices"][0])


def test_every_route_is_also_under_api(talk: Talk) -> None:
    for path in ("/system_stats", "/queue", "/prompt", "/history/x", "/object_info/KSampler", "/models/checkpoints"):
        assert talk.get("/api" + path).status_code == 200
    answer = talk.post("/api/prompt", {"prompt": talk.graph(), "client_id": talk.client_id})
    image = talk.images(talk.entry(answer.json()["prompt_id"]))[0]
    assert talk.get("/api/view", params=image).status_code == 200


def test_a_page_of_another_site_is_refused(talk: Talk) -> None:
    assert talk.get("/queue", headers={"Origin": "http://evil.example"}).status_code == 403
    assert talk.get("/queue", headers={"Origin": talk.url}).status_code == 200


def test_what_is_no_route(talk: Talk) -> None:
    assert talk.get("/nope").status_code == 404
    assert talk.get("/interrupt").status_code == 404


@IS_REAL
def test_the_node_classes_are_those_of_the_real_server() -> None:
    def shape(spec: Any) -> Any:
        """An input's type and limits; of choices, that there are some."""
        if isinstance(spec, str):
            return spec
        more = spec[1] if len(spec) > 1 else {}
        limits = {name: value for name, value in more.items() if name not in ("tooltip", "options")}
        return ["choices" if isinstance(spec[0], list) else spec[0], limits]

    real = Talk(REAL).get("/object_info").json()
    with FakeComfyUI() as server:
        ours = Talk(server.url).get("/object_info").json()
    for name, node in ours.items():
        for key in ("output", "output_name", "output_is_list", "input_order", "output_node", "display_name", "name"):
            assert node[key] == real[name][key], f"{name}.{key}"
        for group, inputs in real[name]["input"].items():
            for each, spec in inputs.items():
                assert shape(node["input"][group][each]) == shape(spec), f"{name}.{each}"
