"""The lock files: whether they can be read, and whether what they tell of is still wanted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from imagegen.backends.base import Diagnosis
from imagegen.errors import ImagegenError
from imagegen.project import JobPlan
from imagegen.report.console import counted
from imagegen.report.doctor.case import Case
from imagegen.report.doctor.jobs import as_row
from imagegen.state.lockfile import LockFile

__all__ = ["locks"]

_ONE_OFF = "image"
"""The lock file of `doit image`, which has no job file."""
_SHOWN = 3


def locks(case: Case) -> Iterator[Diagnosis]:
    """Rows for each lock file in jobs/."""
    plans = {plan.name: plan for plan in case.plans}
    wanted = {output.path for output, _ in case.verdicts}
    for path in sorted((case.project.root / "jobs").glob("*.lock")):
        plan = plans.get(path.stem)
        if plan or path.stem == _ONE_OFF:
            yield from _own(case, path, plan, wanted)
        else:
            hint = f"if the job is gone for good: rm jobs/{path.name}"
            yield Diagnosis(True, f"jobs/{path.name}", "foreign: there is no job of that name", hint)


def _own(case: Case, path: Path, plan: JobPlan | None, wanted: set[str]) -> Iterator[Diagnosis]:
    name = f"jobs/{path.name}"
    try:
        lock = case.project.lock(path.stem)
    except ImagegenError as error:
        for problem in error.problems:
            if plan is None or problem not in plan.problems:  # else it stands with the job
                yield as_row(name, problem)
        return
    found = counted(len(lock.lines), "output")
    found += "; its last line was cut off by a kill, and is dropped" if lock.torn_at is not None else ""
    yield Diagnosis(True, name, found)
    if plan and not plan.problems:
        yield from _unwanted(case, lock, wanted)


def _unwanted(case: Case, lock: LockFile, wanted: set[str]) -> Iterator[Diagnosis]:
    gone = sorted(path for path in lock.lines if path not in wanted and (case.project.root / path).exists())
    if gone:
        shown = ", ".join(gone[:_SHOWN]) + (" …" if len(gone) > _SHOWN else "")
        hint = "bring the items back; or doit prune, which removes what nobody changed"
        found = f"{counted(len(gone), 'file')} of no item any more: {shown}"
        yield Diagnosis(True, lock.name, found, hint)
