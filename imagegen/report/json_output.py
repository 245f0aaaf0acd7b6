"""What a program reads that calls imagegen with `--json`: one JSON object a line, the last one with the result.

All else that would be printed goes to stderr meanwhile.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import os
import re
import sys
from collections.abc import Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from imagegen.errors import Problem

__all__ = ["VERSION", "JsonOutput", "as_data", "json_output", "problem_data"]

VERSION = 1
"""Of the schema of results. It changes when something that a program may rely on is removed or means something else."""

_POSITION = re.compile(r"(?P<file>.+?):(?P<line>\d+)(?::(?P<column>\d+))?")


class JsonOutput:
    """Takes over stdout of this process, for JSON alone."""

    def __init__(self) -> None:
        """Have all that is printed from now on go to stderr, also by processes that are started."""
        sys.stdout.flush()
        self._stream = io.TextIOWrapper(
            os.fdopen(os.dup(1), "wb"), encoding="utf-8", errors="surrogatepass", newline="\n"
        )
        os.dup2(2, 1)

    def write(self, fields: Mapping[str, Any]) -> None:
        """Write an object on a line of its own."""
        with contextlib.suppress(BrokenPipeError):  # nobody reads any more: the work goes on
            self._stream.write(f"{json.dumps(as_data(fields), ensure_ascii=True)}\n")
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
        said = [problem_data(problem) for problem in dict.fromkeys(problems)]
        head = {"event": "result", "version": VERSION, "command": command, "exit_code": exit_code}
        self.write({**head, "problems": said, "result": result})


_output: JsonOutput | None = None


def json_output(*, begin: bool = False) -> JsonOutput | None:
    """Return where JSON goes in this process; None if it was not asked for. begin: ask for it."""
    global _output
    if begin and _output is None:
        _output = JsonOutput()
    return _output


def problem_data(problem: Problem) -> dict[str, Any]:
    """Return a problem with its file, line and column apart, where it has them."""
    found = _POSITION.fullmatch(problem.where)
    place = found.groupdict() if found else {"file": None, "line": None, "column": None}
    return {
        "where": problem.where,
        "file": place["file"],
        "line": int(place["line"]) if place["line"] else None,
        "column": int(place["column"]) if place["column"] else None,
        "what": problem.what,
        "hint": problem.hint,
    }


def as_data(value: object) -> Any:
    """Return dataclasses, mappings and sequences of any depth as JSON has them; money is a number of US dollars."""
    if isinstance(value, Problem):
        return problem_data(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {one.name: as_data(getattr(value, one.name)) for one in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): as_data(one) for key, one in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [as_data(one) for one in value]
    if isinstance(value, Decimal):
        return float(value)
    return value.as_posix() if isinstance(value, Path) else value
