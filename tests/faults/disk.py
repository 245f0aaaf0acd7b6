"""A disk as a power cut finds it: what this process does to files is noted, and played again up to any point."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

__all__ = ["Recorder", "after_power_cut"]

WATCHED = ("open", "write", "fsync", "close", "replace", "rename", "unlink", "rmdir", "mkdir", "ftruncate", "truncate")


@dataclass(frozen=True)
class Operation:
    """One call of `os`. path: relative to the watched folder. data: what was written; of a rename, where to."""

    name: str
    path: str
    data: bytes = b""
    to: str = ""

    def __str__(self) -> str:
        return f"{self.name} {self.path}{f' → {self.to}' if self.to else ''}"


class Recorder:
    """Notes what is done beneath a folder by functions of `os`, from any thread."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.operations: list[Operation] = []
        self._paths: dict[int, str] = {}
        self.before = _tree(root)

    @contextmanager
    def watching(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        with monkeypatch.context() as patch:
            for name in WATCHED:
                patch.setattr(os, name, self._watched(name, getattr(os, name)))
            yield

    def _watched(self, name: str, real: Any) -> Any:
        def watched(*args: Any, **kwargs: Any) -> Any:
            target = args[0]
            if name == "close":  # before the number can be another file's, in another thread
                self._paths.pop(target, None)
                return real(*args, **kwargs)
            known = self._paths.get(target) if isinstance(target, int) else self._relative(target, kwargs)
            is_new = name == "open" and known is not None and not (self.root / known).exists()
            result = real(*args, **kwargs)
            if known is None:
                return result
            if name == "open":
                self._paths[result] = known
                if is_new:
                    self.operations.append(Operation("create", known))
            elif name == "write":
                self.operations.append(Operation("write", known, bytes(args[1])[:result]))
            elif name in ("replace", "rename"):
                self.operations.append(Operation("replace", known, to=self._relative(args[1], {}) or "outside"))
            elif name in ("ftruncate", "truncate"):
                self.operations.append(Operation("truncate", known, str(args[1]).encode()))
            else:
                self.operations.append(Operation(name, known))
            return result

        return watched

    def _relative(self, path: Any, kwargs: dict[str, Any]) -> str | None:
        folder = kwargs.get("dir_fd")
        if folder is not None:
            above = self._paths.get(folder)
            return None if above is None else os.path.normpath(f"{above}/{os.fsdecode(path)}")
        relative = os.path.relpath(os.fsdecode(path), self.root)
        return None if relative.startswith("..") else relative


@dataclass
class _File:
    content: bytes
    synced: bytes


_FOLDER = _File(b"", b"")


@dataclass
class _Names:
    """Which names there are, and which of them a power cut leaves."""

    now: dict[str, _File]
    durable: dict[str, _File] = field(default_factory=dict)


def after_power_cut(recorder: Recorder, count: int, *, keeps_names: bool) -> dict[str, bytes | None]:
    """What is on disk when the power fails after so many operations: by path, the bytes; None for a folder.

    Of a file there is what was in it when it was last synced. keeps_names: creating, renaming and deleting is on disk
    at once, as on a journalling file system that orders no data; else when the folder is synced, which is all that
    POSIX promises.
    """
    files = {path: _FOLDER if data is None else _File(data, data) for path, data in recorder.before.items()}
    names = _Names(files, dict(files))
    for one in recorder.operations[:count]:
        _play(names, one)
    left = names.now if keeps_names else names.durable
    return {
        path: None if file is _FOLDER else file.synced
        for path, file in left.items()
        if all(left.get(above) is _FOLDER for above in _above(path))
    }


def _play(names: _Names, one: Operation) -> None:
    now = names.now
    if one.name == "create":
        now[one.path] = _File(b"", b"")
    elif one.name == "mkdir":
        now[one.path] = _FOLDER
    elif one.name == "write":  # all of ours are one after another, at the end
        now[one.path].content += one.data
    elif one.name == "truncate":
        now[one.path].content = now[one.path].content[: int(one.data)]
    elif one.name == "replace":
        now[one.to] = now.pop(one.path)
    elif one.name in ("unlink", "rmdir"):
        now.pop(one.path, None)
    elif one.name == "fsync" and now.get(one.path, _FOLDER) is _FOLDER:
        of_folder = {path for path in {*now, *names.durable} if _parent(path) == one.path}
        names.durable = {path: file for path, file in names.durable.items() if path not in of_folder}
        names.durable |= {path: now[path] for path in of_folder if path in now}
    elif one.name == "fsync":
        now[one.path].synced = now[one.path].content


def _parent(path: str) -> str:
    return os.path.dirname(path) or "."  # noqa: PTH120 - a name only


def _above(path: str) -> Iterator[str]:
    while (path := _parent(path)) != ".":
        yield path


def _tree(root: Path) -> dict[str, bytes | None]:
    return {path.relative_to(root).as_posix(): None if path.is_dir() else path.read_bytes() for path in root.rglob("*")}
