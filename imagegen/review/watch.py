"""Notices that files have changed, and spends little time on it: many files are looked at more seldom."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Mapping
from pathlib import Path

from imagegen.state.hashes import NEVER, StatKey, is_conclusive, key_of

__all__ = ["Watch"]

_PAUSE_S = 0.9
_SHARE = 200
"""One part in so many of a core's time goes into looking."""


class Watch:
    """Files and folders below `root`, and how each was when it was last looked at."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._full: dict[str, str] = {}
        self._known: dict[str, StatKey | None] = {}
        self._few: Collection[str] = ()
        self._next_s = {True: 0.0, False: 0.0}
        """When to look again, at the few and at all."""

    def follow(self, noted: Mapping[str, StatKey | None], few: Collection[str], many: Collection[str]) -> None:
        """Watch these from now on, and nothing else.

        Args:
            noted: how files were when they were read.
            few: these say of most changes that there are any, so they are looked at more often.
            many: all others.

        """
        self._few = [*noted, *few]
        known = self._known
        self._full = {path: os.path.join(self._root, path) for path in [*noted, *few, *many]}  # noqa: PTH118 - texts
        self._known = {path: known[path] if path in known else self._look(path) for path in [*few, *many]}
        self._known |= noted

    def has_changed(self) -> bool:
        """Return whether any has changed, as far as it is time to look."""
        return self._differs(self._few, is_few=True) or self._differs(self._known, is_few=False)

    def is_unchanged(self) -> bool:
        """Return whether none has changed. This looks at all of them."""
        return all(self._look(path) == key for path, key in self._known.items())

    def find_changed(self) -> set[str]:
        """Return those that have changed since this was last asked, or are new."""
        now = {path: self._look(path) for path in self._known}
        changed = {path for path, key in now.items() if key != self._known[path]}
        self._known = now
        return changed

    def _differs(self, paths: Collection[str], *, is_few: bool) -> bool:
        if time.monotonic() < self._next_s[is_few]:
            return False
        start_s = time.thread_time()  # what else the machine does takes none of it
        found = any(self._look(path) != self._known[path] for path in paths)
        took_s = time.thread_time() - start_s
        self._next_s[is_few] = time.monotonic() + max(_PAUSE_S, _SHARE * took_s)
        return found

    def _look(self, path: str) -> StatKey | None:
        """Return how it is now; NEVER if it may still change unnoticed, so that it is looked at once more."""
        try:
            key = key_of(os.stat(self._full[path]))  # noqa: PTH116 - thousands at once: a Path for each would cost more
        except OSError:
            return None
        return key if is_conclusive(key) else NEVER
