"""Which pictures have to be collected again after a change, and whether the jobs have to be planned again."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping

from imagegen.config.job_files import find_job_files
from imagegen.errors import ImagegenError
from imagegen.plan.record import MODEL_DECISION, PICK
from imagegen.project import JobPlan, Project
from imagegen.report.gallery.contents import PlannedPicture, list_pictures
from imagegen.report.gallery.picture import Picture
from imagegen.state.attempts import read_failures
from imagegen.state.lockfile import LockFile

__all__ = ["Affected"]


class Affected:
    """What each picture of a project follows from, and those for which something of that has changed.

    Attributes:
        pictures: by task; of jobs with problems there are none, and what they show is collected each time.
        tasks: of those that have to be collected.
        is_planned: whether the outputs are planned with all that has been decided.

    """

    def __init__(self, project: Project) -> None:
        self._project = project
        self._plans: list[JobPlan] = []
        self.pictures: dict[str, PlannedPicture] = {}
        self.tasks: set[str] = set()
        self.is_planned = True
        self._of_path: dict[str, set[str]] = defaultdict(set)
        self._of_name: dict[str, set[str]] = defaultdict(set)
        """By what an output is called: its task, and its name in the store."""
        self._locks: dict[str, LockFile] = {}
        self._failures = read_failures(project.failures)
        self._written = project.written_files.lines()
        self._job_files = self._find_job_files()
        self._volatile: set[str] = set()
        """Those that follow from more than their own files and lines."""

    @property
    def paths(self) -> Collection[str]:
        """All files that pictures follow from."""
        return self._of_path.keys()

    def take(self, project: Project, plans: list[JobPlan]) -> None:
        """Take the project as it has been planned now, and add the pictures that are planned otherwise than before."""
        before, locks = self.pictures, self._locks
        self._project, self._plans = project, plans
        self._job_files = self._find_job_files()
        self.pictures = {one.task: one for plan in plans if not plan.problems for one in list_pictures(plan)}
        self._of_path.clear()
        self._of_name.clear()
        for task, planned in self.pictures.items():
            for path in planned.paths:
                self._of_path[path].add(task)
            for output in planned.outputs:
                self._of_name[output.task].add(task)
                self._of_name[output.store_name].add(task)
        self.tasks |= {task for task, planned in self.pictures.items() if before.get(task) != planned}
        self._compare_locks(locks)
        self.is_planned = True

    def collected(self, pictures: Mapping[str, Picture]) -> None:
        """Note that all have been collected."""
        self.tasks.clear()
        self._volatile = {task for task, one in pictures.items() if one.state == "edited" or _is_picked(one)}

    def add_files(self, paths: Iterable[str]) -> None:
        """Add the pictures that follow from files that have changed."""
        for path in paths:
            self.tasks |= self._of_path.get(path, frozenset())

    def add_stored(self, names: Iterable[str], images: Collection[str], known: Mapping[str, Picture]) -> None:
        """Add the pictures of these outputs, and those that show one of these images (sha256)."""
        for name in names:
            self.tasks |= self._of_name.get(name, frozenset())
        if images:
            self.tasks |= {
                task
                for task, one in known.items()
                if one.sha256 in images or any(derived.sha256 in images for derived in one.derived)
            }

    def reload(self, changed: Collection[str]) -> bool:
        """Read again what has changed besides images; return whether the project has to be planned again."""
        self.tasks |= self._volatile
        self._compare_failures()
        self._compare_written_files(changed)
        if "jobs" in changed and self._find_job_files() != self._job_files:
            return True
        inputs = self._project.inputs.stats
        locks = {f"jobs/{plan.name}.lock": plan.name for plan in self._plans}
        if any(path == "pyproject.toml" or (path in inputs and path not in locks) for path in changed):
            return True
        return not self._reload_locks([job for name, job in locks.items() if name in changed])

    def _reload_locks(self, jobs: Iterable[str]) -> bool:
        """Read these lock files again. Return whether the plan still holds."""
        before = self._locks
        try:
            for job in jobs:
                if self._project.locks.pop(job, None) is None:  # it could not be read before
                    return False
                if _changes_plan(before.get(job), self._project.lock(job)):
                    return False
        except ImagegenError:
            return False
        self._compare_locks(before)
        return True

    def _compare_locks(self, before: Mapping[str, LockFile]) -> None:
        """Add the pictures of which lock files say something else than before."""
        self._locks = dict(self._project.locks)
        for job, lock in self._locks.items():
            old = before.get(job)
            if old is lock:
                continue
            lines, now = dict(old.lines) if old else {}, dict(lock.lines)
            self.add_files(path for path in lines.keys() | now.keys() if lines.get(path) != now.get(path))
            decisions = old.decisions if old else {}
            for key in decisions.keys() | lock.decisions.keys():
                if decisions.get(key) == lock.decisions.get(key):
                    continue
                self.is_planned = False
                if key == MODEL_DECISION:
                    self.tasks |= {task for task in self.pictures if task.startswith(f"{job}:")}
                self.tasks |= self._of_name.get(f"{job}:{key[1]}", frozenset())

    def _compare_failures(self) -> None:
        before, self._failures = self._failures, read_failures(self._project.failures)
        for task in before.keys() | self._failures.keys():
            if before.get(task) != self._failures.get(task):
                self.tasks |= self._of_name.get(task, frozenset())

    def _compare_written_files(self, changed: Collection[str]) -> None:
        written = self._project.written_files
        if written.path.relative_to(self._project.root).as_posix() in changed:
            written.forget()
            before, self._written = self._written, written.lines()
            paths = before.keys() | self._written.keys()
            self.add_files(os.fsdecode(path) for path in paths if before.get(path) != self._written.get(path))

    def _find_job_files(self) -> list[str]:
        return [path.name for path in find_job_files(self._project.root)]


def _changes_plan(old: LockFile | None, new: LockFile) -> bool:
    """Whether a lock file says something else that outputs are planned by.

    A seed, a model, an accepted file: what is added to these is heeded whenever an output is looked at.
    """
    if old is None or new.conflicts:
        return True
    gone = old.decisions.keys() - new.decisions.keys()
    return bool(gone) or any(
        kind == PICK and old.decisions.get((kind, output)) != decision
        for (kind, output), decision in new.decisions.items()
    )


def _is_picked(picture: Picture) -> bool:
    return bool(picture.variant) and picture.task == picture.item
