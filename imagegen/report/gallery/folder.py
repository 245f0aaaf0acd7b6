"""The gallery's folder on disk: written whole or not at all, and only where something changed.

The page is put in place last and in one step, and what only the one before it showed is removed after that. So a kill
at any instant leaves a gallery that is whole.
"""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from imagegen.config.paths import GALLERY
from imagegen.errors import ImagegenError, Problem
from imagegen.project import JobPlan, Project
from imagegen.report.gallery.contents import Group, Picture
from imagegen.report.gallery.gathering import gather
from imagegen.report.gallery.page import EARLIER, ORIGINALS, THUMBS, Files, digest, digest_of, page_data, render
from imagegen.report.gallery.thumbnails import thumbnails
from imagegen.state.atomic import replace_file
from imagegen.state.mutex import hold

__all__ = ["FOLDER", "PAGE", "Written", "write_gallery"]

FOLDER = GALLERY
PAGE = f"{FOLDER}/index.html"
_THUMB_BOX = (640, 420)
"""Pixels: a row of the grid is 210 high, and screens have two pixels for one."""
_EARLIER_BOX = (1024, 1024)
_OURS = re.compile(r"[0-9a-f]{20}[-.]")


@dataclass(frozen=True)
class Written:
    """state: written or fresh. count: of pictures. made: how many images were made small. wrong: which could not be."""

    state: str
    count: int
    made: int
    wrong: tuple[Problem, ...] = ()


def write_gallery(project: Project, plans: Sequence[JobPlan]) -> Written:
    """Bring the gallery up to date. Raises ImagegenError, and OSError where something cannot be read or written."""
    own = project.state / "gallery"  # not the build's: one can look while images are made
    with hold(own, project.settings.wait_s):
        shutil.rmtree(own / "tmp", ignore_errors=True)
        try:
            return _write(project, plans, own / "tmp")
        finally:
            shutil.rmtree(own / "tmp", ignore_errors=True)


def _write(project: Project, plans: Sequence[JobPlan], temporary: Path) -> Written:
    folder = project.root / FOLDER
    before = digest_of(project.root / PAGE)
    if before == "":
        raise ImagegenError(Problem(PAGE, "was not written by doit gallery", "move it, and run doit gallery again"))
    groups = gather(project, plans)
    with contextlib.suppress(OSError):  # it only saves the next run some reading
        project.hashes.save(temporary)
    pictures = [picture for group in groups for picture in group.pictures]
    shown = {picture.sha256: _reader(project.root / picture.path) for picture in pictures if picture.sha256}
    stored = {version.sha256: _blob(project, version.sha256) for picture in pictures for version in picture.earlier}
    thumbs, made, wrong = thumbnails(folder / THUMBS, _THUMB_BOX, shown, temporary)
    earlier, more, _ = thumbnails(folder / EARLIER, _EARLIER_BOX, stored, temporary)
    originals = _copy_from_outside(project, pictures, folder / ORIGINALS, temporary)
    data = page_data(groups, Files(thumbs, earlier, originals), FOLDER)
    now = digest(data)
    if now != before:
        replace_file(project.root / PAGE, render(data, now), temporary)
    _sweep(folder / THUMBS, (thumb.name for thumb in thumbs.values()))
    _sweep(folder / EARLIER, (thumb.name for thumb in earlier.values()))
    _sweep(folder / ORIGINALS, originals.values())
    return Written("fresh" if now == before else "written", len(pictures), made + more, _problems(groups, wrong))


def _copy_from_outside(project: Project, pictures: Iterable[Picture], folder: Path, temporary: Path) -> dict[str, str]:
    """The names of the copies, by the output's path: a link out of the project would work on this machine only."""
    copies = {}
    for picture in pictures:
        path = PurePosixPath(picture.path)
        if picture.sha256 and (path.is_absolute() or ".." in path.parts or Path(path).is_absolute()):
            copies[picture.path] = name = f"{picture.sha256[:20]}{path.suffix}"
            if not (folder / name).exists():
                replace_file(folder / name, (project.root / picture.path).read_bytes(), temporary)
    return copies


def _sweep(folder: Path, names: Iterable[str]) -> None:
    """Remove what no picture shows any more; what is not named as ours is left."""
    kept = set(names)
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.name not in kept and _OURS.match(path.name):
            path.unlink()


def _problems(groups: Iterable[Group], wrong: Mapping[str, str]) -> tuple[Problem, ...]:
    return tuple(
        Problem(picture.path, f"is shown without its image: {wrong[picture.sha256]}")
        for group in groups
        for picture in group.pictures
        if picture.sha256 in wrong
    )


def _reader(path: Path) -> Callable[[], bytes | None]:
    def read() -> bytes | None:
        try:
            return path.read_bytes()
        except FileNotFoundError:
            return None

    return read


def _blob(project: Project, sha256: str) -> Callable[[], bytes | None]:
    return lambda: project.store.get(sha256)
