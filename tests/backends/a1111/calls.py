"""The backend called without a run around it: for what is asked of it hundreds of times, or in threads."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from imagegen.backends.a1111 import A1111Backend
from imagegen.backends.base import Backend, Context, GeneratedImage, GenerationError
from imagegen.config.settings import Settings
from imagegen.images.formats import BadImage
from imagegen.images.image_file import verify
from imagegen.plan.request import Request
from tests.backends.a1111.fake_a1111 import FakeA1111
from tests.backends.ollama.parts import RecordedProgress

__all__ = ["generate", "make_backend", "make_request"]


def make_backend(fake: FakeA1111) -> Backend:
    """Return a backend whose settings name the server."""

    def read(path: str) -> bytes:
        raise AssertionError(path)

    backend = A1111Backend()
    backend.context = Context(Path.cwd(), replace(Settings(), a1111_server_url=fake.url), read)
    return backend


def make_request(fake: FakeA1111, **fields: Any) -> Request:
    """Return a request of a red fox that suits the program, with these fields in place of its own."""
    extra = fields.pop("extra", {})
    own: dict[str, Any] = {"width": 64, "height": 64, "steps": 4}
    if fake.program.name == "draw-things":
        own |= {"width": 128, "height": 128, "sampler": "Euler a"}
    own |= fields
    rest = {"prompt": "a red fox", "seed": 1, "model": fake.program.checkpoints[-1], "extra": extra} | {
        key: own.pop(key) for key in ("prompt", "seed", "model") if key in own
    }
    return Request("a1111", "One", **own, **rest, given=tuple(sorted(own)))


def generate(fake: FakeA1111, request: Request) -> GeneratedImage | str:
    """Return what becomes of a request after preflight: a whole image, or why there is none."""
    backend = make_backend(fake)
    if problems := backend.preflight([request]):
        return "; ".join(f"{problem.what}, {problem.hint}" for problem in problems)
    try:
        image = backend.generate(request, RecordedProgress())
        verify(image.data, request.width, request.height)
    except (GenerationError, BadImage) as error:
        return str(error)
    return image
