"""Whole files or none: how this project puts bytes on disk so that a kill or a power cut leaves no partial file."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import threading
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Generic, TypeVar
from weakref import WeakValueDictionary

from imagegen.errors import InputError, Problem
from imagegen.state.group_sync import GroupSync

__all__ = ["find_target", "make_folder", "replace_file", "rewrite_file", "sync_folder", "write_all", "write_temporary"]


_Shared = TypeVar("_Shared")


class _Folders(Generic[_Shared]):
    """What the threads at work in the same folder share, as long as one of them holds it."""

    def __init__(self, new: Callable[[], _Shared]) -> None:
        self._new = new
        self._known: WeakValueDictionary[Path, _Shared] = WeakValueDictionary()
        self._mutex = threading.Lock()

    def of(self, folder: Path) -> _Shared:
        with self._mutex:
            return self._known.setdefault(folder, self._new())


def sync_folder(folder: Path) -> None:
    """Make the renames within this folder durable. Windows cannot, and needs not."""
    _syncs.of(folder).run(partial(_sync_folder, folder))


def _sync_folder(folder: Path) -> None:
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Make the folder and those above it, durable if they are new, so that a power cut leaves what is in them.

    Raises OSError.
    """
    with _making.of(folder):  # one that another thread has just made is not durable before that is done with it
        if not folder.is_dir():
            make_folder(folder.parent)
            folder.mkdir(exist_ok=True)
            sync_folder(folder.parent)


_syncs = _Folders(GroupSync)
_making = _Folders(threading.Lock)


def write_temporary(folder: Path, data: bytes | Iterable[bytes]) -> Path:
    """Write a new file in `folder` that holds the bytes, on disk (fsync) before this returns. Raises OSError."""
    make_folder(folder)
    path = folder / f".{os.urandom(16).hex()}.tmp"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
        try:
            write_all(descriptor, data)
        except BaseException:
            os.close(descriptor)
            path.unlink(missing_ok=True)
            raise
        os.close(descriptor)
    except OSError as error:
        error.filename = str(folder)  # the file's own name means nothing to anybody
        raise
    return path


def find_target(root: Path, named: str | Path, where: str, *, new_folders: int = 0) -> Path:
    """Return the path of a file that a person named for output. It may be anywhere.

    Ask before reading it, too: reading a FIFO may never end.

    Args:
        root: the project's folder, where any folder may be created.
        named: as it was typed, relative to the project; ~ is the home folder.
        where: the option that names it.
        new_folders: how many folders may be created for it elsewhere.

    Raises:
        InputError: it is something else than a file, or its folder is missing or not for such files.
    """
    from imagegen.config.paths import GALLERY

    path = root / os.path.expanduser(named)  # noqa: PTH111 - it never fails
    mode = _find_mode(path)
    if stat.S_ISDIR(mode or 0):
        raise InputError(Problem(where, "is a folder", "name a file in it"))
    if _is_special(path):
        raise InputError(Problem(where, _SPECIAL, "name a file"))
    real, real_root = Path(os.path.realpath(path)), Path(os.path.realpath(root))
    if real.is_relative_to(real_root):
        inside = real.relative_to(real_root).as_posix().casefold()
        if folder := next((one for one in (".git", ".imagegen", GALLERY) if inside.startswith(f"{one}/")), ""):
            raise InputError(Problem(where, f"{folder}/ is not for files of yours", "choose another folder"))
    elif all(_find_mode(folder) == 0 for folder in real.parents[: new_folders + 1]):
        folder = str(real.parents[: new_folders + 1][-1])
        what = f"there is no folder {folder}, and outside the project it is not created"
        raise InputError(Problem(where, what, "create it, or choose another folder"))
    return path


_SPECIAL = "is a device, a pipe or a socket, and not a file"


def _find_mode(path: Path) -> int | None:
    """Return the mode of what is there, or at the end of a link: 0 if nothing is, None if that cannot be seen."""
    try:
        return path.stat().st_mode
    except FileNotFoundError:
        return 0
    except OSError:  # writing says what is wrong
        return None


def _is_special(path: Path) -> bool:
    """Whether something is there, or at the end of a link, that is neither a file nor a folder."""
    mode = _find_mode(path)
    return bool(mode and not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)))


def replace_file(path: Path, data: bytes | Iterable[bytes], temporary: Path) -> os.stat_result:
    """Put the bytes at `path` in one step, replacing what is there; return the stat of the new file.

    They are written to the folder `temporary` first, so that a kill leaves nothing beside `path`; where that is
    another file system, they are written beside it under a hidden name. Raises OSError, also if a device or the like
    is there: a user who may write to /dev could replace that too.

    data: all bytes, or pieces of them, which may be asked for twice.
    """
    if _is_special(path):
        raise OSError(errno.EINVAL, f"it {_SPECIAL}", str(path))
    make_folder(path.parent)
    try:
        result = _rename_into_place(write_temporary(temporary, data), path)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        result = _rename_into_place(write_temporary(path.parent, data), path)
    sync_folder(path.parent)
    return result


def rewrite_file(path: Path, data: bytes, temporary: Path) -> None:
    """Replace a file that is somebody's own: what a link leads to, with the mode that it has. Raises OSError.

    temporary: as for `replace_file`.
    """
    if not _is_special(path):  # a link in /dev leads to what has no name; `replace_file` refuses it
        path = path.resolve()
    mode = path.stat().st_mode if path.exists() else None
    replace_file(path, data, temporary)
    if mode is not None:
        path.chmod(mode)


def _rename_into_place(written: Path, path: Path) -> os.stat_result:
    try:
        before = written.stat()
        written.replace(path)
    except OSError:
        written.unlink(missing_ok=True)
        raise
    with contextlib.suppress(OSError):
        after = path.stat()  # a rename changes its ctime
        if after.st_ino == before.st_ino and after.st_mtime_ns == before.st_mtime_ns:
            return after
    return before


def write_all(descriptor: int, data: bytes | Iterable[bytes], *, sync: bool = True) -> None:
    """Write all of the bytes; with `sync` they are on disk before this returns. Raises OSError."""
    for piece in [data] if isinstance(data, bytes) else data:
        view = memoryview(piece)
        while view:
            view = view[os.write(descriptor, view) :]
    if sync:
        os.fsync(descriptor)
