"""What tests of the backend have in hand: requests, commands that are scripts, and a progress that remembers."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from imagegen.backends.base import Context
from imagegen.backends.ollama import OllamaBackend
from imagegen.backends.ollama.cli import Command
from imagegen.config.settings import Settings
from imagegen.execute.worker import ImageProgress
from imagegen.plan.request import Request
from tests.backends.ollama.fake_ollama.fixture import FakeOllama

__all__ = ["MODEL", "RecordedProgress", "backend_at", "command_of", "is_alive", "request", "script", "until"]

MODEL = "x/z-image-turbo"


def request(prompt: str = "a cat", **changes: Any) -> Request:
    known = {"name": "yrr", "model": MODEL, "width": 32, "height": 32, "steps": 2, "seed": 1, "given": ("steps",)}
    return Request("ollama", prompt=prompt, **{**known, **changes})


def backend_at(root: Path, host: str) -> OllamaBackend:
    """The backend of a project, whose settings name a server."""

    def never_read(path: str) -> bytes:
        raise AssertionError(path)

    backend = OllamaBackend()
    backend.context = Context(root, Settings(ollama_host=host), never_read)
    return backend


def command_of(fake: FakeOllama) -> Command:
    return Command(str(fake.bin / "ollama"), fake.host)


def script(folder: Path, text: str, host: str = "127.0.0.1:9") -> Command:
    """An `ollama` that is a shell script."""
    path = folder / "ollama"
    path.write_text(f"#!/bin/sh\n{text}\n", "utf-8")
    path.chmod(0o755)
    return Command(str(path), host)


class RecordedProgress(ImageProgress):
    """One image's progress, with all that was reported of it."""

    def __init__(self, attempt: str = "0a1b", timeout_s: float = 60) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.cancel = threading.Event()
        self.uuid = attempt
        super().__init__(timeout_s, self.cancel, on_event=lambda name, facts: self.events.append((name, facts)))

    def begin_attempt(self, server: str = "") -> str:  # noqa: ARG002
        return self.uuid

    def named(self, name: str) -> list[dict[str, Any]]:
        return [facts for event, facts in self.events if event == name]


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def printing() -> ImageProgress:
    """A progress whose notes are printed, as a command's are."""

    def on_event(name: str, facts: dict[str, Any]) -> None:
        if name == "note":
            print(facts["text"])

    return ImageProgress(math.inf, threading.Event(), on_event=on_event)
