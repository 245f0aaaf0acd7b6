"""What only the fake server does: it misbehaves where it is told to, restarts, plays older versions, and leaves nothing."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.backends.comfyui.fake_server import FakeComfyUI, Fault
from tests.backends.comfyui.fake_server.talk import Graph, Talk

pytestmark = pytest.mark.long  # what only tests a fake server, CI need not run each time


@pytest.fixture
def server() -> Iterator[FakeComfyUI]:
    with FakeComfyUI(seconds=0.02) as server:
        yield server


@pytest.fixture
def talk(server: FakeComfyUI) -> Talk:
    return Talk(server.url)


def last(entry: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    name, data = entry["status"]["messages"][-1]
    return name, data


def test_an_error_is_the_one_that_was_asked_for(server: FakeComfyUI, talk: Talk) -> None:
    server.faults += [
        Fault("error", message="no such layer", exception_type="KeyError", node="8"),
        Fault("error", node="CheckpointLoaderSimple"),
        Fault("error"),
    ]
    name, data = last(talk.run(talk.graph()))
    assert (name, data["node_id"], data["node_type"]) == ("execution_error", "8", "VAEDecode")
    assert (data["exception_message"], data["exception_type"]) == ("no such layer\n", "KeyError")
    assert {"3", "4", "5", "6", "7"} == set(data["executed"])
    assert last(talk.run(talk.graph()))[1]["node_id"] == "4"
    assert last(talk.run(talk.graph()))[1]["node_type"] == "KSampler"
    assert last(talk.run(talk.graph()))[0] == "execution_success"


def test_out_of_memory_is_said_as_comfyui_says_it(server: FakeComfyUI, talk: Talk) -> None:
    server.faults.append(Fault("out of memory"))
    name, data = last(talk.run(talk.graph()))
    assert name == "execution_error"
    assert "This error means you ran out of memory on your GPU." in data["exception_message"]
    assert data["exception_type"] == "torch.OutOfMemoryError"


def test_an_interruption_from_outside(server: FakeComfyUI, talk: Talk) -> None:
    server.faults.append(Fault("interrupted"))
    assert last(talk.run(talk.graph()))[0] == "execution_interrupted"


def test_one_that_hangs_runs_until_it_is_interrupted(server: FakeComfyUI, talk: Talk) -> None:
    server.faults.append(Fault("hangs"))
    id_ = talk.submit(talk.graph())
    time.sleep(0.3)
    assert talk.queue() == ([id_], [])
    talk.post("/interrupt")
    assert last(talk.entry(id_))[0] == "execution_interrupted"


def test_wrong_pictures(server: FakeComfyUI, talk: Talk) -> None:
    server.faults += [Fault("wrong size"), Fault("black"), Fault("truncated"), Fault("html"), Fault("missing file")]
    answers = []
    for _ in range(5):
        entry = talk.run(talk.graph())
        assert last(entry)[0] == "execution_success"
        answers.append(talk.view(talk.images(entry)[0]))
    small, black, cut, page, missing = answers
    assert talk.picture(small.content).size == (32, 32)
    assert talk.picture(black.content).getcolors() == [(64 * 64, (0, 0, 0))]
    assert cut.headers["Content-Type"] == "image/png"
    with pytest.raises(OSError):  # noqa: PT011 - Pillow's words differ
        talk.picture(cut.content)
    assert (page.status_code, page.headers["Content-Type"]) == (200, "text/html")
    assert missing.status_code == 404


def test_a_success_without_outputs(server: FakeComfyUI, talk: Talk) -> None:
    server.faults.append(Fault("no outputs"))
    entry = talk.run(talk.graph())
    assert (last(entry)[0], entry["outputs"], entry["status"]["completed"]) == ("execution_success", {}, True)


def test_a_lost_job_is_in_neither_queue_nor_history(server: FakeComfyUI, talk: Talk) -> None:
    server.faults.append(Fault("lost"))
    id_ = talk.submit(talk.graph())
    talk.until(lambda: not talk.is_left(id_))
    assert talk.get(f"/history/{id_}").json() == {}
    assert talk.get(f"/api/jobs/{id_}").status_code == 404
    assert server.executions == []


def test_node_errors_in_a_200(server: FakeComfyUI, talk: Talk) -> None:
    server.faults.append(Fault("node errors"))
    answer = talk.post("/prompt", {"prompt": talk.graph(), "client_id": talk.client_id})
    assert answer.status_code == 200
    assert set(answer.json()["node_errors"]) == {"9"}
    entry = talk.entry(answer.json()["prompt_id"])
    assert (last(entry)[0], entry["outputs"]) == ("execution_success", {})


def test_a_post_that_is_queued_though_its_answer_is_not_one(server: FakeComfyUI, talk: Talk) -> None:
    server.faults += [Fault("post 500"), Fault("post reset")]
    ids = [str(uuid.uuid4()), str(uuid.uuid4())]
    assert talk.post("/prompt", {"prompt": talk.graph(), "prompt_id": ids[0]}).status_code == 500
    with pytest.raises(requests.ConnectionError):
        talk.post("/prompt", {"prompt": talk.graph(), "prompt_id": ids[1]})
    for id_ in ids:
        assert last(talk.entry(id_))[0] == "execution_success"
    assert server.executions == ids


def test_gets_that_fail_for_a_while(server: FakeComfyUI, talk: Talk) -> None:
    server.faults += [Fault("dropped", word="/history", times=2), Fault("502", seconds=0.3)]
    for _ in range(2):
        with pytest.raises(requests.ConnectionError):
            talk.get("/history/x")
    assert talk.get("/queue").status_code == 502
    assert "502" in talk.get("/history/x").text
    assert talk.post("/queue", {}).status_code == 200
    time.sleep(0.35)
    assert talk.get("/queue").status_code == 200


def test_websockets_that_are_refused_silent_or_hung_up(server: FakeComfyUI, talk: Talk) -> None:
    websocket = pytest.importorskip("websocket")
    server.faults += [Fault("socket refused"), Fault("socket silent"), Fault("socket closes")]
    with pytest.raises(websocket.WebSocketBadStatusException), talk.socket():
        pass
    with talk.socket() as silent:
        talk.run(talk.graph())
        assert talk.overheard(silent) == []
    second, third = Talk(talk.url), Talk(talk.url)  # under one client_id, the socket that goes would silence the next
    with second.socket() as closing:
        id_ = second.submit(second.graph())
        heard = []
        with pytest.raises((websocket.WebSocketConnectionClosedException, ConnectionError)):
            heard += list(second.events(closing, id_))
    assert last(second.entry(id_))[0] == "execution_success"
    with third.socket() as fine:
        assert list(third.events(fine, third.submit(third.graph())))


def test_a_fault_strikes_by_word_and_by_order(server: FakeComfyUI, talk: Talk) -> None:
    server.faults += [Fault("interrupted", word="a bird", times=None), Fault("error", skip=1)]
    bird, fine, failing, fine_again = talk.graph(), talk.graph(), talk.graph(), talk.graph()
    bird["6"]["inputs"]["text"] = "a bird on a stone"
    ends = [last(talk.run(graph))[0] for graph in (bird, fine, failing, fine_again, {**bird, "5": fine["5"]})]
    assert ends == [
        *("execution_interrupted", "execution_success", "execution_error", "execution_success"),
        "execution_interrupted",
    ]


def test_history_comes_when_it_is_told_to_after_the_success(server: FakeComfyUI, talk: Talk) -> None:
    server.history_delay = 0.5
    with talk.socket() as socket:
        id_ = talk.submit(talk.graph())
        success = next(data for type_, data in talk.events(socket, id_) if type_ == "execution_success")
        assert talk.get(f"/history/{id_}").json() == {}
        assert talk.queue() == ([id_], []), "it is not lost meanwhile"
        talk.entry(id_)
    assert time.time() - success["timestamp"] / 1000 >= 0.5


def test_one_prompt_is_executed_at_a_time_and_takes_its_seconds(server: FakeComfyUI, talk: Talk) -> None:
    server.seconds, server.steps = 0.2, 7
    begin = time.monotonic()
    with talk.socket() as socket:
        ids = [talk.submit(talk.graph()) for _ in range(3)]
        reported = [data for type_, data in talk.events(socket, ids[-1]) if type_ == "progress"]
    assert 0.6 <= time.monotonic() - begin < 3
    assert server.executions == ids
    assert [data["value"] for data in reported] == list(range(1, 8)) * 3
    assert {data["max"] for data in reported} == {7}


def test_a_cached_success_whose_file_was_deleted_cannot_be_viewed(server: FakeComfyUI, talk: Talk) -> None:
    graph = talk.graph()
    first = talk.images(talk.run(graph))
    (server.output / first[0]["subfolder"] / first[0]["filename"]).unlink()
    entry = talk.run(graph)
    assert (last(entry)[0], talk.images(entry)) == ("execution_success", first)
    assert talk.view(first[0]).status_code == 404


def test_after_deletions_a_name_is_given_out_again(server: FakeComfyUI, talk: Talk) -> None:
    first = talk.images(talk.run(talk.graph()))[0]
    (server.output / first["subfolder"] / first["filename"]).unlink()
    assert talk.images(talk.run(talk.graph()))[0] == first


def test_a_replaced_checkpoint_is_noticed_only_once_freed(server: FakeComfyUI, talk: Talk) -> None:
    graph = talk.graph()
    first = talk.picture(talk.data(graph)).tobytes()
    server.checkpoints[talk.checkpoint] = "retrained"
    graph["9"]["inputs"]["filename_prefix"] = "again"
    assert talk.picture(talk.data(graph)).tobytes() == first
    talk.post("/free", {"unload_models": True, "free_memory": True})
    time.sleep(0.1)
    graph["9"]["inputs"]["filename_prefix"] = "freed"
    assert talk.picture(talk.data(graph)).tobytes() != first


def test_new_files_are_listed_at_once(server: FakeComfyUI, talk: Talk) -> None:
    server.checkpoints["sub/other.safetensors"] = ""
    server.loras.append("thin.safetensors")
    assert talk.get("/models/checkpoints").json() == ["fake.safetensors", "sub/other.safetensors"]
    assert talk.get("/models/loras").json() == ["thin.safetensors"]


def test_clearing_and_interrupting_hit_everybody(server: FakeComfyUI, talk: Talk) -> None:
    server.faults.append(Fault("hangs"))
    others = Talk(server.url)
    running, waiting = others.submit(others.graph()), others.submit(others.graph())
    talk.post("/queue", {"clear": True})
    talk.post("/interrupt", {})
    assert last(others.entry(running))[0] == "execution_interrupted"
    assert talk.get(f"/history/{waiting}").json() == {}
    talk.post("/history", {"clear": True})
    assert talk.get("/history").json() == {}


def test_a_restart_loses_queue_and_history_and_keeps_files_and_port(server: FakeComfyUI, talk: Talk) -> None:
    image = talk.images(talk.run(talk.graph()))[0]
    server.faults.append(Fault("hangs"))
    ids = [talk.submit(talk.graph()) for _ in range(2)]
    url = server.url
    with talk.socket() as socket:
        server.restart()
        websocket = pytest.importorskip("websocket")
        with pytest.raises((websocket.WebSocketException, ConnectionError)):
            list(talk.events(socket, ids[0]))
    assert server.url == url
    assert talk.queue() == ([], [])
    assert talk.get("/history").json() == {}
    assert talk.view(image).status_code == 200
    assert last(talk.run(talk.graph()))[0] == "execution_success"


def test_while_it_is_away_nothing_listens(server: FakeComfyUI, talk: Talk) -> None:
    restart = threading.Thread(target=server.restart, args=(0.5,))
    restart.start()
    time.sleep(0.2)
    with pytest.raises(requests.ConnectionError):
        talk.get("/queue")
    restart.join()
    assert talk.get("/queue").status_code == 200


def test_it_leaves_no_thread_no_file_and_no_port_behind() -> None:
    before = set(threading.enumerate())
    with FakeComfyUI() as server:
        talk = Talk(server.url)
        server.faults.append(Fault("hangs"))
        with talk.socket(), requests.Session() as session:
            session.get(server.url + "/queue")
            talk.submit(talk.graph())
            begin = time.monotonic()
            server.stop()
            assert time.monotonic() - begin < 2
    assert set(threading.enumerate()) == before
    assert not server.folder.exists()
    with socket.socket() as free:
        free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        free.bind(("127.0.0.1", server.port))


def test_it_writes_down_what_it_was_asked(server: FakeComfyUI, talk: Talk) -> None:
    server.log.clear()
    talk.get("/queue?a=b")
    talk.post("/queue", {"delete": ["x"]})
    talk.post("/interrupt")
    talk.post("/prompt", data=b"{no json")
    assert server.log == [
        ("GET", "/queue?a=b", None),
        ("POST", "/queue", {"delete": ["x"]}),
        ("POST", "/interrupt", None),
        ("POST", "/prompt", b"{no json"),
    ]


def test_without_the_right_authorization_there_is_nothing(server: FakeComfyUI) -> None:
    websocket = pytest.importorskip("websocket")
    server.auth = "Bearer secret"
    talk = Talk(server.url, headers={"Authorization": "Bearer secret"})
    assert last(talk.run(talk.graph()))[0] == "execution_success"
    for path in ("/queue", "/ws", "/view?filename=x"):
        assert requests.get(server.url + path, timeout=30).status_code == 401
    answer = requests.post(server.url + "/prompt", json={}, headers={"Authorization": "Bearer other"}, timeout=30)
    assert answer.status_code == 401
    with pytest.raises(websocket.WebSocketBadStatusException), talk.socket():
        pass
    with talk.socket(header=["Authorization: Bearer secret"]) as socket:
        assert list(talk.events(socket, talk.submit(talk.graph())))


@pytest.mark.skipif(not shutil.which("openssl"), reason="makes the certificate with openssl")
def test_it_speaks_tls(tmp_path: Path) -> None:
    key, certificate, both = tmp_path / "key.pem", tmp_path / "certificate.pem", tmp_path / "both.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    names = ["-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*command, *names, *files], check=True, capture_output=True)
    both.write_text(certificate.read_text() + key.read_text())
    with FakeComfyUI(certfile=both) as server:
        assert server.url.startswith("https://")
        with pytest.raises(requests.exceptions.SSLError):
            requests.get(server.url + "/queue", timeout=30)
        talk = Talk(server.url, verify=str(certificate))
        options = {"ca_certs": str(certificate), "cert_reqs": ssl.CERT_REQUIRED}
        with talk.socket(sslopt=options) as socket:
            assert list(talk.events(socket, talk.submit(talk.graph())))


def test_older_versions_behave_as_they_did(server: FakeComfyUI, talk: Talk) -> None:
    def unknown() -> Any:
        graph: Graph = talk.graph()
        graph["3"]["class_type"] = "NoSuchNode"
        return talk.post("/prompt", {"prompt": graph}).json()["error"]["type"]

    id_ = talk.submit(talk.graph())
    talk.entry(id_)
    server.version = "0.27.0"
    assert unknown() == "missing_node_type"
    assert talk.post(f"/api/jobs/{id_}/cancel").status_code == 405
    graph = talk.graph()
    talk.run(graph)
    answer = talk.post("/prompt", {"prompt": graph}).json()
    assert talk.entry(answer["prompt_id"])["outputs"] == {}, "cached, and no client_id"
    server.version = "0.3.64"
    assert unknown() == "invalid_prompt"
    assert talk.get(f"/api/jobs/{id_}").status_code == 404
    assert talk.submit(talk.graph(), prompt_id="FOX") == "FOX"
    assert talk.get("/system_stats").json()["system"]["comfyui_version"] == "0.3.64"
