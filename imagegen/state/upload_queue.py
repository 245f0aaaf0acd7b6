"""The upload queue: images that a shared store doesn't have yet. It survives a kill.

A line each: the fingerprint that the image was generated for (`-` for a file that somebody accepted), the sha256 of its
blob in the local store, and the address of the shared store that was set then. It goes to no other.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterable
from pathlib import Path

from imagegen.state.atomic import replace_file
from imagegen.state.journal import Journal

__all__ = [
    "UploadQueue",
]


_LINE = re.compile(r"([0-9a-f]{64}|-) ([0-9a-f]{64}) (\S.*)")
_PAUSE_S = 600.0
"""Seconds for which a run with nothing to build does not try a store that it could not reach."""

_Upload = tuple[str, str, str]
"""Fingerprint (empty for an accepted file), sha256, address of the shared store."""


class UploadQueue:
    """The uploads in the file `path`; those for `store` are this one's. Safe to share among threads.

    Whoever adds or compacts holds the project's mutex.
    """

    def __init__(self, path: Path, temporary: Path, store: str) -> None:
        self._journal = Journal(path, _parse, _dump)
        self._temporary = temporary
        self._store = store
        self._pause = path.parent / "cache" / "put-off.txt"
        self._mutex = threading.Lock()
        self._removed: set[_Upload] = set()

    def all(self) -> list[tuple[str, str]]:
        """Return fingerprint (empty for an accepted file) and sha256 of each, in the order in which they came."""
        with self._mutex:
            try:
                return [(fingerprint, sha256) for fingerprint, sha256, store in self._read() if store == self._store]
            except OSError:
                return []

    def blobs(self) -> set[str]:
        """Return the sha256 of everything in the queue, for whichever store. Raises OSError if it cannot be read."""
        with self._mutex:
            return {sha256 for _, sha256, _ in self._read()}

    def add(self, images: Iterable[tuple[str, str]]) -> None:
        """Add images, as `all` has them; they are on disk before this returns, and so before the index has them.

        Raises OSError.
        """
        uploads = [(fingerprint, sha256, self._store) for fingerprint, sha256 in images]
        with self._mutex:
            self._removed.difference_update(uploads)
        self._journal.append(*uploads)

    def remove(self, fingerprint: str, sha256: str) -> None:
        """Remove an image that was uploaded, or cannot be; on disk only after `compact`."""
        with self._mutex:
            self._removed.add((fingerprint, sha256, self._store))

    def compact(self) -> None:
        """Rewrite the file with what is left. Raises OSError."""
        with self._mutex:
            if self._removed:
                self._journal.compact(self._read(), self._temporary)

    @property
    def is_due(self) -> bool:
        """Whether there is something to upload, and uploads are not paused."""
        return bool(self.all()) and not self._is_paused()

    def _is_paused(self) -> bool:
        try:
            age = time.time() - self._pause.stat().st_mtime
            return 0 <= age < _PAUSE_S and self._pause.read_text("utf-8") == self._store
        except (OSError, ValueError):
            return False

    def pause(self) -> None:
        """Have no run that has nothing else to do try this store for a while. Raises OSError."""
        replace_file(self._pause, self._store.encode(), self._temporary)

    def resume(self) -> None:
        """Have the next run try it again. Raises OSError."""
        self._pause.unlink(missing_ok=True)

    def _read(self) -> dict[_Upload, None]:
        """Without what was removed. Raises OSError."""
        return dict.fromkeys(one for one in self._journal.read().entries if one not in self._removed)


def _parse(line: bytes) -> _Upload:
    if not (match := _LINE.fullmatch(line.decode("utf-8"))):
        raise ValueError("it is not a line of the queue")
    return match[1].removeprefix("-"), match[2], match[3]


def _dump(upload: _Upload) -> bytes:
    fingerprint, sha256, store = upload
    return f"{fingerprint or '-'} {sha256} {store}".encode()
