"""What was made here and has yet to go up to a shared store. It survives a kill.

A line each: the fingerprint that the image was made for (`-`: somebody accepted the file, it answers none), the sha256
of its blob in the local store, and the address of the shared store that was set then. It goes to no other.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterable
from pathlib import Path

from imagegen.state.atomic import append_line, replace_file

__all__ = [
    "UploadQueue",
]


_LINE = re.compile(r"([0-9a-f]{64}|-) ([0-9a-f]{64}) (\S.*)")
_NOT_AGAIN_S = 600.0
"""Seconds for which a run with nothing to make does not try a store that it could not reach."""


class UploadQueue:
    """The lines of the file `path`; those that are for `store` are this one's. Safe to share among threads.

    Whoever adds or folds holds the project's mutex.
    """

    def __init__(self, path: Path, temporary: Path, store: str) -> None:
        self.path = path
        self.temporary = temporary
        self._store = store
        self._put_off = path.parent / "cache" / "put-off.txt"
        self._mutex = threading.Lock()
        self._gone: set[tuple[str, str, str]] = set()

    def all(self) -> list[tuple[str, str]]:
        """Fingerprint (empty: an accepted file) and sha256 of each, in the order in which they came."""
        with self._mutex:
            try:
                return [(fingerprint, sha256) for fingerprint, sha256, store in self._read() if store == self._store]
            except OSError:
                return []

    def blobs(self) -> set[str]:
        """The sha256 of all that waits, for whichever store. Raises OSError where that cannot be read."""
        with self._mutex:
            return {sha256 for _, sha256, _ in self._read()}

    def add(self, images: Iterable[tuple[str, str]]) -> None:
        """More of them, as `all` has them; on disk before this returns, and so before anything else tells of them.

        Raises OSError.
        """
        lines = [(fingerprint, sha256, self._store) for fingerprint, sha256 in images]
        with self._mutex:
            self._gone.difference_update(lines)
            # a line that a kill cut off must not run into these
            append_line(self.path, f"\n{_text(lines)}".encode())

    def remove(self, fingerprint: str, sha256: str) -> None:
        """It is up, or cannot go up any more. On disk only after `fold`: to send it again does no harm."""
        with self._mutex:
            self._gone.add((fingerprint, sha256, self._store))

    def fold(self) -> None:
        """Rewrite the file with what is left. Raises OSError."""
        with self._mutex:
            if not self._gone:
                return
            if left := self._read():
                replace_file(self.path, _text(left).encode(), self.temporary)
            else:
                self.path.unlink(missing_ok=True)

    @property
    def is_due(self) -> bool:
        """Whether something waits, and no run that had nothing else to do failed to send it a short while ago."""
        return bool(self.all()) and not self._is_put_off()

    def _is_put_off(self) -> bool:
        try:
            age = time.time() - self._put_off.stat().st_mtime
            return 0 <= age < _NOT_AGAIN_S and self._put_off.read_text("utf-8") == self._store
        except (OSError, ValueError):
            return False

    def put_off(self) -> None:
        """For a while no run that has nothing else to do tries this store. Raises OSError."""
        replace_file(self._put_off, self._store.encode(), self.temporary)

    def resume(self) -> None:
        """It is to be tried again. Raises OSError."""
        self._put_off.unlink(missing_ok=True)

    def _read(self) -> dict[tuple[str, str, str], None]:
        """Without what is gone. Raises OSError."""
        try:
            text = self.path.read_text("utf-8", errors="replace")
        except FileNotFoundError:
            return {}
        found = (match for line in text.split("\n") if (match := _LINE.fullmatch(line)))
        lines = ((match[1].removeprefix("-"), match[2], match[3]) for match in found)
        return dict.fromkeys(line for line in lines if line not in self._gone)


def _text(lines: Iterable[tuple[str, str, str]]) -> str:
    return "".join(f"{fingerprint or '-'} {sha256} {store}\n" for fingerprint, sha256, store in lines)
