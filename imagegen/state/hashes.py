"""The sha256 of files in the project, remembered so that an untouched file is not read again.

Whether somebody changed a file is decided by its sha256; (size, mtime, inode, ctime) only decide whether it must be
read for that.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any

from imagegen.state.atomic import replace_file

__all__ = [
    "EMPTY",
    "NEVER",
    "TICK_NS",
    "FileState",
    "Hashes",
    "StatKey",
    "is_conclusive",
    "key_of",
    "pointer_sha256",
    "stat_key",
]

StatKey = tuple[int, int, int, int]
"""Size, mtime in nanoseconds, inode, ctime in nanoseconds: if these are the same, so is the file's content.

The ctime shows an edit that puts the mtime back. It changes with a file's name, mode and links too, which costs one
reading; on Windows it is the time of creation, and shows nothing.
"""


class _Never(tuple[int, int, int, int]):
    __slots__ = ()
    __hash__ = tuple.__hash__

    def __eq__(self, other: object) -> bool:
        return False

    def __ne__(self, other: object) -> bool:
        return True


NEVER: StatKey = _Never((-1, -1, -1, -1))
"""Marks a file that may have changed since something was decided by it: equals no key, nor itself, so `is` finds it."""

TICK_NS = 50_000_000
"""A file changed twice within one tick of its file system's clock keeps its mtime; so a hash is remembered only
of a file whose mtime is at least this much (nanoseconds) older than the moment of looking, as git does it."""
COARSE_TICK_NS = 2_000_000_000
"""The tick of file systems that keep only whole seconds (FAT: two), in nanoseconds."""
_LARGEST_SKEW_NS = 86_400_000_000_000
"""How far the clock of a network file system may be ahead of ours (nanoseconds): a day. A time that lies further ahead
was set by hand, or by a clock that was wrong."""
_VERSION = rb"version https://(?:git-lfs|hawser)\.github\.com/spec/v1\r?\n"
# not compiled here: a run with nothing to do does without
_POINTER = (
    rb"\A(?:\xef\xbb\xbf)?" + _VERSION + rb"(?:[a-z0-9.-]+ [^\r\n]*\r?\n)*?oid sha256:([0-9a-fA-F]{64})\s*(?:\n|\Z)"
)
"""A Git LFS pointer file: https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md

Its lines end as on Windows if git is set up to write them so.
"""
_CONFLICT = rb"(?m)^<{7}(?: .*)?\r?\n(?:.*\n)*?={7}\r?\n(?:.*\n)*?>{7} ?"


@dataclass(frozen=True, slots=True)
class FileState:
    """What is at a path."""

    sha256: str  # empty for a folder; for a Git LFS pointer, that of the content it stands for
    size: int
    is_pointer: bool = False
    in_conflict: bool = False  # pointers, or a sheet's index, with the marks of a merge that nobody has resolved


EMPTY = FileState(hashlib.sha256().hexdigest(), 0)
"""A file with nothing in it."""

_Known = tuple[StatKey, FileState]


def pointer_sha256(data: bytes) -> str | None:
    """Return the sha256 of the content that a Git LFS pointer stands for; None for other bytes."""
    pointer = re.match(_POINTER, data) if len(data) < 1024 else None
    return pointer[1].decode().lower() if pointer else None


def is_in_conflict(path: str, data: bytes) -> bool:
    """Return whether these are Git LFS pointers, or a sheet's indexes, that a merge left side by side."""
    from imagegen.config.job import INDEX_FILES  # most runs read no file

    is_text = path.endswith(tuple(INDEX_FILES.values())) or (len(data) < 4096 and b"oid sha256:" in data)
    return is_text and re.search(_CONFLICT, data) is not None


class Hashes:
    """sha256 by path relative to the project, remembered in the file `memory`. Safe to share among threads."""

    def __init__(self, root: Path, memory: Path) -> None:
        self.root = root
        self.memory = memory
        self._folder = os.path.join(root, "")  # noqa: PTH118 - a text
        self._remembered: dict[str, list[Any]] | None = None
        """What the memory says, once somebody asked."""
        self._fresh: dict[str, _Known] = {}
        self._first: dict[str, _Known] = {}
        """Of each file that was asked for or written here: as it was then, whatever it is now."""
        self._expected: Sequence[str] = ()
        self._mutex = threading.Lock()

    def expect(self, paths: Sequence[str]) -> None:
        """Note which files will be asked for: if one of them must be read, all that must be are, on all cores."""
        self._expected = paths

    def take_over(self, other: Hashes) -> None:
        """Know what the other one has learned since the memory was written."""
        with self._mutex:
            self._fresh = {**other._fresh, **self._fresh}

    def state(self, path: str) -> FileState | None:
        """Return what is at the path now; None if there is nothing. Raises OSError if it cannot be read."""
        try:
            found = os.stat(f"{self._folder}{path}")  # noqa: PTH116 - it is called for each output: see `stat_key`
        except (FileNotFoundError, NotADirectoryError):
            return None
        if not stat.S_ISREG(found.st_mode):
            return FileState("", found.st_size)
        key = key_of(found)
        known = self._recall(path, key)
        if known is None and self._expected:
            self._read_expected()
            known = self._recall(path, key)
        known = known or self._read(path, key)
        self._first.setdefault(path, known)
        return known[1]

    def _recall(self, path: str, key: StatKey) -> _Known | None:
        """Return what is known of a file, if it is still the one of this key."""
        known = self._fresh.get(path)
        if known is not None and known[0] == key:
            return known
        remembered = self._load().get(path)
        if remembered is None or remembered[:4] != [*key]:
            return None
        _, _, _, _, sha256, size, is_pointer, in_conflict = remembered
        return key, FileState(sha256, size, is_pointer, in_conflict)

    def _read(self, path: str, key: StatKey) -> _Known:
        """Read the file, and remember its sha256 unless it could change unnoticed. Raises OSError."""
        state = _read_state(f"{self._folder}{path}", key[0])
        return self._remember(path, key, state) if is_conclusive(key) else (NEVER, state)

    def _read_expected(self) -> None:
        """Read all expected files that are not known, on all cores. One that cannot be read is left to `state`."""
        from concurrent.futures import ThreadPoolExecutor  # only for what is read: most runs read nothing

        with self._mutex:
            waiting, self._expected = deque(self._expected), ()

        def read(_: int) -> None:
            with suppress(IndexError):
                while True:
                    path = waiting.popleft()
                    with suppress(OSError):
                        key = stat_key(f"{self._folder}{path}")
                        if key is not None and self._recall(path, key) is None:
                            self._read(path, key)

        cores = os.cpu_count() or 1
        with ThreadPoolExecutor(cores) as pool:
            try:
                list(pool.map(read, range(cores)))
            finally:
                waiting.clear()  # of Ctrl-C, nothing more is read

    def sha256(self, path: str) -> str | None:
        """Return the sha256 of the file at the path now; None if there is none. Raises OSError if it cannot be read."""
        state = self.state(path)
        return state.sha256 if state else None

    def record_written(self, path: str, found: os.stat_result, sha256: str) -> None:
        """Record that the build itself wrote the file. found: its stat as written."""
        self._first[path] = self._remember(path, key_of(found), FileState(sha256, found.st_size))

    def first_key(self, path: str) -> StatKey | None:
        """Return the file's key when its sha256 was first asked for, or it was written; None if neither was.

        What was decided by that sha256 holds for this key alone. NEVER: it could have changed unnoticed.
        """
        first = self._first.get(path)
        return first[0] if first else None

    def first_state(self, path: str) -> FileState | None:
        """Return what the file was at that time."""
        first = self._first.get(path)
        return first[1] if first else None

    def save(self, temporary: Path) -> None:
        """Keep what was learned for the next run. Raises OSError."""
        with self._mutex:
            remembered = self._load()
            if all(remembered.get(path) == known for path, known in self._sure()):
                return
            remembered |= self._sure()
            text = json.dumps(remembered, separators=(",", ":"))
            del remembered  # before there are two copies of the text
            self._remembered = None  # seldom asked for after this
            replace_file(self.memory, text.encode("utf-8"), temporary)

    def _sure(self) -> Iterator[tuple[str, list[Any]]]:
        for path, (key, state) in self._fresh.items():
            if is_conclusive(key):
                yield path, [*key, *_fields(state)]

    def _load(self) -> dict[str, list[Any]]:
        if self._remembered is None:
            self._remembered = _load(self.memory)
        return self._remembered

    def _remember(self, path: str, key: StatKey, state: FileState) -> _Known:
        with self._mutex:
            self._fresh[path] = key, state
        return key, state


def key_of(found: os.stat_result) -> StatKey:
    """Return the key of what `os.stat` found."""
    return found.st_size, found.st_mtime_ns, found.st_ino, found.st_ctime_ns


def stat_key(path: Path | str) -> StatKey | None:
    """Return the key of what is at the path now; None if there is nothing. Raises OSError."""
    try:
        return key_of(os.stat(path))  # noqa: PTH116 - it is called once for each output, and a Path costs as much again
    except (FileNotFoundError, NotADirectoryError):
        return None


def is_conclusive(key: StatKey) -> bool:
    """Return whether a file of this key would get another one if it were changed now.

    A change sets the time of now: another one than an mtime of the past. Of a file that is dated in the future, its
    ctime decides, which only the system sets; Windows has no such ctime.
    """
    _, mtime_ns, _, ctime_ns = key
    now = time.time_ns()
    decisive = mtime_ns if mtime_ns <= now or os.name == "nt" else ctime_ns
    tick = COARSE_TICK_NS if decisive % 1_000_000_000 == 0 else TICK_NS
    return decisive + tick < now or decisive > now + _LARGEST_SKEW_NS


def _read_state(path: str, size: int) -> FileState:
    """Read a file of this size. Raises OSError."""
    at_once = size + 1 if path.endswith(".json") else min(size + 1, _PIECE)
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - a Path costs as much again as a small file
        data = file.read(at_once)
        if len(data) < at_once:
            pointer = pointer_sha256(data)
            sha256 = pointer or hashlib.sha256(data).hexdigest()
            return FileState(sha256, size, pointer is not None, is_in_conflict(path, data))
        digest = hashlib.sha256(data)
        buffer = memoryview(bytearray(_PIECE))
        while count := file.readinto(buffer):
            digest.update(buffer[:count])
    return FileState(digest.hexdigest(), size)


_PIECE = 1 << 20
"""Bytes of an image that are read at once. A file of more is not a pointer."""


def _load(memory: Path) -> dict[str, list[Any]]:
    """Return the memory's entries; without it, or what is not one, files are read once more."""
    try:
        found = json.loads(memory.read_bytes())
        return {path: known for path, known in found.items() if type(known) is list and len(known) == _LENGTH}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


_fields = attrgetter(*FileState.__dataclass_fields__)
_LENGTH = 4 + len(FileState.__dataclass_fields__)
