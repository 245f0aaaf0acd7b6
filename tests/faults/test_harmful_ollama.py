"""An `ollama` that means harm, or whose server does: what it says is bounded in memory, on disk and in time."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from imagegen.backends.base import GenerationError
from imagegen.backends.ollama import cli, image
from imagegen.backends.ollama.cli import Command
from imagegen.backends.ollama.image import generate
from imagegen.errors import ImagegenError
from imagegen.plan.request import Request
from tests.faults.bounded import MB, bounded

ASK = """
from imagegen.backends.ollama import cli, image
from imagegen.backends.ollama.cli import Command
from imagegen.errors import ImagegenError
try:
    found = Command(program, "127.0.0.1:9").run("list", timeout_s=3)
    said = f"{len(found.out)}"
except ImagegenError as error:
    said = str(error)
"""


class Quiet:
    timeout_s = 60.0
    last_server = ""

    def begin_attempt(self, server: str = "") -> str:  # noqa: ARG002
        return "x"

    def file(self, sha256: str) -> Path:
        raise KeyError(sha256)

    def event(self, name: str, **facts: object) -> None: ...
    def restart_clock(self) -> None: ...
    def check(self) -> None: ...
    def wait(self, seconds: float) -> None: ...


def program(folder: Path, text: str) -> str:
    path = folder / "ollama"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def request() -> Request:
    return Request(name="fox", backend="ollama", model="x/m", prompt="a fox", width=64, height=64, seed=1)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the address space is not limited so")
def test_an_answer_without_end_is_bounded_in_memory_and_in_time(tmp_path: Path) -> None:
    took = bounded(ASK, memory=512 * MB, seconds=30, program=program(tmp_path, "exec yes '\033[2J model'"))
    assert took.said.startswith("'ollama list' is not done after 3 s")
    assert took.peak < 100 * MB


def test_a_call_that_says_more_and_more_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "_LOG", MB)
    command = Command(program(tmp_path, "exec yes model"), "127.0.0.1:9")
    folder = tmp_path / "call"
    with pytest.raises(GenerationError, match=r"^'ollama' writes more and more, "):
        generate(command, None, request(), folder, Quiet())
    assert not folder.exists()


def test_a_file_that_is_too_large_for_an_image_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image, "_MOST", MB)
    command = Command(program(tmp_path, "head -c 2000000 /dev/zero > image.png"), "127.0.0.1:9")
    with pytest.raises(GenerationError, match=r"^Ollama wrote a file of 2 MB, too large for an image"):
        generate(command, None, request(), tmp_path / "call", Quiet())


def test_what_a_server_says_through_it_steers_no_terminal(tmp_path: Path) -> None:
    said = r"printf 'Error: \033[2J\033]0;owned\007\n\033[31mportraits:fox: all is well' >&2; exit 1"
    with pytest.raises(GenerationError) as raised:
        generate(Command(program(tmp_path, said), "127.0.0.1:9"), None, request(), tmp_path / "call", Quiet())
    assert raised.value.problem.what.isprintable()


def test_a_question_that_is_answered_is_not_waited_for(tmp_path: Path) -> None:
    with pytest.raises(ImagegenError, match="cannot be started"):
        Command(str(tmp_path / "none"), "127.0.0.1:9").run("list")
    assert Command(program(tmp_path, "echo a; echo b >&2"), "127.0.0.1:9").run("list").out == "a\n"
