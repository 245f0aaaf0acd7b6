"""What the code of a project did wrong: at which line of its files."""

from __future__ import annotations

import os
import re
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from imagegen.errors import Problem

__all__ = ["explain_dodo_fault", "explain_failure"]

_PACKAGE = os.path.join(os.path.dirname(__file__), "")  # noqa: PTH118, PTH120 - compared with texts


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
    what = f"{type(error).__name__}: {error}"
    if isinstance(error, SystemExit):
        what = str(error) if isinstance(error.code, str) else f"it ends doit: sys.exit({error})"
    return Problem(where, what, "correct that line") if where else None


def explain_failure(task: str, message: str, trace: Sequence[str], root: Path) -> Problem:
    """Return why a task of a project failed, as doit says it: in texts.

    Args:
        task: its name.
        message: what doit says.
        trace: the traceback, if it raised an exception.
        root: the project.
    """
    if not trace:
        return Problem(task, message.strip().partition("\n")[0], "what it printed is on stderr")
    what = trace[-1].strip().partition("\n")[0]
    frames = re.findall(r'File "(.+)", line (\d+)', "".join(trace))
    where = [f"{os.path.relpath(file, root)}:{line}" for file, line in frames if _is_of_project(file, root)]
    return Problem(where[-1] if where else task, f"the task {task} raised {what}", "its traceback is on stderr")


def _is_of_project(file: str, root: Path) -> bool:
    path = Path(file)
    return path.is_absolute() and path.is_relative_to(root) and not path.is_relative_to(sys.prefix)
