"""What happens to an output in a run: its making begins, and it comes to an outcome."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from imagegen.errors import Problem
from imagegen.plan.freshness import Reason
from imagegen.plan.output import Output

__all__ = [
    "Event",
    "Outcome",
    "ProgressEvent",
    "Started",
]


@dataclass(frozen=True)
class Started:
    """The backend begins to make this output's image."""

    output: Output


@dataclass(frozen=True)
class ProgressEvent:
    """Something within the making of an output's image, or, where that is None, while its job is prepared.

    name: `steps` (done, total), `waiting` (text), `note` (text), or `restarted`, where its own time only begins; others
    mean nothing here.
    """

    output: Output | None
    name: str
    facts: Mapping[str, Any]
    job: str = ""


@dataclass(frozen=True)
class Outcome:
    """state: generated, derived, restored, fresh, kept, failed or cancelled.

    reasons: why it was stale. note: what else there is to say. problem: of a failed one; also: what else is wrong.
    seconds: that the generator took, or the rest of the work where it was not asked.
    """

    output: Output
    state: str
    reasons: tuple[Reason, ...] = ()
    note: str = ""
    problem: Problem | None = None
    also: tuple[Problem, ...] = ()
    seconds: float = 0.0


Event = Started | ProgressEvent | Outcome
