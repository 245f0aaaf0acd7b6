"""Room for images that have arrived, until they are finished: verified, stored, encoded and put in place.

Most of that time an image waits for the disk. So several are finished at a time, beside those being generated.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from imagegen.backends.base import ServerSlot

__all__ = ["AT_A_TIME", "FinishingRoom", "Place"]

AT_A_TIME = 32
"""Images that a backend's executor finishes at a time. On a disk that syncs in 10 ms, each waits for some 80 ms."""
_MOST_BYTES = 256 * 1024**2
"""Memory that they take at a time, as files and decoded; a larger one is finished alone."""


class FinishingRoom:
    """Memory and processor cores for finishing images. Safe to share among threads.

    core: held while an image is decoded or encoded.
    """

    def __init__(self, most_bytes: int = _MOST_BYTES) -> None:
        self.core = threading.Semaphore(os.cpu_count() or 1)
        self._most_bytes = most_bytes
        self._bytes = 0
        self._changed = threading.Condition()

    @contextmanager
    def hold(self, size: int) -> Iterator[None]:
        """Wait until there is room for an image that takes so many bytes, or no other is there; then hold it."""
        with self._changed:
            self._changed.wait_for(lambda: not self._bytes or self._bytes + size <= self._most_bytes)
            self._bytes += size
        try:
            yield
        finally:
            with self._changed:
                self._bytes -= size
                self._changed.notify_all()


class Place:
    """An image's place at the backend. on_left: called once the next image may have it."""

    def __init__(self, slot: ServerSlot, on_left: Callable[[], None]) -> None:
        self.slot = slot
        self._on_left = on_left
        self._has_left = False

    def leave(self) -> None:
        """Give the place to the next image, if that has not been done."""
        if not self._has_left:
            self._has_left = True
            self.slot.release()
            self._on_left()
