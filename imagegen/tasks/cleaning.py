"""`doit clean`: as doit's users know it, and safe: see `imagegen.execute.prune`."""

from __future__ import annotations

import atexit
import contextlib
import sys
from collections import defaultdict
from typing import TYPE_CHECKING

from doit.action import PythonAction

from imagegen.errors import ImagegenError, not_written
from imagegen.execute.prune import clean, look
from imagegen.state.mutex import hold
from imagegen.tasks.build import current_build
from imagegen.tasks.process import fail_at_end

if TYPE_CHECKING:
    from imagegen.project import JobPlan

__all__ = ["CleanAction", "CleanBrokenAction"]


class CleanAction(PythonAction):  # type: ignore[misc]  # doit ships no types
    """Cleans one image. doit prints each clean action as text before it runs it: that says what will be done."""

    def __init__(self, task: str) -> None:
        super().__init__(_clean, [task])
        self._name = task

    def __str__(self) -> str:
        build = current_build()
        try:
            return look(build.project, build.planned[self._name].output).said
        except OSError as error:
            return f"cannot be cleaned: {error.strerror}: {error.filename}"


class CleanBrokenAction(PythonAction):  # type: ignore[misc]  # doit ships no types
    """Says that a broken job is not cleaned: which images it has is not known."""

    def __init__(self, plan: JobPlan) -> None:
        super().__init__(_fail_broken, [plan])
        self._file = plan.file

    def __str__(self) -> str:
        return f"keep every image of {self._file}: the job is broken"


def _fail_broken(plan: JobPlan) -> None:
    for problem in plan.problems:
        fail_at_end(str(problem))
    fail_at_end(f"{plan.file} is broken, and none of its images was removed: fix it, then clean again")


class _Cleaning:
    """One `doit clean`. doit does not say when it is over, so what is done once at the end waits for the exit."""

    def __init__(self) -> None:
        self._held = contextlib.ExitStack()
        self._gone: dict[str, list[str]] = defaultdict(list)
        self._begun = False

    def one(self, task: str) -> None:
        build = current_build()
        if not self._begun:
            self._held.enter_context(hold(build.project.state, build.project.settings.wait_s))
            build.know_others()
            atexit.register(self._end)
            self._begun = True
        if task not in build.planned:  # another one was picked while this waited
            return
        output = build.planned[task].output
        if clean(build.project, output).forgets:
            self._gone[output.job].append(output.path)

    def _end(self) -> None:
        project = current_build().project
        try:
            for job, paths in self._gone.items():
                project.lock(job).forget(paths, project.temporary)
        except OSError as error:  # harmless: lines without files mean that these are restored
            sys.stderr.write(f"the lines of what was removed stay: {error.strerror}: {error.filename}\n")
        self._held.close()


_cleaning = _Cleaning()


def _clean(task: str) -> None:
    try:
        _cleaning.one(task)
    except ImagegenError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(1) from None
    except OSError as error:
        sys.stderr.write(f"{not_written(error, task)}\n")
        raise SystemExit(1) from None
