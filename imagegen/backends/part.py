"""What there is of a download so far: a file that grows, is bounded, and knows its sha256."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from types import TracebackType

from imagegen.backends.remote import Remote
from imagegen.errors import ImagegenError, Problem

__all__ = ["Part", "part_of"]

_CHUNK = 1024**2


def part_of(path: Path) -> Path:
    """Where a download is until it is whole."""
    return path.with_name(f"{path.name}.part")


class Part:
    """What there is of the file so far, on disk, with its sha256; no file stays where that is nothing."""

    def __init__(self, path: Path, remote: Remote) -> None:
        self.path = path
        self._remote = remote
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a+b", buffering=0)
        self._file.seek(0)
        self.size = 0
        self._hash = hashlib.sha256()
        while data := self._file.read(_CHUNK):
            self._count(data)
        if self.size > remote.most:
            self.restart()

    def __enter__(self) -> Part:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        if not self.size:
            self.path.unlink(missing_ok=True)

    @property
    def sha256(self) -> str:
        """In hex, of what there is."""
        return self._hash.hexdigest()

    def add(self, data: bytes) -> None:
        """More of it. Raises ImagegenError where that is more than the file can have."""
        if self.size + len(data) > self._remote.most:
            self.restart()
            what = f"more than {self._remote.most:,} bytes come, which is more than it can have; it is not kept"
            raise ImagegenError(Problem(self._remote.key, what, self._remote.if_other))
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) :]
        self._count(data)

    def restart(self) -> None:
        """From the first byte."""
        self._file.truncate(0)
        self.size = 0
        self._hash = hashlib.sha256()

    def finish(self, path: Path) -> None:
        """It is whole: give it its name, on disk before this returns."""
        os.fsync(self._file.fileno())
        self._file.close()
        self.path.replace(path)

    def _count(self, data: bytes) -> None:
        self.size += len(data)
        self._hash.update(data)
