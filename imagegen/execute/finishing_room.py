"""Room for images that have arrived, until they are finished: verified, stored, encoded and put in place.

Most of that time an image waits for the disk. So several are finished at a time, beside those being generated.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from imagegen.backends.base import ServerSlot

__all__ = ["AT_A_TIME", "FinishingRoom", "Place"]

AT_A_TIME = 32
"""Images that a run finishes at a time, of all backends. On a disk that syncs in 10 ms, each waits for some 80 ms."""
_MOST_BYTES = 256 * 1024**2
"""Memory that they take at a time, as files and decoded; a larger one is finished alone."""


class FinishingRoom:
    """Memory and processor cores for finishing images. Safe to share among threads.

    core: held while an image is decoded or encoded.
    """

    def __init__(self, most: int = AT_A_TIME, most_bytes: int = _MOST_BYTES) -> None:
        self.core = threading.Semaphore(os.cpu_count() or 1)
        self._most, self._most_bytes = most, most_bytes
        self._images = self._bytes = 0
        self._waiting: deque[object] = deque()
        self._changed = threading.Condition()

    @contextmanager
    def hold(self, size: int) -> Iterator[None]:
        """Wait until there is room for an image that takes so many bytes, or no other is there; then hold it.

        First come, first served: else a large one would wait for as long as small ones keep coming.
        """
        turn = object()
        with self._changed:
            self._waiting.append(turn)
            self._changed.wait_for(lambda: self._waiting[0] is turn and self._has_room(size))
            self._waiting.popleft()
            self._change(1, size)
        try:
            yield
        finally:
            with self._changed:
                self._change(-1, -size)

    def _has_room(self, size: int) -> bool:
        return not self._images or (self._images < self._most and self._bytes + size <= self._most_bytes)

    def _change(self, images: int, size: int) -> None:
        self._images += images
        self._bytes += size
        self._changed.notify_all()


class Place:
    """An image's place at the backend.

    on_left: called once the next image may have it, with the error if the slot could not be released: that must not
    cost the image, which may have arrived.
    """

    def __init__(self, slot: ServerSlot, on_left: Callable[[Exception | None], None]) -> None:
        self.slot = slot
        self._on_left = on_left
        self._has_left = False

    def leave(self) -> None:
        """Give the place to the next image, if that has not been done."""
        if not self._has_left:
            self._has_left = True
            error = None
            try:
                self.slot.release()
            except Exception as raised:  # a backend of somebody else's can fail in any way
                error = raised
            self._on_left(error)
