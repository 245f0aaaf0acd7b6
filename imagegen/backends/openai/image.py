"""One image: the request for it, and what an answer means."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from imagegen.backends.base import Cancelled, GeneratedImage, GenerationError, OverdueError, Progress
from imagegen.backends.json_api import list_objects
from imagegen.backends.openai.dialects import Dialect
from imagegen.backends.openai.server import Client
from imagegen.backends.refusals import explained, find_words
from imagegen.backends.retry import call_with_retries
from imagegen.backends.sd.field_checks import explain_size
from imagegen.backends.text import one_line
from imagegen.plan.request import Request

__all__ = ["generate"]

_COUNTS, _MOST_TOKENS = ("input_tokens", "output_tokens", "total_tokens"), 2**63


def generate(
    client: Client, request: Request, dialect: Dialect, progress: Progress, *, is_paid: bool
) -> GeneratedImage:
    """Generate an image. Raises GenerationError, Cancelled and OverdueError."""
    body, silence_s = dialect.build_body(request), progress.timeout_s + 60
    with explained(client.url):
        image, answer = call_with_retries(
            lambda: client.generate(body, progress.check, silence_s, keeps_all=is_paid), progress, is_paid=is_paid
        )
    seed = {"seed": dialect.fold_seed(request.seed or 0)} if "seed" in dialect.fields else {}
    facts: dict[str, Any] = {"server": client.url, **seed}
    if is_paid:
        return GeneratedImage(image, facts | _read_paid(answer, request, progress), may_be_flat=False)  # that is said
    if dialect.is_sd and (wrong := explain_size({"width": request.width, "height": request.height}, image)):
        raise GenerationError(wrong.what, wrong.hint)
    return GeneratedImage(image, facts)


def _read_paid(answer: Mapping[str, Any], request: Request, progress: Progress) -> dict[str, Any]:
    """Return what is worth keeping of the answer, and say what differs. The size is the executor's matter."""
    asked, usage = request.extra, next(iter(list_objects([answer.get("usage")])), {})
    said = {key: one_line(str(answer[key]), 40) for key in ("size", "quality", "background") if key in answer}
    notes = [f"{key} {said[key]}, not {asked[key]}" for key in said if asked.get(key) not in (None, "auto", said[key])]
    with suppress(Cancelled, OverdueError):  # it is here
        if notes:
            progress.event("note", text=f"the API generated it with {'; '.join(notes)}")
        if words := one_line(find_words(answer)):
            progress.event("note", text=f"the API says: {words}")
    counts = {key: usage[key] for key in _COUNTS if type(usage.get(key)) is int and abs(usage[key]) < _MOST_TOKENS}
    return said | ({"usage": counts} if counts else {})
