"""Asking what may never answer: a mounted folder, a server behind a firewall."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import TypeVar

__all__ = ["GivenUp", "asked", "within"]

_Answer = TypeVar("_Answer")


class GivenUp(Exception):  # noqa: N818 - it is no error: the user asked for it
    """It was not waited for any longer."""


def asked(ask: Callable[[], _Answer]) -> Future[_Answer]:
    """What `ask` returns or raises, once it does.

    It runs in a thread of its own that may be left behind, and ends with the process at the latest; an executor's
    threads are waited for then.
    """
    answer: Future[_Answer] = Future()

    def work() -> None:
        try:
            answer.set_result(ask())
        except BaseException as error:  # handed on, whatever it is
            answer.set_exception(error)

    threading.Thread(target=work, name="imagegen-asks", daemon=True).start()
    return answer


def within(seconds: float, ask: Callable[[], _Answer], give_up: Callable[[], bool] = lambda: False) -> _Answer:
    """What `ask` returns or raises, where that takes no longer than this; else it is left behind.

    give_up: looked at every 0.2 s. Raises TimeoutError, or GivenUp.
    """
    answer = asked(ask)
    end = time.monotonic() + seconds
    while not answer.done():
        left = end - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"no answer within {seconds:g} s")
        if give_up():
            raise GivenUp
        wait([answer], min(0.2, left))
    return answer.result()
