"""Syncs in groups: threads that need the same file or folder on disk at the same time wait for one sync together."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable

__all__ = ["GroupSync"]


class GroupSync:
    """The syncs of one file or folder, one after another. Safe to share among threads."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._syncing = threading.Lock()
        self._next: _Sync | None = None

    def run(self, sync: Callable[[], None]) -> None:
        """Return once a sync has ended that began after this call; `sync` is called by one thread of each group.

        Raises:
            OSError: that sync failed. Each thread that waited for it gets it.
        """
        with self._mutex:
            leads = self._next is None
            shared = self._next = self._next or _Sync()
        if leads:
            self._lead(sync, shared)
        else:
            shared.ended.wait()
            if shared.error:
                raise shared.error

    def _lead(self, sync: Callable[[], None], shared: _Sync) -> None:
        try:
            with self._syncing:  # those who come while this waits for the sync under way take part
                self._close(shared)
                sync()
        except BaseException as error:
            self._close(shared)
            shared.error = error if isinstance(error, OSError) else OSError(errno.EINTR, os.strerror(errno.EINTR))
            raise
        finally:
            shared.ended.set()

    def _close(self, shared: _Sync) -> None:
        """Have those who come from now on wait for another sync."""
        with self._mutex:
            if self._next is shared:
                self._next = None


class _Sync:
    """A sync that is to come, and its end."""

    def __init__(self) -> None:
        self.ended = threading.Event()
        self.error: OSError | None = None
