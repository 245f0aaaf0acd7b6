"""One image: the request for it, waiting for its answer, and what an answer without an image means."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from imagegen.backends.base import Cancelled, GeneratedImage, GenerationError, MayBePaidError, OverdueError, Progress
from imagegen.backends.json_api import Refused, Unreachable
from imagegen.backends.openai.client import Client
from imagegen.backends.openai.dialects import Dialect
from imagegen.backends.retry import call_with_retries
from imagegen.backends.sd.field_checks import explain_size
from imagegen.backends.text import one_line
from imagegen.plan.request import Request

__all__ = ["generate"]

_FINAL = {
    "insufficient_quota": "add credit to the account that the key belongs to",
    "billing_hard_limit_reached": "raise the limit of the account that the key belongs to",
    "moderation_blocked": "change the prompt",
    "content_policy_violation": "change the prompt",
    "contentFilter": "change the prompt",
    "model_not_found": "correct openai.model",
}
"""Codes of errors that stay → what to do."""
_OK, _BAD, _NO_ROOM, _ERROR = 200, 400, 503, 500


def generate(client: Client, request: Request, dialect: Dialect, progress: Progress) -> GeneratedImage:
    """Generate an image.

    Raises:
        GenerationError: it cannot be generated; MayBePaidError if it may have been, at a hosted API.
        Cancelled, OverdueError: from `progress`.
    """
    body, is_paid = dialect.build_body(request), dialect.name == "hosted"

    def is_final(error: Refused | Unreachable) -> bool:
        return _find_code(error.answer) in _FINAL or (is_paid and isinstance(error, Unreachable) and _is_lost(error))

    def send() -> tuple[bytes, Mapping[str, Any]]:
        progress.check()
        try:
            return client.generate(body, progress.check, progress.timeout_s + 60)
        except (Cancelled, OverdueError) as error:
            if not is_paid:
                raise
            why = "it was cancelled" if isinstance(error, Cancelled) else error.problem.what
            raise _may_be_paid(why) from None

    try:
        image, answer = call_with_retries(send, progress, is_final)
    except (Refused, Unreachable) as error:
        if is_paid and _is_lost(error):
            raise _may_be_paid(_describe(error)) from None
        raise _explain(error) from None
    if is_paid:
        return _read_paid(image, answer, request, progress.event)
    size = {"width": request.width, "height": request.height}
    if dialect.name in ("sdcpp", "lemonade") and (problem := explain_size(size, image)):
        raise GenerationError(problem.what, problem.hint)
    seed = body.get("seed", request.seed)
    return GeneratedImage(image, {"seed": seed} if seed != request.seed else {})


def _is_lost(error: Refused | Unreachable) -> bool:
    """Return whether an image may have been made, and its answer did not arrive or has no image."""
    if isinstance(error, Unreachable):
        return error.may_have_arrived and error.status != _NO_ROOM
    return _OK <= error.status < 300 or error.status >= _ERROR


def _may_be_paid(why: str) -> MayBePaidError:
    what = f"requested, and nothing arrived: {why}; it may have been made and charged for"
    return MayBePaidError(what, "look at the account's usage before you run doit again, which requests it again")


def _explain(error: Refused | Unreachable) -> GenerationError:
    """Return what to do about an error that costs nothing."""
    if isinstance(error, Unreachable) and not error.answer:
        return GenerationError(f"the server does not answer: {error}", "see whether it still runs, and run doit again")
    own = error.hint if isinstance(error, Refused) else ""
    hint = _FINAL.get(_find_code(error.answer)) or own or "correct what it names, or look at its own log"
    return GenerationError(f"the server says: {_describe(error)}", hint)


def _describe(error: Refused | Unreachable) -> str:
    """Return the server's own words, in whichever of the usual forms they are; else ours."""
    said: Any = error.answer.get("error") or error.answer.get("detail")
    if isinstance(said, list) and said and isinstance(said[0], dict):
        said = said[0]
        place = ".".join(str(one) for one in said.get("loc") or () if one != "body")
        said = f"{place}: {said.get('msg')}" if place else said.get("msg")
    if isinstance(said, dict):
        said = said.get("message") or said.get("msg")
    words = one_line(said) if isinstance(said, str) else ""
    return f"{words} ({error.status})" if words else str(error)


def _find_code(answer: Mapping[str, Any]) -> str:
    error = answer.get("error")
    return str(error.get("code") or error.get("type") or "") if isinstance(error, dict) else ""


def _read_paid(
    image: bytes, answer: Mapping[str, Any], request: Request, report: Callable[..., None]
) -> GeneratedImage:
    """Return an image that was paid for: whatever it is, it is kept, and where it differs that is said."""
    asked = {"size": f"{request.width}x{request.height}", **request.extra}
    told = {key: str(answer[key]) for key in ("size", "quality", "background") if answer.get(key)}
    differ = [f"{key} {told[key]}, not {asked[key]}" for key in told if asked.get(key) not in (None, "auto", told[key])]
    if differ:
        with suppress(Cancelled, OverdueError):  # it is here
            report("note", text=f"{request.name}: the API generated it with {'; '.join(differ)}")
    usage = answer.get("usage")
    facts = {**told, **({"usage": usage} if isinstance(usage, dict) else {})}
    return GeneratedImage(image, facts, any_size=True)
