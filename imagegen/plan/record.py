"""What was recorded of an output: the line that says what made it, and the decisions taken for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from imagegen.config.encoding import Encoding

__all__ = ["Decision", "OutputLine"]


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
    """What a person or a draw settled for an output: kind `seed` and its value, for example."""

    kind: str
    output: str
    value: Any
    time: str
