"""What was recorded of an output: the line that says what made it, and the decisions taken for it."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from imagegen.config.job import Encoding
from imagegen.plan.output import Output
from imagegen.plan.request import Request

__all__ = [
    "ACCEPT",
    "MODEL",
    "MODEL_DECISION",
    "MOST_BEFORE",
    "PICK",
    "REROLL",
    "SEED",
    "Decision",
    "Durations",
    "Estimate",
    "FileLookup",
    "JobDecisions",
    "OutputLine",
    "choose_decision",
    "collect_decisions",
    "find_conflicting",
    "times_before",
    "total_seconds",
]


SEED, REROLL, MODEL, PICK, ACCEPT = "seed", "reroll", "model", "pick", "accept"
"""The kinds of decisions; see `Decision`."""
MODEL_DECISION = (MODEL, "")
"""Kind and output of the decision that gives a job, which names no model, the only one there was."""


@dataclass(frozen=True)
class OutputLine:
    """What made one output.

    path: of the file, relative to the project, with forward slashes. output: its slug within the job.
    request: the canonical fields, as fingerprinted (backend, model and seed among them).
    sha256, size (bytes): of the file. model_digest: hex, None where unknown. seconds: that its making took.
    time: of its making, ISO 8601 in UTC.
    """

    path: str
    output: str
    fingerprint: str
    encoding: Encoding
    request: Mapping[str, Any]
    sha256: str
    size: int
    model_digest: str | None
    backend_version: str
    seconds: float
    time: str

    @property
    def backend(self) -> str:
        """The backend that made the image."""
        return str(self.request.get("backend", ""))


@dataclass(frozen=True)
class Decision:
    """What a person or a draw settled.

    output: its full slug (`mallsing-v3`). value, by kind:
    seed: drawn, where the job's seeds are random. reroll: a seed that is stronger than the job's rule; None: the rule
    holds again. model: of the job (output is empty). pick: the variant that is the image of the slug without one; 0:
    all are. accept: the file (`sha256`) that is the image of the request of this `fingerprint`; None: none is.
    after: the times of those that it took the place of; None in lines of releases that did not say so.
    """

    kind: str
    output: str
    value: Any
    time: str
    after: tuple[str, ...] | None = None


@dataclass(frozen=True)
class JobDecisions:
    """A job's decisions that its outputs follow from: seeds drawn and rerolled by full slug, variants by base."""

    drawn: Mapping[str, int] = field(default_factory=dict)
    rerolled: Mapping[str, int] = field(default_factory=dict)
    picked: Mapping[str, int] = field(default_factory=dict)


def collect_decisions(decisions: Iterable[Decision]) -> JobDecisions:
    """Those of them that outputs follow from."""
    found: dict[str, dict[str, int]] = {SEED: {}, REROLL: {}, PICK: {}}
    for decision in decisions:
        if decision.kind in found and decision.value is not None and (decision.kind != PICK or decision.value):
            found[decision.kind][decision.output] = decision.value
    return JobDecisions(found[SEED], found[REROLL], found[PICK])


FileLookup = Callable[[Output], tuple[str | None, OutputLine | None]]
"""Of an output's path: the sha256 of the file there, and the line that says what made it, where one does."""

MOST_BEFORE = 50
"""Decisions that one knows to have been before it: two branches that are merged do not differ by more."""
_OF_IMAGES = (SEED, REROLL, PICK, ACCEPT)


def times_before(decisions: Collection[Decision]) -> tuple[str, ...]:
    """The times of these decisions, and of those that were before them: what the next one comes after."""
    times = {one.time for one in decisions}.union(*(one.after or () for one in decisions))
    return tuple(sorted(times)[-MOST_BEFORE:])


def find_conflicting(decisions: Iterable[Decision]) -> list[Decision]:
    """Of all decisions of one kind about one output, those that none came after, each value once; the latest is last.

    Lines of releases that did not say what they come after come after one another. Of a kind that is not about an
    image there is no file to say which counts: it is the latest.
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
    """The rival whose image is in place: whoever merged chose that one. Where none is, one that fits, or the latest.

    decisions: as `find_conflicting` has them. outputs: what each is about, planned with it. Raises what `shown` does.
    """
    pairs = [pair for pair in zip(decisions, outputs, strict=True) if pair[1]][::-1]
    # that nothing is accepted any more says less than that this very file is
    pairs.sort(key=lambda pair: pair[0].kind == ACCEPT and pair[0].value is None)
    for decision, concerned in pairs:
        if all(_is_of(decision, output, *shown(output)) for output in concerned):
            return decision
    for decision, concerned in pairs:
        if decision.kind == ACCEPT and all(_fits(decision, output) for output in concerned):
            return decision
    return decisions[-1]


def _is_of(decision: Decision, output: Output, sha256: str | None, line: OutputLine | None) -> bool:
    """Whether the file in the output's place is the one that was decided on."""
    if decision.kind != ACCEPT:
        return line is not None and line.request.get("seed") == output.request.seed
    if decision.value is None:
        return line is not None and line.fingerprint == output.fingerprint
    return bool(decision.value["sha256"] == sha256) and _fits(decision, output)


def _fits(decision: Decision, output: Output) -> bool:
    """Whether what was accepted was accepted for what is asked for now."""
    return decision.value is not None and bool(decision.value["fingerprint"] == output.fingerprint)


class Durations:
    """Medians of recorded seconds, by backend, model, workflow and size.

    A workflow of the job's own is known by its digest; it has the size that it holds where the job gives none.
    """

    def __init__(self, lines: Iterable[OutputLine]) -> None:
        same: dict[tuple[str, str, str, int], list[float]] = defaultdict(list)
        for line in lines:
            fields = line.request
            pixels = fields.get("width", 0) * fields.get("height", 0)
            key = line.backend, str(fields.get("model", "")), str(fields.get("workflow", "")), pixels
            same[key].append(line.seconds)
        self._same = {key: statistics.median(seconds) for key, seconds in same.items()}

    def of(self, request: Request) -> float | None:
        """Seconds: the median of the same maker and size, else by the nearest size; None where unknown."""
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
    """What generating an image takes. seconds: None where unknown. at_once: how many its backend draws at a time."""

    seconds: float | None
    backend: str
    at_once: int = 1


def total_seconds(images: Iterable[Estimate]) -> float:
    """Seconds that they take together, as far as known: backends work side by side, each at its own images."""
    each: dict[tuple[str, int], list[float]] = defaultdict(list)
    for one in images:
        if one.seconds is not None:
            each[one.backend, one.at_once].append(one.seconds)
    return max((max(max(of), sum(of) / max(1, at_once)) for (_, at_once), of in each.items()), default=0.0)
