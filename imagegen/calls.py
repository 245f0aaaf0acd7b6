"""Call what may never answer, such as a mounted folder or a server behind a firewall, without waiting for ever."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from functools import partial
from queue import SimpleQueue
from typing import TypeVar

__all__ = ["StoppedWaiting", "call_with_timeout", "run_in_daemon_thread"]

_Answer = TypeVar("_Answer")
_Inbox = SimpleQueue[Callable[[], Callable[[], None]]]
"""Calls, each of which returns what hands its result on."""


class StoppedWaiting(Exception):  # noqa: N818 - it is no error: the user asked for it
    """The user stopped the run before there was an answer."""


def run_in_daemon_thread(call: Callable[[], _Answer]) -> Future[_Answer]:
    """Run a call in a thread that may be left behind; return its result to come.

    The thread ends with the process at the latest. An executor's threads would be waited for then. Once it is done, it
    takes later calls, so there are no more threads than calls at a time.
    """
    answer: Future[_Answer] = Future()

    def work() -> Callable[[], None]:
        try:
            return partial(answer.set_result, call())
        except BaseException as error:  # handed on, whatever it is
            return partial(answer.set_exception, error)

    with _mutex:
        inbox = _idle.pop() if _idle else None
    if inbox is None:
        inbox = SimpleQueue()
        threading.Thread(target=_take_calls, args=(inbox,), name="imagegen-call", daemon=True).start()
    inbox.put(work)
    return answer


_idle: list[_Inbox] = []
"""The inboxes of threads that wait for a call, the last one to be used first."""
_mutex = threading.Lock()


def _forget_threads() -> None:
    """Forget the threads that wait for a call: a child of this process has none of them."""
    global _mutex
    _mutex = threading.Lock()
    _idle.clear()


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=_forget_threads)


def _take_calls(inbox: _Inbox) -> None:
    while True:
        answer = inbox.get()()
        with _mutex:  # first, so that the caller finds this thread idle once it has the answer
            _idle.append(inbox)
        answer()
        del answer  # and with it what the call returned


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
