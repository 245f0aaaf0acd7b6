"""What an edit has made stale, and of that what may be built."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from imagegen.errors import Problem
from imagegen.execute.forecast import ForecastImage
from imagegen.plan.origins import sort_by_origin
from imagegen.plan.output import Output
from imagegen.state.hashes import StatKey

__all__ = ["Choice", "Outlook", "choose"]

_LEFT = frozenset({"fresh", "keep", "ignore"})
"""What a run does nothing for."""


@dataclass(frozen=True)
class Outlook:
    """What the next run would do.

    Attributes:
        inputs: the files and folders that it follows from, also those that are missing, as they were when read.
        images: that are watched, and what they are made from.
        problems: that keep jobs from being built.
        jobs: what doit calls each job.
        broken: the jobs of which nothing is known, because something is wrong with them.
        is_readable: whether the settings and the words could be read at all.

    """

    inputs: Mapping[str, StatKey | None] = field(default_factory=dict)
    images: Sequence[ForecastImage] = ()
    problems: Sequence[Problem] = ()
    jobs: Mapping[str, str] = field(default_factory=dict)
    broken: Collection[str] = ()
    is_readable: bool = True

    @property
    def stale(self) -> dict[str, Output]:
        """The images that it would build, or fail to."""
        return {one.output.task: one.output for one in self.images if one.act not in _LEFT}


@dataclass(frozen=True)
class Choice:
    """What is to be built.

    Attributes:
        images: their tasks.
        unpaid: those that cost more than is left of the budget, or whose price is not known.
        left: those that were stale before, or are made from what is not built.

    """

    images: Sequence[str]
    unpaid: Sequence[ForecastImage] = ()
    left: Sequence[str] = ()


def choose(outlook: Outlook, before: Mapping[str, Output], budget: Decimal | None) -> Choice:
    """Return what to build of what is stale.

    Args:
        outlook: what the next run would do.
        before: what was stale before any edit, as it was planned then: that is left alone.
        budget: what they may cost together, in US dollars; None if there is no limit.

    """
    by_task = {one.output.task: one for one in outlook.images}
    wanted: list[str] = []
    unpaid: list[ForecastImage] = []
    left: list[str] = []
    held: set[str] = set()
    """Those that cost too much, and those made from them."""
    for output in sort_by_origin([one.output for one in outlook.images]):
        one, task = by_task[output.task], output.task
        if one.act in _LEFT:
            continue
        origins = {origin.task for origin in output.origins}
        is_dear = budget is not None and (one.price is None or one.price > budget)
        if is_dear or origins & held:
            held.add(task)
        if before.get(task) == output and not origins.intersection(wanted):
            left.append(task)
        elif task not in held:
            wanted.append(task)
            if budget is not None:
                budget -= one.price or 0
        elif is_dear:
            unpaid.append(one)
        else:
            left.append(task)
    return Choice(wanted, unpaid, left)
