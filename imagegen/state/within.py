"""Waiting for what may never answer: a mounted folder, a server behind a firewall."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import TypeVar

__all__ = ["GivenUp", "within"]

_Answer = TypeVar("_Answer")


class GivenUp(Exception):  # noqa: N818 - it is no error: the user asked for it
    """It was not waited for any longer."""


def within(seconds: float, ask: Callable[[], _Answer], give_up: Callable[[], bool] = lambda: False) -> _Answer:
    """What `ask` returns or raises, where that takes no longer than this.

    It runs in a thread of its own; where it takes longer, that is left behind, and ends with the process at the latest.
    give_up: looked at every 0.2 s. Raises TimeoutError, or GivenUp.
    """
    answer: Future[_Answer] = Future()

    def work() -> None:
        try:
            answer.set_result(ask())
        except BaseException as error:  # handed on, whatever it is
            answer.set_exception(error)

    # no executor: its threads are waited for when the process ends
    threading.Thread(target=work, name="imagegen-asks", daemon=True).start()
    end = time.monotonic() + seconds
    while not answer.done():
        left = end - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"no answer within {seconds:g} s")
        if give_up():
            raise GivenUp
        wait([answer], min(0.2, left))
    return answer.result()
