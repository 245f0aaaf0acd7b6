"""What words name: jobs, images, files and patterns, as on the command line."""

from __future__ import annotations

import fnmatch
import posixpath
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imagegen.errors import InputError, Problem, did_you_mean

if TYPE_CHECKING:
    from imagegen.library.planned_project import PlannedImage, PlannedProject
    from imagegen.project import JobPlan

__all__ = ["LIST_HINT", "Selection", "select", "select_images"]

LIST_HINT = "doit list --all shows them"
"""What to do if a word names nothing."""


@dataclass(frozen=True)
class Selection:
    """What words name.

    Attributes:
        images: tasks, in the order of the jobs.
        one_by_one: those of them that have a word of their own.
        plans: the jobs of these images, and the broken ones that words name or would find images in.

    """

    images: tuple[str, ...]
    one_by_one: frozenset[str]
    plans: tuple[JobPlan, ...]


def select(project: PlannedProject, words: Sequence[str]) -> Selection:
    """Return what these words name, everything if there are none. Raises InputError for each that names nothing."""
    jobs = {plan.task: plan for plan in project.plans}
    targets = {one.output.path: task for task, one in project.planned.items()}
    items = project.items
    broken = [name for name, plan in jobs.items() if plan.problems]
    images: set[str] = set()
    one_by_one: set[str] = set()
    selected_jobs: set[str] = set(jobs) if not words else set()
    problems = []
    tasks = [targets.get(posixpath.normpath(word), word) for word in words]
    for word, task, named in zip(words, tasks, project.find_each(tasks), strict=True):
        found = set(named)
        job = task.partition(":")[0]
        of_broken = {name for name in broken if fnmatch.fnmatch(name, job)}
        if not found and not of_broken and task not in jobs:
            near = did_you_mean(word, [*jobs, *project.planned, *items, *targets])
            what = f"'{word}' is not a job, an image or a derived file{near}"
            what = f"no job or image has a name like '{word}'" if "*" in word else what
            problems.append(Problem("", what, LIST_HINT))
        images |= found
        selected_jobs |= of_broken | ({task} & jobs.keys())
        one_by_one |= found & {task}
    if problems:
        raise InputError(*problems)
    selected = tuple(task for task in project.planned if task in images or not words)
    selected_jobs |= {task.partition(":")[0] for task in selected}
    return Selection(
        selected, frozenset(one_by_one), tuple(plan for plan in project.plans if plan.task in selected_jobs)
    )


def select_images(project: PlannedProject, words: Sequence[str]) -> list[PlannedImage]:
    """Return the images that these words name, each once. Raises InputError also for jobs that are broken."""
    found = select(project, words)
    if problems := [problem for plan in found.plans for problem in plan.problems]:
        raise InputError(*dict.fromkeys(problems))
    return [project.planned[task] for task in found.images]
