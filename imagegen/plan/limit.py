"""Which stale images a run with a limit builds, and which it leaves for later."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from imagegen.plan.output import Output

__all__ = ["Limited", "limit_outputs"]


@dataclass(frozen=True)
class Limited:
    """What a run builds of what it was asked to.

    Attributes:
        tasks: to bring up to date, with what they are made from.
        left: the images that stay as they are, stale.
        waiting: sheets that stay as they are too, and on how many of their pictures each waits.
    """

    tasks: tuple[str, ...]
    left: tuple[str, ...] = ()
    waiting: Mapping[str, int] = field(default_factory=dict)


def limit_outputs(
    outputs: Sequence[Output],
    selected: Collection[str],
    states: Mapping[str, str],
    forced: Collection[str],
    limit: int,
    close: Callable[[Iterable[str]], Iterable[str]],
) -> Limited:
    """Choose the first stale images of each job.

    What is derived from an image goes with it, and counts as one with it. What cannot be replaced, or is made from
    that, does not count, so that the next run gets beyond it. Of a sheet that is asked for, the pictures are too.

    Args:
        outputs: all that there are, in the order of their jobs.
        selected: the tasks of those that were asked for.
        states: of the verdict on each output.
        forced: tasks of outputs to generate even if they are fresh.
        limit: how many of each job.
        close: returns tasks with all that they are made from.
    """
    groups, sheets = _group(outputs, _add_pictures(outputs, selected))
    blocked = _find_blocked(outputs, states, forced)
    left: dict[str, list[str]] = {}
    chosen: list[str] = []
    counts: Counter[str] = Counter()
    rest = []
    for name, tasks in groups.items():
        job = name.partition(":")[0]
        if name in blocked or not any(
            task in forced or (states.get(task) == "stale" and task not in blocked) for task in tasks
        ):
            rest += tasks
        elif counts[job] < limit:
            counts[job] += 1
            chosen += tasks
        else:
            left[name] = tasks
    built = set(close(chosen))
    while pulled := [name for name, tasks in left.items() if not built.isdisjoint(tasks)]:
        built.update(close(task for name in pulled for task in left.pop(name)))
    origins = {one.task: [origin.task for origin in one.origins if origin.task in states] for one in outputs}

    def awaited(task: str) -> list[str]:
        return [one for one in origins[task] if states[one] not in ("fresh", "kept") and one not in built]

    built.update(task for task in rest if not awaited(task))
    while ready := [task for task in sheets if task not in built and not awaited(task)]:
        built.update(ready)  # and then its indexes
    waiting = {task: len(awaited(task)) for task in sheets if task not in built and ":" not in task.partition(":")[2]}
    return Limited(tuple(one.task for one in outputs if one.task in built), tuple(left), waiting)


def _name(output: Output) -> str:
    """Return the task of the image that it is, or is derived from; of a part of a sheet, that of the sheet."""
    return f"{output.job}:{output.slug.partition(':')[0]}"


def _add_pictures(outputs: Sequence[Output], selected: Collection[str]) -> set[str]:
    """Return these tasks with, of each sheet among them, its parts, its pictures and their images."""
    known = {one.task: one for one in outputs}
    sheets = {one.task for one in outputs if one.is_derived and ":" not in one.slug}
    found = set(selected)
    asked = {_name(known[task]) for task in selected if task in known} & sheets
    while asked:
        parts = [one for one in outputs if _name(one) in asked]
        pictures = [known[origin.task] for one in parts for origin in one.origins if origin.task in known]
        asked = {_name(one) for one in pictures if _name(one) in sheets} - asked
        found.update(task for one in (*parts, *pictures) for task in (one.task, _name(one)) if task in known)
    return found


def _group(outputs: Sequence[Output], selected: Collection[str]) -> tuple[dict[str, list[str]], list[str]]:
    """Return images by their tasks, each with what is derived from it alone; and the sheets with their parts."""
    known = {one.task: one for one in outputs}
    groups: dict[str, list[str]] = defaultdict(list)
    sheets = []
    for one in outputs:
        if one.task in selected:
            name = _name(one)
            if name in known and known[name].is_derived:
                sheets.append(one.task)
            else:
                groups[name].append(one.task)  # of a file that was there before, there is no image of that name
    return groups, sheets


def _find_blocked(outputs: Sequence[Output], states: Mapping[str, str], forced: Collection[str]) -> set[str]:
    """Return what no run builds: what must not be replaced, and what is made from it."""
    found = {task for task, state in states.items() if state == "blocked" and task not in forced}
    made_from = [(one.task, {origin.task for origin in one.origins}) for one in outputs] if found else []
    while more := {task for task, origins in made_from if task not in found and not origins.isdisjoint(found)}:
        found |= more
    return found
