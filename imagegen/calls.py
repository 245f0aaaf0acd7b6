"""Call what may never answer, such as a mounted folder or a server behind a firewall, without waiting for ever."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import TypeVar

__all__ = ["StoppedWaiting", "call_with_timeout", "run_in_daemon_thread"]

_Answer = TypeVar("_Answer")


class StoppedWaiting(Exception):  # noqa: N818 - it is no error: the user asked for it
    """The user stopped the run before there was an answer."""


def run_in_daemon_thread(call: Callable[[], _Answer]) -> Future[_Answer]:
    """Run a call in a thread of its own that may be left behind; return its result to come.

    The thread ends with the process at the latest. An executor's threads would be waited for then.
    """
    answer: Future[_Answer] = Future()

    def work() -> None:
        try:
            answer.set_result(call())
        except BaseException as error:  # handed on, whatever it is
            answer.set_exception(error)

    threading.Thread(target=work, name="imagegen-call", daemon=True).start()
    return answer


def call_with_timeout(
    seconds: float, call: Callable[[], _Answer], is_stopped: Callable[[], bool] = lambda: False
) -> _Answer:
    """Return what `call` returns, or raise what it raises. If that takes too long, it is left behind.

    Args:
        seconds: that it may take.
        is_stopped: whether to stop waiting; checked every 0.2 s.

    Raises:
        TimeoutError: it took longer.
        StoppedWaiting: `is_stopped` returned true.
    """
    answer = run_in_daemon_thread(call)
    end = time.monotonic() + seconds
    while not answer.done():
        left = end - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"no answer within {seconds:g} s")
        if is_stopped():
            raise StoppedWaiting
        wait([answer], min(0.2, left))
    return answer.result()
