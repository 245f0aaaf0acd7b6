"""Which output files this checkout wrote.

A lock file records the files that it was committed with. If git brings another lock file, a file that is still here
is in none of its lines any more; that it is as we wrote it, and so nobody's work, only this checkout knows.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from imagegen.state.journal import Journal

__all__ = [
    "BY_HAND",
    "WrittenFile",
    "WrittenFiles",
]


_LINE = re.compile(r"([0-9a-f]{64}) (\d+) ([0-9a-f]{64}|-) (\S+) (\S+) (.+)")
_LEAST = 1000
"""Lines that are not worth compacting."""
BY_HAND = "-"
"""In place of a backend."""


@dataclass(frozen=True, slots=True)
class WrittenFile:
    """A file that was written."""

    sha256: str
    mtime_ns: int  # as it was written; git, or whoever copies it back, sets another
    fingerprint: str  # of the request that it answers, or empty
    time: str  # when its image was generated; `-` if that is not known
    backend: str  # or BY_HAND


class WrittenFiles:
    """The last written file of each path relative to `root`, in the file `memory`. Safe to share among threads.

    It is a memory: what it does not know counts as changed by hand. So nobody waits until it is on disk.
    """

    def __init__(self, root: Path, memory: Path, temporary: Path) -> None:
        self.path = memory
        self._root, self._temporary = root, temporary
        self._journal = Journal(memory, _parse, _dump, is_durable=False)
        self._mutex = threading.Lock()
        self._known: dict[bytes, bytes] | None = None
        """The last line about each path, which is parsed when somebody asks for it."""
        self._is_changed = False
        self._written_now: dict[str, int] = {}
        """When this process wrote files, in nanoseconds, by path: so that nobody need read what it recorded."""

    def is_recorded(self, path: str, mtime_ns: int) -> bool:
        """Return whether what was written there last was written then."""
        if self._written_now.get(path) == mtime_ns:
            return True
        last = self.last(path)
        return last is not None and last.mtime_ns == mtime_ns

    def last(self, path: str) -> WrittenFile | None:
        """Return what was written there last, whatever is there now."""
        with self._mutex:
            line = self._read().get(path.encode("utf-8", "surrogateescape"))
        with suppress(ValueError):  # one that a kill cut off
            return _parse(line)[1] if line else None
        return None

    def record(self, files: Mapping[str, WrittenFile]) -> None:
        """Record that these files were written, by path. Raises OSError."""
        with self._mutex:
            if self._known is not None:
                self._known.update((path.encode(), _dump((path, one))) for path, one in files.items())
            self._is_changed = True
            self._journal.append(*files.items())
            self._written_now.update((path, one.mtime_ns) for path, one in files.items())

    def lines(self) -> Mapping[bytes, bytes]:
        """Return the last line about each path, to be compared with what it was at another time."""
        with self._mutex:
            return self._read()

    def forget(self) -> None:
        """Read the file again when it is needed: another build may have written since."""
        with self._mutex:
            self._known = None
            self._written_now.clear()

    def compact(self) -> None:
        """Leave out what is not true any more, once that is most of it. Raises OSError."""
        with self._mutex:
            if not self._is_changed:
                return
            self._is_changed = False
            if not self._is_long():
                self._known = None  # seldom asked for after this, and as large as all else that is kept of a file
                return
            files = dict(self._journal.read().entries)
            kept = {path: one for path, one in files.items() if (self._root / path).exists()}
            self._journal.compact(kept.items(), self._temporary)
            self._known = None

    def _is_long(self) -> bool:
        """Return whether most lines of the file are about paths that a later line is about too. Parses none."""
        with suppress(OSError), self._journal.path.open("rb") as file:
            count, paths = 0, set()
            for line in file:
                count += 1
                paths.add(line.split(b" ", 5)[-1])
            return count > max(_LEAST, 2 * len(paths))
        return False

    def _read(self) -> dict[bytes, bytes]:
        if self._known is None:
            self._known = {}
            with suppress(OSError):
                lines = self._journal.path.read_bytes().splitlines()
                self._known = {line.split(b" ", 5)[-1]: line for line in lines}
        return self._known


def _parse(line: bytes) -> tuple[str, WrittenFile]:
    if not (match := _LINE.fullmatch(line.decode("utf-8"))):
        raise ValueError("it is not a line of a written file")
    sha256, mtime_ns, fingerprint, time, backend, path = match.groups()
    return path, WrittenFile(sha256, int(mtime_ns), fingerprint.removeprefix("-"), time, backend)


def _dump(file: tuple[str, WrittenFile]) -> bytes:
    path, one = file
    return f"{one.sha256} {one.mtime_ns} {one.fingerprint or '-'} {one.time} {one.backend} {path}".encode()
