"""Work in a thread of its own, while the caller's tells what happens and hears Ctrl-C."""

from __future__ import annotations

import contextlib
import queue
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

from imagegen.execute.outcome import Event, Happened, Outcome, Started

__all__ = ["Attended"]


class Attended:
    """What one run does, one piece of work after another. tell: called with each event, in the caller's thread.

    Ctrl-C sets `stop` once, and `cancel` the second time; a third is Python's own.
    """

    def __init__(self, tell: Callable[[Event], None]) -> None:
        self.stop, self.cancel = threading.Event(), threading.Event()
        self._tell = tell
        self._told: queue.SimpleQueue[Event | _Interrupted | None] = queue.SimpleQueue()
        self._running: set[str] = set()

    def put(self, event: Event) -> None:
        """Have it told. From any thread; what comes between two pieces of work is told with the next."""
        self._told.put(event)

    def do(self, work: Callable[[], None]) -> None:
        """Work, to its end."""

        def to_the_end() -> None:
            try:
                work()
            finally:
                self._told.put(None)

        worker = threading.Thread(target=to_the_end, name="imagegen")
        with self._ctrl_c():
            worker.start()
            while (event := self._told.get()) is not None:
                if isinstance(event, _Interrupted):
                    event = Happened(None, "note", {"text": _stopping(len(self._running))})
                elif isinstance(event, Started):
                    self._running.add(event.output.task)
                elif isinstance(event, Outcome):
                    self._running.discard(event.output.task)
                self._tell(event)
            worker.join()

    @contextlib.contextmanager
    def _ctrl_c(self) -> Iterator[None]:
        """The signal's handler must not wait for what this thread may hold."""
        if threading.current_thread() is not threading.main_thread():
            yield  # only the main thread may set handlers
            return
        before = signal.getsignal(signal.SIGINT)

        def interrupted(_signal: int, _frame: FrameType | None) -> None:
            if self.stop.is_set():
                self.cancel.set()
                signal.signal(signal.SIGINT, before)
            else:
                self._told.put(_Interrupted())
            self.stop.set()

        signal.signal(signal.SIGINT, interrupted)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)


class _Interrupted:
    """Ctrl-C was pressed for the first time."""


def _stopping(running: int) -> str:
    if not running:
        return "stopping"
    images, them = ("1 image is", "it") if running == 1 else (f"{running} images are", "them")
    return f"stopping when {images} done; Ctrl-C again cancels {them}"
