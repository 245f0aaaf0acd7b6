"""The backend whose words a job can use already, and that this release cannot draw with yet.

So job files written for it are checked, and can be built with `doit backend=placeholder`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from imagegen.backends.base import Diagnosis, GeneratedImage, GenerationError, ModelIdentity, Progress
from imagegen.errors import Problem
from imagegen.plan.request import Request

__all__ = ["OLLAMA"]


@dataclass(frozen=True)
class _AnnouncedBackend:
    name: str
    parameters: frozenset[str]
    model_option: str
    default_model: str
    version: str = "0"
    in_flight: int = 1
    is_generator: bool = True

    @property
    def options(self) -> Mapping[str, Any]:
        meta = {"description": f"The {self.model_option} that draws."}
        return {self.model_option: {"type": "text", "minlength": 1, "maxlength": 500, "meta": meta}}

    def preflight(self, requests: Sequence[Request]) -> Sequence[Problem]:
        return [self._problem()] if requests else []

    def diagnose(self, requests: Sequence[Request]) -> Sequence[Diagnosis]:  # noqa: ARG002 - of the protocol
        return [Diagnosis(False, "", self._problem().what, self._problem().mend)]

    def model_identity(self, request: Request) -> ModelIdentity:
        return ModelIdentity(request.model)

    def generate(self, request: Request, progress: Progress) -> GeneratedImage:  # noqa: ARG002 - of the protocol
        raise GenerationError(self._problem().what, self._problem().mend)

    def _problem(self) -> Problem:
        return Problem(
            "",
            f"this release of imagegen cannot draw with {self.name} yet",
            "for stand-ins: doit backend=placeholder",
        )


OLLAMA = _AnnouncedBackend(
    "ollama",
    frozenset({"prompt", "width", "height", "steps", "seed"}),
    model_option="model",
    default_model="x/z-image-turbo",
)
