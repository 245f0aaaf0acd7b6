"""One image: the request for it, waiting for its answer, and what an answer without an image means."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from imagegen.backends.base import Cancelled, GeneratedImage, GenerationError, MayBePaidError, OverdueError, Progress
from imagegen.backends.json_api import Refused, Unreachable, find_words
from imagegen.backends.openai.client import OK, Client
from imagegen.backends.openai.dialects import Dialect
from imagegen.backends.retry import call_with_retries
from imagegen.backends.sd.field_checks import explain_size
from imagegen.plan.request import Request

__all__ = ["generate"]

_FINAL = {
    "insufficient_quota": "add credit to the account that the key belongs to",
    "billing_hard_limit_reached": "raise the limit of the account that the key belongs to",
    "moderation_blocked": "change the prompt",
    "content_policy_violation": "change the prompt",
    "model_not_found": "correct openai.model",
}
"""Codes of errors that stay → what to do."""
_NO_ROOM, _ERROR = 503, 500
_AUTHORIZATION = (401, 403, 407)


def generate(client: Client, request: Request, dialect: Dialect, progress: Progress) -> GeneratedImage:
    """Generate an image.

    Raises:
        GenerationError: it cannot be generated; MayBePaidError if it may have been, at a hosted API.
        Cancelled, OverdueError: from `progress`.
    """
    body, is_paid = dialect.build_body(request), dialect.name == "hosted"

    def is_final(error: Refused | Unreachable) -> bool:
        is_lost = is_paid and isinstance(error, Unreachable) and _may_be_paid(error)
        return is_lost or _find_code(error.answer) in _FINAL

    def send() -> tuple[bytes, Mapping[str, Any]]:
        progress.check()
        try:
            return client.generate(body, progress.check, progress.timeout_s + 60)
        except (Cancelled, OverdueError) as error:
            if is_paid:
                raise _lost("it was cancelled" if isinstance(error, Cancelled) else error.problem.what) from None
            raise

    try:
        image, answer = call_with_retries(send, progress, is_final)
    except (Refused, Unreachable) as error:
        raise _lost(_describe(error)) if is_paid and _may_be_paid(error) else _explain(error) from None
    if is_paid:
        return _read_paid(image, answer, request, progress)
    size = {"width": request.width, "height": request.height}
    if dialect.name in ("sdcpp", "lemonade") and (problem := explain_size(size, image)):
        raise GenerationError(problem.what, problem.hint)
    return GeneratedImage(image, {"server": client.url, "seed": dialect.fold_seed(request.seed or 0)})


def _may_be_paid(error: Refused | Unreachable) -> bool:
    """Return whether an image may have been made that did not arrive."""
    if isinstance(error, Unreachable):
        return error.may_have_arrived and error.status != _NO_ROOM
    return error.status == OK or error.status >= _ERROR


def _lost(why: str) -> MayBePaidError:
    what = f"it was requested, and no image came back: {why}; it may have been made and charged for"
    return MayBePaidError(what, "look at the account's usage; the next doit requests it again")


def _explain(error: Refused | Unreachable) -> GenerationError:
    """Return what to do about an error that costs nothing."""
    if isinstance(error, Unreachable) and not error.answer:
        return GenerationError(f"the server does not answer: {error}", "see whether it still runs, and run doit again")
    own = error.hint if isinstance(error, Refused) else ""
    return GenerationError(_describe(error), _FINAL.get(_find_code(error.answer)) or own or "look at its own log")


def _describe(error: Refused | Unreachable) -> str:
    """Return the server's own words, as far as there are some."""
    words = find_words(error.answer)
    said = f"the server says: {words}" if words else str(error)
    return f"{error}: {words}" if words and error.status in _AUTHORIZATION else said


def _find_code(answer: Mapping[str, Any]) -> str:
    error = answer.get("error")
    return str(error.get("code") or error.get("type") or "") if isinstance(error, dict) else ""


def _read_paid(image: bytes, answer: Mapping[str, Any], request: Request, progress: Progress) -> GeneratedImage:
    """Return an image that was paid for. Whatever it is, it is kept; where it differs, that is said."""
    asked = {"size": f"{request.width}x{request.height}", **request.extra}
    told = {key: str(answer[key]) for key in ("size", "quality", "background") if answer.get(key)}
    differ = [f"{key} {told[key]}, not {asked[key]}" for key in told if asked.get(key) not in (None, "auto", told[key])]
    if differ:
        with suppress(Cancelled, OverdueError):  # it is here
            progress.event("note", text=f"{request.name}: the API generated it with {'; '.join(differ)}")
    usage = {"usage": answer["usage"]} if isinstance(answer.get("usage"), dict) else {}
    return GeneratedImage(image, {**told, **usage}, any_size=True)
