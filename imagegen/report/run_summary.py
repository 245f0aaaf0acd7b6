"""What a run did, as data: for `--json`, for `--summary` and for a program that imports imagegen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from imagegen.errors import Problem

if TYPE_CHECKING:
    from imagegen.execute.budget import Costs
    from imagegen.execute.events import Outcome
    from imagegen.plan.freshness import Reason

__all__ = [
    "Cost",
    "ImageOutcome",
    "RunSummary",
    "StaleReason",
    "summarise_cost",
    "summarise_images",
    "summarise_reasons",
]


@dataclass(frozen=True)
class Cost:
    """What was paid, in US dollars.

    Attributes:
        spent: in all, as far as prices are known.
        unpriced: images that arrived, of unknown price.
        lost: images that may have been paid for without arriving.
    """

    spent: float = 0.0
    unpriced: int = 0
    lost: int = 0


@dataclass(frozen=True)
class StaleReason:
    """One reason why an image is stale.

    Attributes:
        text: the reason in a few words.
        kind: missing: there is no file; new: nothing is recorded of it; changed: a field of its request; encoding: of
            its file; model: the files of its model; forced; origin: what it is made from; follows: the same, but
            only known once that is there; recorded_elsewhere: the lock file records another image.
        field: that changed, or what it is made from; empty if that does not apply.
        old: the value before.
        new: the value now.
    """

    text: str
    kind: Literal["missing", "new", "changed", "encoding", "model", "forced", "origin", "follows", "recorded_elsewhere"]
    field: str
    old: Any
    new: Any

    def __str__(self) -> str:
        """Return the reason in a few words."""
        return self.text


@dataclass(frozen=True)
class ImageOutcome:
    """What became of one image.

    Attributes:
        task: its name, `portraits:mallsing`.
        path: its file, in the project.
        state: generated, derived, restored, kept, failed or cancelled; or fresh, where it was asked for by its name.
        seconds: that it took.
        seed: that decided it; None if none does.
        reasons: why it was stale.
        note: what else there is to say.
        problems: why it failed, and what else is wrong.
        prompt: of the image; empty for what is derived.
    """

    task: str
    path: str
    state: Literal["generated", "derived", "restored", "fresh", "kept", "failed", "cancelled"]
    seconds: float
    seed: int | None
    reasons: tuple[StaleReason, ...]
    note: str
    problems: tuple[Problem, ...]
    prompt: str


@dataclass(frozen=True)
class RunSummary:
    """What a run did.

    Attributes:
        counts: of images, by state; those that were fresh are only counted.
        seconds: that it took.
        images: that were not fresh.
        cost: of those that a service charges for.
        notes: what there is to say besides, a line each.
        stopped: whether Ctrl-C ended it early.
        left: images that its limit left stale.
    """

    counts: Mapping[str, int]
    seconds: float
    images: tuple[ImageOutcome, ...] = ()
    cost: Cost = field(default_factory=Cost)
    notes: tuple[str, ...] = ()
    stopped: bool = False
    left: int = 0


def summarise_images(outcomes: Iterable[Outcome], *, with_fresh: bool = False) -> tuple[ImageOutcome, ...]:
    """Return what became of each image, of those that were fresh only if they are wanted."""
    return tuple(
        ImageOutcome(
            one.output.task,
            one.output.path,
            one.state,
            round(one.seconds, 3),
            one.output.request.seed if one.output.uses_seed else None,
            summarise_reasons(one.reasons),
            one.note,
            tuple(filter(None, (one.problem, *one.also))),
            one.output.request.prompt,
        )
        for one in outcomes
        if with_fresh or one.state != "fresh"
    )


def summarise_reasons(reasons: Iterable[Reason]) -> tuple[StaleReason, ...]:
    """Return these reasons as data."""
    return tuple(StaleReason(str(one), one.kind, one.field, one.old, one.new) for one in reasons)


def summarise_cost(costs: Costs | None) -> Cost:
    """Return what a run cost; None: nothing."""
    return Cost(float(costs.spent), costs.unpriced, costs.lost + costs.lost_before) if costs else Cost()
