"""How one run reaches the shared store: opened when it is first asked, bounded in time, left alone once it is away."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from imagegen.asking import GivenUp, within
from imagegen.state.shared_store import SharedStore

__all__ = ["Patience", "Reach"]

_Answer = TypeVar("_Answer")


@dataclass(frozen=True)
class Patience:
    """Seconds. answer_s: to connect, and for each question. image_s: for one image, up or down.

    last_s: at the end of a run, for what has yet to go up.
    """

    answer_s: float = 10.0
    image_s: float = 60.0
    last_s: float = 60.0


class Reach:
    """Safe to share among threads. opened: opens the store. stop: the user wants it to end.

    leave: called with what went wrong in opening it.
    """

    def __init__(
        self,
        opened: Callable[[], SharedStore],
        answer_s: float,
        stop: threading.Event,
        leave: Callable[[Exception], None],
    ) -> None:
        self._opened, self._answer_s, self._stop, self._leave = opened, answer_s, stop, leave
        self.store: SharedStore | None = None
        self.is_left = False
        """Nothing more is asked or sent."""
        self._opening = threading.Lock()
        self._turns = threading.Semaphore(1)

    def ask(self, seconds: float, question: Callable[[SharedStore], _Answer]) -> _Answer:
        """Its answer. Raises GivenUp where it is not asked any more, or what went wrong."""
        store = self._open()
        while not self._turns.acquire(timeout=0.2):
            self._go_on()
        try:
            self._go_on()
            return within(seconds, lambda: question(store), self._stop.is_set)
        finally:
            self._turns.release()

    def _go_on(self) -> None:
        if self.is_left or self._stop.is_set():
            raise GivenUp

    def _open(self) -> SharedStore:
        with self._opening:
            self._go_on()
            if self.store is None:
                try:
                    store = within(self._answer_s, self._opened, self._stop.is_set)
                except GivenUp:
                    raise
                except Exception as error:
                    self._leave(error)  # before others try it too
                    raise GivenUp from None
                self._turns = threading.Semaphore(store.at_once)
                self.store = store
            return self.store
