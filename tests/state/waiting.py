"""Wait for what other threads do."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

__all__ = ["HeldSync", "wait_until"]


def wait_until(happened: Callable[[], object]) -> None:
    """Return once it has happened."""
    end_s = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < end_s
        time.sleep(0.005)


class HeldSync:
    """Syncs of this process are counted; the first one lasts until `go_on` is set. error: what it then fails with."""

    def __init__(self, error: OSError | None = None) -> None:
        self.count = 0
        self.begun, self.go_on = threading.Event(), threading.Event()
        self._error = error
        self._mutex = threading.Lock()

    @contextmanager
    def holding(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        real = os.fsync

        def fsync(descriptor: int) -> None:
            with self._mutex:
                self.count += 1
                is_first = self.count == 1
            if is_first:
                self.begun.set()
                assert self.go_on.wait(60)
                if self._error:
                    raise self._error
            real(descriptor)

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", fsync)
            yield
