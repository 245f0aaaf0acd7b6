"""What a command answers to a program, however its work ends."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from imagegen.commands.build import Build
from imagegen.commands.command import Answer, Command, answer_even_if_it_fails
from imagegen.commands.command_line import read_invocation
from imagegen.errors import (
    BAD_INPUT,
    DONE,
    FAILED,
    NOT_BEGUN,
    STOPPED,
    ImagegenError,
    InputError,
    NotBegunError,
    Problem,
)
from imagegen.report import json_output
from imagegen.tasks import commands
from imagegen.tasks.commands import run_and_report

WRONG = Problem("jobs/a.yaml:2:3", "it is wrong", "correct it")


@dataclass(frozen=True)
class Done:
    """What was done."""

    images: tuple[str, ...]


class Written(json_output.JsonOutput):
    """Keeps the lines, and leaves stdout as it is."""

    def __init__(self) -> None:
        self.lines: list[Mapping[str, Any]] = []
        self._worst = -1

    def write(self, fields: Mapping[str, Any]) -> None:
        self.lines.append(json.loads(json.dumps(json_output.as_data(fields))))


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Written:
    output = Written()
    monkeypatch.setattr(json_output, "_output", output)
    monkeypatch.setattr(commands, "note_exit_code", lambda _: None)
    monkeypatch.setattr(json_output, "note_exit_code", lambda _: None)
    return output


def finish(folder: Path, work: Callable[..., Answer]) -> object:
    """Return what doit gets of a command that does this."""
    command = Command("test", "", {}, (), "", work, f"{__name__}:Done", needs_settings=False, needs_jobs=False)
    return run_and_report(Build(folder, read_invocation([])), command, {"json": True})


class Ended(KeyboardInterrupt):
    number = signal.SIGTERM


@pytest.mark.parametrize(
    ("error", "code", "code_before"),
    [
        (ImagegenError(WRONG), FAILED, FAILED),
        (InputError(WRONG), FAILED, BAD_INPUT),
        (NotBegunError(WRONG), NOT_BEGUN, NOT_BEGUN),
        (OSError(28, "No space left on device", "a.png"), FAILED, FAILED),
        (KeyboardInterrupt(), STOPPED, STOPPED),
        (Ended(), 143, 143),
        (SystemExit(STOPPED), STOPPED, STOPPED),
    ],
)
@pytest.mark.parametrize("is_begun", [True, False])
def test_what_was_done_is_in_the_answer_whatever_ends_it(
    tmp_path: Path, written: Written, error: BaseException, code: int, code_before: int, *, is_begun: bool
) -> None:
    done = ("a:b",) if is_begun else ()

    def work(_: Build) -> Answer:
        with answer_even_if_it_fails(lambda: Done(done) if done else None):
            raise error

    if isinstance(error, Exception):
        assert finish(tmp_path, work) is not None, "doit counts it as failed"
    else:
        with pytest.raises(type(error)):
            finish(tmp_path, work)
    (answer,) = written.lines
    assert answer["exit_code"] == (code if is_begun else code_before)
    assert answer["result"] == ({"images": ["a:b"]} if is_begun else None)
    if isinstance(error, ImagegenError):
        assert (answer["problems"][0]["file"], answer["problems"][0]["column"]) == ("jobs/a.yaml", 3)


def test_an_answer_of_a_stopped_command_ends_the_process(tmp_path: Path, written: Written) -> None:
    with pytest.raises(SystemExit) as stop:
        finish(tmp_path, lambda _: Answer(Done(()), exit_code=STOPPED))
    assert stop.value.code == STOPPED
    assert [one["exit_code"] for one in written.lines] == [STOPPED]


@pytest.mark.usefixtures("written")
def test_a_fault_of_ours_is_not_explained_away(tmp_path: Path) -> None:
    def work(_: Build) -> Answer:
        with answer_even_if_it_fails(lambda: Done(())):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        finish(tmp_path, work)


def test_lines_for_a_person_are_left_out(tmp_path: Path, written: Written, capsys: pytest.CaptureFixture[str]) -> None:
    assert finish(tmp_path, lambda _: Answer(Done(()), ["a line"], DONE, [WRONG])) is None
    assert capsys.readouterr().out == ""
    assert written.lines[0]["problems"][0]["what"] == "it is wrong"
