"""Unpack a tgz or a zip into a folder: within bounds, and nothing gets out of that folder.

tarfile's own filter `data` is not enough: it puts a file over another, keeps links in a circle, takes `/x` for `x`, and
can be led out of the folder in every Python before 3.10.18, 3.11.13 and 3.12.11 (CVE-2025-4517 and others). zipfile
takes `/x` for `x`, too, writes a link as a small text file, and drops whether a file can be run.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Literal

from imagegen.backends.text import one_line, size_text

__all__ = ["ArchiveError", "check_links", "estimate_unpacked_size", "unpack"]

_MOST_UNPACKED = 8 * 1024**3
_MOST_MEMBERS = 10_000
_MOST_LINK = 4096
"""Bytes of where a link leads to."""
_ENCRYPTED = 0x1
"""Flag of a zip's member: APPNOTE.TXT 4.4.4."""
_UNIX = 3
"""The system that wrote a zip's member, if its attributes have a mode: APPNOTE.TXT 4.4.2."""
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


_Kind = Literal["file", "folder", "link", "hard link", "other"]


class ArchiveError(Exception):
    """What is wrong with an archive, in one sentence."""


@dataclass(frozen=True)
class _Member:
    name: str
    kind: _Kind
    size: int
    is_program: bool
    """Whether it can be run: of a mode, nothing else is kept. Owners and times are not."""
    target: str
    """Where a link leads to."""
    open: Callable[[], IO[bytes]]


def estimate_unpacked_size(archive: Path) -> int:
    """Return about how many bytes it unpacks to, as it says itself. Raises ArchiveError, and OSError for the disk."""
    if _is_zip(archive):
        with _errors_translated(), zipfile.ZipFile(archive) as found:
            return sum(info.file_size for info in found.infolist())
    with archive.open("rb") as file:  # gzip has the size of the tar at its end
        file.seek(max(0, file.seek(0, os.SEEK_END) - 4))
        return int.from_bytes(file.read(4), "little")


def unpack(archive: Path, folder: Path) -> None:
    """Unpack the archive's files, folders and links into `folder`; no file there is replaced.

    Raises:
        ArchiveError: it is not such an archive, is too large, or something in it leads out. What came so far is left.
        OSError: the disk.
    """
    links: list[tuple[_Member, Path]] = []
    size = 0
    with _errors_translated(), _open(archive) as members:
        for count, member in enumerate(members, 1):
            size += member.size
            if count > _MOST_MEMBERS or size > _MOST_UNPACKED:
                raise _refused(f"it holds more than {_MOST_MEMBERS:,} files or {size_text(_MOST_UNPACKED)}")
            path = folder / _inner_path(member.name)
            if member.kind == "folder":
                path.mkdir(parents=True, exist_ok=True)
            elif member.kind == "file":
                _write(member, path)
            elif member.kind == "other":
                raise _refused(f"'{one_line(member.name)}' in it is neither file, folder nor link")
            else:
                links.append((member, path))
        # last, so that no file is written through any of them; and twice, since one may lead through another
        for member, path in sorted(links, key=lambda link: link[0].kind == "link"):
            _link(folder, member, path)
            _check_inside(folder, path, member.target)
        for member, path in links:
            _check_inside(folder, path, member.target)


def check_links(folder: Path) -> None:
    """Raise ArchiveError if a link in `folder` leads out of it."""
    for path in folder.rglob("*"):
        if path.is_symlink():
            _check_inside(folder, path, str(path.readlink()))


def _is_zip(archive: Path) -> bool:
    with archive.open("rb") as file:
        return file.read(2) == b"PK"


@contextmanager
def _open(archive: Path) -> Iterator[Iterator[_Member]]:
    if _is_zip(archive):
        with zipfile.ZipFile(archive) as found:
            yield _list_zip(found)
    else:
        with tarfile.open(archive, "r:gz") as tar:
            yield _list_tar(tar)


def _list_tar(tar: tarfile.TarFile) -> Iterator[_Member]:
    kinds: dict[bytes, _Kind] = {tarfile.DIRTYPE: "folder", tarfile.SYMTYPE: "link", tarfile.LNKTYPE: "hard link"}
    for info in tar:
        kind = kinds.get(info.type, "file" if info.isreg() else "other")
        opened = partial(_open_in_tar, tar, info)
        yield _Member(info.name, kind, info.size, bool(info.mode & stat.S_IXUSR), info.linkname, opened)


def _open_in_tar(tar: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    found = tar.extractfile(info)
    assert found is not None  # noqa: S101 - it is a file
    return found


def _list_zip(found: zipfile.ZipFile) -> Iterator[_Member]:
    for info in found.infolist():
        # not `filename`, of which zipfile leaves out what follows a zero byte
        name, mode = info.orig_filename, info.external_attr >> 16 if info.create_system == _UNIX else 0
        if info.flag_bits & _ENCRYPTED or info.compress_type not in _METHODS:
            raise _refused(f"'{one_line(name)}' in it is encrypted, or compressed in a way that is not supported")
        kind, target = _get_zip_kind(info, mode), ""
        if kind == "link":
            with found.open(info) as file:
                target = file.read(_MOST_LINK + 1).decode("utf-8")
            if len(target) > _MOST_LINK or not target or "\0" in target:
                raise _refused(f"the link '{one_line(name)}' in it leads nowhere")
        yield _Member(name, kind, info.file_size, bool(mode & stat.S_IXUSR), target, partial(found.open, info))


def _get_zip_kind(info: zipfile.ZipInfo, mode: int) -> _Kind:
    if stat.S_ISLNK(mode):
        return "link"
    if info.is_dir() or stat.S_ISDIR(mode):
        return "folder"
    return "file" if stat.S_ISREG(mode) or not stat.S_IFMT(mode) else "other"


def _write(member: _Member, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with member.open() as data, path.open("xb") as file:
        shutil.copyfileobj(data, file, 1024**2)
    path.chmod(0o755 if member.is_program else 0o644)


def _link(folder: Path, member: _Member, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if member.kind == "link":
        path.symlink_to(member.target)
        return
    target = folder / _inner_path(member.target)
    if not target.is_file():
        raise _leads_out(path, member.target)
    os.link(target, path)


def _check_inside(folder: Path, path: Path, target: str) -> None:
    try:
        is_inside = path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError):  # in a circle
        is_inside = False
    if not is_inside or PurePosixPath(target).is_absolute():
        raise _leads_out(path, target)


def _leads_out(path: Path, target: str) -> ArchiveError:
    return _refused(f"the link '{one_line(path.name)}' in it leads to '{one_line(target)}'")


def _inner_path(name: str) -> PurePosixPath:
    """Return a member's path. Raises ArchiveError if it leads out of a folder, on whichever system."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or any(sign in name for sign in "\\:\0"):
        raise _refused(f"'{one_line(name)}' in it leads out of its folder")
    return path


def _refused(what: str) -> ArchiveError:
    return ArchiveError(f"{what}; nothing of it is kept")


@contextmanager
def _errors_translated() -> Iterator[None]:
    """Turn what reading an archive raises into ArchiveError; the errors of the disk stay what they are."""
    try:
        yield
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error, NotImplementedError, ValueError) as error:
        raise _refused(f"it cannot be read: {one_line(str(error))}") from None
    except (FileExistsError, NotADirectoryError) as error:
        raise _refused(f"'{one_line(Path(error.filename2 or error.filename).name)}' is in it twice") from None
    except OSError as error:
        if error.errno == errno.EINVAL and error.filename is None:  # zipfile looks for a member before the beginning
            raise _refused("it cannot be read: it is damaged") from None
        raise
