"""Faults within the server: none ends it in silence."""

from __future__ import annotations

import contextlib
import queue
import socket
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import urlsplit

import pytest

from imagegen.review.address import listen
from imagegen.review.server import ReviewServer
from tests.review.served import Listener, ask, wait_until


class Gallery:
    """What the server shows, at fault as a test wants it."""

    version = 0

    def __init__(self) -> None:
        self.fault: Exception | None = None
        self.data: dict[str, Any] = {"groups": []}

    def opened(self) -> Any:
        raise NotImplementedError

    def has_changed(self) -> bool:
        if self.fault:
            raise self.fault
        return False

    def original(self, _sha256: str) -> bytes:
        raise ZeroDivisionError

    earlier = thumbnail = original


@pytest.fixture
def gallery() -> Gallery:
    return Gallery()


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def server(gallery: Gallery, said: list[str], tmp_path: Path) -> Iterator[ReviewServer]:
    ended: queue.SimpleQueue[bool] = queue.SimpleQueue()
    editor = cast(Any, SimpleNamespace(last=None))
    address = listen("127.0.0.1", 0)
    server = ReviewServer(
        cast(Any, gallery), editor, address, tmp_path, [], tmp_path, said.append, lambda: ended.put(True)
    )
    server.start()
    yield server
    server.interrupt()
    assert ended.get(timeout=60)


def test_a_fault_while_it_looks_is_said_until_it_is_over(
    server: ReviewServer, gallery: Gallery, said: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    wait_until(lambda: ask(server.urls[0], "GET", "nowhere").status == 404)
    heard = Listener(server.urls[0])
    gallery.fault = KeyError("harbour")
    assert heard.wait_for("trouble")["text"] == "the page cannot be brought up to date (KeyError: 'harbour')"
    gallery.fault = PermissionError(13, "Permission denied", "jobs")
    wait_until(lambda: [one for one in heard.events if "Permission denied" in one.get("text", "")])
    gallery.fault = None
    heard.wait_for("trouble", text="")
    assert said[-1] == "the project can be read again"
    assert capsys.readouterr().err.count("Traceback") == 1  # a fault of ours, to be reported
    heard.close()


def test_a_fault_in_one_answer_is_an_answer_too(server: ReviewServer, capsys: pytest.CaptureFixture[str]) -> None:
    answer = ask(server.urls[0], "GET", f"originals/{'0' * 64}.png")
    assert answer.status == 500
    assert "sandbox" in answer.headers["content-security-policy"]
    printed = ""

    def is_printed() -> bool:
        nonlocal printed
        printed += capsys.readouterr().err
        return "ZeroDivisionError" in printed

    wait_until(is_printed)
    assert ask(server.urls[0], "GET", "nowhere").status == 404


def test_a_connection_waits_for_a_whole_request_only_so_long(
    server: ReviewServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imagegen.review.connections._PATIENCE_S", 0.1)
    wait_until(lambda: ask(server.urls[0], "GET", "nowhere").status == 404)
    parts = urlsplit(server.urls[0])
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=60) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: ")
        with contextlib.suppress(ConnectionResetError):
            assert connection.recv(1) == b""


def test_a_fault_that_ends_its_work_ends_it(server: ReviewServer, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no more")

    monkeypatch.setattr("imagegen.review.server.read_holder", fail)
    wait_until(lambda: not server.is_alive)
    assert isinstance(server.error, RuntimeError)
