"""What a backend reports to while it makes one image: it carries the time-out and the user's wish to stop."""

from __future__ import annotations

import threading
import time
from typing import Any

from imagegen.backends.base import Cancelled, GenerationError

__all__ = ["ImageProgress"]


class ImageProgress:
    """One image's progress; see `imagegen.backends.base.Progress`."""

    def __init__(self, timeout_s: float, cancel: threading.Event) -> None:
        self.timeout_s = timeout_s
        self._deadline = time.monotonic() + timeout_s
        self._cancel = cancel

    def event(self, name: str, **facts: Any) -> None:  # noqa: ARG002 - of the protocol
        """Something happened. A good moment to notice that it is time to stop."""
        self.check()

    def check(self) -> None:
        """Raise Cancelled where the user asked to stop, GenerationError where the time is over."""
        if self._cancel.is_set():
            raise Cancelled
        if time.monotonic() > self._deadline:
            raise GenerationError(
                f"not done after {self.timeout_s:g} s",
                "raise generate.timeout_s in the job file if it only needs longer",
            )

    def wait(self, seconds: float) -> None:
        """Sleep that long, raising as `check` does as soon as there is cause."""
        end = time.monotonic() + seconds
        while (left := min(end, self._deadline) - time.monotonic()) > 0:
            self._cancel.wait(min(left, 60.0))
            self.check()
        self.check()
