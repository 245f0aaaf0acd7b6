"""What a program reads that calls imagegen with `--json`: one JSON object a line, the last one with the result.

All else that would be printed goes to stderr meanwhile.
"""

from __future__ import annotations

import dataclasses
import io
import json
import math
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from imagegen.errors import Problem
from imagegen.process import SafeOutput, call_at_end, note_exit_code

__all__ = [
    "VERSION",
    "JsonOutput",
    "as_data",
    "begin_json",
    "json_output",
    "problem_data",
    "result_data",
    "split_place",
]

VERSION = 1
"""Of the schema of results. It changes when something that a program may rely on is removed or means something else."""

_PLACE = r"(?P<file>[^:\n]*\.[A-Za-z]\w*)(?::(?P<line>\d+)(?::(?P<column>\d+))?|: \[tool\..+)?"
"""Of a file, whose name has an ending: that of a task, `icons:12`, has none."""


class JsonOutput:
    """Takes over stdout of this process, for JSON alone.

    The exit code of the process is the highest of its results': each that is written counts for the process, and if it
    ends with a higher one, one more is written.
    """

    def __init__(self, find_command: Callable[[], str]) -> None:
        """Have all that is printed from now on go to stderr, also by processes that are started.

        Args:
            find_command: returns which command answers, if the process ends before any does.
        """
        sys.stdout.flush()
        self._find_command = find_command
        self._worst = -1  # no result yet
        self._stream = io.BufferedWriter(SafeOutput(os.dup(1), "wb"))
        os.dup2(2, 1)
        call_at_end(self._end)

    def write(self, fields: Mapping[str, Any]) -> None:
        """Write an object on a line of its own."""
        line = json.dumps(as_data(fields), ensure_ascii=False)
        # of a file name, a byte that is not UTF-8 becomes an escape of JSON
        self._stream.write(f"{line}\n".encode("utf-8", "backslashreplace"))
        self._stream.flush()

    def write_result(
        self, command: str, exit_code: int, problems: Iterable[Problem] = (), result: object = None
    ) -> None:
        """Write what a command answers.

        Args:
            command: its name; `run` for images.
            exit_code: what it ends with.
            problems: that keep it from its work, or were found.
            result: a dataclass, as the command declares it; None if it did not get so far.
        """
        self.note_result(exit_code)
        self.write(result_data(command, exit_code, problems, result))

    def note_result(self, exit_code: int) -> None:
        """Note that a result has this exit code: it is about to be written, or a process of doit's (-n 2) wrote it."""
        self._worst = max(self._worst, exit_code)
        note_exit_code(exit_code)

    def end(self, exit_code: int, problems: Iterable[Problem] = ()) -> None:
        """Write a result if none has this exit code: what was asked was not begun, stopped, or failed at its end."""
        if self._worst < exit_code:
            self.write_result(self._find_command(), exit_code, problems)

    def _end(self, exit_code: int, said: Sequence[str]) -> None:
        self.end(exit_code, [Problem("", one) for one in said])


_output: JsonOutput | None = None


def json_output() -> JsonOutput | None:
    """Return where JSON goes in this process; None if it was not asked for."""
    return _output


def begin_json(find_command: Callable[[], str]) -> JsonOutput:
    """Have this process print JSON from now on. find_command: returns which command answers if none does."""
    global _output
    if _output is None:
        _output = JsonOutput(find_command)
    return _output


def result_data(
    command: str, exit_code: int, problems: Iterable[Problem] = (), result: object = None
) -> dict[str, Any]:
    """Return what a command answers, as the last line of it has it."""
    return {
        "event": "result",
        "version": VERSION,
        "command": command,
        "exit_code": exit_code,
        "problems": [problem_data(problem) for problem in dict.fromkeys(problems)],
        "result": result,
    }


def problem_data(problem: Problem) -> dict[str, Any]:
    """Return a problem with its file, line and column apart, where it has them."""
    file, line, column = split_place(problem.place or problem.where)
    place = {"where": problem.where, "file": file, "line": line, "column": column}
    return {**place, "what": problem.what, "hint": problem.hint}


def split_place(where: str) -> tuple[str | None, int | None, int | None]:
    """Return the file, line and column of `file:line:column`, as far as it has them: a task's name has no file."""
    if not (found := re.fullmatch(_PLACE, where)):
        return None, None, None
    file, line, column = found.groups()
    return file, int(line) if line else None, int(column) if column else None


def as_data(value: object) -> Any:
    """Return dataclasses, mappings and sequences of any depth as JSON has them; money is a number of US dollars."""
    from decimal import Decimal  # a run with nothing to do has no money to say

    if isinstance(value, Problem):
        return problem_data(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {one.name: as_data(getattr(value, one.name)) for one in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): as_data(one) for key, one in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [as_data(one) for one in value]
    if isinstance(value, (Decimal, float)):
        return float(value) if math.isfinite(value) else None  # JSON has no infinity
    return value.as_posix() if isinstance(value, Path) else value
