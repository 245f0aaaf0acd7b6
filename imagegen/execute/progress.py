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

    def open(self, place: str = "") -> str:
        """Its UUID, on disk by then, and where it is made, if that is told."""

    def place(self) -> str:
        """Where it was made last, as far as it was told."""


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

    @property
    def attempt(self) -> str:
        """The UUID of this attempt."""
        return self._attempt.open() if self._attempt else ""

    def attempt_at(self, place: str) -> str:
        """The same, made at this place."""
        return self._attempt.open(place) if self._attempt else ""

    @property
    def begun_at(self) -> str:
        """Where the open attempt was begun."""
        return self._attempt.place() if self._attempt else ""

    def event(self, name: str, **facts: Any) -> None:
        """Something happened. A good moment to notice that it is time to stop."""
        self._tell(name, facts)
        self.check()

    def restart(self) -> None:
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
