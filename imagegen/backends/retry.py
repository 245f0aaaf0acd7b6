"""Calls to a server that has no room at the moment: they are made again when it says, or a little later each time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from imagegen.backends.base import Progress
from imagegen.backends.json_api import Refused, Unreachable

__all__ = ["call_with_retries"]

_MOST_TRIES = 6
_LONGEST_S = 120.0
"""Seconds that a server may ask to wait once."""
_Answer = TypeVar("_Answer")


def call_with_retries(
    call: Callable[[], _Answer], progress: Progress, is_final: Callable[[Refused | Unreachable], bool]
) -> _Answer:
    """Return what the call does. While the server has no room (429, 503, any 5xx with Retry-After), try again.

    It is waited for at most as long as the image may take, which is not the image's own time.

    Args:
        call: raises Refused or Unreachable.
        progress: of the image.
        is_final: whether an error will be the same next time, or trying again may cost something.

    Raises:
        Refused, Unreachable: it is another error, or there was no room for too long.
    """
    waited_s = 0.0
    for tries in range(_MOST_TRIES):
        try:
            return call()
        except (Refused, Unreachable) as error:
            has_no_room = error.status in (429, 503) or (error.status >= 500 and error.retry_after_s is not None)
            wait_s = float(2**tries) if error.retry_after_s is None else error.retry_after_s
            waited_s += wait_s
            is_too_long = wait_s > _LONGEST_S or waited_s > progress.timeout_s or tries + 1 == _MOST_TRIES
            if not has_no_room or is_too_long or is_final(error):
                raise
        _wait(wait_s, progress)
    raise AssertionError  # the last try returns or raises


def _wait(seconds: float, progress: Progress) -> None:
    """Wait, and show for how long."""
    end_s = time.monotonic() + seconds
    while (left_s := end_s - time.monotonic()) > 0:
        progress.restart_clock()
        progress.event("waiting", text=f"waiting for the server … it has no room; next try in {left_s:.0f} s")
        progress.wait(min(1.0, left_s))
    progress.restart_clock()
    progress.event("waiting", text="")
