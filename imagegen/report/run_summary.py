"""What a run did, as data: for `--json`, for `--summary` and for a program that imports imagegen."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, get_args

from imagegen.errors import FailureKind, Problem
from imagegen.report.json_output import split_place

if TYPE_CHECKING:
    from imagegen.execute.budget import Costs
    from imagegen.execute.events import Outcome
    from imagegen.plan.freshness import Reason
    from imagegen.plan.output import Output

__all__ = [
    "Cost",
    "FindPlace",
    "ImageOutcome",
    "RunState",
    "RunSummary",
    "Source",
    "StaleReason",
    "count_all",
    "find_source",
    "image_problems",
    "summarise_cost",
    "summarise_images",
    "summarise_reasons",
]


FindPlace = Callable[["Output"], str]
"""Returns `file:line:column` of what asks for an output, as `project.item_places` does."""


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
class Source:
    """The place of what asks for an image: an item of a job file or a prompt source, or a rule that derives a file.

    Attributes:
        file: path of the file, relative to the project.
        line: number of the line, from 1; null if only the file is known.
        column: number of the column, from 1; null if only the file is known.
    """

    file: str
    line: int | None
    column: int | None


@dataclass(frozen=True)
class ImageOutcome:
    """What became of one image.

    Attributes:
        task: name of the task, such as `portraits:mallsing`.
        job: name of its job; `image` for a one-off image.
        source: place of its item, or of the rule that derives it; null for a one-off image.
        path: path of the file, relative to the project.
        state: what became of the image; `fresh` only where it was asked for by its name.
        failure: what kept a failed image from being built; `input`: a file or setting that it needs is wrong;
            `preflight`: its request did not pass the checks before a run; `held_back`: another image of its job did
            not; `budget`: the budget, or a fault that stopped all paying; `paid`: it was paid for already, and is kept
            as a file; `not_replaced`: somebody changed its file; `origin`: what it is made from is missing or failed;
            `not_begun`: another run, or something that is not installed; `storage`: a file could not be written;
            `failed`: generating or deriving it failed; null unless the image failed.
        seconds: time the image took, in seconds.
        price: US dollars that were charged for it, or may have been; null if the price is not known.
        seed: seed that decided the image; null if none does.
        reasons: reasons why the image was stale.
        note: further remark; empty if there is none.
        problems: reasons why the image failed, and other problems with it.
        prompt: prompt of the image; empty for derived files.
    """

    task: str
    job: str
    source: Source | None
    path: str
    state: Literal["generated", "derived", "restored", "fresh", "kept", "failed", "cancelled"]
    failure: FailureKind | None
    seconds: float
    price: float | None
    seed: int | None
    reasons: tuple[StaleReason, ...]
    note: str
    problems: tuple[Problem, ...]
    prompt: str


RunState = Literal["generated", "derived", "restored", "fresh", "kept", "ignored", "failed", "cancelled"]


@dataclass(frozen=True)
class RunSummary:
    """What a run did.

    Attributes:
        counts: number of images by state, the fresh ones among them; `ignored`: `doit ignore` named them.
        seconds: time the run took, in seconds.
        images: images that were not fresh.
        cost: cost of the images that a service charges for.
        notes: further remarks, one line each.
        stopped: whether Ctrl-C ended the run early.
        left: number of images left stale because of the limit.
    """

    counts: Mapping[RunState, int]
    seconds: float
    images: tuple[ImageOutcome, ...] = ()
    cost: Cost = field(default_factory=Cost)
    notes: tuple[str, ...] = ()
    stopped: bool = False
    left: int = 0


def count_all(counts: Mapping[str, int]) -> dict[RunState, int]:
    """Return the number of images by state, with each state."""
    return {state: counts.get(state, 0) for state in get_args(RunState)}


def summarise_images(
    outcomes: Iterable[Outcome], find_place: FindPlace | None, *, with_fresh: bool = False
) -> tuple[ImageOutcome, ...]:
    """Return what became of each image.

    Args:
        outcomes: of the images.
        find_place: finds where each comes from; None if nobody asks.
        with_fresh: whether those that were fresh are wanted.
    """
    return tuple(_summarise_image(one, find_place) for one in outcomes if with_fresh or one.state != "fresh")


def _summarise_image(one: Outcome, find_place: FindPlace | None) -> ImageOutcome:
    output, request = one.output, one.output.request
    place = find_place(output) if find_place else ""
    return ImageOutcome(
        task=output.task,
        job=output.job,
        source=find_source(place),
        path=output.path,
        state=one.state,
        failure=one.failure,
        seconds=round(one.seconds, 3),
        price=None if one.price is None else float(one.price),
        seed=request.seed if output.uses_seed else None,
        reasons=summarise_reasons(one.reasons),
        note=one.note,
        problems=tuple(_locate(problem, output.task, place) for problem in (one.problem, *one.also) if problem),
        prompt=request.prompt,
    )


def _locate(problem: Problem, task: str, place: str) -> Problem:
    """Return an image's problem with its task and its place, unless it names a place itself."""
    return problem if split_place(problem.where)[0] else replace(problem, where=task, place=place)


def find_source(place: str) -> Source | None:
    """Return a place as data; None if there is none."""
    file, line, column = split_place(place)
    return Source(file, line, column) if file else None


def image_problems(images: Iterable[ImageOutcome]) -> list[Problem]:
    """Return what is wrong with each of these images."""
    return [problem for one in images for problem in one.problems]


def summarise_reasons(reasons: Iterable[Reason]) -> tuple[StaleReason, ...]:
    """Return these reasons as data."""
    return tuple(StaleReason(str(one), one.kind, one.field, one.old, one.new) for one in reasons)


def summarise_cost(costs: Costs | None) -> Cost:
    """Return what a run cost; None: nothing."""
    return Cost(float(costs.spent), costs.unpriced, costs.lost + costs.lost_before) if costs else Cost()
