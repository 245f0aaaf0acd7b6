"""Calls that generate: made again when the server has room, and not again if they may have been paid for."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import TypeVar

from imagegen.backends.base import Cancelled, MayBePaidError, OverdueError, Progress
from imagegen.backends.json_api import Refused, Unreachable
from imagegen.backends.refusals import find_words, is_final

__all__ = ["call_with_retries"]

_MOST_TRIES = 7
"""Of an image that costs something. A minute's limit has passed by the last one, if the server does not say when."""
_LONGEST_S = 120.0
"""Seconds that a server may ask to wait once."""
_PAUSES_S = 1.0, 30.0
"""Seconds between two tries, the first and the most, if the server does not say when. Each time twice as many."""
_OK, _GAVE_UP, _TOO_MANY, _ERROR, _NO_ROOM = 200, 408, 429, 500, 503
_PROXIES = frozenset({502, 504})
"""What a proxy says that does not know what became of the request."""
_Answer = TypeVar("_Answer")


def call_with_retries(
    call: Callable[[], _Answer],
    progress: Progress,
    *,
    is_paid: bool = False,
) -> _Answer:
    """Return what the call does. While the server has no room, try again: 429, any 5xx with Retry-After, and 503.

    It is waited for at most as long as the image may take, which is not the image's own time: a server that is busy
    with another image may be so for as long. An image that costs something is tried a few times only, and not again
    after a 503 without Retry-After, or a proxy's 502 and 504: it may have been made.

    Args:
        call: raises Refused or Unreachable; and once it has sent the request, what `progress` does.
        progress: of the image.
        is_paid: whether the image costs something.

    Raises:
        Refused, Unreachable: it is another error, or there was no room for too long. Nothing was paid for.
        MayBePaidError: the image costs something, and may have been made: its answer was lost, or has none in it.
        Cancelled, OverdueError: from `progress`.
    """
    waited_s = wait_s = 0.0
    for tries in itertools.count(1):
        try:
            _wait(wait_s, progress)
        except Cancelled:
            raise Cancelled(may_be_paid=False) from None
        try:
            return call()
        except (Cancelled, OverdueError) as error:
            if is_paid:
                raise _lost("it was cancelled" if isinstance(error, Cancelled) else error.problem.what) from None
            raise
        except (Refused, Unreachable) as error:
            wait_s = _choose_wait(error, tries, is_paid=is_paid)
            waited_s += wait_s
            is_last = is_paid and tries == _MOST_TRIES
            is_over = is_last or wait_s > _LONGEST_S or waited_s > progress.timeout_s
            if is_over or not _has_no_room(error, is_paid=is_paid) or is_final(error.answer):
                if is_paid and not _has_no_room(error, is_paid=True) and _may_be_made(error):
                    raise _lost(find_words(error.answer) or str(error)) from None
                raise
    raise AssertionError  # it counts without end


def _choose_wait(error: Refused | Unreachable, tries: int, *, is_paid: bool) -> float:
    """Return the seconds until the next try: at least a little while, if only their sum ends the tries."""
    if error.retry_after_s is not None:
        return error.retry_after_s if is_paid else max(error.retry_after_s, _PAUSES_S[0])
    return min(_PAUSES_S[0] * 2.0 ** min(tries - 1, 10), _PAUSES_S[1])


def _has_no_room(error: Refused | Unreachable, *, is_paid: bool) -> bool:
    """Return whether the server has no room at the moment. If the image costs something, it must be sure."""
    if error.status == _TOO_MANY or (error.status == _NO_ROOM and not is_paid):
        return True
    is_unsure = is_paid and error.status in _PROXIES
    return error.status >= _ERROR and error.retry_after_s is not None and not is_unsure


def _may_be_made(error: Refused | Unreachable) -> bool:
    """Return whether an image may have been made that did not arrive."""
    if isinstance(error, Unreachable):
        return error.may_have_arrived
    return error.status in (_OK, _GAVE_UP) or error.status >= _ERROR


def _lost(why: str) -> MayBePaidError:
    what = f"requested, and no image arrived: {why}"  # what that means for the budget, the executor says
    return MayBePaidError(what, "look at the account's usage before you run doit again")


def _wait(seconds: float, progress: Progress) -> None:
    """Wait, and show for how long. Raises what `progress` does, also if there is nothing to wait for."""
    progress.check()
    if not seconds:
        return
    end_s = time.monotonic() + seconds
    while (left_s := end_s - time.monotonic()) > 0:
        progress.restart_clock()
        progress.event("waiting", text=f"waiting for the server … it has no room; next try in {left_s:.0f} s")
        progress.wait(min(1.0, left_s))
    progress.restart_clock()
    progress.event("waiting", text="")
