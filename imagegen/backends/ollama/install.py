"""Ollama at a pinned version in tools/ollama, from its standalone archive. Nothing but `bring` ever changes it.

A folder there that this did not make is left as it is.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tarfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from imagegen.backends.address import host_of
from imagegen.backends.base import Progress
from imagegen.backends.download import RemoteFile, download
from imagegen.backends.locked import locked
from imagegen.backends.ollama.compatibility import Machine, explain_not_installed, this_machine
from imagegen.backends.ollama.models import describe_pull, tagged_name
from imagegen.backends.ollama.runtime import FOLDER, MARK, OllamaRuntime, Program, executable, find_program, installed
from imagegen.backends.ollama.server import stop_left_over
from imagegen.backends.text import is_terminal, one_line, size_text
from imagegen.config.settings import Settings
from imagegen.errors import ImagegenError, Problem

__all__ = [
    "announce",
    "bring",
    "estimate_unpacked_size",
    "setup",
    "unpack",
]


_NEW, _OLD = "tools/.ollama-new", "tools/.ollama-old"
"""Beside it while it is put there: it is whole or not there."""
_DOWNLOADS = Path(".imagegen/ollama")
_MOST = 4 * 1024**3
"""Bytes that the archive may have."""
_UNPACKED = 4
"""About how many times as large it gets; before it is there, that is all one knows."""
_BUSY = Problem(
    "", "another set-up of Ollama is at work here", "wait for it, or have this one wait: wait=600 (seconds)"
)
_BUILT_IN = Settings()


@dataclass(frozen=True)
class _Pin:
    """What is wanted. source: an address, or a file."""

    version: str
    sha256: str
    source: str | Path

    @property
    def page(self) -> str:
        """Where a person finds this release."""
        return f"https://github.com/ollama/ollama/releases/tag/v{self.version}"


def bring(root: Path, settings: Settings, ask: Callable[[], None] = lambda: None) -> None:
    """Bring tools/ollama of the project at `root` to the pinned version, and print what is done.

    ask: called once it was said what comes, and before it does; may raise.
    Where that is done already, it asks no network. After a kill at any moment the next call goes on.
    Raises ImagegenError; what was installed before is there then.
    """
    pin = _pin(root, settings)
    with locked(root / ".imagegen/ollama-setup.lock", _BUSY, settings.wait_s), _disk_errors():
        _tidy(root)
        if executable(root) is None or installed(root) != _mark_of(pin):
            _refuse_foreign(root)
            archive = _archive(root, pin, ask)
            _unpack(root, archive, pin)
            _put_in_place(root)
        _forget_downloads(root)
    print(f"Ollama {pin.version} is set up in {FOLDER}", flush=True)


def _pin(root: Path, settings: Settings) -> _Pin:
    version, sha256, archive = settings.ollama_version, settings.ollama_archive_sha256, settings.ollama_archive
    if version != _BUILT_IN.ollama_version and sha256 == _BUILT_IN.ollama_archive_sha256:
        what = f"the sha256 that is known is that of {_BUILT_IN.ollama_version}, and {version} is to be installed"
        hint = f"set ollama.archive_sha256 too: {_Pin(version, sha256, '').page} shows it beside ollama-darwin.tgz"
        raise ImagegenError(Problem("ollama.version", what, hint))
    if not archive:
        release = f"https://github.com/ollama/ollama/releases/download/v{version}"
        return _Pin(version, sha256, f"{release}/ollama-darwin.tgz")
    return _Pin(version, sha256, archive if "://" in archive else root / archive)


def _archive(root: Path, pin: _Pin, ask: Callable[[], None]) -> Path:
    """The archive, whole and the right one: downloaded, unless it is a file that the settings name."""
    source = str(pin.source).partition("?")[0]  # the rest may be a signature
    print(f"to be put into {FOLDER}: Ollama {pin.version}, from {source}", flush=True)
    if isinstance(pin.source, str):
        path = root / _DOWNLOADS / f"{pin.sha256}.tgz"
        if not path.exists():
            _download(root, pin, pin.source, path, ask)
        elif _sha256(path) != pin.sha256:  # it was whole when it got its name
            path.unlink()
            _download(root, pin, pin.source, path, ask)
        return path
    ask()
    try:
        found = _sha256(pin.source)
    except OSError as error:
        what = f"{pin.source} cannot be read: {error.strerror}"
        raise ImagegenError(Problem("ollama.archive", what, f"download ollama-darwin.tgz from {pin.page}")) from None
    if found != pin.sha256:
        what = f"{pin.source} has sha256 {found}, and {pin.sha256} is expected"
        hint = f"compare ollama.version and ollama.archive_sha256 with {pin.page}, and download it again"
        raise ImagegenError(Problem("ollama.archive", what, hint))
    return pin.source


def _download(root: Path, pin: _Pin, url: str, path: Path, ask: Callable[[], None]) -> None:
    host = host_of(url)
    remote = RemoteFile(
        f"Ollama {pin.version}",
        "ollama-darwin.tgz",
        url,
        host,
        pin.sha256,
        size=0,
        least=1,
        most=_MOST,
        page=pin.page,
        if_other=f"compare ollama.version, ollama.archive and ollama.archive_sha256 with {pin.page}",
        if_away=f"check ollama.version and ollama.archive; or download it by hand from {pin.page}, and name that file: "
        "ollama.archive",
    )
    progress = _Progress(root, ask)
    try:
        download(remote, path, progress.tell, progress.say)
    finally:
        progress.end()


class _Progress:
    """How far a download is: what it comes to, before anything comes; then a line that moves, on a terminal only."""

    def __init__(self, root: Path, ask: Callable[[], None]) -> None:
        self._root, self._ask = root, ask
        self._is_announced = False
        self._shown = ""

    def tell(self, done: int, total: int) -> None:
        """So many bytes are there, of so many. Raises ImagegenError where there is no room for what they become."""
        if not self._is_announced:
            self._is_announced = True
            announce(done, total, shutil.disk_usage(self._root).free)
            self._ask()
        if is_terminal():
            shown = f"{size_text(done)} of {size_text(total)}, {100 * done // total} %" if total else size_text(done)
            if shown != self._shown:
                self._shown = shown
                print(f"\r  {shown}  ", end="", flush=True)

    def say(self, text: str) -> None:
        """A line that stays."""
        self.end()
        print(text, flush=True)

    def end(self) -> None:
        """End the line that moves."""
        if self._shown:
            print()
            self._shown = ""


def announce(done: int, total: int, free: int) -> None:
    """Say how many bytes come and what they become. Raises ImagegenError where the free ones do not suffice.

    done: bytes that are there of the total, which is 0 where nobody says it.
    """
    if not total:
        print(f"how much there is to download is not known; {size_text(free)} are free", flush=True)
        return
    disk = total - done + _UNPACKED * total
    begun = f" ({size_text(done)} are there)" if done else ""
    print(f"{size_text(total - done)} to download{begun}, about {size_text(disk)} on disk; {size_text(free)} are free")
    _check_room(disk, free)


def _check_room(needed: int, free: int) -> None:
    if free < needed:
        what = f"too little room: about {size_text(needed)} are needed, {size_text(free)} are free"
        raise ImagegenError(Problem(FOLDER, what, "make room, and run it again"))


def _unpack(root: Path, archive: Path, pin: _Pin) -> None:
    """All of it into the folder beside, whole with its mark, or nothing."""
    _check_room(estimate_unpacked_size(archive), shutil.disk_usage(root).free)
    print(f"unpacking it into {FOLDER}", flush=True)
    new = root / _NEW
    new.mkdir(parents=True)
    try:
        unpack(archive, new)
        program = new / "ollama"
        if program.is_symlink() or not program.is_file() or not os.access(program, os.X_OK):
            what = f"{pin.source} has no program 'ollama' at its top"
            raise ImagegenError(Problem("ollama.archive", what, f"name ollama-darwin.tgz of {pin.page}"))
        (new / ".gitignore").write_text("*\n", encoding="utf-8")
        (new / MARK).write_text(json.dumps(_mark_of(pin), indent=1) + "\n", encoding="utf-8")
    except ImagegenError:
        shutil.rmtree(new)
        raise


def _put_in_place(root: Path) -> None:
    """Make what was unpacked tools/ollama. A kill in between leaves the one before beside it: see _tidy."""
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


def _forget_downloads(root: Path) -> None:
    for path in (root / _DOWNLOADS).glob("*.tgz*"):
        path.unlink()


def _refuse_foreign(root: Path) -> None:
    """Raise ImagegenError where tools/ollama is something that this did not make."""
    folder = root / FOLDER
    if folder.is_symlink():
        raise ImagegenError(Problem(FOLDER, "is a link, and stays as it is", "move it away; or set up where it leads"))
    if not folder.exists() or installed(root):
        return
    if not folder.is_dir():
        raise ImagegenError(Problem(FOLDER, "is no folder, and stays as it is", "move it away"))
    if any(entry.name != ".DS_Store" for entry in folder.iterdir()):
        what = "is there, doit ollama:setup did not make it, and it stays as it is"
        raise ImagegenError(Problem(FOLDER, what, "move it away; an Ollama in it can be used by PATH"))


def _mark_of(pin: _Pin) -> dict[str, str]:
    return {"version": pin.version, "archive_sha256": pin.sha256}


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


_MOST_BYTES = 8 * 1024**3
_MOST_MEMBERS = 10_000


def estimate_unpacked_size(archive: Path) -> int:
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


def setup(
    root: Path,
    settings: Settings,
    models: Sequence[str],
    progress: Progress,
    here: Machine | None = None,
    ask: Callable[[], None] = lambda: None,
) -> None:
    """Have an Ollama that can make images, and these models in it. What is done already is left alone.

    here: this machine, where that is known. ask: called each time it was said what comes, before it does; may raise.
    An Ollama that the user has is never replaced.
    Raises ImagegenError; what was done stays.
    """
    host, machine = settings.ollama_host, here or this_machine()
    program = _usable(root, host, machine)
    if program is None or program.is_own:
        bring(root, settings, ask)  # one that is there already may be of another version than the settings say
        program = find_program(root, host, machine)
    if program.problem:
        raise ImagegenError(program.problem)
    print(f"Ollama {program.version} makes images: {program.command.executable}", flush=True)
    runtime = OllamaRuntime(root, host, program, program.command)
    try:
        runtime.start(progress)
        there = runtime.models()
        if missing := [model for model in models if tagged_name(model) not in there]:
            print("\n".join(f"to be pulled: {describe_pull(model, program.folder)}" for model in missing), flush=True)
            ask()
        for model in models:
            if tagged_name(model) in there:
                print(f"{model} is there, {there[tagged_name(model)].size}", flush=True)
            runtime.bring(model, progress)
    finally:
        runtime.close(())


def _usable(root: Path, host: str, machine: Machine) -> Program | None:
    """The one there is; None where one is to be installed. Raises ImagegenError where that cannot be done from here."""
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
