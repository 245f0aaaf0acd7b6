"""The websocket's events: steps, the end of a prompt, and nothing lost where there is no socket."""

from __future__ import annotations

import base64
import hashlib
import re
import socket
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
import trustme

from imagegen.backends.comfyui.client import Client
from imagegen.backends.comfyui.connection import Connection
from imagegen.backends.comfyui.events import Events
from imagegen.backends.comfyui.text_to_image import text_to_image
from imagegen.execute.worker import ImageProgress
from tests.backends.comfyui.fake_server import FakeComfyUI, Fault

AUTH = "Bearer hush"


def a_graph() -> dict[str, dict[str, Any]]:
    """Text to image in four steps."""
    graph: dict[str, dict[str, Any]] = {node: dict(body) for node, body in text_to_image({}, "").graph.items()}
    given: dict[str, dict[str, Any]] = {
        "checkpoint": {"ckpt_name": "fake.safetensors"},
        "latent": {"width": 64, "height": 64},
        "sampler": {"steps": 4, "cfg": 5.0, "sampler_name": "euler", "scheduler": "normal"},
        "save": {"filename_prefix": "x"},
    }
    for node, values in given.items():
        graph[node]["inputs"] = {**graph[node]["inputs"], **values}
    return graph


def watched(
    server: FakeComfyUI,
    auth: str = "",
    verify: str | bool = True,
    nodes: list[str] | None = None,
    before: Callable[[], None] = lambda: None,
) -> tuple[list[tuple[int, int]], bool]:
    """The steps that one prompt told, and whether its end was told. nodes: gets the nodes that began.

    before: called once there is a connection, before the prompt is queued.
    """
    events = Events(server.url, auth)
    steps: list[tuple[int, int]] = []
    prompt_id = str(uuid.uuid4())
    begun = nodes if nodes is not None else []
    done = events.watch(prompt_id, lambda *now: steps.append(now), begun.append)
    time.sleep(0.5)  # it connects in a thread of its own, and a prompt queued before that tells it less
    before()
    answer = requests.post(
        f"{server.url}/prompt",
        json={"prompt": a_graph(), "prompt_id": prompt_id, "client_id": events.client_id},
        headers={"Authorization": auth} if auth else {},
        timeout=10,
        verify=verify,
    )
    assert answer.status_code == 200, answer.text
    is_done = done.wait(3)
    events.close()
    return steps, is_done


def test_the_nodes_the_steps_and_the_end_of_a_prompt_are_told() -> None:
    with FakeComfyUI(seconds=0.2) as server:
        nodes: list[str] = []
        assert watched(server, nodes=nodes) == ([(1, 4), (2, 4), (3, 4), (4, 4)], True)
        assert nodes[0] == "checkpoint"
        assert {"sampler", "save"} <= set(nodes)


def test_authorization_and_a_ca_of_ones_own_hold_for_the_socket_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority, certificate = tmp_path / "ca.pem", tmp_path / "server.pem"
    ours = trustme.CA()
    ours.cert_pem.write_to_path(authority)
    ours.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(certificate)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority))
    with FakeComfyUI(certfile=certificate, auth=AUTH, seconds=0.2) as server:
        steps, is_done = watched(server, AUTH, str(authority))
    assert (len(steps), is_done) == (4, True)


@pytest.mark.parametrize("kind", ["socket refused", "socket silent"])
def test_a_socket_that_tells_nothing_says_nothing(kind: str) -> None:
    with FakeComfyUI(seconds=0.1) as server:
        server.faults.append(Fault(kind, times=None))  # type: ignore[arg-type]  # one of its kinds
        assert watched(server) == ([], False)


def test_a_server_that_restarts_is_connected_to_again() -> None:
    with FakeComfyUI(seconds=0.2) as server:

        def restart() -> None:
            server.restart(away=0.2)
            time.sleep(1.5)

        assert watched(server, before=restart) == ([(1, 4), (2, 4), (3, 4), (4, 4)], True)


def test_the_steps_of_a_prompt_that_is_queued_once_more_go_away() -> None:
    told: list[tuple[int, int]] = []

    def tell(name: str, facts: dict[str, Any]) -> None:
        if name == "steps":
            told.append((facts["done"], facts["total"]))

    with FakeComfyUI(seconds=0.2) as server:
        server.faults.append(Fault("lost"))
        connection = Connection(Client(server.url), "")
        connection.listen()
        time.sleep(0.5)
        try:
            connection.run(str(uuid.uuid4()), a_graph(), ImageProgress(60, threading.Event(), tell=tell))
        finally:
            connection.close()
    assert told == [(0, 0), (1, 4), (2, 4), (3, 4), (4, 4)]


@pytest.mark.parametrize("waited_s", [0.0, 1.3])
def test_nobody_there_ends_the_thread(waited_s: float) -> None:
    events = Events("http://127.0.0.1:9", "")
    time.sleep(waited_s)  # it pauses before it tries again
    events.close()
    until = time.monotonic() + 1.5
    while any(thread.name == "comfyui events" for thread in threading.enumerate()):
        assert time.monotonic() < until
        time.sleep(0.02)


def test_a_socket_that_stands_only_after_the_run_is_over_is_closed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        events = Events(f"http://127.0.0.1:{server.getsockname()[1]}", "")
        connection, _ = server.accept()
        with connection:
            connection.settimeout(10)
            key = re.search(rb"Sec-WebSocket-Key: (\S+)", connection.recv(65536))
            assert key
            events.close()
            # RFC 6455, section 1.3
            accepted = base64.b64encode(hashlib.sha1(key[1] + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())  # noqa: S324
            connection.sendall(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Accept: " + accepted + b"\r\n\r\n"
            )
            assert connection.recv(64)[:1] == b"\x88"  # it says that it closes
            connection.sendall(b"\x88\x00")
            assert connection.recv(64) == b""
