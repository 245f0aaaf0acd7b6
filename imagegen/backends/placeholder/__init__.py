"""The backend `placeholder`: labelled pictures, so that a clone builds on a machine with nothing installed."""

from __future__ import annotations

import os
from collections.abc import Sequence

from imagegen.backends.base import Backend, Diagnosis, GeneratedImage, ModelIdentity, Progress
from imagegen.plan.request import Request

__all__ = ["PlaceholderBackend"]


class PlaceholderBackend(Backend):
    """Needs no model and no program. It uses every field in `parameters`, and writes them into the picture."""

    name = "placeholder"
    parameters = frozenset(
        {"name", "prompt", "negative", "width", "height", "steps", "cfg", "sampler", "scheduler", "seed"}
    )
    in_flight = os.cpu_count() or 1
    is_generator = False

    def diagnose(self, requests: Sequence[Request]) -> Sequence[Diagnosis]:
        """Return one row: it is always there."""
        return [Diagnosis(True, "", f"built in, needs nothing; used by {len(requests)} of the images")]

    def model_identity(self, request: Request) -> ModelIdentity:  # noqa: ARG002 - of the base class
        """Return one identity for all requests: there is no model."""
        return ModelIdentity("placeholder")

    def generate(self, request: Request, progress: Progress) -> GeneratedImage:
        """Return a PNG of the size asked for; the same request gives the same pixels."""
        progress.check()
        # Pillow is not imported by a run that has nothing to do
        from imagegen.backends.placeholder.card import draw

        return GeneratedImage(draw(request))
