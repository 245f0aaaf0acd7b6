"""The rows of `doit doctor` on review files: marks and notes that cannot be read, or that nobody sees."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from imagegen.backends.base import Diagnosis
from imagegen.errors import ImagegenError
from imagegen.project.remarks import find_jobless_reviews, read_remarks
from imagegen.report.console import plural

if TYPE_CHECKING:
    from imagegen.report.doctor import Case

__all__ = ["check_reviews"]


def check_reviews(case: Case) -> Iterator[Diagnosis]:
    """Yield rows for each review file in jobs/. None of them keeps a job from being built."""
    names = {plan.name for plan in case.plans}
    for path in sorted((case.project.root / "jobs").glob("*.review")):
        if path.stem not in names:
            continue
        try:
            file = read_remarks(case.project, path.stem)
        except ImagegenError as error:
            for problem in error.problems:
                yield Diagnosis(False, problem.where, problem.what, problem.hint, blocks=False)
            continue
        kinds = [remark.kind for remark in file.remarks.values() if remark.value is not None]
        found = f"{plural(kinds.count('mark'), 'mark')}, {plural(kinds.count('note'), 'note')}"
        yield Diagnosis(True, f"jobs/{path.name}", found)
    for problem in find_jobless_reviews(case.project, names):
        yield Diagnosis(True, problem.where, problem.what, problem.hint)
