"""The words of a command line that name images: jobs, images, items, files, and patterns with `*`."""

from __future__ import annotations

import fnmatch
import posixpath
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imagegen.errors import ImagegenError, Problem, did_you_mean
from imagegen.tasks.build import Build, Planned

if TYPE_CHECKING:
    from imagegen.project import JobPlan

__all__ = ["Chosen", "choose", "chosen"]


@dataclass(frozen=True)
class Chosen:
    """What words name.

    images: tasks, in the order of the jobs. one_by_one: those of them that have a word of their own.
    plans: the jobs of these images, and the broken ones that words name or would find images in.
    """

    images: tuple[str, ...]
    one_by_one: frozenset[str]
    plans: tuple[JobPlan, ...]


def choose(build: Build, words: Sequence[str]) -> Chosen:
    """What these words name; all there is where there are none. Raises ImagegenError for each that names nothing.

    A word that is the name of an item with variants stands for all of them.
    """
    jobs = {plan.task: plan for plan in build.plans}
    targets = {one.output.path: task for task, one in build.planned.items()}
    items = build.items
    images: set[str] = set()
    one_by_one: set[str] = set()
    asked: set[str] = set(jobs) if not words else set()
    problems = []
    for word in words:
        task = targets.get(posixpath.normpath(word), word)
        found = set(build.named([task]) or items.get(task, []))
        job = task.partition(":")[0]
        of_broken = {name for name, plan in jobs.items() if plan.problems and fnmatch.fnmatch(name, job)}
        if not found and not of_broken and task not in jobs:
            near = did_you_mean(word, [*jobs, *build.planned, *items, *targets])
            what = f"'{word}' is no job, image or file of one{near}"
            what = f"no job or image has a name like '{word}'" if "*" in word else what
            problems.append(Problem("", what, "doit list --all shows them"))
        images |= found
        asked |= of_broken | ({task} & jobs.keys())
        one_by_one |= found & {task}
    if problems:
        raise ImagegenError(*problems)
    chosen = tuple(task for task in build.planned if task in images or not words)
    asked |= {task.partition(":")[0] for task in chosen}
    return Chosen(chosen, frozenset(one_by_one), tuple(plan for plan in build.plans if plan.task in asked))


def chosen(build: Build, words: Sequence[str]) -> list[Planned]:
    """The images that these words name, each once. Raises ImagegenError also for jobs that are broken."""
    found = choose(build, words)
    if problems := [problem for plan in found.plans for problem in plan.problems]:
        raise ImagegenError(*dict.fromkeys(problems))
    return [build.planned[task] for task in found.images]
