"""The HTTP boundary, against servers that mean no good."""

from __future__ import annotations

import socket
import threading

import pytest

from imagegen.backends.comfyui.client import Client
from imagegen.backends.comfyui.server import probe
from imagegen.backends.json_api import Refused, Unreachable
from tests.backends.a1111.fake_a1111 import FakeA1111
from tests.backends.file_server import FileServer, Served, file_server

STATS = "/system_stats"


def refusal(server: FileServer) -> str:
    with pytest.raises(Refused) as refused:
        Client(server.url).system_stats()
    return refused.value.what


@pytest.mark.parametrize("location", ["http://example.org/", "http://[::1/", "/system_stats"])
def test_a_redirect_is_neither_followed_nor_read(location: str) -> None:
    with file_server() as server:
        server.files[STATS] = Served(status=302, endless=True, headers={"Location": location})
        assert refusal(server) == f"{server.url} redirects GET /system_stats to {location}"
        assert probe(server.url).what == "other"
        assert len(server.asked) == 2


@pytest.mark.parametrize(
    "answer",
    [b"[1]", b"null", b"5", b'{"system": 5}', b'{"system": {"comfyui_version": "1"}, "devices": [7]}', b"[" * 100_000],
)
def test_an_answer_that_is_not_as_comfyui_answers_is_told_as_such(answer: bytes) -> None:
    with file_server() as server:
        server.files[STATS] = Served(answer, headers={"Content-Type": "application/json"})
        assert "is not ComfyUI" in refusal(server) or "not JSON" in refusal(server)
        assert probe(server.url).what == "other"


def test_koboldcpp_is_not_taken_for_comfyui() -> None:
    with FakeA1111("koboldcpp") as fake:
        with pytest.raises(Refused, match="is koboldcpp") as refused:
            Client(fake.url).system_stats()
        assert refused.value.hint == f"write backend: a1111, and a1111.server.url: {fake.url}"
        assert (probe(fake.url).what, probe(fake.url).hint) == ("other", refused.value.hint)


def test_an_answer_without_end_is_not_read_to_its_end() -> None:
    with file_server() as server:
        server.files[STATS] = Served(endless=True, headers={"Content-Type": "application/json"})
        assert "is larger than 32 MiB" in refusal(server)
        assert probe(server.url).what == "other"


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"", "Remote end closed connection without response"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nabc", "the answer was cut off"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", "the answer was cut off"),
    ],
)
def test_a_connection_that_ends_too_early_is_told_in_plain_words(answer: bytes, message: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def once() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer)

        thread = threading.Thread(target=once)
        thread.start()
        with pytest.raises(Unreachable, match=f"^{message}$"):
            Client(f"http://127.0.0.1:{listening.getsockname()[1]}").system_stats()
        thread.join()


def test_a_proxy_that_is_not_there_is_told_from_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with pytest.raises(Unreachable, match=r"^the proxy of HTTP_PROXY or HTTPS_PROXY: Connection refused$"):
        Client("http://comfyui.example").system_stats()


@pytest.mark.parametrize(
    "auth", ["Bearer hush\nX-Other: 1", "Bearer hush\x1b[31m", "Bearer hush\u0416", "Bearer hush\n"]
)
def test_what_is_no_header_value_is_neither_sent_nor_told(auth: str) -> None:
    with file_server() as server:
        with pytest.raises(Refused, match=r"^COMFYUI_AUTH is not a valid header value") as refused:
            Client(server.url, auth).system_stats()
        assert "hush" not in str(refused.value)
        assert not server.asked


def test_a_secret_that_a_server_repeats_is_not_told() -> None:
    with file_server() as server:
        server.files[STATS] = Served(b"I take no 'hush', nor Authorization: Bearer hush", status=400)
        with pytest.raises(
            Refused, match=r"^GET /system_stats was answered with 400 Bad Request: I take no '…'"
        ) as refused:
            Client(server.url, "Bearer hush").system_stats()
    assert "hush" not in str(refused.value)


def test_a_certificate_file_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere/ca.pem")
    for url in ("https://127.0.0.1:9", "https://comfyui.example"):
        with pytest.raises(Refused, match=r"cannot be reached: .*/nowhere/ca\.pem"):
            Client(url).system_stats()
        assert probe(url).what == "nothing"


def test_an_address_that_is_none_is_told_as_such() -> None:
    with pytest.raises(Refused, match=r"^http://a\.\.b cannot be reached: ") as refused:
        Client("http://a..b").system_stats()
    assert "COMFYUI_URL" in refused.value.hint


def test_a_secret_for_another_server_is_told_from_none(monkeypatch: pytest.MonkeyPatch) -> None:
    with file_server() as server:
        server.files[STATS] = Served(status=401)
        assert "COMFYUI_AUTH is not set" in refusal(server)
        monkeypatch.setenv("COMFYUI_AUTH", "Bearer hush")
        assert "COMFYUI_AUTH is sent only to the server of COMFYUI_URL" in refusal(server)
