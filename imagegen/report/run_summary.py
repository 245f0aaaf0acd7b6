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
        spent: US dollars spent, as far as prices are known.
        unpriced: number of images that arrived with an unknown price.
        lost: number of images that may have been charged for but never arrived.
    """

    spent: float = 0.0
    unpriced: int = 0
    lost: int = 0


@dataclass(frozen=True)
class StaleReason:
    """One reason why an image is stale.

    Attributes:
        text: reason in a few words.
        kind: kind of reason; `missing`: there is no file; `new`: nothing is recorded of the image; `changed`: a field
            of its request changed; `encoding`: the encoding of its file changed; `model`: the files of its model
            changed; `forced`: `-a` was given; `origin`: what it is made from changed; `follows`: what it is made from
            may change, which is only known once that is there; `recorded_elsewhere`: the lock file records another
            image.
        field: name of the field that changed, or of what the image is made from; empty if neither applies.
        old: value before.
        new: value now.
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
        task: name of the task, such as `portraits:mallsing`.
        path: path of the file, relative to the project.
        state: what became of the image; `fresh` only where it was asked for by its name.
        seconds: time the image took, in seconds.
        seed: seed that decided the image; null if none does.
        reasons: reasons why the image was stale.
        note: further remark; empty if there is none.
        problems: reasons why the image failed, and other problems with it.
        prompt: prompt of the image; empty for derived files.
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
        counts: number of images by state, the fresh ones among them.
        seconds: time the run took, in seconds.
        images: images that were not fresh.
        cost: cost of the images that a service charges for.
        notes: further remarks, one line each.
        stopped: whether Ctrl-C ended the run early.
        left: number of images left stale because of the limit.
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
