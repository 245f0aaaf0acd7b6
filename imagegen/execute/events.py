"""What happens during a run, as data: an image is begun, something happens meanwhile, and there is an outcome."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from imagegen.errors import FailureKind, Problem
from imagegen.plan.freshness import Reason, Verdict
from imagegen.plan.output import Output

__all__ = [
    "Arrived",
    "Event",
    "Outcome",
    "OutcomeState",
    "ProgressEvent",
    "StaleOutput",
    "Started",
]

OutcomeState = Literal["generated", "derived", "restored", "fresh", "kept", "failed", "cancelled"]


@dataclass(frozen=True)
class Started:
    """The backend begins to generate this output's image."""

    output: Output


@dataclass(frozen=True)
class Arrived:
    """The backend has generated this output's image. Its outcome follows once it is verified, stored and in place."""

    output: Output


@dataclass(frozen=True)
class ProgressEvent:
    """Something that happened while an output's image was generated, or while a job was prepared (output: None).

    name: `steps` (done, total), `waiting` (text), `note` (text), or `restarted`: the image's own time begins only now.
    Backends may report others, which mean nothing here.
    """

    output: Output | None
    name: str
    facts: Mapping[str, Any]
    job: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an output in a run."""

    output: Output
    state: OutcomeState
    reasons: tuple[Reason, ...] = ()
    """Why it was stale."""
    note: str = ""
    """What else there is to say."""
    problem: Problem | None = None
    """Why it failed."""
    also: tuple[Problem, ...] = ()
    """What else is wrong."""
    seconds: float = 0.0
    """Seconds spent generating, restoring or deriving it."""
    was_begun: bool = False
    """Whether its image was being generated when the user cancelled it."""
    failure: FailureKind | None = None
    """What kept it from being built, if it failed."""
    price: Decimal | None = Decimal(0)
    """US dollars that were or may have been charged for it; None if it was charged for, and the price is not known."""


Event = Started | Arrived | ProgressEvent | Outcome


@dataclass(frozen=True, slots=True)
class StaleOutput:
    """An output to bring up to date, and why. forced: it is generated even if it could be restored."""

    output: Output
    verdict: Verdict
    forced: bool = False

    @property
    def key(self) -> str:
        """Identifies the image: outputs that show one image share their fingerprint."""
        return self.output.fingerprint or self.output.task

    def outcome(
        self,
        state: OutcomeState,
        note: str = "",
        *,
        problem: Problem | None = None,
        also: tuple[Problem, ...] = (),
        seconds: float = 0.0,
    ) -> Outcome:
        """Return this outcome of it."""
        return Outcome(self.output, state, self.verdict.reasons, note, problem, also, seconds)

    def failed(self, failure: FailureKind, problem: Problem, *also: Problem) -> Outcome:
        """Return the outcome that it failed. also: what else is wrong."""
        return Outcome(self.output, "failed", self.verdict.reasons, problem=problem, also=also, failure=failure)

    def outcome_if_finished(self) -> Outcome | None:
        """Return the outcome if nothing is to be done: the output is fresh, or is kept as it is."""
        state = self.verdict.state
        return self.outcome(state, self.verdict.note) if state == "fresh" or state == "kept" else None
