"""The HTTP client against servers that mean harm, or are something else: real HTTP, a handler a test."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from imagegen.backends.base import Cancelled
from imagegen.backends.comfyui import client as module
from imagegen.backends.comfyui.client import Client, Refused, Unreachable


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
        assert f"sends GET /system_stats on to {other}/login" in refused(url).what
    assert asked == []


def test_a_redirect_to_nonsense_is_told() -> None:
    with answering(says(302, Location="http://[::1")) as url:
        assert "on to http://[::1" in refused(url).what


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
            with pytest.raises(Refused, match="was answered by what is no ComfyUI"):
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
    monkeypatch.setattr(module, "WHOLE_S", 0.3)
    with answering(drips) as url, pytest.raises(Unreachable, match=r"was not whole after 0\.3 s"):
        Client(url).queue()


def test_an_image_that_drips_is_given_up_when_it_is_time() -> None:
    def over() -> None:
        raise Cancelled

    with answering(drips) as url, pytest.raises(Cancelled):
        Client(url).view({"filename": "x.png"}, over)
