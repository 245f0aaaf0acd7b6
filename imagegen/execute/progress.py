"""What a backend reports to while it makes one image: its time, its attempt, and the user's wish to stop."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from imagegen.backends.base import Cancelled, OverdueError

__all__ = ["Attempt", "ImageProgress"]


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
