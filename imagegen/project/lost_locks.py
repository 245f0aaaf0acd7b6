"""Jobs whose lock file is gone while images of theirs are there.

A lock file knows what nothing else does: which variant was picked, which seed was chosen, which file was accepted. A
build without it would replace these images. So such a job is not built until the file is back, unless every image is
just what the job asks for now: then a build writes the lock file again from the store, and nothing is lost.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Collection, Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING

from imagegen.errors import Problem
from imagegen.plan.record import Decision, OutputLine
from imagegen.project.job_plan import JobPlan, add_problems

if TYPE_CHECKING:
    from imagegen.project.project import Project

__all__ = ["refuse_lost_locks"]


def refuse_lost_locks(project: Project, plans: Sequence[JobPlan]) -> list[JobPlan]:
    """Return the plans, in which a job has a problem if it must not be built without its lock file."""
    files = _Files(project)
    found = []
    for plan in plans:
        if plan.outputs and project.lock(plan.name).seen is None:  # what has problems has no outputs
            problem = _find_problem(project, plan, plans, files)
            plan = add_problems(plan, problem) if problem else plan
        found.append(plan)
    return found


def _find_problem(project: Project, plan: JobPlan, plans: Sequence[JobPlan], files: _Files) -> Problem | None:
    lock = f"jobs/{plan.name}.lock"
    outputs = {output.path for output in plan.outputs}
    folders = {path.rpartition("/")[0] for path in outputs}
    if not any(map(files.in_folder, folders)):
        return None
    there = {path for path in outputs if path in files}
    if lock in files.in_git:
        command, recorded, has_decisions = _ask_git(project, lock)
        recorded = [path for path in recorded if path in files]
        if recorded or (there and has_decisions):
            return _problem(lock, there.union(recorded), command)
    others = {output.path for other in plans if other is not plan for output in other.outputs}
    if lost := {path for path in _find_lost(project, plan, folders) if path not in others}:
        hint = f"bring it back from a copy; without one, create it empty: then doit accept {plan.task} keeps the files"
        return _problem(lock, there | lost, hint)
    return None


def _problem(lock: str, files: Collection[str], hint: str) -> Problem:
    what = "a file of the job is there" if len(files) == 1 else f"{len(files)} files of the job are there"
    return Problem(lock, f"is missing, and {what}", hint)


def _ask_git(project: Project, lock: str) -> tuple[str, list[str], bool]:
    """Return the command by which git brings the lock file back, the files that it records, and if it has decisions."""
    from imagegen.project.git import committed_file
    from imagegen.state.lock_line import parse_line

    found = committed_file(project.root, lock)
    if found is None:
        return "", [], False
    command, data = found
    entries: list[OutputLine | Decision] = []
    for line in data.splitlines():
        with contextlib.suppress(ValueError, TypeError):
            entries.append(parse_line(line))
    paths = [one.path for one in entries if isinstance(one, OutputLine)]
    return command, paths, len(paths) < len(entries)


def _find_lost(project: Project, plan: JobPlan, folders: Collection[str]) -> Iterator[str]:
    """Yield the files in these folders that this checkout wrote, and that the job does not ask for as they are."""
    outputs = {output.path: output for output in plan.outputs}
    project.read_all_locks()
    recorded = set(chain.from_iterable(lock.lines for lock in project.locks.values()))
    for line in project.written_files.lines():
        path = os.fsdecode(line)
        output = outputs.get(path)
        if path.rpartition("/")[0] not in folders or path in recorded or (output and output.is_derived):
            continue
        written = project.written_files.last(path)
        with contextlib.suppress(OSError):
            is_there = written is not None and (project.root / path).stat().st_mtime_ns == written.mtime_ns
            if written and is_there and not (output and written.fingerprint == output.fingerprint):
                yield path


class _Files:
    """The files of the project, by the listings of their folders."""

    def __init__(self, project: Project) -> None:
        self._root = project.root
        self._known: dict[str, frozenset[str]] = {}

    @functools.cached_property
    def in_git(self) -> Collection[str]:
        """Those of jobs that git has; it is asked once for all jobs."""
        from imagegen.project.git import committed_paths

        return committed_paths(self._root, "jobs")

    def in_folder(self, folder: str) -> frozenset[str]:
        """Return the names in a folder; none if it is not there."""
        if folder not in self._known:
            self._known[folder] = frozenset()
            with contextlib.suppress(OSError):
                self._known[folder] = frozenset(os.listdir(self._root / folder))  # noqa: PTH208 - names
        return self._known[folder]

    def __contains__(self, path: str) -> bool:
        folder, _, name = path.rpartition("/")
        return name in self.in_folder(folder)
