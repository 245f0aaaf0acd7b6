"""The sha256 of files in the project, remembered so that an untouched file is not read again.

Has somebody touched a file? Its sha256 tells; (size, mtime, inode) only say whether it must be read to know.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from imagegen.state.atomic import replace_file

__all__ = ["NEVER", "TICK_NS", "FileState", "Hashes", "StatKey", "is_settled", "pointer_sha256", "stat_key"]

StatKey = tuple[int, int, int]
"""Size, mtime in nanoseconds, inode: where these are the same, so is the file's content."""
NEVER: StatKey = (-1, -1, -1)
"""As no file stands: of one that may be another by now than it was when something was decided by it."""

TICK_NS = 50_000_000
"""A file changed twice within one tick of its file system's clock keeps its mtime; so a hash is remembered only
of a file whose mtime is at least this much (nanoseconds) older than the moment of looking, as git does it."""
COARSE_TICK_NS = 2_000_000_000
"""The same for file systems that keep whole seconds only (FAT: two)."""
_POINTER = re.compile(rb"\Aversion https://git-lfs\.github\.com/spec/v1\n(?:.*\n)*?oid sha256:([0-9a-f]{64})\n")
"""A Git LFS pointer file: https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md"""


@dataclass(frozen=True)
class FileState:
    """What is at a path. sha256: empty for what is no file (a folder); of a Git LFS pointer, that of its content."""

    sha256: str
    size: int
    is_pointer: bool = False


def pointer_sha256(data: bytes) -> str | None:
    """The sha256 of the content where these are the bytes of a Git LFS pointer, else None."""
    pointer = _POINTER.match(data) if len(data) < 1024 else None
    return pointer[1].decode() if pointer else None


class Hashes:
    """sha256 by path relative to the project, remembered in the file `memory`. Safe to share among threads."""

    def __init__(self, root: Path, memory: Path) -> None:
        self.root = root
        self.memory = memory
        self._folder = os.path.join(root, "")  # noqa: PTH118 - a text
        self._known: dict[str, tuple[int, int, int, str, bool]] = _load(memory)
        self._fresh: dict[str, tuple[int, int, int, str, bool]] = {}
        self._first: dict[str, tuple[int, int, int, str, bool]] = {}
        """Of what was told or written here: as it was then, whatever it is now."""
        self._mutex = threading.Lock()

    def state(self, path: str) -> FileState | None:
        """What is at the path now; None where there is nothing. Raises OSError where it cannot be read."""
        try:
            found = os.stat(f"{self._folder}{path}")  # noqa: PTH116 - it is called for each output: see `stat_key`
        except (FileNotFoundError, NotADirectoryError):
            return None
        if not stat.S_ISREG(found.st_mode):
            return FileState("", found.st_size)
        key = (found.st_size, found.st_mtime_ns, found.st_ino)
        for memory in (self._fresh, self._known):
            known = memory.get(path)
            if known is not None and known[:3] == key:
                self._first.setdefault(path, known)
                return FileState(known[3], found.st_size, known[4])
        data = (self.root / path).read_bytes()
        pointer = pointer_sha256(data)
        sha256 = pointer or hashlib.sha256(data).hexdigest()
        told = (*NEVER, sha256, pointer is not None)
        if is_settled(found.st_mtime_ns):
            told = self._remember(path, found, sha256, pointer is not None)
        self._first.setdefault(path, told)
        return FileState(sha256, found.st_size, pointer is not None)

    def wrote(self, path: str, found: os.stat_result, sha256: str) -> None:
        """The build itself wrote the file: found is its stat as written."""
        self._first[path] = self._remember(path, found, sha256, False)

    def key(self, path: str) -> StatKey | None:
        """How the file stood when its sha256 was first told, or it was written; None where neither was.

        What was decided by that knows nothing of what became of it since. NEVER: it could have changed unnoticed.
        """
        first = self._first.get(path)
        return first[:3] if first else None

    def save(self, temporary: Path) -> None:
        """Keep what was learned for the next run. Raises OSError."""
        with self._mutex:
            settled = {path: known for path, known in self._fresh.items() if is_settled(known[1])}
            if all(self._known.get(path) == known for path, known in settled.items()):
                return
            self._known |= settled
            data = json.dumps(self._known, separators=(",", ":")).encode("utf-8")
            replace_file(self.memory, data, temporary)

    def _remember(
        self, path: str, found: os.stat_result, sha256: str, is_pointer: bool
    ) -> tuple[int, int, int, str, bool]:
        known = (found.st_size, found.st_mtime_ns, found.st_ino, sha256, is_pointer)
        with self._mutex:
            self._fresh[path] = known
        return known


def stat_key(path: Path | str) -> StatKey | None:
    """Of what is at the path now; None where there is nothing. Raises OSError."""
    try:
        found = os.stat(path)  # noqa: PTH116 - it is called once for each output, and a Path costs as much again
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_size, found.st_mtime_ns, found.st_ino


def is_settled(mtime_ns: int) -> bool:
    """Whether a file of this mtime would show another one if it were changed now."""
    tick = COARSE_TICK_NS if mtime_ns % 1_000_000_000 == 0 else TICK_NS
    return mtime_ns + tick < time.time_ns()


def _load(memory: Path) -> dict[str, tuple[int, int, int, str, bool]]:
    try:
        found = json.loads(memory.read_bytes())
        return {path: (known[0], known[1], known[2], known[3], known[4]) for path, known in found.items()}
    except (OSError, ValueError, TypeError, AttributeError, IndexError, KeyError):
        return {}  # it is only a memory: without it, files are read once more
