"""Files that a job reads although a job writes them: they may not be there yet, or change in this run.

An output that is made from another one names it as JOB:ITEM; a path says nothing of what must be built first.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from imagegen.errors import Problem
from imagegen.plan.naming import fold_path
from imagegen.project.folder_files import ItemMatcher

if TYPE_CHECKING:
    from imagegen.plan.output import Output
    from imagegen.project.planner import JobPlan

__all__ = ["find_written_inputs", "have_common_file"]


def find_written_inputs(root: Path, plans: Sequence[JobPlan]) -> dict[str, list[Problem]]:
    """Return, by job, which of its inputs a job writes: items that are files, and files of steps."""
    found: dict[str, list[Problem]] = defaultdict(list)
    for plan in plans:
        found[plan.name] += _find_items(root, plan, plans)
    if any(plan.step_files for plan in plans):
        real = _RealPaths(root)
        writers = {real.find(output.path): output for plan in plans for output in plan.outputs}
        for plan in plans:
            found[plan.name] += _find_step_files(plan, real, writers)
    return {job: problems for job, problems in found.items() if problems}


def have_common_file(root: Path, paths: Iterable[str], others: Iterable[str]) -> bool:
    """Return whether one of these paths is one of the others. Links are followed."""
    real = _RealPaths(root)
    return not {real.follow(path) for path in paths}.isdisjoint(map(real.find, others))


def _find_items(root: Path, plan: JobPlan, plans: Sequence[JobPlan]) -> Iterator[Problem]:
    """Yield a problem if another job writes an item. A job that writes its own was refused when it was planned."""
    if plan.folder and not plan.problems:
        items = ItemMatcher(root, plan.folder)
        others = (output for one in plans if one is not plan for output in one.outputs)
        if written := next((output for output in others if items.matches(output.path)), None):
            what = f"items.folder: '{plan.folder}' matches {written.path}, which the job {written.job} writes"
            hint = "name a folder that no job writes to; what is derived from images belongs in their own job file"
            yield Problem(plan.file, what, hint)


def _find_step_files(plan: JobPlan, real: _RealPaths, writers: dict[str, Output]) -> Iterator[Problem]:
    for path, step in plan.step_files:
        if written := writers.get(real.follow(path)):
            who = "this job" if written.job == plan.name else f"the job {written.job}"
            name = path if path == written.path else f"{path} is {written.path}"
            hint = "name a file that no job writes: copy it into another folder, such as art/"
            yield Problem(step.where, f"{step.key}: {name}, which {who} writes", hint)


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
