"""Servers that mean harm: what they send is bounded in memory and in time, and steers no terminal."""

from __future__ import annotations

import json
import struct
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from imagegen.backends import download as download_module
from imagegen.backends import json_api
from imagegen.backends.base import Cancelled
from imagegen.backends.comfyui import client as client_module
from imagegen.backends.comfyui.client import Client, Events
from imagegen.backends.comfyui.connection import Connection
from imagegen.backends.comfyui.server import probe
from imagegen.backends.download import download
from imagegen.backends.http import deadline
from imagegen.backends.json_api import Refused, Unreachable
from imagegen.backends.ollama.server import fetch_version
from imagegen.errors import ImagegenError
from imagegen.execute.worker import ImageProgress
from tests.backends.file_server import remote
from tests.faults.bounded import MB, bounded
from tests.faults.raw_server import Say, after, drip, endlessly, raw_server, upgraded
from tests.marks import all_but_long, long

linux = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the address space is not limited so")

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"

DRIPS: dict[str, Say] = {
    "status line": lambda _: drip(b"x", b"HTTP/1.1 200 "),
    "header": lambda _: drip(b"x", OK + b"X-Long: "),
    "many headers": lambda _: drip(b"X-One: more\r\n", OK),
    "continue": lambda _: drip(b"HTTP/1.1 100 Continue\r\n\r\n"),
    "continue, fast": lambda _: endlessly(b"HTTP/1.1 100 Continue\r\n\r\n"),
    "body": lambda _: drip(b" ", OK + b"\r\n"),
    "length of a chunk": lambda _: drip(b"0", CHUNKED),
    "trailers": lambda _: drip(b"X-One: more\r\n", CHUNKED + b"0\r\n"),
    "trailers, fast": lambda _: endlessly(b"X-One: more\r\n", CHUNKED + b"0\r\n"),
    "nothing": lambda _: after(OK),
}


def bomb() -> bytes:
    """100 MB of spaces, twice compressed: 200 bytes or so."""
    body = b" " * 100 * MB
    for _ in range(2):
        packer = zlib.compressobj(9, zlib.DEFLATED, 31)
        body = packer.compress(body) + packer.flush()
    return body


def compressed(_: str) -> Iterator[bytes]:
    body = bomb()
    yield OK + b"Content-Encoding: gzip, gzip\r\nContent-Length: %d\r\n\r\n" % len(body) + body


HEAVY: dict[str, Say] = {
    "a header without end": lambda _: endlessly(b"x", OK + b"X-Long: "),
    "headers without end": lambda _: endlessly(b"X-One: more\r\n", OK),
    "a body without end": lambda _: endlessly(b" ", OK + b"\r\n"),
    "10 GB announced": lambda _: endlessly(b" ", OK + b"Content-Length: 10737418240\r\n\r\n"),
    "the length of a chunk without end": lambda _: endlessly(b"0", CHUNKED),
    "a compressed body": compressed,
    "many empty lists": lambda _: [OK + b"\r\n[" + b"[]," * (10 * MB) + b"[]]"],
    "many small objects": lambda _: [OK + b"\r\n[" + b'{"":{}},' * (3 * MB) + b"{}]"],
    "many small texts": lambda _: [OK + b"\r\n[" + b'"ab",' * (6 * MB) + b"0]"],
    "a text with one wide character": lambda _: [OK + b'\r\n"' + b"x" * (31 * MB) + "😀".encode() + b'"'],
    "deep nesting": lambda _: [OK + b"\r\n" + b"[" * (20 * MB)],
}


@pytest.mark.parametrize("where", all_but_long(DRIPS, ("header", "continue", "length of a chunk", "trailers")))
def test_an_answer_that_drips_anywhere_is_given_up_in_time(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_api, "WHOLE_S", 0.5)
    with raw_server(DRIPS[where]) as url:
        began_s = time.monotonic()
        with pytest.raises((Unreachable, Refused)):
            Client(url).queue()
        assert time.monotonic() - began_s < 5
        assert probe(url, timeout_s=0.5).what == "other"
        assert time.monotonic() - began_s < 10
        assert fetch_version(url.removeprefix("http://"), timeout_s=0.5) is None
        assert time.monotonic() - began_s < 15


@pytest.mark.parametrize("where", all_but_long(DRIPS, ("header", "continue", "length of a chunk", "trailers")))
def test_an_image_that_drips_anywhere_ends_with_the_time_of_the_image(where: str) -> None:
    class OverError(Exception):
        pass

    until_s = time.monotonic() + 0.5

    def check() -> None:
        if time.monotonic() > until_s:
            raise OverError

    with raw_server(DRIPS[where]) as url:
        with pytest.raises((OverError, Unreachable, Refused)):
            Client(url).view({"filename": "x.png"}, check)
        assert time.monotonic() - until_s < 2


def test_a_server_that_says_nothing_does_not_keep_one_who_cancels() -> None:
    cancel = threading.Event()
    pressed = threading.Timer(0.3, cancel.set)
    with raw_server(DRIPS["nothing"]) as url:
        began_s = time.monotonic()
        pressed.start()
        with pytest.raises(Cancelled):
            Connection(Client(url), "").run("id", {}, ImageProgress(60, cancel))
        assert time.monotonic() - began_s < 20, "an answer is waited for 30 s"


@pytest.mark.parametrize("where", all_but_long(DRIPS, ("header", "continue", "length of a chunk", "trailers")))
def test_a_download_that_drips_anywhere_is_given_up(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download_module, "HEAD_S", 0.3)
    monkeypatch.setattr(download_module, "PACE_S", 0.3)
    monkeypatch.setattr(download_module, "_PAUSES_S", (0.01,))
    with raw_server(DRIPS[where]) as url:
        began_s = time.monotonic()
        with pytest.raises(ImagegenError, match="m: "):
            download(remote(f"{url}/m.safetensors"), tmp_path / "m.safetensors")
        assert time.monotonic() - began_s < 15
    assert not (tmp_path / "m.safetensors").exists()


ASK = """
from imagegen.backends.base import Cancelled
from imagegen.backends.comfyui.client import Client
from imagegen.backends.json_api import Refused, Unreachable
from imagegen.backends.comfyui.connection import Connection
try:
    Client(url).queue()
except (Unreachable, Refused) as error:
    said = str(error)
"""


@linux
@pytest.mark.parametrize("what", all_but_long(HEAVY, ("10 GB announced", "a compressed body", "many empty lists")))
def test_an_answer_of_any_kind_takes_no_more_than_so_much_memory(what: str) -> None:
    with raw_server(HEAVY[what]) as url:
        took = bounded(ASK, memory=1024 * MB, seconds=60, url=url)
    assert took.said, "it was taken for an answer"
    assert "MemoryError" not in took.said
    print(f"{what}: {took.peak // MB} MB: {took.said}")
    assert took.peak < 400 * MB


def test_an_image_without_end_is_cut_off_at_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "MAX_IMAGE", MB)
    late = deadline(5, lambda: AssertionError("it reads on"))
    with (
        raw_server(lambda _: endlessly(b"x", OK + b"\r\n")) as url,
        pytest.raises(Refused, match="the answer to /view is larger than 1 MiB"),
    ):
        Client(url).view({"filename": "a.png"}, late)


DOWNLOAD = """
from pathlib import Path
from imagegen.backends import download as module
from imagegen.backends.download import RemoteFile, download
from imagegen.errors import ImagegenError
module.HEAD_S, module._PAUSES_S = 2, (0.01,)
remote = RemoteFile("m", "m", url, "127.0.0.1", "0" * 64, 3_000_000, 3_000_000, 3_000_000, "", "", "")
try:
    download(remote, Path(folder) / "m")
except ImagegenError as error:
    said = str(error)
"""


@linux
@pytest.mark.parametrize(
    "what",
    [
        "a body without end",
        *map(long, ("a header without end", "10 GB announced", "the length of a chunk without end")),
    ],
)
def test_a_download_of_any_kind_takes_no_more_than_so_much_memory(what: str, tmp_path: Path) -> None:
    with raw_server(HEAVY[what]) as url:
        took = bounded(DOWNLOAD, memory=512 * MB, seconds=60, url=f"{url}/m", folder=str(tmp_path))
    print(f"{what}: {took.peak // MB} MB: {took.said}")
    assert took.said
    assert took.peak < 120 * MB
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 4_000_000


def frame(size: int, payload: bytes = b"", first: int = 0x81) -> bytes:
    """A frame that announces so many bytes."""
    return bytes([first, 127]) + struct.pack(">Q", size) + payload


TEXT = json.dumps({"type": "x", "data": {}}).encode()
SOCKETS: dict[str, Say] = {
    "a header without end": lambda _: endlessly(b"x", b"HTTP/1.1 101 Switching Protocols\r\nX-Long: "),
    "headers without end": lambda _: endlessly(b"X-One: more\r\n", b"HTTP/1.1 101 Switching Protocols\r\n"),
    "a frame of 10 GB": lambda asked: endlessly(b"x", upgraded(asked) + frame(10 * 1024**3)),
    "a message of frames without end": lambda asked: endlessly(
        frame(65536, b"x" * 65536, 0x00), upgraded(asked) + frame(65536, b"x" * 65536, 0x01)
    ),
    "pings without end": lambda asked: endlessly(b"\x89\x00", upgraded(asked)),
}
LISTEN = """
import time, threading
from imagegen.backends.comfyui.client import Events
events = Events(url, "")
until = time.monotonic() + 20
while time.monotonic() < until and any(one.name == "comfyui events" for one in threading.enumerate()):
    time.sleep(0.05)
said = [one.name for one in threading.enumerate()]
"""


@linux
@pytest.mark.parametrize("what", all_but_long(SOCKETS, ("headers without end", "a frame of 10 GB")))
def test_a_socket_of_any_kind_takes_no_more_than_so_much_memory(what: str) -> None:
    with raw_server(SOCKETS[what]) as url:
        took = bounded(LISTEN, memory=1024 * MB, seconds=60, url=url)
    print(f"{what}: {took.peak // MB} MB")
    assert "comfyui events" not in took.said
    assert took.peak < 250 * MB


def test_the_steps_of_a_socket_are_numbers_that_can_be_shown() -> None:
    heard: list[tuple[int, int]] = []
    events = Events("http://127.0.0.1:9", "")
    events.watch("p", lambda *now: heard.append(now))
    for value, most in ((1, 4), (-1, 4), (5, 4), (1, 10**300), ("1", "4"), (None, 4), (1.5, 4), (True, 4), (0, 0)):
        events._handle({"type": "progress", "data": {"prompt_id": "p", "value": value, "max": most}})
    nonsense: tuple[Any, ...] = (7, None, [], {"data": 7}, {"data": []}, {"type": [], "data": {"prompt_id": {}}})
    for message in nonsense:
        events._handle(message)
    events.close()
    assert heard == [(1, 4)]


ESCAPES = "\x1b[2J\x1b]0;owned\x07\x9b31m\u202e\nportraits:fox: all is well"


@pytest.mark.parametrize("status", [200, 302, 401, 404, 500, 502])
def test_no_word_of_a_server_steers_a_terminal_or_makes_a_line(status: int) -> None:
    hostile = "\x1b[2J\x1b]0;owned\x07\x9b31m"
    head = f"HTTP/1.1 {status} {hostile}\r\nLocation: http://{hostile}/\r\nContent-Type: {hostile}\r\n\r\n"
    with raw_server(lambda _: [head.encode("latin-1") + ESCAPES.encode()]) as url:
        with pytest.raises((Unreachable, Refused)) as raised:
            Client(url).system_stats()
        assert str(raised.value).isprintable()
        assert probe(url).said.isprintable()
