"""One image: the request for it, and what an answer means."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from imagegen.backends.base import Cancelled, GeneratedImage, GenerationError, OverdueError, Progress
from imagegen.backends.json_api import Refused, Unreachable
from imagegen.backends.openai.dialects import Dialect
from imagegen.backends.openai.server import Client
from imagegen.backends.refusals import explain_failure
from imagegen.backends.retry import call_with_retries
from imagegen.backends.sd.field_checks import explain_size
from imagegen.plan.request import Request

__all__ = ["generate"]


def generate(client: Client, request: Request, dialect: Dialect, progress: Progress) -> GeneratedImage:
    """Generate an image. Raises GenerationError, Cancelled and OverdueError."""
    body, is_paid, silence_s = dialect.build_body(request), dialect.name == "hosted", progress.timeout_s + 60
    try:
        image, answer = call_with_retries(
            lambda: client.generate(body, progress.check, silence_s), progress, is_paid=is_paid
        )
    except (Refused, Unreachable) as error:
        problem = explain_failure(error, client.url)
        raise GenerationError(problem.what, problem.hint) from None
    if is_paid:
        return _read_paid(image, answer, request, progress)
    size = {"width": request.width, "height": request.height}
    if dialect.name in ("sdcpp", "lemonade") and (wrong := explain_size(size, image)):
        raise GenerationError(wrong.what, wrong.hint)
    return GeneratedImage(image, {"server": client.url, "seed": dialect.fold_seed(request.seed or 0)})


def _read_paid(image: bytes, answer: Mapping[str, Any], request: Request, progress: Progress) -> GeneratedImage:
    """Return an image that was paid for, and say what differs. Its size is the executor's matter, which keeps it."""
    asked, told = request.extra, {key: str(answer[key]) for key in ("size", "quality", "background") if key in answer}
    differ = [f"{key} {told[key]}, not {asked[key]}" for key in told if asked.get(key) not in (None, "auto", told[key])]
    if differ:
        with suppress(Cancelled, OverdueError):  # it is here
            progress.event("note", text=f"the API generated it with {'; '.join(differ)}")
    usage = {"usage": answer["usage"]} if isinstance(answer.get("usage"), dict) else {}
    return GeneratedImage(image, {**told, **usage}, may_be_flat=False)  # one colour is said, and not refused
