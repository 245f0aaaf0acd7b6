"""The embedded backend: labelled stand-ins, so that a clone builds on a machine with nothing installed."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from imagegen.backends.base import Diagnosis, GeneratedImage, ModelIdentity, Progress
from imagegen.errors import Problem
from imagegen.plan.request import Request

__all__ = ["PlaceholderBackend"]


class PlaceholderBackend:
    """Draws; needs no model and no program. It honours every field, since it writes them into the picture."""

    name = "placeholder"
    version = "1"
    parameters = frozenset(
        {"name", "prompt", "negative", "width", "height", "steps", "cfg", "sampler", "scheduler", "seed"}
    )
    options: Mapping[str, Any] = {}
    model_option = ""
    default_model = ""
    in_flight = os.cpu_count() or 1
    is_generator = False

    def preflight(self, requests: Sequence[Request]) -> Sequence[Problem]:  # noqa: ARG002 - of the protocol
        """Nothing can be missing."""
        return []

    def diagnose(self, requests: Sequence[Request]) -> Sequence[Diagnosis]:
        """It is always there."""
        return [Diagnosis(True, "", f"embedded, needs nothing else; draws {len(requests)}")]

    def model_identity(self, request: Request) -> ModelIdentity:  # noqa: ARG002 - of the protocol
        """There is no model."""
        return ModelIdentity("placeholder")

    def generate(self, request: Request, progress: Progress) -> GeneratedImage:
        """A PNG of the size asked for; the same request makes the same pixels."""
        progress.check()
        # Pillow is not imported by a run that has nothing to do
        from imagegen.backends.placeholder.card import draw

        return GeneratedImage(draw(request))
