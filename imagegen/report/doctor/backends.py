"""Each backend that a job uses, with the rows that it has to tell itself."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace

from imagegen.backends.base import Backend, Diagnosis
from imagegen.backends.registry import unusable_names
from imagegen.plan.request import Request
from imagegen.report.doctor.case import Case

__all__ = ["backends"]


def backends(case: Case) -> Iterator[Diagnosis]:
    """Rows for each backend. One that no stale image needs blocks nothing, whatever is wrong with it."""
    requests: dict[str, list[Request]] = defaultdict(list)
    needed = set()
    for output, verdict in case.verdicts:
        if output.is_derived:
            continue
        requests[output.request.backend].append(output.request)
        if verdict.state == "stale":
            needed.add(output.request.backend)
    for name, asked in requests.items():
        for row in _rows(case.project.backends.drawing(name), asked):
            what = f"backend {name}" + (f": {row.what}" if row.what else "")
            yield replace(row, what=what, blocks=row.blocks and name in needed)
    for name, error in case.project.backends.unusable().items():  # a job that uses it has a row of its own
        for problem in error.problems:
            yield Diagnosis(False, f"backend {name}", problem.what, problem.hint, blocks=False)
    for problem in unusable_names():
        yield Diagnosis(False, "backends", problem.what, problem.hint, blocks=False)


def _rows(backend: Backend, requests: Sequence[Request]) -> Sequence[Diagnosis]:
    try:
        return backend.diagnose(requests)
    except Exception as error:  # a plug-in can fail in any way
        found = f"a fault in the backend: {type(error).__name__}: {error}"
        return [Diagnosis(False, "", found, "tell whoever makes the package that brings it")]
