"""What was recorded of an output: the line that says what made it, and the decisions taken for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from imagegen.config.encoding import Encoding

__all__ = [
    "ACCEPT",
    "MODEL",
    "MODEL_DECISION",
    "PICK",
    "REROLL",
    "SEED",
    "Decided",
    "Decision",
    "OutputLine",
    "decided",
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
class Decided:
    """A job's decisions that its outputs follow from: seeds drawn and rerolled by full slug, variants by base."""

    drawn: Mapping[str, int] = field(default_factory=dict)
    rerolled: Mapping[str, int] = field(default_factory=dict)
    picked: Mapping[str, int] = field(default_factory=dict)


def decided(decisions: Iterable[Decision]) -> Decided:
    """Those of them that outputs follow from."""
    found: dict[str, dict[str, int]] = {SEED: {}, REROLL: {}, PICK: {}}
    for decision in decisions:
        if decision.kind in found and decision.value is not None and (decision.kind != PICK or decision.value):
            found[decision.kind][decision.output] = decision.value
    return Decided(found[SEED], found[REROLL], found[PICK])
