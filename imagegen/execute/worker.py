"""A run's work in a thread of its own, while the caller's thread emits events and hears Ctrl-C and other signals."""

from __future__ import annotations

import contextlib
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import FrameType
from typing import Any, Literal

from imagegen.backends.base import Cancelled, OverdueError, find_reference
from imagegen.execute.events import Arrived, Event, Outcome, ProgressEvent, Started
from imagegen.plan.output import Output
from imagegen.project import Project

__all__ = [
    "ImageAttempt",
    "ImageProgress",
    "InterruptibleWorker",
    "Stopping",
]


@dataclass(frozen=True)
class Stopping:
    """How a run is ended early.

    Attributes:
        stop: set from any thread: start nothing more.
        cancel: the same: also give up what is running.
        leaves_handlers: whether a signal that the program has a handler of its own for stays that handler's.
    """

    stop: threading.Event = field(default_factory=threading.Event)
    cancel: threading.Event = field(default_factory=threading.Event)
    leaves_handlers: bool = False


class InterruptibleWorker:
    """Does the work of one run, one piece after another. on_event: called with each event, in the caller's thread.

    Ctrl-C sets `stop` the first time and `cancel` the second; the third is Python's own. SIGTERM and SIGHUP set both at
    once, however often they come: timeout(1) sends each twice, and a run that left at the second would leave its server
    behind. A signal that this process was started to ignore stays ignored. Ctrl-Break on Windows is like Ctrl-C.

    Whatever is raised in the caller's thread meanwhile, by a handler of the program's own say, stops the work first.
    """

    def __init__(self, on_event: Callable[[Event], None], stopping: Stopping | None = None) -> None:
        stopping = stopping or Stopping()
        self.stop, self.cancel = stopping.stop, stopping.cancel
        self._leaves_handlers = stopping.leaves_handlers
        self._on_event = on_event
        self._queue: queue.SimpleQueue[Event | Literal["interrupted", "done"]] = queue.SimpleQueue()
        self._running: set[str] = set()
        self._ended_by: int | None = None

    def emit(self, event: Event) -> None:
        """Queue an event, from any thread. What comes between two pieces of work is emitted with the next."""
        self._queue.put(event)

    def run(self, work: Callable[[], None]) -> None:
        """Do the work to its end, and raise what it raises."""
        pool = ThreadPoolExecutor(1, "imagegen")
        begins: queue.SimpleQueue[bool] = queue.SimpleQueue()  # a signal may raise while the thread is started
        with self._handle_signals():
            try:
                future = pool.submit(lambda: work() if begins.get() else None)
                future.add_done_callback(lambda _: self._queue.put("done"))
                pool.shutdown(wait=False)
                begins.put(True)
                while (event := self._queue.get()) != "done":
                    self._pass_on(event)
            except BaseException as error:
                begins.put(False)
                self._end(pool, error)
                raise
            future.result()

    def _end(self, pool: ThreadPoolExecutor, error: BaseException) -> None:
        """Have the work end before the error goes on: the caller holds the mutex for it until then."""
        is_exception = isinstance(error, Exception)
        if self.cancel.is_set() and not (is_exception or self._leaves_handlers):
            return  # the third Ctrl-C: the user does not want to wait, and this process ends
        if self.stop.is_set() and not is_exception:
            self.cancel.set()
        self.stop.set()
        try:
            pool.shutdown()
        except BaseException:  # raised again: then what is running is given up, too
            self.cancel.set()
            pool.shutdown()

    def _pass_on(self, event: Event | Literal["interrupted", "done"]) -> None:
        if isinstance(event, str):
            event = ProgressEvent(None, "note", {"text": _describe_stopping(len(self._running))})
        elif isinstance(event, Started):
            self._running.add(event.output.task)
        elif isinstance(event, (Arrived, Outcome)):
            self._running.discard(event.output.task)
        self._on_event(event)

    def raise_signal(self) -> None:
        """Once everything is in order, raise the SIGTERM or SIGHUP that ended the work, for its former handler."""
        if self._ended_by is not None:
            signal.raise_signal(self._ended_by)

    @contextlib.contextmanager
    def _handle_signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield  # only the main thread may set handlers
            return
        numbers = [
            getattr(signal, name) for name in ("SIGINT", "SIGBREAK", "SIGTERM", "SIGHUP") if hasattr(signal, name)
        ]
        before = {number: signal.getsignal(number) for number in numbers}

        def handle(number: int, _frame: FrameType | None) -> None:
            # takes no lock that this thread may hold
            if number not in (signal.SIGINT, getattr(signal, "SIGBREAK", None)):
                self.cancel.set()
                self._ended_by = number
            elif self.stop.is_set():
                self.cancel.set()
                signal.signal(number, before[number])
            else:
                self._queue.put("interrupted")
            self.stop.set()

        handled = [number for number in numbers if self._handles(before[number])]
        for number in handled:
            signal.signal(number, handle)
        try:
            yield
        finally:
            for number in handled:
                signal.signal(number, before[number])

    def _handles(self, before: object) -> bool:
        """Return whether to handle a signal that has this handler so far."""
        if self._leaves_handlers:
            return before in (signal.SIG_DFL, signal.default_int_handler)
        return before not in (signal.SIG_IGN, None)


def _describe_stopping(running: int) -> str:
    if not running:
        return "stopping"
    images, them = ("1 image is", "it") if running == 1 else (f"{running} images are", "them")
    return f"stopping when {images} done; Ctrl-C again cancels {them}"


class ImageAttempt:
    """The attempt at one image; on disk only if the backend asks for its UUID. forced: no earlier image will do."""

    def __init__(self, project: Project, output: Output, *, forced: bool) -> None:
        self._project, self._output, self._forced = project, output, forced
        self.facts: dict[str, str] = {}
        """What the store notes of it: its UUID, if the backend asked for it."""

    def open(self, server: str = "") -> str:
        """Return its UUID, once it is on disk, with the server if one is given."""
        if not self.facts or server:
            opened = self._project.attempts.open(self._image, forced=self._forced, done=self._stored, server=server)
            self.facts = {"attempt": opened}
        return self.facts["attempt"]

    def is_open(self) -> bool:
        """Return whether it was begun, by an earlier run maybe, and its end is not known."""
        return self._project.attempts.is_open(self._image, self._stored)

    def last_server(self) -> str:
        """Return the server at which it was begun last; empty if none was given."""
        return self._project.attempts.server(self._image, self._stored)

    def close(self, *, made: bool) -> None:
        """End it. If that cannot be noted, nothing is lost: the store knows the image by the attempt."""
        if self.facts:
            with contextlib.suppress(OSError):
                self._project.attempts.close(self._image, made=made)

    @cached_property
    def _image(self) -> str:
        digest = self._project.model_digest(self._output)
        return " ".join(filter(None, (self._output.fingerprint, digest, self._output.path)))

    @cached_property
    def _stored(self) -> set[str]:
        entries = self._project.store.entries(self._output.fingerprint)
        return {str(entry.facts.get("attempt")) for entry in entries}


class ImageProgress:
    """What a backend reports to while it generates one image: see `imagegen.backends.base.Progress`.

    Args:
        on_event: called with each event's name and facts.
        files: reference images on this machine, by their sha256.
    """

    def __init__(
        self,
        timeout_s: float,
        cancel: threading.Event,
        attempt: ImageAttempt | None = None,
        on_event: Callable[[str, dict[str, Any]], None] = lambda _name, _facts: None,
        files: Mapping[str, Path] | None = None,
    ) -> None:
        self.timeout_s = timeout_s
        self._started_s = time.monotonic()
        self._cancel = cancel
        self._attempt = attempt
        self._on_event = on_event
        self._files = files or {}

    def file(self, sha256: str) -> Path:
        """Return where the reference image with this content is. Raises GenerationError."""
        return find_reference(self._files, sha256)

    def begin_attempt(self, server: str = "") -> str:
        """Return the UUID of this attempt, noted with the server if one is given."""
        return self._attempt.open(server) if self._attempt else ""

    @property
    def last_server(self) -> str:
        """The server at which the open attempt was begun."""
        return self._attempt.last_server() if self._attempt else ""

    def event(self, name: str, **facts: Any) -> None:
        """Report that something happened. Raises as `check` does."""
        self._on_event(name, facts)
        self.check()

    def restart_clock(self) -> None:
        """Count the image's time from now."""
        self._started_s = time.monotonic()
        self._on_event("restarted", {})

    @property
    def seconds(self) -> float:
        """How long it has taken, without waiting for other images."""
        return time.monotonic() - self._started_s

    @property
    def is_cancelled(self) -> bool:
        """Whether the user gave it up."""
        return self._cancel.is_set()

    def check(self) -> None:
        """Raise Cancelled if the user wants to stop, or OverdueError if the time is over."""
        if self._cancel.is_set():
            raise Cancelled
        if self.seconds > self.timeout_s:
            raise OverdueError(self.timeout_s)

    def wait(self, seconds: float) -> None:
        """Sleep that long, raising as `check` does as soon as there is cause."""
        end = time.monotonic() + seconds
        while (left := min(end, self._started_s + self.timeout_s) - time.monotonic()) > 0:
            self._cancel.wait(min(left, 60.0))
            self.check()
        self.check()
