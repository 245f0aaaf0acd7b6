"""Files that a job reads although a job writes them: they may not be there yet, or change in this run.

An output that is made from another one names it as JOB:ITEM; a path says nothing of what must be built first.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from imagegen.errors import Problem
from imagegen.plan.folder_items import IMAGE_SUFFIXES
from imagegen.plan.naming import fold_path
from imagegen.project.folder_files import ItemMatcher

if TYPE_CHECKING:
    from imagegen.plan.output import Output
    from imagegen.project.job_plan import JobPlan

__all__ = ["WrittenInputs", "have_common_file"]


class WrittenInputs:
    """Finds them among the plans of all jobs. Links are followed."""

    def __init__(self, root: Path, plans: Sequence[JobPlan]) -> None:
        self._root, self._plans = root, plans
        self._real = _RealPaths(root)

    @functools.cached_property
    def _writers(self) -> dict[str, Output]:
        return {self._real.find(output.path): output for plan in self._plans for output in plan.outputs}

    def find_problems(self, plan: JobPlan) -> Iterator[Problem]:
        """Yield which items, and which files of steps, a job writes. Its own items were looked for with its outputs."""
        if plan.folder and not plan.problems:
            items = ItemMatcher(self._root, plan.folder)
            others = (output for one in self._plans if one is not plan for output in one.outputs)
            if written := next((output for output in others if items.matches(output.path)), None):
                what = f"items.folder: '{plan.folder}' matches {written.path}, which the job {written.job} writes"
                hint = "name a folder that no job writes to; what is derived from images belongs in their own job file"
                yield Problem(plan.folder_where, what, hint)
        for path, step in plan.step_files:
            if written := self._writers.get(self._real.follow(path)):
                who = "this job" if written.job == plan.name else f"the job {written.job}"
                name = path if path == written.path else f"{path} is {written.path}"
                hint = "name a file that no job writes: copy it into another folder, such as art/"
                yield Problem(step.where, f"{step.key}: {name}, which {who} writes", hint)

    def find_notes(self, files: Iterable[str]) -> Iterator[str]:
        """Yield how to name the reference images among these files of sections that a job writes."""
        for path in sorted(files):
            if path.lower().endswith(IMAGE_SUFFIXES) and (written := self._writers.get(self._real.follow(path))):
                what = f"{path} is written by the job {written.job}, and may be read before that"
                yield f"{what}: name it {written.task}, and it is built first"


def have_common_file(root: Path, paths: Iterable[str], others: Iterable[str]) -> bool:
    """Return whether one of these paths is one of the others. Links are followed."""
    real = _RealPaths(root)
    return not {real.follow(path) for path in paths}.isdisjoint(map(real.find, others))


class _RealPaths:
    """Where paths lead to, in a form that is the same for all names of a file."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._folders: dict[str, str] = {}

    def find(self, path: str) -> str:
        """Return where a file of this path is written to: a link in its place is replaced, those above are followed."""
        folder, _, name = path.rpartition("/")
        if folder not in self._folders:
            self._folders[folder] = self.follow(folder)
        return f"{self._folders[folder]}/{fold_path(name)}"

    def follow(self, path: str) -> str:
        """Return where a file of this path is read from."""
        return fold_path(Path(os.path.realpath(self._root / path)).as_posix())
