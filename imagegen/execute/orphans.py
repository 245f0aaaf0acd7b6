"""What the lock files tell of that belongs to no item any more, and what of it is ours to remove."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from imagegen.execute.picking import is_candidate
from imagegen.plan.record import OutputLine
from imagegen.project import JobPlan, Project

__all__ = ["ONE_OFF", "Orphan", "orphans"]

ONE_OFF = "image"
"""The lock file of `doit image`: it has no items."""


@dataclass(frozen=True)
class Orphan:
    """An output of no item. job: whose lock file has its lines. why: it is not ours to remove; empty: it is.

    line: the one that counts. exists: whether its file is there. owner: the job that has the file now, by its own lock
    file: only the line can go.
    """

    job: str
    path: str
    line: OutputLine
    exists: bool
    why: str = ""
    owner: str = ""


def orphans(project: Project, plans: Collection[JobPlan], jobs: Collection[str] | None = None) -> Iterator[Orphan]:
    """Those of the jobs, also of jobs that are gone. plans: all of the project. jobs: by name; None: all.

    Nothing is told of a job with problems, nor of files that another job makes now.
    Raises ImagegenError for a lock file that cannot be understood; OSError.
    """
    owners = {output.path: output.job for plan in plans for output in plan.outputs}
    broken = {plan.name for plan in plans if plan.problems}
    for file in sorted((project.root / "jobs").glob("*.lock")):
        job = file.stem
        if job in broken or job == ONE_OFF or (jobs is not None and job not in jobs):
            continue
        lock = project.lock(job)
        for path in lock.lines:
            state = project.hashes.state(path)
            line = lock.line_of(path, state.sha256 if state else None)
            is_gone = state is None and line is not None and is_candidate(project, job, line.output)
            if line is None or is_gone:
                continue
            if owner := owners.get(path):
                if owner != job and path in project.lock(owner).lines:
                    yield Orphan(job, path, line, exists=False, owner=owner)
                continue
            why = ""
            if state is not None and state.is_pointer:
                why = "a Git LFS pointer, whose content is not here to bring back"
            elif state is not None and line.sha256 != state.sha256:
                why = "changed by hand since it was made"
            yield Orphan(job, path, line, state is not None, why)
