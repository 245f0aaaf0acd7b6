"""Append-only files, a line for each entry, that a kill or a power cut at any moment leaves readable."""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Generic, NoReturn, TypeVar

from imagegen.state.atomic import make_folder, replace_file, sync_folder, write_all
from imagegen.state.group_sync import GroupSync

__all__ = ["Journal", "JournalContent", "NewerVersionError"]

T = TypeVar("T")
_UNREADABLE = (ValueError, TypeError, KeyError, AttributeError)


class NewerVersionError(ValueError):
    """A line of a later version of the format: never taken for one that a kill cut off."""

    def __init__(self, version: int) -> None:
        super().__init__(f"it is of version {version}")
        self.version = version


@dataclass(frozen=True)
class JournalContent(Generic[T]):
    """What a journal holds."""

    entries: list[T]
    truncated_at: int | None = None  # where a last line begins that a kill cut off; it does not count
    missing_newline: bool = False  # the last line is whole but for its newline


@dataclass(eq=False)
class _Added:
    """Lines that were written. begin: the bytes before them. error: why they could not be synced."""

    begin: int
    error: OSError | None = None


class _Tail:
    """The end of a file that several threads append to. unsynced: what is not on disk yet, in the order of the file."""

    def __init__(self) -> None:
        self.mutex = threading.Lock()
        self.syncs = GroupSync()
        self.unsynced: list[_Added] = []


@dataclass(frozen=True)
class Journal(Generic[T]):
    """The file `path`, one line per entry. Anybody may read it; only the process with the project's mutex writes.

    Several threads may write by the same object.
    """

    path: Path
    parse: Callable[[bytes], T]  # raises ValueError, TypeError, KeyError or AttributeError for an unreadable line
    dump: Callable[[T], bytes]  # without a newline
    is_durable: bool = True  # `append` returns once the lines are on disk
    _tail: _Tail = field(default_factory=_Tail, init=False, repr=False, compare=False)

    def read(self, refuse: Callable[[int, bytes, Exception], NoReturn] | None = None) -> JournalContent[T]:
        """Read every entry, in the order of the file; none if there is no file.

        Args:
            refuse: called for a line that cannot be read, with its number, the line and why; else it is passed over.

        Raises:
            OSError: the file is there, and cannot be read.

        """
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return JournalContent([])
        entries: list[T] = []
        lines = data.splitlines()
        for number, raw in enumerate(lines, start=1):
            try:
                if raw and not raw.isspace():
                    entries.append(self.parse(raw))
            except _UNREADABLE as error:
                is_last = number == len(lines) and not data.endswith(b"\n")
                if is_last and not isinstance(error, NewerVersionError):
                    begin = len(data) - len(data.splitlines(keepends=True)[-1])
                    return JournalContent(entries, truncated_at=begin)
                if refuse:
                    refuse(number, raw, error)
        return JournalContent(entries, missing_newline=bool(data) and not data.endswith(b"\n"))

    def append(self, *entries: T, is_durable: bool | None = None) -> None:
        """Add lines in one write.

        A last line that a kill cut off is cut away first, and a missing newline is written. Threads that append at the
        same time share a sync.

        Args:
            entries: one for each line.
            is_durable: whether to return only once they are on disk, if that is not as usual.

        Raises:
            OSError: nothing was added; what was written of the lines is cut off again, if possible.

        """
        is_durable = self.is_durable if is_durable is None else is_durable
        lines = b"".join(self.dump(entry) + b"\n" for entry in entries)
        make_folder(self.path.parent)
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
        with self._tail.mutex:  # opened within it, because the file may be replaced
            descriptor = os.open(self.path, flags, 0o666)
            try:
                added = _Added(self._write(descriptor, lines))
            except BaseException:
                os.close(descriptor)
                raise
            if is_durable:
                self._tail.unsynced.append(added)
        try:
            if is_durable:
                self._tail.syncs.run(lambda: self._sync(descriptor))
                if added.error:
                    raise added.error
        finally:
            os.close(descriptor)

    def _write(self, descriptor: int, lines: bytes) -> int:
        """Write lines at the end of the file, and return where they begin. Raises OSError, as `append` does."""
        size = os.fstat(descriptor).st_size
        if size and not _ends_a_line(descriptor):
            content = self.read()
            if content.truncated_at is not None:
                os.ftruncate(descriptor, size := content.truncated_at)
            lines = b"\n" + lines if content.missing_newline else lines
        try:
            write_all(descriptor, lines, sync=False)
        except OSError as error:
            self._cut_off(descriptor, size, error)
            raise
        return size

    def _sync(self, descriptor: int) -> None:
        """Sync all that was added until now. If that fails, whatever is not on disk is lost: it is cut off."""
        tail = self._tail
        with tail.mutex:
            synced = tail.unsynced.copy()
        if not synced:  # cut off with what was before it, or in the file that replaced this one
            return
        try:
            os.fsync(descriptor)
        except BaseException as error:
            failure = error if isinstance(error, OSError) else OSError(errno.EINTR, os.strerror(errno.EINTR))
            with tail.mutex:  # what came after the sync had begun cannot stay without what is before it
                if tail.unsynced:
                    self._cut_off(descriptor, tail.unsynced[0].begin, failure)
                for added in tail.unsynced:
                    added.error = failure
                tail.unsynced.clear()
            if failure is not error:
                raise
            return
        if synced[0].begin == 0:
            sync_folder(self.path.parent)
        with tail.mutex:
            tail.unsynced[:] = [added for added in tail.unsynced if added not in synced]

    def _cut_off(self, descriptor: int, size: int, error: OSError) -> None:
        error.filename = str(self.path)  # the system names what was given by name, not what is open
        with contextlib.suppress(OSError):  # what has come of the lines must not run into the next one
            os.ftruncate(descriptor, size)

    def compact(self, entries: Iterable[T], temporary: Path) -> os.stat_result | None:
        """Replace the file with these entries, in one step; without any, remove it.

        Args:
            entries: all that is still needed, in their order.
            temporary: a folder for the new file until it is whole.

        Returns:
            The stat of the new file, None if there is none.

        Raises:
            OSError: the file is as it was.

        """
        with self._tail.mutex:
            return self._replace(entries, temporary)

    def leave_out(self, is_gone: Callable[[T], bool], temporary: Path) -> None:
        """Replace the file with its other entries, as `compact` does; lines that cannot be read go too."""
        with self._tail.mutex:
            self._replace([entry for entry in self.read().entries if not is_gone(entry)], temporary)

    def _replace(self, entries: Iterable[T], temporary: Path) -> os.stat_result | None:
        written = None
        if kept := list(entries):
            written = replace_file(self.path, _Dumped(kept, self.dump), temporary)
        else:
            self.path.unlink(missing_ok=True)
        self._tail.unsynced.clear()  # they are on disk in the new file, or not wanted any more
        return written


@dataclass(frozen=True)
class _Dumped(Generic[T]):
    """The lines of entries, in pieces: of 100,000 images, those of the lock file take 60 MB."""

    entries: Sequence[T]
    dump: Callable[[T], bytes]

    def __iter__(self) -> Iterator[bytes]:
        waiting = iter(self.entries)
        while some := list(islice(waiting, 1000)):
            yield b"".join(self.dump(entry) + b"\n" for entry in some)


def _ends_a_line(descriptor: int) -> bool:
    os.lseek(descriptor, -1, os.SEEK_END)
    return os.read(descriptor, 1) == b"\n"
