"""A pinned build of a program in tools/NAME: downloaded, unpacked beside, and put into its place in one step.

Only `install` ever changes such a folder, and a folder there that it did not make is left as it is.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from imagegen.backends.address import get_host
from imagegen.backends.archive import ArchiveError, estimate_unpacked_size, unpack
from imagegen.backends.base import Progress
from imagegen.backends.download import RemoteFile, download, partial_path
from imagegen.backends.file_lock import hold_file_lock
from imagegen.backends.git_ignore import hide_from_git
from imagegen.backends.text import size_text
from imagegen.errors import ImagegenError, Problem

__all__ = ["PinnedArchive", "PinnedProgram", "announce", "install", "tidy"]

_DOWNLOAD = r"[0-9a-f]{64}(?:\.[.a-z]*)?"
"""The name of an archive that was downloaded, or of a part of one."""
_MOST = 4 * 1024**3
"""Bytes that an archive may have."""
_UNPACKED = 4
"""About how many times as large it gets; before it is there, that is all one knows."""


@dataclass(frozen=True)
class PinnedArchive:
    """An archive with all of a build, or a part of it.

    Attributes:
        name: what its release calls it.
        source: an address, or a file.
        sha256: in small letters.
        size: its bytes; 0 if unknown.
    """

    name: str
    source: str | Path
    sha256: str
    size: int = 0


@dataclass(frozen=True)
class PinnedProgram:
    """A build of a program, and the folder of a project that it is for.

    Attributes:
        root: the project's folder.
        folder: where the program goes, from there: tools/NAME.
        name: what the program is called.
        version: which build.
        source: from where, for a person.
        archives: all are unpacked into the one folder.
        page: where a person finds this release; empty if its archive is the user's own.
        executables: the file names that the program may have.
        mark_file: the name of the file in the folder that says what `install` put there.
        mark: what that file says.
        command: what installs it.
        setting: names the archive.
        compared: the settings to compare with the page if an archive is another one.
        if_foreign: what can be done with a program that somebody else put there.
        arrange: checks the unpacked folder, and puts the program at its top. Raises ImagegenError.
        stop: stops the server that a killed run left. Raises ImagegenError if a run uses it.
    """

    root: Path
    folder: str
    name: str
    version: str
    source: str
    archives: Sequence[PinnedArchive]
    page: str
    executables: Sequence[str]
    mark_file: str
    mark: Mapping[str, str]
    command: str
    setting: str
    compared: str
    if_foreign: str
    arrange: Callable[[Path], None]
    stop: Callable[[], None]

    @property
    def title(self) -> str:
        """Name and version."""
        return f"{self.name} {self.version}"

    @property
    def target(self) -> Path:
        """The folder that the program goes into; until it is complete, `new` and `old` are beside it."""
        return self.root / self.folder

    @property
    def new(self) -> Path:
        """What is unpacked, until it takes its place."""
        return _beside(self.target, "new")

    @property
    def old(self) -> Path:
        """What was there before, until it is removed."""
        return _beside(self.target, "old")

    @property
    def downloads(self) -> Path:
        """The folder of the archives, until they are unpacked."""
        return self.root / ".imagegen" / self.target.name

    def download_path(self, archive: PinnedArchive) -> Path:
        """Return where an archive goes."""
        return self.downloads / f"{archive.sha256}{Path(archive.name).suffix}"

    def read_mark(self) -> Mapping[str, Any]:
        """Return what the folder's mark says; empty if `install` put nothing there."""
        with suppress(OSError, ValueError):
            found = json.loads((self.target / self.mark_file).read_bytes())
            return found if isinstance(found, dict) else {}
        return {}

    @property
    def is_installed(self) -> bool:
        """Whether this very build is there, completely."""
        paths = [self.target / name for name in self.executables]
        return self.read_mark() == self.mark and any(path.is_file() and os.access(path, os.X_OK) for path in paths)

    @property
    def if_other(self) -> str:
        """What to do about an archive with another sha256."""
        return f"compare {self.compared} with {self.page}" if self.page else f"correct {self.compared}"

    @property
    def if_unusable(self) -> str:
        """What to do about an archive that holds something else."""
        names = " and ".join(archive.name for archive in self.archives)
        return f"name {names} of {self.page}" if self.page else f"name another archive: {self.setting}"

    def refuse(self, what: str, hint: str) -> ImagegenError:
        """Return the error that an archive cannot be used."""
        return ImagegenError(Problem(self.setting, what, hint))


def install(
    pin: PinnedProgram,
    progress: Progress,
    ask: Callable[[], None] = lambda: None,
    wait_s: float = 0.0,
    again: bool = False,
) -> None:
    """Install this build. Contacts nobody if that is done already. After a kill at any moment the next call continues.

    Args:
        ask: called before the download, once it was reported how much there is; may raise.
        wait_s: seconds to wait for another `install` of the project.
        again: whether this build is replaced if it is there, because it is damaged.

    Raises:
        ImagegenError: what was installed before is there then.
    """
    with _hold_lock(pin.root, pin.folder, pin.name, wait_s), _disk_errors(pin.folder):
        _tidy(pin.target)
        if again or not pin.is_installed:
            _refuse_foreign(pin)
            _unpack_beside(pin, _fetch(pin, progress, ask), progress)
            _replace(pin)
        for path in pin.downloads.glob("*"):
            if re.fullmatch(_DOWNLOAD, path.name):
                path.unlink()
    progress.event("note", text=f"{pin.title} is set up in {pin.folder}")


def _fetch(pin: PinnedProgram, progress: Progress, ask: Callable[[], None]) -> list[Path]:
    """Return the archives, complete and the right ones: downloaded, or the files that the settings name."""
    progress.event("note", text=f"to be put into {pin.folder}: {pin.title}, from {pin.source}")
    files = [archive for archive in pin.archives if isinstance(archive.source, Path)]
    missing = [archive for archive in pin.archives if archive not in files and not _is_downloaded(pin, archive)]
    is_known = all(archive.size for archive in missing)
    if missing and is_known:
        parts = [partial_path(pin.download_path(archive)) for archive in missing]
        begun = sum(path.stat().st_size for path in parts if path.exists())
        total = sum(archive.size for archive in missing)
        announce(pin.folder, begun, total, shutil.disk_usage(pin.root).free, progress)
    if files or (missing and is_known):
        ask()
    for archive in missing:
        _download(pin, archive, progress, None if is_known else ask)
    for archive in files:
        _check_file(pin, archive, Path(archive.source))
    return [Path(archive.source) if archive in files else pin.download_path(archive) for archive in pin.archives]


def _is_downloaded(pin: PinnedProgram, archive: PinnedArchive) -> bool:
    path = pin.download_path(archive)
    if path.exists() and _hash_file(path) != archive.sha256:  # it was complete when it got its name
        path.unlink()
    return path.exists()


def _check_file(pin: PinnedProgram, archive: PinnedArchive, path: Path) -> None:
    try:
        found = _hash_file(path)
    except OSError as error:
        hint = f"download {_describe(archive)} from {pin.page}" if pin.page else f"correct {pin.setting}"
        raise pin.refuse(f"{path} cannot be read: {error.strerror}", hint) from None
    if found != archive.sha256:
        what = f"{path} has sha256 {found}, but {archive.sha256} is expected"
        raise pin.refuse(what, f"{pin.if_other}, and download it again" if pin.page else pin.if_other)


def _download(pin: PinnedProgram, archive: PinnedArchive, progress: Progress, ask: Callable[[], None] | None) -> None:
    """Download an archive. ask: called once it is known how large it is; None if that was known, and asked, before."""
    url = str(archive.source)
    remote = RemoteFile(
        pin.title,
        archive.name,
        url,
        get_host(url),
        archive.sha256,
        size=archive.size,
        least=archive.size or 1,
        most=archive.size or _MOST,
        page=pin.page or url.partition("?")[0],  # the rest may be a signature
        if_other=pin.if_other,
        if_missing=f"check {pin.compared}",
    )
    shown = ""

    def show(done: int, total: int) -> None:
        nonlocal shown
        if ask and not shown:
            announce(pin.folder, done, total, shutil.disk_usage(pin.root).free, progress)
            ask()
        of = f" of {size_text(total)}, {100 * done // total} %" if total else ""
        if shown != (shown := f"downloading {pin.name} {size_text(done)}{of}"):
            progress.event("waiting", text=shown)

    of_page = f" from {pin.page}" if pin.page else ""
    by_hand = f"; or download {_describe(archive)} by hand{of_page}, and name that file: {pin.setting}"
    try:
        download(remote, pin.download_path(archive), show, lambda text: progress.event("note", text=text))
    except ImagegenError as error:
        of_server = [
            replace(one, hint=one.hint + by_hand) if one.where == remote.key else one for one in error.problems
        ]
        raise ImagegenError(*of_server) from None
    finally:
        with suppress(Exception):
            progress.event("waiting", text="")


def _describe(archive: PinnedArchive) -> str:
    return f"{archive.name} ({size_text(archive.size)})" if archive.size else archive.name


def announce(folder: str, done: int, total: int, free: int, progress: Progress) -> None:
    """Report how many bytes there are to download, and what they become.

    Args:
        folder: where they go.
        done: the bytes that were downloaded before.
        total: 0 if that is unknown.
        free: on the disk.

    Raises:
        ImagegenError: the free ones do not suffice.
    """
    if not total:
        progress.event("note", text=f"how much there is to download is not known; {size_text(free)} are free")
        return
    disk = total - done + _UNPACKED * total
    begun = f" ({size_text(done)} are there)" if done else ""
    text = f"{size_text(total - done)} to download{begun}, about {size_text(disk)} on disk; {size_text(free)} are free"
    progress.event("note", text=text)
    _check_room(folder, disk, free)


def _check_room(folder: str, needed: int, free: int) -> None:
    if free < needed:
        what = f"too little room: about {size_text(needed)} are needed, {size_text(free)} are free"
        raise ImagegenError(Problem(folder, what, "make room, and run it again"))


def _unpack_beside(pin: PinnedProgram, archives: Sequence[Path], progress: Progress) -> None:
    """Unpack all of it into the folder beside, with its mark, or nothing."""
    try:
        needed = sum(map(estimate_unpacked_size, archives))
        _check_room(pin.folder, needed, shutil.disk_usage(pin.root).free)
        progress.event("note", text=f"unpacking it into {pin.folder}")
        pin.new.mkdir(parents=True)
        for archive in archives:
            unpack(archive, pin.new)
        pin.arrange(pin.new)
        hide_from_git(pin.new)
        (pin.new / pin.mark_file).write_text(json.dumps(pin.mark, indent=1) + "\n", encoding="utf-8")
    except (ArchiveError, ImagegenError) as error:
        if pin.new.exists():
            shutil.rmtree(pin.new)
        if isinstance(error, ArchiveError):
            raise pin.refuse(str(error), pin.if_unusable) from None
        raise


def _replace(pin: PinnedProgram) -> None:
    """Put what was unpacked into its place. A kill in between leaves the old one beside it: see _tidy."""
    pin.stop()
    if pin.target.exists():
        pin.target.replace(pin.old)
    pin.new.replace(pin.target)
    _tidy(pin.target)


def tidy(root: Path, folder: str, name: str, wait_s: float = 0.0) -> None:
    """Put away what a killed `install` left beside the folder; see there. Raises ImagegenError."""
    with _hold_lock(root, folder, name, wait_s), _disk_errors(folder):
        _tidy(root / folder)


def _tidy(target: Path) -> None:
    """Put away what an installation left beside the folder, after it is done or was killed."""
    old, new = _beside(target, "old"), _beside(target, "new")
    if old.exists() and not os.path.lexists(target):
        old.replace(target)
    for path in (old, new):
        if path.exists():
            shutil.rmtree(path)


def _beside(target: Path, which: str) -> Path:
    return target.with_name(f".{target.name}-{which}")


def _hold_lock(root: Path, folder: str, name: str, wait_s: float) -> AbstractContextManager[None]:
    hint = "wait for it, or let this one wait: wait=600 (seconds)"
    busy = Problem("", f"another doit is installing {name} here", hint)
    return hold_file_lock(root / f".imagegen/{Path(folder).name}-setup.lock", busy, wait_s)


def _refuse_foreign(pin: PinnedProgram) -> None:
    """Raise ImagegenError if the folder is something that `install` did not make."""
    folder = pin.target
    if folder.is_symlink():
        hint = "move it away; or set up where it leads"
        raise ImagegenError(Problem(pin.folder, "is a link, and stays as it is", hint))
    if not folder.exists() or pin.read_mark():
        return
    if not folder.is_dir():
        raise ImagegenError(Problem(pin.folder, "is not a folder, and stays as it is", "move it away"))
    if any(entry.name != ".DS_Store" for entry in folder.iterdir()):
        what = f"was not made by {pin.command}, and stays as it is"
        raise ImagegenError(Problem(pin.folder, what, f"move it away; {pin.if_foreign}"))


def _hash_file(path: Path) -> str:
    """Return a file's sha256. Raises OSError."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(1024**2):
            found.update(part)
    return found.hexdigest()


@contextmanager
def _disk_errors(folder: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        what = f"{error.filename or folder} cannot be written or read: {error.strerror or error}"
        raise ImagegenError(Problem("", what, "fix its permissions, or make room, and run it again")) from None
