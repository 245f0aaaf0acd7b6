"""`doit doctor`: is all there that the jobs need? Looks, and changes nothing."""

from __future__ import annotations

from typing import Any

from doit.exceptions import TaskFailed

from imagegen.tasks.acting import command
from imagegen.tasks.build import current_build
from imagegen.tasks.words import AS_JSON

__all__ = ["task_doctor"]


def task_doctor() -> dict[str, Any]:
    """Check all that the jobs need, and say the mend for what is not there."""
    return command(_doctor, params=[AS_JSON])


def _doctor(as_json: bool) -> TaskFailed | None:
    from imagegen.report.doctor.case import Case
    from imagegen.report.doctor.examination import as_data, as_lines, blocks, examine

    build = current_build()
    verdicts = [(planned.output, planned.verdict) for planned in build.planned.values()]
    rows = examine(Case(build.project, build.plans, build.problems, verdicts))
    print("\n".join(as_data(rows) if as_json else as_lines(rows)))
    return TaskFailed("a job is blocked", report=False) if blocks(rows) else None
