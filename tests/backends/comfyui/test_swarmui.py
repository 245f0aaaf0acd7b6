"""ComfyUI behind SwarmUI: an address with a path, and SwarmUI's own answers."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from imagegen.backends.base import Cancelled, GenerationError, MayBeRunningError
from imagegen.backends.comfyui.backend import ComfyUIBackend
from imagegen.backends.comfyui.client import Client
from imagegen.backends.comfyui.connection import Connection
from imagegen.backends.comfyui.server import launch_of
from imagegen.backends.comfyui.swarmui import START, explain_answer
from imagegen.backends.json_api import Refused
from imagegen.config.settings import read_settings
from imagegen.errors import Problem
from imagegen.execute.worker import ImageProgress
from tests.backends.comfyui.fake_program import ComfyFolder, free_port
from tests.backends.comfyui.fake_server import FakeComfyUI, Fault
from tests.backends.comfyui.fake_swarmui import FakeSwarmUI
from tests.backends.comfyui.sections import Sections
from tests.endtoend.comfyui import Server

KEY = "Bearer of SwarmUI"
GRAPH = Server("", "fake.safetensors", set).workflow()


@pytest.fixture
def comfy() -> Iterator[FakeComfyUI]:
    with FakeComfyUI(seconds=0.2) as server:
        yield server


@pytest.fixture
def swarm(comfy: FakeComfyUI) -> Iterator[FakeSwarmUI]:
    with FakeSwarmUI(comfy) as server:
        yield server


@contextmanager
def connected(swarm: FakeSwarmUI, auth: str = "") -> Iterator[Connection]:
    pytest.importorskip("websocket")
    connection = Connection(Client(swarm.comfyui, auth), auth)
    connection.open_events()
    until(lambda: swarm.clients)
    try:
        yield connection
    finally:
        connection.close()


def until(holds: Callable[[], object]) -> None:
    end = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


def run(connection: Connection, events: list[tuple[str, dict[str, Any]]], stop: threading.Event | None = None) -> str:
    """Run one prompt to its end; return its ID."""
    progress = ImageProgress(60, stop or threading.Event(), on_event=lambda *event: events.append(event))
    prompt_id = str(uuid.uuid4())
    connection.run(prompt_id, GRAPH, progress)
    return prompt_id


def preflight(sections: Sections, url: str, **section: Any) -> list[Problem]:
    sections.environment = {"COMFYUI_URL": url}
    return list(ComfyUIBackend().preflight([sections.request(section={"checkpoint": "fake.safetensors", **section})]))


def test_steps_come_through_the_websocket_under_the_path_with_the_key(swarm: FakeSwarmUI) -> None:
    swarm.key = KEY
    events: list[tuple[str, dict[str, Any]]] = []
    with connected(swarm, KEY) as connection:
        run(connection, events)
    steps = [(facts["done"], facts["total"]) for name, facts in events if name == "steps"]
    assert steps == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert any(path.startswith("/ComfyBackendDirect/ws?clientId=") for path in swarm.log)


def test_a_prompt_that_runs_and_one_that_waits_are_taken_off_the_server(swarm: FakeSwarmUI, comfy: FakeComfyUI) -> None:
    comfy.faults.append(Fault("hangs"))
    stop = threading.Event()

    def stopped() -> None:
        with pytest.raises(Cancelled):
            run(connection, [], stop)

    with connected(swarm) as connection:
        threads = [threading.Thread(target=stopped) for _ in range(2)]
        for thread in threads:
            thread.start()
        until(lambda: len(Client(swarm.comfyui).queue()) == 2)
        stop.set()
        for thread in threads:
            thread.join()
    until(lambda: Client(swarm.comfyui).queue() == {})
    assert len(comfy.executions) == 1


def test_swarmui_that_restarts_its_comfyui_is_waited_for(swarm: FakeSwarmUI, comfy: FakeComfyUI) -> None:
    def restart() -> None:
        swarm.backends = []
        comfy.restart()
        threading.Timer(1, lambda: swarm.backends.append(comfy)).start()

    events: list[tuple[str, dict[str, Any]]] = []
    comfy.seconds = 1
    with connected(swarm) as connection:
        timer = threading.Timer(0.5, restart)
        timer.start()
        prompt_id = run(connection, events)
        timer.join()
    assert comfy.executions == [prompt_id] * 2
    assert ("waiting", {"text": "the server does not answer"}) in events


def test_swarmui_whose_comfyui_stays_away_is_given_up_once_for_all_images(
    swarm: FakeSwarmUI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imagegen.backends.comfyui.connection.PATIENCE_S", 0.2)
    with connected(swarm) as connection:
        swarm.backends = []
        for _ in range(2):
            with pytest.raises(MayBeRunningError, match="SwarmUI has no ComfyUI backend that runs"):
                run(connection, [])
            assert connection.is_gone


def test_of_two_backends_the_one_that_is_asked_gets_the_prompts_from_the_first_lost_one_on(
    swarm: FakeSwarmUI, comfy: FakeComfyUI
) -> None:
    """SwarmUI sends a prompt where the websocket leads, and all else to its first backend, which may start later."""
    with FakeComfyUI() as first, connected(swarm) as connection:
        swarm.backends.insert(0, first)
        events: list[tuple[str, dict[str, Any]]] = []
        lost = run(connection, events)
        assert [name for name, _ in events].count("note") == 1
        then = [run(connection, events) for _ in range(2)]
        assert first.executions == [lost, *then]
        assert comfy.executions == [lost]
        assert [name for name, _ in events].count("note") == 1


def test_why_swarmui_takes_no_prompt_is_in_the_error(swarm: FakeSwarmUI) -> None:
    swarm.refusal = "No functional comfy backend available to run this request."
    with connected(swarm) as connection, pytest.raises(GenerationError) as error:
        run(connection, [])
    assert error.value.problem.what == f"queue: the prompt was refused: [SwarmUI] {swarm.refusal}"


@pytest.mark.parametrize("path", ["", "/Text2Image", "/comfybackenddirect"])
def test_swarmuis_own_address_is_refused_with_the_one_to_write(
    sections: Sections, swarm: FakeSwarmUI, path: str
) -> None:
    (problem,) = preflight(sections, swarm.url + path)
    assert problem.what == f"{swarm.url}{path} is not the address of a ComfyUI, but of SwarmUI"
    assert problem.hint.startswith(f"make it {swarm.comfyui} (COMFYUI_URL, or ")


def test_what_swarmui_answers_in_place_of_comfyui_says_what_to_do(sections: Sections, swarm: FakeSwarmUI) -> None:
    swarm.has_permission = False
    (problem,) = preflight(sections, swarm.comfyui)
    assert problem.what == f"SwarmUI at {swarm.comfyui} asks for a login, or does not let its user use ComfyUI"
    assert "AllowLocalhostBypass" in problem.hint
    elsewhere = explain_answer("http://gpu:7801/ComfyBackendDirect", 401, "", b"<span>Permission denied.</span>")
    assert isinstance(elsewhere, Refused)
    assert "ssh -N -L 7801:127.0.0.1:7801 gpu, and http://127.0.0.1:7801/ComfyBackendDirect" in elsewhere.hint
    swarm.has_permission, swarm.backends = True, []
    (problem,) = preflight(sections, swarm.comfyui)
    assert problem.what == (
        f"no ComfyUI answers at {swarm.comfyui} (SwarmUI has no ComfyUI backend that runs; it may be loading)"
    )
    assert problem.hint == START
    with FakeComfyUI() as gone:
        pass
    swarm.backends = [gone]
    (problem,) = preflight(sections, swarm.comfyui)
    assert "(SwarmUI cannot reach its ComfyUI; its log says why)" in problem.what
    swarm.key = KEY
    (problem,) = preflight(sections, swarm.comfyui)
    assert "COMFYUI_AUTH is not set" in problem.what


@pytest.mark.parametrize("start", ["auto", "never"])
def test_no_server_is_started_for_an_address_with_a_path(sections: Sections, start: str) -> None:
    folder = ComfyFolder(sections.root)
    url = f"http://127.0.0.1:{free_port()}/ComfyBackendDirect"
    (problem,) = preflight(sections, f"{url}/", server={"start": start})
    assert problem.what == f"no ComfyUI answers at {url} (Connection refused)"
    assert problem.hint == START
    settings = read_settings(sections.root, {}, {"COMFYUI_URL": f"{url}, {folder.url}"})
    assert launch_of(sections.root, settings).url == folder.url, "this one can be started"
    assert folder.starts == []
