"""`doit why`: what the next `doit` would do, and why. It runs nothing, asks no server and writes nothing."""

from __future__ import annotations

import sys
from typing import Any

from doit.exceptions import TaskFailed
from doit.globals import Globals

from imagegen.errors import ImagegenError
from imagegen.tasks.build import current_build
from imagegen.tasks.reporter import OURS

__all__ = ["task_why"]


def task_why() -> dict[str, Any]:
    """Say what the next doit would do and why: of all images, or doit why portraits portraits:mallsing."""
    return {
        "actions": [_why],
        "params": [{"name": "as_json", "long": "json", "type": bool, "default": False, "help": "print it as JSON"}],
        "pos_arg": "words",
        "uptodate": [False],
        "verbosity": 2,
        "io": {"capture": False},
        "meta": {OURS: {}},
    }


def _why(as_json: bool, words: list[str]) -> TaskFailed | None:
    from imagegen.backends.text import is_terminal
    from imagegen.execute.forecast import forecast
    from imagegen.report.why import as_data, as_lines
    from imagegen.tasks.selection import choose

    build = current_build()
    try:
        chosen = choose(build, words)
    except ImagegenError as error:
        print("\n".join(map(str, error.problems)), flush=True)
        return TaskFailed("a word names nothing", report=False)
    standing = [(build.planned[task].output, build.planned[task].verdict) for task in chosen.images]
    found = forecast(build.project, standing, {task for task in chosen.images if _is_ignored(task)})
    if as_json:
        print(as_data(found, chosen.plans, build.problems, chosen.one_by_one), flush=True)
        return None
    lines = as_lines(found, chosen.plans, build.problems, chosen.one_by_one)
    if is_terminal():
        from imagegen.report.colour import show

        show(lines, sys.stdout)
    else:
        print("\n".join("".join(text for text, _ in line) for line in lines), flush=True)
    return None


class _Named:
    def __init__(self, name: str) -> None:
        self.name = name


def _is_ignored(task: str) -> bool:
    """`doit ignore` named it; doit asks a task for no more than its name."""
    return bool(Globals.dep_manager.status_is_ignore(_Named(task)))
