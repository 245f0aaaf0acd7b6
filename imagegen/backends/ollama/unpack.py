"""Unpacking a .tgz into an empty folder, so that nothing in it can get out of there."""

from __future__ import annotations

import os
import shutil
import tarfile
import zlib
from pathlib import Path, PurePosixPath

from imagegen.backends.text import one_line, size_text
from imagegen.errors import ImagegenError, Problem

__all__ = ["unpack", "unpacked_size"]

_MOST_BYTES = 8 * 1024**3
_MOST_MEMBERS = 10_000


def unpacked_size(archive: Path) -> int:
    """About how many bytes it unpacks to: those of the tar in it, as gzip has them at the end. Raises OSError."""
    with archive.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - 4))
        return int.from_bytes(file.read(4), "little")


def unpack(archive: Path, folder: Path) -> None:
    """Put the archive's files, folders and links into `folder`, which is there and empty.

    Other modes than whether a file can be run, and owners and times, are not kept. Raises ImagegenError where it is no
    such archive, is larger than can be, or where something in it leads out; then what came so far is left. And OSError.
    """
    links: list[tuple[tarfile.TarInfo, Path]] = []
    size = 0
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for count, member in enumerate(tar, 1):
                size += member.size
                if count > _MOST_MEMBERS or size > _MOST_BYTES:
                    raise _refused(f"more than {_MOST_MEMBERS:,} files or {size_text(_MOST_BYTES)} come out of it")
                path = folder / _inner(member.name)
                if member.isdir():
                    path.mkdir(parents=True, exist_ok=True)
                elif member.isreg():
                    _write(tar, member, path)
                elif member.issym() or member.islnk():
                    links.append((member, path))
                else:
                    raise _refused(f"'{one_line(member.name)}' in it is neither file, folder nor link")
        # last, so that no file is written through any of them; and twice, since one may lead through another
        for member, path in sorted(links, key=lambda link: link[0].issym()):
            _link(folder, member, path)
            _check_inside(folder, member, path)
        for member, path in links:
            _check_inside(folder, member, path)
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise _refused(f"it cannot be read: {one_line(str(error))}") from None
    except (FileExistsError, NotADirectoryError) as error:
        raise _refused(f"'{one_line(Path(error.filename2 or error.filename).name)}' is in it twice") from None


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    source = tar.extractfile(member)
    assert source is not None  # noqa: S101 - it is a file
    with source, path.open("xb") as file:
        shutil.copyfileobj(source, file, 1024**2)
    path.chmod(0o755 if member.mode & 0o100 else 0o644)


def _link(folder: Path, member: tarfile.TarInfo, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if member.issym():
        path.symlink_to(member.linkname)
        return
    target = folder / _inner(member.linkname)
    if not target.is_file():
        raise _leads_out(member)
    os.link(target, path)


def _check_inside(folder: Path, member: tarfile.TarInfo, path: Path) -> None:
    try:
        is_inside = path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError):  # in a circle
        is_inside = False
    if not is_inside or PurePosixPath(member.linkname).is_absolute():
        raise _leads_out(member)


def _leads_out(member: tarfile.TarInfo) -> ImagegenError:
    return _refused(f"the link '{one_line(member.name)}' in it leads to '{one_line(member.linkname)}'")


def _inner(name: str) -> PurePosixPath:
    """A member's path. Raises ImagegenError where it is none within a folder."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name:
        raise _refused(f"'{one_line(name)}' in it leads out of its folder")
    return path


def _refused(what: str) -> ImagegenError:
    hint = "name an archive of Ollama for macOS, as its releases have it: ollama.archive"
    return ImagegenError(Problem("ollama.archive", f"{what}; nothing of it is kept", hint))
