"""The HTTP client against servers that mean harm, or are something else: real HTTP, a handler a test."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests
import trustme

from imagegen.backends import json_api
from imagegen.backends.base import Cancelled
from imagegen.backends.comfyui.client import Client, Events
from imagegen.backends.comfyui.connection import Connection
from imagegen.backends.comfyui.prompt import text_to_image
from imagegen.backends.json_api import Refused, Unreachable
from imagegen.execute.worker import ImageProgress
from tests.backends.comfyui.fake_server import FakeComfyUI, Fault

__all__ = []


@contextmanager
def answering(answer: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self)

        def do_POST(self) -> None:
            answer(self)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def says(status: int, body: bytes = b"", **headers: str) -> Callable[[BaseHTTPRequestHandler], None]:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        for name, value in {"Content_Length": str(len(body)), **headers}.items():
            request.send_header(name.replace("_", "-"), value)
        request.end_headers()
        request.wfile.write(body)

    return answer


def refused(url: str, auth: str = "") -> Refused:
    with pytest.raises(Refused) as caught:
        Client(url, auth).system_stats()
    return caught.value


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"{}", b'{"system": {}}', b"null", b"[" * 100_000])
def test_what_is_no_comfyui_is_told(body: bytes) -> None:
    with answering(says(200, body)) as url:
        assert "check the address" in refused(url).hint


def test_a_redirect_is_told_and_not_followed() -> None:
    asked: list[str] = []

    def other_answers(request: BaseHTTPRequestHandler) -> None:
        asked.append(request.path)
        says(200)(request)

    with answering(other_answers) as other, answering(says(302, Location=f"{other}/login")) as url:
        assert f"redirects GET /system_stats to {other}/login" in refused(url).what
    assert asked == []


def test_a_redirect_to_nonsense_is_told() -> None:
    with answering(says(302, Location="http://[::1")) as url:
        assert "to http://[::1" in refused(url).what


def test_an_answer_without_end_is_bounded() -> None:
    def endless(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        with suppress(OSError):  # until the client has had enough
            while True:
                request.wfile.write(b" " * 65536)

    with answering(endless) as url, pytest.raises(Refused, match="is larger than"):
        Client(url)._send("GET", "/queue", limit=1024**2)


def test_an_answer_that_is_cut_off_counts_as_none() -> None:
    with answering(says(200, b"{}", Content_Length="100")) as url, pytest.raises(Unreachable):
        Client(url).queue()


def test_the_header_is_shown_by_no_error() -> None:
    with answering(says(200)) as url:
        error = refused(url, "Bearer hush\nhush")
        assert "hush" not in error.what + error.hint
        assert "COMFYUI_AUTH" in error.hint


def test_the_account_key_goes_along_with_a_prompt_and_no_error_shows_it() -> None:
    sent: list[bytes] = []

    def refusing(request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers.get("Content-Length", 0)))
        sent.append(body)
        says(400, b'{"error": {"type": "x", "message": "key hidden-key"}}')(request)

    with answering(refusing) as url:
        client = Client(url, "Bearer hush", "hidden-key")
        with pytest.raises(Refused) as caught:
            client.submit({}, "id", "client")
        with pytest.raises(Refused):
            client.queue()
    assert json.loads(sent[0])["extra_data"] == {"api_key_comfy_org": "hidden-key"}
    assert b"hidden-key" not in sent[1]
    assert "hidden-key" not in f"{caught.value.what} {caught.value.answer}"


def test_nobody_there_is_told_in_the_systems_words() -> None:
    with pytest.raises(Unreachable, match=r"^Connection refused$"):
        Client("http://127.0.0.1:9").queue()


def test_this_machine_is_asked_without_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    with answering(says(200, b'{"queue_running": [], "queue_pending": []}')) as url:
        assert Client(url).queue() == {}


@pytest.mark.parametrize("body", [b"[]", b"null", b"7", b'"x"'])
def test_json_of_another_shape_is_told_as_the_servers(body: bytes) -> None:
    with answering(says(200, body)) as url:
        for ask in (
            lambda: Client(url).queue(),
            lambda: Client(url).history("x"),
            lambda: Client(url).object_info("X"),
        ):
            with pytest.raises(Refused, match="is not ComfyUI's"):
                ask()


@pytest.mark.parametrize("body", [b'{"queue_running": [7, [], [1]], "queue_pending": null}', b"{}"])
def test_a_queue_with_nonsense_in_it_has_none_of_ours(body: bytes) -> None:
    with answering(says(200, body)) as url:
        assert Client(url).queue() == {}


def drips(request: BaseHTTPRequestHandler) -> None:
    request.send_response(200)
    request.end_headers()
    with suppress(OSError):
        for _ in range(100):
            request.wfile.write(b" ")
            time.sleep(0.05)


def test_an_answer_that_drips_has_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_api, "WHOLE_S", 0.3)
    with answering(drips) as url, pytest.raises(Unreachable, match=r"was not complete after 0\.3 s"):
        Client(url).queue()


def test_an_image_that_drips_is_given_up_when_it_is_time() -> None:
    def over() -> None:
        raise Cancelled

    with answering(drips) as url, pytest.raises(Cancelled):
        Client(url).view({"filename": "x.png"}, over)


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
    reported: list[tuple[int, int]] = []

    def on_event(name: str, facts: dict[str, Any]) -> None:
        if name == "steps":
            reported.append((facts["done"], facts["total"]))

    with FakeComfyUI(seconds=0.2) as server:
        server.faults.append(Fault("lost"))
        connection = Connection(Client(server.url), "")
        connection.open_events()
        time.sleep(0.5)
        try:
            connection.run(str(uuid.uuid4()), a_graph(), ImageProgress(60, threading.Event(), on_event=on_event))
        finally:
            connection.close()
    assert reported == [(0, 0), (1, 4), (2, 4), (3, 4), (4, 4)]


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
