"""What a server's error says, in whichever of the usual forms it is, and what to do about it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from imagegen.backends.base import GenerationError
from imagegen.backends.json_api import Refused, Unreachable
from imagegen.backends.text import one_line
from imagegen.errors import Problem

__all__ = ["explain_failure", "explain_refusal", "explained", "find_words", "is_final"]

_MEMORY = r"out ?of ?memory|bad_alloc|not enough memory|insufficient memory|failed to allocate"
_SMALLER = "make the image smaller, take a smaller model, or start the server so that it needs less memory"
_UNSAID = "returned no results"
"""Of stable-diffusion.cpp: the cause is in its log alone, and is memory in most cases."""
_TOO_MANY, _NO_ROOM = 429, 503
_NO_KIND = ("HTTPException", "server_error")
"""Kinds of error that say nothing."""
_CODES = {
    "insufficient_quota": "add credit to the account that the key belongs to",
    "billing_hard_limit_reached": "raise the limit of the account that the key belongs to",
    "moderation_blocked": "change the prompt",
    "content_policy_violation": "change the prompt",
    "model_not_found": "correct the model's name",
}
"""Codes of OpenAI's API, and of those who speak it, for what is the same next time → what to do."""


@contextmanager
def explained(url: str, more: str = "") -> Iterator[None]:
    """Within it, raise GenerationError for what the server at this address refuses, or if it does not answer.

    more: what else to do about a refusal.
    """
    try:
        yield
    except (Refused, Unreachable) as error:
        problem, more = explain_failure(error, url), more if isinstance(error, Refused) else ""
        raise GenerationError(problem.what, "; ".join(filter(None, (problem.hint, more)))) from None


def explain_failure(error: Refused | Unreachable, url: str) -> Problem:
    """Return why the server at this address gave no image, and what to do. It costs nothing."""
    if isinstance(error, Refused):
        return explain_refusal(error)
    said = ": ".join(filter(None, (str(error), one_line(find_words(error.answer)))))
    if error.retry_after_s or (error.status == _NO_ROOM and error.answer):  # it runs, and says so itself
        return Problem("", f"{url} takes no image at the moment: {said}", _say_when(error.retry_after_s))
    lost = "; if it goes on with the image, that is lost" if error.may_have_arrived and not error.status else ""
    return Problem("", f"{url} does not answer: {said}{lost}", "see whether it still runs, then run doit again")


def explain_refusal(refused: Refused) -> Problem:
    """Return what a server says is wrong, and what to do."""
    said = one_line(find_words(refused.answer))
    if re.search(_MEMORY, said, re.IGNORECASE):
        return Problem("", f"the server ran out of memory: {said}", _SMALLER)
    if _UNSAID in said:
        return Problem("", f"the server says: {said}", f"its log says why; if for want of memory, {_SMALLER}")
    hint = "correct what it names, or look at its own log"
    if refused.status == _TOO_MANY or refused.retry_after_s:
        hint = _say_when(refused.retry_after_s)
    hint = _CODES.get(_find_code(refused.answer)) or refused.hint or hint
    if said and refused.status in (401, 403):
        return Problem("", f"{refused.what}: {said}", hint)
    return Problem("", f"the server says: {said}" if said else refused.what, hint)


def _say_when(wait_s: float | None) -> str:
    """Return when to try again. wait_s: seconds from now, as the server says."""
    if not wait_s:
        return "run doit again in a while"
    for unit, seconds in (("h", 3600), ("min", 60)):
        if wait_s > 1.5 * seconds:
            return f"run doit again in {math.ceil(wait_s / seconds)} {unit}"
    return f"run doit again in {math.ceil(wait_s)} s"


def is_final(answer: Mapping[str, Any]) -> bool:
    """Return whether a server that has no room, as it says, will say so next time too: there is no money, say."""
    return _find_code(answer) in _CODES


def _find_code(answer: Mapping[str, Any]) -> str:
    error = answer.get("error")
    return str(error.get("code") or error.get("type") or "") if isinstance(error, dict) else ""


def find_words(answer: Mapping[str, Any]) -> str:
    """Return the server's own words, with the kind of error before them; empty if there are none.

    The forms: A1111's and Forge's `error`, `detail`, `errors` and `message`; FastAPI's list in `detail`; OpenAI's
    object in `error`, in which Lemonade has the answer of the program behind it; koboldcpp's in `detail`.
    """
    kind: Any = answer.get("error")
    detail: Any = answer.get("detail")
    if isinstance(kind, dict):
        details = kind.get("details")
        behind = details.get("response") if isinstance(details, dict) else None
        kind, detail = kind.get("message") or kind.get("msg"), find_words(behind) if isinstance(behind, dict) else None
    if isinstance(detail, dict):
        detail = detail.get("msg") or detail.get("message")
    if isinstance(detail, list):
        detail = "; ".join(_read_place(one) for one in detail if isinstance(one, dict))
    said = detail or answer.get("errors") or answer.get("message") or answer.get("msg")
    return ": ".join(dict.fromkeys(str(one) for one in (kind, said) if one and one not in _NO_KIND))


def _read_place(one: Mapping[str, Any]) -> str:
    place = one.get("loc")
    names = [str(part) for part in place if part != "body"] if isinstance(place, list) else []
    return f"{'.'.join(names)}: {one.get('msg')}" if names else str(one.get("msg"))
