"""Wakes a thread that waits for edits: at once if the system says that a folder has changed, and now and then."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Collection

__all__ = ["Notices"]

_EVERY_MS = 2000
"""Milliseconds after which it wakes all the same: a network drive says nothing of what others write there."""
_STEP_MS = 50


class Notices:
    """Follows folders, without what is below them, in a thread of its own."""

    def __init__(self, wake: Callable[[], None]) -> None:
        """Raise ModuleNotFoundError if the package for it is not installed."""
        from watchfiles import watch

        self._watch = watch
        self._wake = wake
        self._folders: Collection[str] = ()
        self._stop = threading.Event()

    def follow(self, folders: Collection[str]) -> None:
        """Follow these folders and no others."""
        if folders == self._folders:
            return
        self._folders = folders
        self.stop()
        self._stop = threading.Event()
        threading.Thread(target=self._run, args=(sorted(folders), self._stop), name="watch", daemon=True).start()

    def stop(self) -> None:
        """Follow nothing any more."""
        self._stop.set()

    def _run(self, folders: Collection[str], stop: threading.Event) -> None:
        # a folder that has gone meanwhile is looked for by the thread that is woken, which has others followed then
        while not stop.wait(0 if folders else _EVERY_MS / 1000):
            with contextlib.suppress(OSError):
                for _ in self._watch(
                    *folders,
                    watch_filter=None,
                    debounce=4 * _STEP_MS,
                    step=_STEP_MS,
                    stop_event=stop,
                    rust_timeout=_EVERY_MS,
                    yield_on_timeout=True,
                    raise_interrupt=False,
                    recursive=False,
                ):
                    self._wake()
            folders = ()
            self._wake()
