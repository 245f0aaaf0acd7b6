"""`doit doctor`: is all there that the jobs need? Looks, and changes nothing."""

from __future__ import annotations

from typing import Any

from doit.exceptions import TaskFailed

from imagegen.commands.acting import command
from imagegen.commands.build import current_build
from imagegen.commands.command import AS_JSON, define

__all__ = [
    "task_doctor",
]


_DOCTOR = define(
    "doctor",
    "Check that everything the jobs need is in place, and suggest a fix for anything that isn't.",
    {"doit doctor": "", "doit doctor --json": "for a script"},
    [AS_JSON],
)


def task_doctor() -> dict[str, Any]:
    """The command `doctor`."""
    return command(_DOCTOR, _doctor)


def _doctor(json: bool) -> TaskFailed | None:
    from imagegen.report.doctor import Case, as_data, as_lines, blocks, examine

    build = current_build()
    verdicts = [(planned.output, planned.verdict) for planned in build.planned.values()]
    rows = examine(Case(build.project, build.plans, build.problems, verdicts))
    print("\n".join(as_data(rows) if json else as_lines(rows)))
    return TaskFailed("a job is blocked", report=False) if blocks(rows) else None
