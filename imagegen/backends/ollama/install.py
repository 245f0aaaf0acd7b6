"""Setting Ollama up: a pinned version in tools/ollama, from its standalone archive, and the models that the jobs name.

Only `install` ever changes tools/ollama, and a folder there that it did not make is left as it is.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tarfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from imagegen.backends.address import get_host
from imagegen.backends.base import Progress
from imagegen.backends.download import RemoteFile, download
from imagegen.backends.file_lock import hold_file_lock
from imagegen.backends.ollama.compatibility import Machine, explain_not_installed, this_machine
from imagegen.backends.ollama.models import describe_pull, tagged_name
from imagegen.backends.ollama.runtime import (
    FOLDER,
    MARK,
    OllamaRuntime,
    Program,
    executable,
    find_program,
    read_mark,
)
from imagegen.backends.ollama.server import stop_left_over
from imagegen.backends.text import one_line, size_text
from imagegen.config.settings import Settings
from imagegen.errors import ImagegenError, Problem

__all__ = ["announce", "estimate_unpacked_size", "install", "setup", "unpack"]

_NEW, _OLD = "tools/.ollama-new", "tools/.ollama-old"
"""Beside tools/ollama while that is replaced: it is complete or not there."""
_DOWNLOADS = Path(".imagegen/ollama")
_MOST = 4 * 1024**3
"""Bytes that the archive may have."""
_UNPACKED = 4
"""About how many times as large it gets; before it is there, that is all one knows."""
_MOST_UNPACKED = 8 * 1024**3
_MOST_MEMBERS = 10_000
_BUSY = Problem("", "another doit is installing Ollama here", "wait for it, or let this one wait: wait=600 (seconds)")
_BUILT_IN = Settings()


def setup(
    root: Path,
    settings: Settings,
    models: Sequence[str],
    progress: Progress,
    here: Machine | None = None,
    ask: Callable[[], None] = lambda: None,
) -> None:
    """Get an Ollama that generates images, and these models in it. What is done already is left alone.

    An Ollama that the user has is never replaced.

    Args:
        here: this machine, if that is known.
        ask: called before each download, once it was reported how much there is; may raise.

    Raises:
        ImagegenError: what was done stays.
    """
    host, machine = settings.ollama_host, here or this_machine()
    program = _find_usable(root, host, machine)
    if program is None or program.is_own:
        install(
            root, settings, progress, ask
        )  # one that is there already may be of another version than the settings say
        program = find_program(root, host, machine)
    if program.problem:
        raise ImagegenError(program.problem)
    progress.event("note", text=f"Ollama {program.version} generates images: {program.command.executable}")
    runtime = OllamaRuntime(root, host, program, program.command)
    try:
        runtime.start(progress)
        installed = runtime.models()
        if missing := [model for model in models if tagged_name(model) not in installed]:
            for model in missing:
                progress.event("note", text=f"to be pulled: {describe_pull(model, program.folder)}")
            ask()
        for model in models:
            if tagged_name(model) in installed:
                progress.event("note", text=f"{model} is installed, {installed[tagged_name(model)].size}")
            runtime.pull(model, progress)
    finally:
        runtime.close(())


def _find_usable(root: Path, host: str, machine: Machine) -> Program | None:
    """Return the Ollama there is; None if one is to be installed. Raises ImagegenError if that cannot be done here."""
    try:
        program = find_program(root, host, machine)
    except ImagegenError:
        if executable(root):
            raise
        if machine.is_apple_silicon:
            return None
        raise ImagegenError(explain_not_installed(machine)) from None
    if program.unable and not program.is_own:
        if machine.is_apple_silicon and program.machine:
            return None
        raise ImagegenError(program.unable)
    return program


@dataclass(frozen=True)
class _Pin:
    """What to install. archive: an address, or a file."""

    version: str
    sha256: str
    archive: str | Path

    @property
    def page(self) -> str:
        """Where a person finds this release."""
        return f"https://github.com/ollama/ollama/releases/tag/v{self.version}"

    @property
    def mark(self) -> dict[str, str]:
        """What tools/ollama holds then."""
        return {"version": self.version, "archive_sha256": self.sha256}


def install(root: Path, settings: Settings, progress: Progress, ask: Callable[[], None] = lambda: None) -> None:
    """Install the pinned version in tools/ollama of the project at `root`.

    Contacts nobody if that is done already. After a kill at any moment the next call continues.

    Args:
        ask: called before the download, once it was reported how much there is; may raise.

    Raises:
        ImagegenError: what was installed before is there then.
    """
    pin = _pin(root, settings)
    with hold_file_lock(root / ".imagegen/ollama-setup.lock", _BUSY, settings.wait_s), _disk_errors():
        _tidy(root)
        if executable(root) is None or read_mark(root) != pin.mark:
            _refuse_foreign(root)
            _unpack_beside(root, _fetch_archive(root, pin, progress, ask), pin, progress)
            _replace(root)
        for path in (root / _DOWNLOADS).glob("*.tgz*"):
            path.unlink()
    progress.event("note", text=f"Ollama {pin.version} is set up in {FOLDER}")


def _pin(root: Path, settings: Settings) -> _Pin:
    version, sha256, archive = settings.ollama_version, settings.ollama_archive_sha256, settings.ollama_archive
    if version != _BUILT_IN.ollama_version and sha256 == _BUILT_IN.ollama_archive_sha256:
        what = f"the sha256 in the settings is that of {_BUILT_IN.ollama_version}, and {version} is to be installed"
        hint = f"set ollama.archive_sha256 too: {_Pin(version, sha256, '').page} shows it beside ollama-darwin.tgz"
        raise ImagegenError(Problem("ollama.version", what, hint))
    if not archive:
        release = f"https://github.com/ollama/ollama/releases/download/v{version}"
        return _Pin(version, sha256, f"{release}/ollama-darwin.tgz")
    return _Pin(version, sha256, archive if "://" in archive else root / archive)


def _fetch_archive(root: Path, pin: _Pin, progress: Progress, ask: Callable[[], None]) -> Path:
    """Return the archive, complete and the right one: downloaded, or the file that the settings name."""
    source = str(pin.archive).partition("?")[0]  # the rest may be a signature
    progress.event("note", text=f"to be put into {FOLDER}: Ollama {pin.version}, from {source}")
    if isinstance(pin.archive, str):
        path = root / _DOWNLOADS / f"{pin.sha256}.tgz"
        if path.exists() and _sha256(path) != pin.sha256:  # it was complete when it got its name
            path.unlink()
        if not path.exists():
            _download(root, pin, pin.archive, path, progress, ask)
        return path
    ask()
    try:
        found = _sha256(pin.archive)
    except OSError as error:
        what = f"{pin.archive} cannot be read: {error.strerror}"
        raise ImagegenError(Problem("ollama.archive", what, f"download ollama-darwin.tgz from {pin.page}")) from None
    if found != pin.sha256:
        what = f"{pin.archive} has sha256 {found}, but {pin.sha256} is expected"
        hint = f"compare ollama.version and ollama.archive_sha256 with {pin.page}, and download it again"
        raise ImagegenError(Problem("ollama.archive", what, hint))
    return pin.archive


def _download(root: Path, pin: _Pin, url: str, path: Path, progress: Progress, ask: Callable[[], None]) -> None:
    remote = RemoteFile(
        f"Ollama {pin.version}",
        "ollama-darwin.tgz",
        url,
        get_host(url),
        pin.sha256,
        size=0,
        least=1,
        most=_MOST,
        page=pin.page,
        if_other=f"compare ollama.version, ollama.archive and ollama.archive_sha256 with {pin.page}",
        if_missing=f"check ollama.version and ollama.archive; or download it by hand from {pin.page}, and name that "
        "file: ollama.archive",
    )
    shown = ""

    def show(done: int, total: int) -> None:
        nonlocal shown
        if not shown:
            announce(done, total, shutil.disk_usage(root).free, progress)
            ask()
        of = f" of {size_text(total)}, {100 * done // total} %" if total else ""
        if shown != (shown := f"downloading Ollama {size_text(done)}{of}"):
            progress.event("waiting", text=shown)

    try:
        download(remote, path, show, lambda text: progress.event("note", text=text))
    finally:
        with suppress(Exception):
            progress.event("waiting", text="")


def announce(done: int, total: int, free: int, progress: Progress) -> None:
    """Report how many bytes there are to download, and what they become.

    done: the bytes that were downloaded before. total: 0 if that is unknown. free: on the disk.

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
    _check_room(disk, free)


def _check_room(needed: int, free: int) -> None:
    if free < needed:
        what = f"too little room: about {size_text(needed)} are needed, {size_text(free)} are free"
        raise ImagegenError(Problem(FOLDER, what, "make room, and run it again"))


def _unpack_beside(root: Path, archive: Path, pin: _Pin, progress: Progress) -> None:
    """Unpack all of it into the folder beside, with its mark, or nothing."""
    _check_room(estimate_unpacked_size(archive), shutil.disk_usage(root).free)
    progress.event("note", text=f"unpacking it into {FOLDER}")
    new = root / _NEW
    new.mkdir(parents=True)
    try:
        unpack(archive, new)
        program = new / "ollama"
        if program.is_symlink() or not program.is_file() or not os.access(program, os.X_OK):
            what = f"{pin.archive} has no program 'ollama' at its top"
            raise ImagegenError(Problem("ollama.archive", what, f"name ollama-darwin.tgz of {pin.page}"))
        (new / ".gitignore").write_text("*\n", encoding="utf-8")
        (new / MARK).write_text(json.dumps(pin.mark, indent=1) + "\n", encoding="utf-8")
    except ImagegenError:
        shutil.rmtree(new)
        raise


def _replace(root: Path) -> None:
    """Make what was unpacked tools/ollama. A kill in between leaves the old one beside it: see _tidy."""
    folder = root / FOLDER
    stop_left_over(root)
    if folder.exists():
        folder.replace(root / _OLD)
    (root / _NEW).replace(folder)
    _tidy(root)


def _tidy(root: Path) -> None:
    """Put away what a set-up left beside the folder, after it is done or was killed."""
    folder, old = root / FOLDER, root / _OLD
    if old.exists() and not os.path.lexists(folder):
        old.replace(folder)
    for path in (old, root / _NEW):
        if path.exists():
            shutil.rmtree(path)


def _refuse_foreign(root: Path) -> None:
    """Raise ImagegenError if tools/ollama is something that `install` did not make."""
    folder = root / FOLDER
    if folder.is_symlink():
        raise ImagegenError(Problem(FOLDER, "is a link, and stays as it is", "move it away; or set up where it leads"))
    if not folder.exists() or read_mark(root):
        return
    if not folder.is_dir():
        raise ImagegenError(Problem(FOLDER, "is not a folder, and stays as it is", "move it away"))
    if any(entry.name != ".DS_Store" for entry in folder.iterdir()):
        what = "was not made by doit ollama:setup, and stays as it is"
        raise ImagegenError(Problem(FOLDER, what, "move it away; an Ollama in it can be used by PATH"))


def _sha256(path: Path) -> str:
    found = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(1024**2):
            found.update(part)
    return found.hexdigest()


@contextmanager
def _disk_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        what = f"{error.filename or FOLDER} cannot be written or read: {error.strerror or error}"
        raise ImagegenError(Problem("", what, "fix its permissions, or make room, and run it again")) from None


def estimate_unpacked_size(archive: Path) -> int:
    """Return about how many bytes it unpacks to: the size of the tar, which gzip has at its end. Raises OSError."""
    with archive.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - 4))
        return int.from_bytes(file.read(4), "little")


def unpack(archive: Path, folder: Path) -> None:
    """Unpack the archive's files, folders and links into `folder`, which is there and empty; nothing gets out of it.

    tarfile's own filter `data` is not enough: it puts a file over another, keeps links in a circle, takes `/x` for `x`,
    and can be led out of the folder in every Python before 3.10.18, 3.11.13 and 3.12.11 (CVE-2025-4517 and others).
    Of a mode, only whether a file can be run is kept; owners and times are not.

    Raises:
        ImagegenError: it is not such an archive, is too large, or something in it leads out. What came so far is left.
        OSError: the disk.
    """
    links: list[tuple[tarfile.TarInfo, Path]] = []
    size = 0
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for count, member in enumerate(tar, 1):
                size += member.size
                if count > _MOST_MEMBERS or size > _MOST_UNPACKED:
                    raise _refused(f"it holds more than {_MOST_MEMBERS:,} files or {size_text(_MOST_UNPACKED)}")
                path = folder / _inner_path(member.name)
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
    data = tar.extractfile(member)
    assert data is not None  # noqa: S101 - it is a file
    with data, path.open("xb") as file:
        shutil.copyfileobj(data, file, 1024**2)
    path.chmod(0o755 if member.mode & 0o100 else 0o644)


def _link(folder: Path, member: tarfile.TarInfo, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if member.issym():
        path.symlink_to(member.linkname)
        return
    target = folder / _inner_path(member.linkname)
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


def _inner_path(name: str) -> PurePosixPath:
    """Return a member's path. Raises ImagegenError if it leads out of a folder."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name:
        raise _refused(f"'{one_line(name)}' in it leads out of its folder")
    return path


def _refused(what: str) -> ImagegenError:
    hint = "name an archive of Ollama for macOS, as its releases have it: ollama.archive"
    return ImagegenError(Problem("ollama.archive", f"{what}; nothing of it is kept", hint))
