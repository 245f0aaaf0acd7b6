"""Append-only files, a line for each entry, that a kill or a power cut at any moment leaves readable."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, NoReturn, TypeVar

from imagegen.state.atomic import make_folder, replace_file, sync_folder, write_all

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


@dataclass(frozen=True)
class Journal(Generic[T]):
    """The file `path`, one line per entry. Anybody may read it; only whoever holds the project's mutex writes."""

    path: Path
    parse: Callable[[bytes], T]  # raises ValueError, TypeError, KeyError or AttributeError for an unreadable line
    dump: Callable[[T], bytes]  # without a newline
    is_durable: bool = True  # `append` returns once the lines are on disk

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
        position = 0
        for number, raw in enumerate(data.splitlines(keepends=True), start=1):
            try:
                if raw.strip():
                    entries.append(self.parse(raw.rstrip(b"\r\n")))
            except _UNREADABLE as error:
                is_last = position + len(raw) == len(data) and not raw.endswith(b"\n")
                if is_last and not isinstance(error, NewerVersionError):
                    return JournalContent(entries, truncated_at=position)
                if refuse:
                    refuse(number, raw, error)
            position += len(raw)
        return JournalContent(entries, missing_newline=bool(data) and not data.endswith(b"\n"))

    def append(self, *entries: T) -> None:
        """Add lines in one write.

        A last line that a kill cut off is cut away first, and a missing newline is written.

        Raises:
            OSError: nothing was added; what was written of the lines is cut off again, if possible.

        """
        lines = b"".join(self.dump(entry) + b"\n" for entry in entries)
        make_folder(self.path.parent)
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
        descriptor = os.open(self.path, flags, 0o666)
        try:
            size = os.fstat(descriptor).st_size
            if size and not _ends_a_line(descriptor):
                content = self.read()
                if content.truncated_at is not None:
                    os.ftruncate(descriptor, size := content.truncated_at)
                lines = b"\n" + lines if content.missing_newline else lines
            try:
                write_all(descriptor, lines, sync=self.is_durable)
            except OSError as error:
                error.filename = str(self.path)  # the system names what was given by name, not what is open
                with contextlib.suppress(OSError):  # what has come of the lines must not run into the next one
                    os.ftruncate(descriptor, size)
                raise
        finally:
            os.close(descriptor)
        if size == 0 and self.is_durable:
            sync_folder(self.path.parent)

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
        data = b"".join(self.dump(entry) + b"\n" for entry in entries)
        if data:
            return replace_file(self.path, data, temporary)
        self.path.unlink(missing_ok=True)
        return None


def _ends_a_line(descriptor: int) -> bool:
    os.lseek(descriptor, -1, os.SEEK_END)
    return os.read(descriptor, 1) == b"\n"
