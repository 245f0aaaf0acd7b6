"""One image's progress at a worker, told by Dask's own events to whoever asked for the image, and handed on there."""

from __future__ import annotations

import math
import queue
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from imagegen.backends.base import Cancelled, OverdueError, Progress

__all__ = ["TOPIC", "Aside", "WorkerProgress", "hand_on"]

TOPIC = "imagegen"
"""Of Dask's events. Each is a mapping: to (an attempt), worker (its address), name, facts."""


class WorkerProgress:
    """As `imagegen.backends.base.Progress`. worker: Dask's. cancelled: set where the user asked to stop."""

    def __init__(self, worker: Any, attempt: str, timeout_s: float, cancelled: threading.Event) -> None:
        self.timeout_s = timeout_s
        self._attempt = attempt
        self._worker = worker
        self._cancelled = cancelled
        self._began_s = time.monotonic()

    last_server = ""
    """Where the worker itself began it before is not known; at which worker that was, whoever asks knows."""

    def begin_attempt(self, server: str = "") -> str:  # noqa: ARG002 - the protocol has it
        """Return the attempt; which of the worker's own servers makes it is not reported."""
        return self._attempt

    def event(self, name: str, **facts: Any) -> None:
        """Told to whoever asked for the image, and no reason to fail."""
        self._tell(name, facts)
        self.check()

    def restart_clock(self) -> None:
        """The time counts from now, there too."""
        self._began_s = time.monotonic()
        self._tell("restarted", {})

    def check_cancelled(self) -> None:
        """Raise Cancelled where the user asked to stop."""
        if self._cancelled.is_set():
            raise Cancelled

    def check(self) -> None:
        """Raise Cancelled where the user asked to stop, OverdueError where the time is over."""
        self.check_cancelled()
        if time.monotonic() - self._began_s > self.timeout_s:
            raise OverdueError(self.timeout_s)

    def wait(self, seconds: float) -> None:
        """Sleep that long, raising as `check` does as soon as there is cause."""
        end = time.monotonic() + seconds
        while (left := min(end, self._began_s + self.timeout_s) - time.monotonic()) > 0:
            self._cancelled.wait(min(left, 60.0))
            self.check()
        self.check()

    def _tell(self, name: str, facts: Mapping[str, Any]) -> None:
        told = {"to": self._attempt, "worker": self._worker.address, "name": name, "facts": facts}
        self._worker.log_event(TOPIC, told)


class Aside:
    """What a worker's preparation reports to, beside the images: its notes are told with the next of them."""

    timeout_s = math.inf
    last_server = ""

    def __init__(self, over: threading.Event, note: Callable[[str], None]) -> None:
        self._over, self._note = over, note

    def begin_attempt(self, server: str = "") -> str:  # noqa: ARG002 - the protocol has it
        """Return nothing: there is no image to attempt."""
        return ""

    def event(self, name: str, **facts: Any) -> None:
        """Only notes are told."""
        if name == "note":
            self._note(str(facts["text"]))

    def restart_clock(self) -> None:
        """It has no time-out."""

    def check(self) -> None:
        """Raise Cancelled where the run is over."""
        if self._over.is_set():
            raise Cancelled

    def wait(self, seconds: float) -> None:
        """Sleep that long, raising as `check` does."""
        self._over.wait(seconds)
        self.check()


def hand_on(heard: queue.SimpleQueue[Mapping[str, Any]], progress: Progress) -> str:
    """Tell what workers told; the address of the last one that began to draw, empty where none did."""
    began = ""
    while True:
        try:
            message = heard.get_nowait()
        except queue.Empty:
            return began
        if message["name"] == "restarted":
            began = str(message["worker"])
            progress.restart_clock()
        else:
            progress.event(str(message["name"]), **message["facts"])
