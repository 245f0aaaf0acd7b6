"""Work in a thread of its own, while the caller's tells what happens and hears Ctrl-C and other signals."""

from __future__ import annotations

import contextlib
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, Protocol

from imagegen.backends.base import Cancelled, OverdueError
from imagegen.execute.events import Event, Outcome, ProgressEvent, Started

__all__ = [
    "Attempt",
    "ImageProgress",
    "InterruptibleWorker",
]


class InterruptibleWorker:
    """What one run does, one piece of work after another. tell: called with each event, in the caller's thread.

    Ctrl-C sets `stop` once, and `cancel` the second time; a third is Python's own. SIGTERM and SIGHUP set both at once.
    A signal that this process was started to ignore stays ignored.
    """

    def __init__(self, tell: Callable[[Event], None]) -> None:
        self.stop, self.cancel = threading.Event(), threading.Event()
        self._tell = tell
        self._told: queue.SimpleQueue[Event | _Interrupted | None] = queue.SimpleQueue()
        self._running: set[str] = set()
        self._ended_by: int | None = None

    def put(self, event: Event) -> None:
        """Have it told. From any thread; what comes between two pieces of work is told with the next."""
        self._told.put(event)

    def do(self, work: Callable[[], None]) -> None:
        """Work, to its end. What it raises is raised here; where `tell` raises, it is stopped and waited for."""
        raised: list[BaseException] = []

        def to_the_end() -> None:
            try:
                work()
            except BaseException as error:  # handed on, whatever it is
                raised.append(error)
            finally:
                self._told.put(None)

        worker = threading.Thread(target=to_the_end, name="imagegen")
        with self._signals():
            worker.start()
            try:
                self._tell_all()
            except Exception:
                self.stop.set()  # who holds the mutex for the worker must not let go of it before
                worker.join()
                raise
            worker.join()
        if raised:
            raise raised[0]

    def _tell_all(self) -> None:
        """Tell of each event until the work is done."""
        while (event := self._told.get()) is not None:
            if isinstance(event, _Interrupted):
                event = ProgressEvent(None, "note", {"text": _stopping(len(self._running))})
            elif isinstance(event, Started):
                self._running.add(event.output.task)
            elif isinstance(event, Outcome):
                self._running.discard(event.output.task)
            self._tell(event)

    def pass_on(self) -> None:
        """Once all is in order, hand a SIGTERM or SIGHUP on to whom it would have gone to without this."""
        if self._ended_by is not None:
            signal.raise_signal(self._ended_by)

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """A signal's handler must not wait for what this thread may hold."""
        if threading.current_thread() is not threading.main_thread():
            yield  # only the main thread may set handlers
            return
        numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
        before = {number: signal.getsignal(number) for number in numbers}

        def interrupted(number: int, _frame: FrameType | None) -> None:
            if number == signal.SIGINT and not self.stop.is_set():
                self._told.put(_Interrupted())
            else:
                self.cancel.set()
                signal.signal(number, before[number])
            if number != signal.SIGINT:
                self._ended_by = number
            self.stop.set()

        taken = [number for number in numbers if before[number] not in (signal.SIG_IGN, None)]
        for number in taken:
            signal.signal(number, interrupted)
        try:
            yield
        finally:
            for number in taken:
                signal.signal(number, before[number])


class _Interrupted:
    """Ctrl-C was pressed for the first time."""


def _stopping(running: int) -> str:
    if not running:
        return "stopping"
    images, them = ("1 image is", "it") if running == 1 else (f"{running} images are", "them")
    return f"stopping when {images} done; Ctrl-C again cancels {them}"


class Attempt(Protocol):
    """The attempt at an image; only a backend that asks for it has one."""

    def open(self, server: str = "") -> str:
        """Return its UUID, which is on disk by then, with the server if one is given."""

    def server(self) -> str:
        """Return the server where it was begun last; empty if none was given."""


class ImageProgress:
    """One image's progress; see `imagegen.backends.base.Progress`. tell: is told of events."""

    def __init__(
        self,
        timeout_s: float,
        cancel: threading.Event,
        attempt: Attempt | None = None,
        tell: Callable[[str, dict[str, Any]], None] = lambda _name, _facts: None,
    ) -> None:
        self.timeout_s = timeout_s
        self._began_s = time.monotonic()
        self._cancel = cancel
        self._attempt = attempt
        self._tell = tell

    def begin_attempt(self, server: str = "") -> str:
        """Return the UUID of this attempt, noted with the server if one is given."""
        return self._attempt.open(server) if self._attempt else ""

    @property
    def last_server(self) -> str:
        """The server where the open attempt was begun."""
        return self._attempt.server() if self._attempt else ""

    def event(self, name: str, **facts: Any) -> None:
        """Something happened. A good moment to notice that it is time to stop."""
        self._tell(name, facts)
        self.check()

    def restart_clock(self) -> None:
        """The time counts from now."""
        self._began_s = time.monotonic()
        self._tell("restarted", {})

    @property
    def seconds(self) -> float:
        """How long it has been, without what was waited for others."""
        return time.monotonic() - self._began_s

    def check(self) -> None:
        """Raise Cancelled where the user asked to stop, OverdueError where the time is over."""
        if self._cancel.is_set():
            raise Cancelled
        if self.seconds > self.timeout_s:
            raise OverdueError(self.timeout_s)

    def wait(self, seconds: float) -> None:
        """Sleep that long, raising as `check` does as soon as there is cause."""
        end = time.monotonic() + seconds
        while (left := min(end, self._began_s + self.timeout_s) - time.monotonic()) > 0:
            self._cancel.wait(min(left, 60.0))
            self.check()
        self.check()
