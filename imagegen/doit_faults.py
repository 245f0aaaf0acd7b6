"""What keeps doit from its work in a project of ours: the problems in words, as JSON if asked, and the exit code."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from doit.exceptions import InvalidCommand

from imagegen.errors import BAD_INPUT, FAILED, Problem
from imagegen.process import worst_exit_code
from imagegen.report.json_output import json_output

__all__ = ["end", "explain_dodo_fault", "report", "report_exception"]

_TASK_ERROR = 2
"""doit's exit code for a task that raised an exception; to us it failed as any other."""
_PACKAGE = os.path.join(os.path.dirname(__file__), "")  # noqa: PTH118, PTH120 - compared with texts


def end(code: int | None, problems: Sequence[Problem] = ()) -> int:
    """Return the exit code in place of doit's own, and write a result if nothing else did."""
    code = max(worst_exit_code(), FAILED if code == _TASK_ERROR else code or 0)
    if output := json_output():
        output.end(code, problems)
    return code


def report(command: str, error: Exception) -> int:
    """Say what is wrong with what was asked, or with dodo.py, and return the exit code."""
    if isinstance(error, InvalidCommand):  # as doit does it
        error.cmd_used, error.bin_name = command, "doit"
    what, _, hint = str(error).partition("\n")
    problems: Sequence[Problem] = getattr(error, "problems", [Problem("", what, hint.strip())])
    return _write(command, problems, getattr(error, "exit_code", BAD_INPUT))


def report_exception(command: str, error: Exception) -> int:
    """Say what a dodo file raised while it was loaded. Anything else is a fault of ours, shown with its traceback."""
    if problem := explain_dodo_fault(error, Path.cwd()):
        return _write(command, [problem], BAD_INPUT)
    sys.stderr.write("".join(traceback.format_exception(type(error), error, error.__traceback__)))
    what = f"{type(error).__name__}: {error}"
    return _write(command, [Problem("", what, "this is a fault of imagegen: please report it with the lines above")], 1)


def explain_dodo_fault(error: BaseException, root: Path) -> Problem | None:
    """Return what is wrong with the code of a project: at which line of its files it raised this error.

    None if it was not its code, or if it called ours.
    """
    if isinstance(error, SyntaxError) and _is_of_project(error.filename or "", root):
        where = f"{os.path.relpath(error.filename or '', root)}:{error.lineno or 1}:{error.offset or 1}"
        return Problem(where, f"not valid Python: {error.msg}", "correct that line")
    where = ""
    for frame in traceback.extract_tb(error.__traceback__):
        if frame.filename.startswith(_PACKAGE):
            where = ""
        elif _is_of_project(frame.filename, root):
            where = f"{os.path.relpath(frame.filename, root)}:{frame.lineno}"
    return Problem(where, f"{type(error).__name__}: {error}", "correct that line") if where else None


def _is_of_project(file: str, root: Path) -> bool:
    path = Path(file)
    return path.is_absolute() and path.is_relative_to(root) and not path.is_relative_to(sys.prefix)


def _write(command: str, problems: Sequence[Problem], code: int) -> int:
    for problem in dict.fromkeys(problems):
        sys.stderr.write(f"ERROR: {problem}\n")
    if output := json_output():
        output.write_result(_find_answering(command), code, problems)
    return code


def _find_answering(command: str) -> str:
    """Return the first of our commands that was named to `doit run`; else the name of doit's own."""
    tasks = sys.modules.get("imagegen.commands.command_line")
    calls = tasks.current_invocation().calls if tasks and command == "run" else []
    return str(calls[0].command.name) if calls else command
