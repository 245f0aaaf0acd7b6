"""The marks and notes of a project's images, which stand in `jobs/NAME.review`."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from imagegen.errors import InputError, Problem
from imagegen.plan.remark import Remark
from imagegen.project.project import Project
from imagegen.state.review_file import ReviewFile, read_review_file, write_remarks

__all__ = ["find_jobless_reviews", "read_remarks", "record_remarks"]


def read_remarks(project: Project, job: str) -> ReviewFile:
    """Return the marks and notes of a job's images, as they are on disk now.

    Raises ImagegenError if the file cannot be understood.
    """
    name = _check(project, job)
    return read_review_file(name, project.root / name)


def record_remarks(project: Project, job: str, given: Iterable[Remark]) -> list[Remark]:
    """Record marks and notes: see `write_remarks`. Raises ImagegenError and OSError."""
    name = _check(project, job)
    return write_remarks(name, project.root / name, given, project.state, project.settings.wait_s)


def find_jobless_reviews(project: Project, jobs: Collection[str]) -> list[Problem]:
    """Return what to do about each review file whose job is gone. jobs: the names of all that there are."""
    found = []
    for file in sorted((project.root / "jobs").glob("*.review")):
        if file.stem not in jobs:
            what = f"there is no job '{file.stem}', so nobody sees these marks and notes"
            hint = f"if you renamed the job, rename this file too; if the job is gone for good: rm jobs/{file.name}"
            found.append(Problem(f"jobs/{file.name}", what, hint))
    return found


def _check(project: Project, job: str) -> str:
    """Return the name of the job's review file. Raises ImagegenError if it leads out of the project."""
    name = f"jobs/{job}.review"
    if problem := project.inputs.why_unreadable(name):
        raise InputError(Problem(name, problem, "restore the file from git, or delete it"))
    return name
