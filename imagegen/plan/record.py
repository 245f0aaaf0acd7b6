"""What was recorded of outputs: lines that say what made them, decisions, and how long generating takes by them."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from imagegen.config.job import Encoding
from imagegen.plan.output import DERIVE, Output
from imagegen.plan.request import Request

__all__ = [
    "ACCEPT",
    "MODEL",
    "MODEL_DECISION",
    "MOST_BEFORE",
    "PICK",
    "REROLL",
    "SEED",
    "TAKEN_BACK",
    "Decision",
    "Durations",
    "Estimate",
    "FileLookup",
    "JobDecisions",
    "OutputLine",
    "choose_decision",
    "collect_decisions",
    "find_conflicting",
    "recorded_fields",
    "times_before",
    "total_seconds",
]


SEED = "seed"
"""A seed chosen at random, in a job whose seeds are random."""
REROLL = "reroll"
"""A seed that is stronger than the job's rule; None: the rule holds again."""
MODEL = "model"
"""The model of the job; its output is empty."""
PICK = "pick"
"""The variant that is the image of the slug without one; 0: all of them are."""
ACCEPT = "accept"
"""The file (`sha256`) that is the image of the request with this `fingerprint`; None: none is, and the one before was
given up for another image."""
TAKEN_BACK = {"fingerprint": "0" * 64, "sha256": "0" * 64}
"""In place of a file that was accepted: none is, and whatever was is still somebody's work."""
MODEL_DECISION = (MODEL, "")
"""Kind and output of the decision that gives a job, which names no model, the only one there was."""


@dataclass(slots=True)
class OutputLine:
    """What made one output. Nobody changes one: it is not frozen because that takes ten times as long to make."""

    path: str  # of the file, relative to the project, with forward slashes
    output: str  # its slug within the job
    fingerprint: str
    encoding: Encoding
    request: Mapping[str, Any]  # the canonical fields, backend, model and seed among them
    sha256: str  # of the file
    size: int  # bytes
    model_digest: str | None  # hex; None: unknown
    backend_version: str
    seconds: float  # that generating took
    time: str  # of generating, ISO 8601 in UTC

    @property
    def backend(self) -> str:
        """Return the backend that generated the image."""
        return str(self.request.get("backend", ""))


@dataclass(frozen=True)
class Decision:
    """What a person or a random choice fixed for an output."""

    kind: str  # one of those above, or of a later release
    output: str  # its full slug (`mallsing-v3`)
    value: Any
    time: str
    after: tuple[str, ...] | None = None
    """The times of the decisions that it replaced; None in lines of releases that did not record them."""


_DIGITS = 8
"""Of the sha256 of an origin in a line: enough to say which ones changed, and a sheet may have thousands."""


def recorded_fields(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what a line records of a request's canonical fields.

    It is all of them, except that a derived file's origins are named by the first digits of their sha256. The line's
    fingerprint follows from the whole ones.
    """
    if fields.get("backend") != DERIVE or not isinstance(images := fields.get("images"), Mapping):
        return fields
    return {**fields, "images": {key: _first_digits(value) for key, value in images.items()}}


def _first_digits(value: Any) -> Any:
    return value[:_DIGITS] if isinstance(value, str) and len(value) == _SHA256 else value


_SHA256 = 64
"""Digits of one; what stands in its place while an origin is not finished is the name of a task."""


@dataclass(frozen=True)
class JobDecisions:
    """A job's decisions that its outputs follow from."""

    random_seeds: Mapping[str, int] = field(default_factory=dict)  # seeds chosen at random, by full slug
    rerolled: Mapping[str, int] = field(default_factory=dict)  # seeds, by full slug
    picked: Mapping[str, int] = field(default_factory=dict)  # variants, by slug without variant


def collect_decisions(decisions: Iterable[Decision]) -> JobDecisions:
    """Return those decisions that outputs follow from."""
    found: dict[str, dict[str, int]] = {SEED: {}, REROLL: {}, PICK: {}}
    for decision in decisions:
        if decision.kind in found and decision.value is not None and (decision.kind != PICK or decision.value):
            found[decision.kind][decision.output] = decision.value
    return JobDecisions(found[SEED], found[REROLL], found[PICK])


FileLookup = Callable[[Output], tuple[str | None, OutputLine | None]]
"""For an output: the sha256 of the file at its path, and the line that says what made that; None if there is none."""
MOST_BEFORE = 50
"""How many earlier decisions one decision lists: two branches that are merged do not differ by more."""
_OF_IMAGES = (SEED, REROLL, PICK, ACCEPT)


def times_before(decisions: Collection[Decision]) -> tuple[str, ...]:
    """Return the times of these decisions and of those before them: what the next decision comes after."""
    times = {one.time for one in decisions}.union(*(one.after or () for one in decisions))
    return tuple(sorted(times)[-MOST_BEFORE:])


def find_conflicting(decisions: Iterable[Decision]) -> list[Decision]:
    """Return those decisions that no other one replaced, each value once, the latest last.

    Lines of older releases, which name no earlier decisions, replace one another. Of a kind that is not about an image,
    no file can say which one counts: it is the latest.

    Args:
        decisions: all of one kind about one output.
    """
    decisions = sorted(decisions, key=lambda one: one.time)  # of those that are equally late, as in the file
    if decisions[-1].kind not in _OF_IMAGES:
        return decisions[-1:]
    replaced = {time for one in decisions for time in one.after or ()}
    replaced.update([one.time for one in decisions if one.after is None][:-1])
    heads = [one for one in decisions if one.time not in replaced] or decisions[-1:]
    return [one for at, one in enumerate(heads) if all(one.value != later.value for later in heads[at + 1 :])]


def choose_decision(
    decisions: Sequence[Decision], outputs: Sequence[Collection[Output]], shown: FileLookup
) -> Decision:
    """Return the decision whose image is in place: whoever merged chose that one.

    Failing that, one for the present request, or the latest.

    Args:
        decisions: as `find_conflicting` returns them.
        outputs: what each one is about, planned with it.
        shown: looks at the files; what it raises is raised.
    """
    pairs = [pair for pair in zip(decisions, outputs, strict=True) if pair[1]][::-1]
    # "nothing is accepted any more" says less than "this very file is accepted"
    pairs.sort(key=lambda pair: pair[0].kind == ACCEPT and pair[0].value is None)
    for decision, concerned in pairs:
        if all(_is_in_place(decision, output, *shown(output)) for output in concerned):
            return decision
    for decision, concerned in pairs:
        if decision.kind == ACCEPT and all(_is_for_request(decision, output) for output in concerned):
            return decision
    return decisions[-1]


def _is_in_place(decision: Decision, output: Output, sha256: str | None, line: OutputLine | None) -> bool:
    """Whether the file at the output's path is the one that was decided on."""
    if decision.kind != ACCEPT:
        return line is not None and line.request.get("seed") == output.request.seed
    if decision.value is None:
        return line is not None and line.fingerprint == output.fingerprint
    return bool(decision.value["sha256"] == sha256) and _is_for_request(decision, output)


def _is_for_request(decision: Decision, output: Output) -> bool:
    """Whether the file was accepted for the output's present request."""
    return decision.value is not None and bool(decision.value["fingerprint"] == output.fingerprint)


class Durations:
    """Medians of recorded seconds, by backend, model, workflow (its digest) and size."""

    def __init__(self, lines: Iterable[OutputLine]) -> None:
        same: dict[tuple[str, str, str, int], list[float]] = defaultdict(list)
        for line in lines:
            fields = line.request
            pixels = fields.get("width", 0) * fields.get("height", 0)
            key = line.backend, str(fields.get("model", "")), str(fields.get("workflow", "")), pixels
            same[key].append(line.seconds)
        self._same = {key: statistics.median(seconds) for key, seconds in same.items()}

    def estimate(self, request: Request) -> float | None:
        """Return seconds: the median for the same model and size, else scaled from the nearest size; or None."""
        workflow = str(request.extra.get("workflow", ""))
        has_size = not workflow or "width" in request.given or "height" in request.given
        pixels = request.width * request.height if has_size else 0
        wanted = (request.backend, request.model, workflow)
        sizes = {size: seconds for (*maker, size), seconds in self._same.items() if tuple(maker) == wanted}
        if not sizes:
            return None
        nearest = min(sizes, key=lambda size: abs(size - pixels))
        return sizes[nearest] * (pixels / nearest if nearest and pixels else 1.0)


@dataclass(frozen=True)
class Estimate:
    """What generating an image takes."""

    seconds: float | None  # None: unknown
    backend: str
    at_once: int = 1  # how many its backend generates at a time


def total_seconds(images: Iterable[Estimate]) -> float:
    """Return the seconds that images take together, as far as known: backends work side by side."""
    each: dict[tuple[str, int], list[float]] = defaultdict(list)
    for one in images:
        if one.seconds is not None:
            each[one.backend, one.at_once].append(one.seconds)
    return max((max(max(of), sum(of) / max(1, at_once)) for (_, at_once), of in each.items()), default=0.0)
