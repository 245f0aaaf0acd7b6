"""Install stable-diffusion.cpp: a pinned build in tools/sd, from its release's zip or one that you have."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import cast

from imagegen.backends import pinned_program
from imagegen.backends.archive import ArchiveError, check_links
from imagegen.backends.base import Progress
from imagegen.backends.models import display_path
from imagegen.backends.pinned_program import PinnedArchive, PinnedProgram
from imagegen.backends.sd.program import FOLDER, MARK, Program, inspect_program, read_mark
from imagegen.backends.sd.releases import (
    LICENCE,
    PAGE,
    RELEASE,
    Build,
    Device,
    Host,
    choose_build,
    detect_device,
    find_build,
    inspect_host,
    suggest_loader,
)
from imagegen.backends.sd.server import managed_server
from imagegen.config.settings import Settings
from imagegen.errors import ImagegenError, InputError, Problem

__all__ = ["install"]

_NAME = "stable-diffusion.cpp"
_PROGRAMS = ("sd-server", "sd-server.exe")
_LABELS = {"cpu": "CPU", "vulkan": "Vulkan", "metal": "Metal", "rocm": "ROCm", "cuda": "CUDA"}


def install(
    root: Path,
    settings: Settings,
    progress: Progress,
    ask: Callable[[], None] = lambda: None,
    device: str = "auto",
    updates: bool = False,
    host: Host | None = None,
) -> Program | None:
    """Install stable-diffusion.cpp for the project at `root`. What is done already is left alone.

    A program or a server of the user's own is used, and nothing is installed beside it.

    Args:
        ask: called before a download, once it was reported what and how much it is; may raise.
        device: what it is to generate on; auto: as the settings say, else what is there.
        updates: whether a build of another release that works is replaced.
        host: this machine, if it is known.

    Returns:
        The program that is used; None if a server is.

    Raises:
        ImagegenError: what was installed before is there then.
    """
    program = None
    if settings.sd_server_url:
        progress.event("note", text=f"the server at {settings.sd_server_url} is used: nothing is installed")
    elif settings.sd_program:
        program = inspect_program(root, settings)
        _report(root, program, "your own build is used", progress)
    if settings.sd_server_url or settings.sd_program:
        if device != "auto":
            progress.event("note", text=f"--device={device} has no effect on it")
        return program
    if device == "auto":
        device = settings.sd_device
    pinned_program.tidy(root, FOLDER.as_posix(), _NAME, settings.wait_s)
    fault = _find_fault(root, settings)
    if fault or updates or not _keeps(root, settings, device, progress):
        if (fault or updates) and device == "auto":
            device = str(read_mark(root).get("device") or "auto")
        if fault:
            progress.event("note", text=f"{fault.what}: it is to be installed again")
        pin = _choose_pin(root, settings, device, host or inspect_host(), progress)
        pinned_program.install(pin, progress, ask, settings.wait_s, again=fault is not None)
    program = inspect_program(root, settings)
    _report(root, program, "sd-server works", progress)
    return program


def _report(root: Path, program: Program, what: str, progress: Progress) -> None:
    build = f"build {program.build}" if program.build else "it does not say which build it is"
    progress.event("note", text=f"{what}: {display_path(root, program.path)}, {build}")


def _find_fault(root: Path, settings: Settings) -> Problem | None:
    """Return why the build that was installed does not run; None if it does, or there is none."""
    if read_mark(root):
        try:
            inspect_program(root, settings)
        except ImagegenError as error:
            return error.problems[0]
    return None


def _keeps(root: Path, settings: Settings, device: str, progress: Progress) -> bool:
    """Return whether the build that is installed is what was asked for."""
    mark = read_mark(root)
    is_wanted = device in ("auto", mark.get("device")) and settings.sd_archive_sha256 in ("", mark.get("sha256"))
    if not mark or not is_wanted:
        return False
    if not settings.sd_archive and mark.get("build") != RELEASE:
        build = mark.get("build") or mark.get("asset")
        progress.event("note", text=f"{build} is kept; to replace it by {RELEASE}: doit sd:update")
    return True


def _choose_pin(root: Path, settings: Settings, device: str, host: Host, progress: Progress) -> PinnedProgram:
    """Return what to install. Raises ImagegenError if there is nothing that runs here."""
    known = find_build(settings.sd_archive_sha256)
    if settings.sd_archive and settings.sd_archive_sha256 and not known:
        name = _last_part(settings.sd_archive)
        archive = PinnedArchive(name, _read_source(root, settings.sd_archive), settings.sd_archive_sha256)
        return _pin(root, name, "" if device == "auto" else device, [archive])
    wanted: Device = known.device if known else cast("Device", device) if device != "auto" else detect_device(host)
    try:
        build = choose_build(host, wanted)
    except ImagegenError as error:
        if known or not settings.sd_archive:
            raise
        what = f"is not set, so the zip has to be the release's, and none of those runs here: {error.problems[0].what}"
        hint = "set it to the sha256 of your zip, in [tool.imagegen.sd]"
        raise InputError(Problem("sd.archive_sha256", what, hint)) from None
    if wanted == "cpu" and device == "auto" and (hint := suggest_loader(host)):
        progress.event("note", text=hint)
    return _pin(root, RELEASE, wanted, _find_archives(root, settings, build), build.needs)


def _find_archives(root: Path, settings: Settings, build: Build) -> list[PinnedArchive]:
    """Return a build's archives. Where the settings name a file for the first, the others are beside that."""
    own = _read_source(root, settings.sd_archive) if settings.sd_archive else None
    found = []
    for index, asset in enumerate(build.assets):
        source: str | Path = asset.url
        if isinstance(own, Path):
            source = own.with_name(asset.name) if index else own
        elif own and not index:
            source = own
        found.append(PinnedArchive(asset.name, source, asset.sha256, asset.size))
    return found


def _read_source(root: Path, archive: str) -> str | Path:
    return archive if "://" in archive else root / archive


def _last_part(archive: str) -> str:
    return archive.partition("?")[0].replace("\\", "/").rstrip("/").rpartition("/")[2]


def _pin(root: Path, build: str, device: str, archives: list[PinnedArchive], needs: str = "") -> PinnedProgram:
    first = archives[0]
    # of an address, the rest may be a signature
    source = first.source.partition("?")[0] if isinstance(first.source, str) else display_path(root, first.source)
    beside = "".join(f" and {archive.name}" for archive in archives[1:])
    is_release = build == RELEASE
    facts = f" ({LICENCE}{f'; needs {needs}' if needs else ''})" if is_release else ""
    return PinnedProgram(
        root,
        FOLDER.as_posix(),
        name=_NAME,
        version=f"{build} for {_LABELS[device]}" if device else build,
        source=f"{source}{beside}{facts}",
        archives=archives,
        page=PAGE if is_release else "",
        executables=_PROGRAMS,
        mark_file=MARK,
        mark={
            "build": build if is_release else "",
            "device": device,
            "asset": first.name,
            "sha256": first.sha256,
        },
        command="doit sd:setup",
        setting="sd.archive",
        compared="sd.archive and sd.archive_sha256",
        if_foreign="or name its sd-server: program in [tool.imagegen.sd]",
        arrange=_arrange,
        stop=lambda: managed_server(root.absolute()).stop_left_over(FOLDER.as_posix()),
    )


def _arrange(folder: Path) -> None:
    """Put the program at the top of the folder, with the libraries beside it, wherever it is in the zip.

    Raises:
        ArchiveError: there is none, or a link leads out of the folder then.
    """
    found = [path for name in _PROGRAMS for path in folder.rglob(name) if path.is_file() and not path.is_symlink()]
    if not found:
        raise ArchiveError("there is no sd-server in it")
    parent = min(found, key=lambda path: len(path.parts)).parent
    if parent != folder:
        for path in list(parent.iterdir()):
            if os.path.lexists(folder / path.name):
                raise ArchiveError(f"'{path.name}' is in it twice")
            path.rename(folder / path.name)
        with suppress(OSError):  # something else is in one of them
            for empty in (parent, *parent.parents):
                empty.rmdir()
        check_links(folder)
    for path in folder.glob("sd-*"):  # not every zip says that these are programs
        if path.is_file() and not path.is_symlink():
            path.chmod(0o755)
