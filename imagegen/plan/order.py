"""The order of outputs that are made from others: each after those, and no circles."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from graphlib import CycleError, TopologicalSorter

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
    known = {output.task: output for output in outputs if output.origins}
    try:
        TopologicalSorter({task: [origin.task for origin in one.origins] for task, one in known.items()}).prepare()
    except CycleError as error:
        return [known[task] for task in reversed(error.args[1][1:])]
    return []
