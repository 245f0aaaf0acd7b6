"""`doit clean`: as doit's users know it, and safe: see `imagegen.execute.cleaning`."""

from __future__ import annotations

import atexit
import contextlib
import sys
from collections import defaultdict
from typing import Any

from doit.action import PythonAction

from imagegen.errors import ImagegenError
from imagegen.execute.cleaning import clean
from imagegen.state.mutex import hold
from imagegen.tasks.build import current_build

__all__ = ["CleanAction"]


class CleanAction(PythonAction):  # type: ignore[misc]  # doit ships no types
    """Cleans one image; doit shows it as its text."""

    def __init__(self, task: str, path: str) -> None:
        super().__init__(_clean, [task])
        self._path = path

    def __str__(self) -> str:
        return f"clean {self._path}"


class _Cleaning:
    """One `doit clean`. doit does not say when it is over, so what is done once at the end waits for the exit."""

    def __init__(self) -> None:
        self._held = contextlib.ExitStack()
        self._gone: dict[str, list[str]] = defaultdict(list)
        self._begun = False

    def one(self, task: str, dry_run: bool) -> str:
        build = current_build()
        output = build.planned[task].output
        if not self._begun and not dry_run:
            self._held.enter_context(hold(build.project.state, build.project.settings.wait_s))
            build.project.reload_locks()
            atexit.register(self._end)
            self._begun = True
        drop, said = clean(build.project, output, dry_run=dry_run)
        if drop and not dry_run:
            self._gone[output.job].append(output.path)
        return said

    def _end(self) -> None:
        project = current_build().project
        for job, paths in self._gone.items():
            project.lock(job).forget(paths, project.temporary)
        self._held.close()


_cleaning = _Cleaning()


def _clean(task: str, dryrun: bool) -> Any:
    """doit hands in `dryrun` by this name."""
    try:
        if said := _cleaning.one(task, dryrun):
            print(f"  {said}")
    except ImagegenError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(1) from None
    except OSError as error:
        sys.stderr.write(f"{task}: cannot be cleaned: {error.strerror}: {error.filename}\n")
