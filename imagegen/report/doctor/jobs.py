"""The settings and the job files: each problem in its place; and what stands in the way of sound jobs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from imagegen.backends.base import Diagnosis
from imagegen.config.job_files import stray_files
from imagegen.errors import Problem
from imagegen.execute.build_image import blocked
from imagegen.plan.freshness import Verdict
from imagegen.plan.output import Output
from imagegen.project import JobPlan
from imagegen.report.console import counted
from imagegen.report.doctor.case import Case

__all__ = ["as_row", "jobs"]

_STATES = ("fresh", "stale", "kept", "blocked")


def jobs(case: Case) -> Iterator[Diagnosis]:
    """Rows for the settings, and for each job file."""
    for problem in case.problems:
        yield as_row("settings", problem)
    if case.problems:
        return  # every job is broken by them, and by nothing that is known yet
    if not case.plans:
        yield Diagnosis(True, "jobs", "no job files in jobs/: imagegen init adds a first one")
    for stray in stray_files(case.project.root, case.project.inputs.named):
        yield Diagnosis(True, stray.where, stray.what, stray.hint)
    for plan in case.plans:
        for problem in plan.problems:
            yield as_row(f"job {plan.name}", problem, plan.file)
        if not plan.problems:
            verdicts = [pair for pair in case.verdicts if pair[0].job == plan.name]
            yield from _sound(plan, verdicts, has_store=bool(case.project.settings.store))


def as_row(what: str, problem: Problem, where: str = "") -> Diagnosis:
    """A problem that keeps a job from being built. where: if it does not say so itself."""
    where = problem.where or where
    found = f"{where}: {problem.what}" if where else problem.what
    return Diagnosis(False, what, found, problem.hint or _place(where))


def _place(where: str) -> str:
    file, *numbers = where.split(":")
    return f"edit {file}, line {numbers[0]}" if numbers and numbers[0].isdigit() else "correct it"


def _sound(plan: JobPlan, verdicts: list[tuple[Output, Verdict]], *, has_store: bool) -> Iterator[Diagnosis]:
    counts = Counter(verdict.state for _, verdict in verdicts)
    said = ", ".join(f"{counts[state]} {state}" for state in _STATES if counts[state])
    images = [output for output, _ in verdicts if not output.is_derived]
    backends = ", ".join(dict.fromkeys(output.request.backend for output in images))
    found = f"{counted(len(images), 'image')} with {backends}"
    if derived := len(verdicts) - len(images):
        found += f" and {counted(derived, 'derived file')}"
    yield Diagnosis(True, f"job {plan.name}", f"{found}: {said}")
    for output, verdict in verdicts:
        if verdict.state == "blocked":
            problem = blocked(output, verdict)
            # one without a line may be just what its image would be, and a shared store may have what was accepted:
            # only the run finds out
            may_be_well = verdict.line is None or (verdict.is_missing and has_store)
            yield Diagnosis(may_be_well, output.task, problem.what, problem.hint)
