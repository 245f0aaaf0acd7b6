"""What is built before an image, along with it or not yet: the same for a run, doit's tasks and `doit why`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from imagegen.library.planned_project import PlannedProject
    from imagegen.plan.limit import Limited
    from imagegen.plan.output import Output

__all__ = ["find_limited", "find_needed", "list_needed", "list_parts"]


def list_needed(project: PlannedProject, output: Output) -> list[str]:
    """Return the tasks of the output's origins, and of its parts; some may be of jobs that are broken."""
    return list(dict.fromkeys([*(origin.task for origin in output.origins), *list_parts(project, output)]))


def list_parts(project: PlannedProject, output: Output) -> Iterator[str]:
    """Yield the tasks that a sheet's own stands for: its other pages and its indexes. Other outputs have none."""
    if output.is_derived and ":" not in output.slug:  # whatever else is derived has its image's name before a colon
        yield from (task for task in project.planned if task.startswith(f"{output.task}:"))


def find_needed(
    project: PlannedProject, tasks: Iterable[str], skip: Callable[[str], bool] = lambda _: False
) -> list[str]:
    """Return these tasks and all that is built before them, which may be of other jobs.

    skip: tasks to leave out, with what only they need.
    """
    found = dict.fromkeys(tasks)
    waiting = list(found)
    while waiting:
        for task in list_needed(project, project.planned[waiting.pop()].output):
            if task in project.planned and task not in found and not skip(task):
                found[task] = None
                waiting.append(task)
    return list(found)


def find_limited(
    project: PlannedProject,
    tasks: Iterable[str],
    limit: int,
    forced: Collection[str] = (),
    skip: Callable[[str], bool] = lambda _: False,
) -> Limited:
    """Return which of these tasks a run with a limit builds, and all that is built before them.

    Args:
        project: whose tasks they are.
        tasks: that were asked for, without what they are made from.
        limit: stale images of each job.
        forced: tasks of images to generate even if they are fresh.
        skip: tasks to leave out, with what only they need.
    """
    from imagegen.plan.limit import limit_outputs

    planned = project.planned
    outputs = [one for plan in project.plans for one in plan.outputs if one.task in planned and not skip(one.task)]
    states = {task: one.verdict.state for task, one in planned.items()}
    return limit_outputs(outputs, set(tasks), states, forced, limit, lambda found: find_needed(project, found, skip))
