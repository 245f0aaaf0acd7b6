"""The order of outputs that are made from others: each after those, and no circles."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from imagegen.plan.output import Output

__all__ = ["circle", "in_order"]


def in_order(outputs: Sequence[Output]) -> list[Output]:
    """The outputs, each after those among them that it is made from; else as they come. There must be no circle."""
    if not any(output.origins for output in outputs):
        return list(outputs)
    known = {output.task: output for output in outputs}
    ordered: dict[str, Output] = {}
    for output in outputs:
        waiting = [output]
        while waiting:
            one = waiting[-1]
            before = [known[o.task] for o in one.origins if o.task in known and o.task not in ordered]
            if before:
                waiting += reversed(before)
            else:
                ordered.setdefault(one.task, one)
                waiting.pop()
    return list(ordered.values())


def circle(outputs: Iterable[Output]) -> list[Output]:
    """Outputs of which each is made from the next one, and the last one from the first; empty where there are none."""
    left = {output.task: output for output in outputs if output.origins}
    count = len(left) + 1
    while count > len(left):  # those that are made from none of the others cannot be part of one
        count = len(left)
        left = {task: output for task, output in left.items() if any(o.task in left for o in output.origins)}
    walked: dict[str, Output] = {}
    task = next(iter(left), "")
    while task and task not in walked:
        walked[task] = left[task]
        task = next(origin.task for origin in left[task].origins if origin.task in left)
    tasks = list(walked)
    return [walked[each] for each in tasks[tasks.index(task) :]] if task else []
