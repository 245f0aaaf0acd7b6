"""A disk that goes bad in the middle: from some file operation of this process on, each that needs it fails."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

__all__ = ["FORBIDDEN", "FULL", "READ_ONLY", "Failing"]

FULL = (errno.ENOSPC, frozenset({"open", "write", "mkdir", "replace", "fsync"}))
"""What takes room. Removing and cutting off do not."""
READ_ONLY = (errno.EROFS, FULL[1] | {"unlink", "rmdir", "truncate", "utime"})
"""What changes anything: as when the system finds a file system broken, and takes no more for it."""
FORBIDDEN = (errno.EACCES, READ_ONLY[1])
"""The same, as where somebody takes the leave to write away. (Who runs tests as root has it always.)"""


class Failing:
    """kind: the error's number, and which functions of `os` fail. after: so many of their calls beneath `root` succeed.

    for_calls: how many fail then; without it, all. A write that fails has written its first half.
    """

    def __init__(self, root: Path, kind: tuple[int, frozenset[str]], after: int, for_calls: int | None = None) -> None:
        self.root = os.path.realpath(root)
        self.calls = 0
        self.failed: list[str] = []
        self._code, self._names = kind
        self._after = after
        self._until = after + for_calls if for_calls else float("inf")
        self._paths: dict[int, str] = {}
        self._mutex = threading.Lock()

    @contextmanager
    def failing(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        with monkeypatch.context() as patch:
            for name in {*self._names, "open", "close"}:
                patch.setattr(os, name, self._watched(name, getattr(os, name)))
            yield

    def _watched(self, name: str, real: Any) -> Any:
        def watched(*args: Any, **kwargs: Any) -> Any:
            with self._mutex:  # else a number given out twice could be of two files
                if name == "close":
                    self._paths.pop(args[0], None)
                    return real(*args, **kwargs)
                path = self._path(args[0], kwargs)
                changes = path and (name != "open" or (args[1] & os.O_CREAT and not os.path.lexists(path)))
                if name in self._names and changes and self._fails(name, path):
                    if name == "write":
                        real(args[0], args[1][: len(args[1]) // 2])
                    raise OSError(self._code, os.strerror(self._code), path)
                result = real(*args, **kwargs)
                if name == "open" and path:
                    self._paths[result] = path
                return result

        return watched

    def _fails(self, name: str, path: str) -> bool:
        self.calls += 1
        fails = self._after < self.calls <= self._until
        if fails:
            self.failed.append(f"{name} {os.path.relpath(path, self.root)}")
        return fails

    def _path(self, target: Any, kwargs: dict[str, Any]) -> str:
        """Of what is beneath the folder, else empty."""
        if isinstance(target, int):
            return self._paths.get(target, "")
        above = self._paths.get(kwargs["dir_fd"], "") if kwargs.get("dir_fd") is not None else ""
        path = os.path.abspath(os.path.join(above, os.fsdecode(target)))  # noqa: PTH100, PTH118 - names only
        return path if path.startswith(f"{self.root}{os.sep}") else ""
