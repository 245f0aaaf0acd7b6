"""The files of a snapshot: their keys, packed folder by folder, and compared with the files as they are now."""

from __future__ import annotations

import base64
import os
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from imagegen.state.hashes import StatKey

__all__ = ["SnapshotFiles", "find_changed"]


class SnapshotFiles(Mapping[str, "StatKey | None"]):
    """The keys of files by path, as a snapshot keeps them: folder by folder, unpacked when they are asked for.

    packed: by folder, the names of its files, and their keys.
    """

    def __init__(self, packed: Mapping[str, tuple[str, str]]) -> None:
        self._packed = dict(packed)
        self._unpacked: dict[str, dict[str, StatKey | None]] = {}
        self.added: list[StatKey] = []
        """Keys of which nobody knows yet whether they would show another change."""

    def __getitem__(self, path: str) -> StatKey | None:
        folder, _, name = path.rpartition("/")
        return self._unpack(folder)[name]

    def __iter__(self) -> Iterator[str]:
        return (_path(folder, name) for folder, (names, _) in self._packed.items() for name in names.split("/"))

    def __len__(self) -> int:
        return sum(names.count("/") + 1 for names, _ in self._packed.values())

    def replaced(self, outdated: Iterable[str], new: Mapping[str, StatKey | None]) -> SnapshotFiles:
        """Return these files without some, and with others. Raises OverflowError: a time that no file system keeps."""
        folders: dict[str, dict[str, StatKey | None]] = {}
        for path in (*outdated, *new):
            folder, _, name = path.rpartition("/")
            files = folders.get(folder)
            if files is None:
                files = folders[folder] = dict(self._unpack(folder)) if folder in self._packed else {}
            if path in new:
                files[name] = new[path]
            else:
                files.pop(name, None)
        packed = {folder: ("/".join(files), _pack(files.values())) for folder, files in folders.items()}
        found = SnapshotFiles({folder: one for folder, one in {**self._packed, **packed}.items() if one[0]})
        found.added = [key for key in new.values() if key]
        return found

    def packed(self) -> Mapping[str, tuple[str, str]]:
        """Return them as they are kept."""
        return self._packed

    def _unpack(self, folder: str) -> Mapping[str, StatKey | None]:
        if folder not in self._unpacked:
            names, packed = self._packed[folder]
            self._unpacked[folder] = dict(zip(names.split("/"), _unpack(packed), strict=True))
        return self._unpacked[folder]


def _path(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


_ABSENT = (0, -1, 0, -1)
"""In place of the key of a file that is not there."""
_KEY = struct.Struct("QqQq")
"""The size, mtime, inode and ctime of a file; an inode may take all 64 bits."""


def _pack(keys: Iterable[StatKey | None]) -> str:
    """Pack the keys of a folder's files. Raises OverflowError: a time that no file system keeps."""
    try:
        return base64.b64encode(b"".join(_KEY.pack(*(key or _ABSENT)) for key in keys)).decode()
    except struct.error as error:
        raise OverflowError(str(error)) from None


def _unpack(packed: str) -> list[StatKey | None]:
    """Return the keys. Raises ValueError, if they are none."""
    data = base64.b64decode(packed)
    if len(data) % _KEY.size:
        raise ValueError("these are not the keys of files")
    return [None if key == _ABSENT else key for key in _KEY.iter_unpack(data)]


def find_changed(root: Path, folders: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the files that are not as they were, in the order of the snapshot. Raises OSError."""
    changed: list[str] = []
    for folder, (names, packed) in folders.items():
        found = _look(root, folder, names.split("/"))
        if found != packed:
            pairs = zip(names.split("/"), _unpack(found), _unpack(packed), strict=True)
            changed += (_path(folder, name) for name, now, before in pairs if now != before)
    return changed


def _look(root: Path, folder: str, names: Sequence[str]) -> str:
    """Return the keys of a folder's files as they are now, packed. Raises OSError.

    It looks at each output in every run: by its name in the open folder, where the system can, which takes half as long
    as by its path.
    """
    opened: int | None = None
    prefix = ""
    if os.stat in os.supports_dir_fd:
        try:
            opened = os.open(root / folder, os.O_RDONLY | os.O_DIRECTORY)
        except (FileNotFoundError, NotADirectoryError):
            return _pack([None] * len(names))
    else:
        prefix = os.path.join(root, folder, "")  # noqa: PTH118 - a text
    found: list[bytes] = []
    stat, pack, add = os.stat, _KEY.pack, found.append
    try:
        for name in names:
            try:
                key = stat(prefix + name, dir_fd=opened)
            except (FileNotFoundError, NotADirectoryError):
                add(pack(*_ABSENT))
            else:
                add(pack(key.st_size, key.st_mtime_ns, key.st_ino, key.st_ctime_ns))
    except struct.error:  # a time that no file system keeps
        return ""
    finally:
        if opened is not None:
            os.close(opened)
    return base64.b64encode(b"".join(found)).decode()
