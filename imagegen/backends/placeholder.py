"""FIRST STAND-IN, TO BE REPLACED: plain colour."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Mapping, Sequence
from typing import Any

from imagegen.backends.base import GeneratedImage, ModelIdentity, Progress
from imagegen.errors import Problem
from imagegen.plan.request import Request

__all__ = ["PlaceholderBackend"]


class PlaceholderBackend:
    """Plain colour."""

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

    def preflight(self, requests: Sequence[Request]) -> Sequence[Problem]:
        """Nothing."""
        return []

    def model_identity(self, request: Request) -> ModelIdentity:
        """Placeholder."""
        return ModelIdentity("placeholder")

    def generate(self, request: Request, progress: Progress) -> GeneratedImage:
        """Plain colour."""
        from PIL import Image

        colour = tuple(hashlib.sha256(repr(request).encode()).digest()[:3])
        b = io.BytesIO()
        Image.new("RGB", (request.width, request.height), colour).save(b, "png")
        return GeneratedImage(b.getvalue())
