"""The gallery's folder on disk: written whole or not at all, and only if something changed.

The page is put in place last and in one step, and what only the one before it showed is removed after that. So a kill
at any instant leaves a gallery that is whole.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
import shutil
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from imagegen.config.paths import GALLERY
from imagegen.errors import ImagegenError, Problem
from imagegen.images.formats import BadImage
from imagegen.project import JobPlan, Project
from imagegen.report.gallery.contents import collect_groups
from imagegen.report.gallery.page import EARLIER, ORIGINALS, THUMBS, Files, digest, digest_of, page_data, render
from imagegen.report.gallery.picture import DerivedFile, Group, Picture
from imagegen.state.atomic import replace_file
from imagegen.state.mutex import hold

__all__ = [
    "FOLDER",
    "PAGE",
    "THUMB_BOX",
    "Thumbnail",
    "Written",
    "create_thumbnails",
    "find_thumbnails",
    "name_thumbnail",
    "shrink",
    "write_gallery",
]


FOLDER = GALLERY
PAGE = f"{FOLDER}/index.html"
THUMB_BOX = (640, 420)
"""Pixels: a row of the grid is 210 high, and screens have two pixels for one."""
_EARLIER_BOX = (1024, 1024)
_OURS = re.compile(r"[0-9a-f]{20}[-.]")


@dataclass(frozen=True)
class Written:
    """What became of the gallery: the number of pictures, of new thumbnails, and what kept some from being shown."""

    state: Literal["written", "fresh"]
    pictures: int
    thumbnails: int
    problems: tuple[Problem, ...] = ()


def write_gallery(
    project: Project, plans: Sequence[JobPlan], on_progress: Callable[[int, int], None] = lambda _done, _total: None
) -> Written:
    """Bring the gallery up to date.

    Args:
        project: whose images it shows.
        plans: of all its jobs.
        on_progress: called after each new thumbnail, with the number of those and how many there will be.

    Raises:
        ImagegenError: it cannot be written.
        OSError: something cannot be read or written.

    """
    own = project.state / "gallery"  # not the build's: one can look while images are made
    with hold(own, project.settings.wait_s):
        shutil.rmtree(own / "tmp", ignore_errors=True)
        try:
            return _write(project, plans, own / "tmp", on_progress)
        finally:
            shutil.rmtree(own / "tmp", ignore_errors=True)


def _write(
    project: Project, plans: Sequence[JobPlan], temporary: Path, on_progress: Callable[[int, int], None]
) -> Written:
    folder = project.root / FOLDER
    before = digest_of(project.root / PAGE)
    if before == "":
        raise ImagegenError(Problem(PAGE, "was not written by doit gallery", "move it, and run doit gallery again"))
    groups = collect_groups(project, plans)
    with contextlib.suppress(OSError):  # it only saves the next run some reading
        project.hashes.save(temporary)
    pictures = [picture for group in groups for picture in group.pictures]
    files: list[Picture | DerivedFile] = [*pictures, *(one for picture in pictures for one in picture.derived)]
    shown = {file.sha256: _reader(project.root / file.path) for file in files if file.sha256}
    stored = {version.sha256: _blob(project, version.sha256) for picture in pictures for version in picture.earlier}
    thumbs, made, wrong = create_thumbnails(folder / THUMBS, THUMB_BOX, shown, temporary, on_progress)
    earlier, more, _ = create_thumbnails(folder / EARLIER, _EARLIER_BOX, stored, temporary, on_progress)
    originals = _copy_from_outside(project, pictures, folder / ORIGINALS, temporary)
    data = page_data(groups, Files(thumbs, earlier, originals, wrong=wrong), FOLDER)
    now = digest(data)
    if now != before:
        replace_file(project.root / PAGE, render(data, now).html, temporary)
    _sweep(folder / THUMBS, (thumb.name for thumb in thumbs.values()))
    _sweep(folder / EARLIER, (thumb.name for thumb in earlier.values()))
    _sweep(folder / ORIGINALS, originals.values())
    return Written("fresh" if now == before else "written", len(pictures), made + more, _problems(groups, wrong))


def _copy_from_outside(project: Project, pictures: Iterable[Picture], folder: Path, temporary: Path) -> dict[str, str]:
    """Copy what lies outside: a link there would work on this machine only. Returns the copies' names by path."""
    copies = {}
    for picture in pictures:
        path = PurePosixPath(picture.path)
        if picture.sha256 and (path.is_absolute() or ".." in path.parts or Path(path).is_absolute()):
            copies[picture.path] = name = f"{picture.sha256[:20]}{path.suffix}"
            if not (folder / name).exists():
                replace_file(folder / name, (project.root / picture.path).read_bytes(), temporary)
    return copies


def _sweep(folder: Path, names: Iterable[str]) -> None:
    """Remove what no picture shows any more, but nothing whose name is not ours."""
    kept = set(names)
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.name not in kept and _OURS.match(path.name):
            path.unlink()


def _problems(groups: Sequence[Group], wrong: Mapping[str, str]) -> tuple[Problem, ...]:
    notices = (Problem("", notice) for group in groups for notice in group.notices)
    unshown = (
        Problem(picture.path, f"is shown without its image: {wrong[picture.sha256]}")
        for group in groups
        for picture in group.pictures
        if picture.sha256 in wrong
    )
    return (*notices, *unshown)


def _reader(path: Path) -> Callable[[], bytes | None]:
    def read() -> bytes | None:
        try:
            return path.read_bytes()
        except FileNotFoundError:
            return None

    return read


def _blob(project: Project, sha256: str) -> Callable[[], bytes | None]:
    return lambda: project.store.get(sha256)


QUALITY = 80
_WRITERS = 8
"""Threads for each core: most of them wait until the disk has their thumbnail."""
_NAME = re.compile(r"([0-9a-f]{20})-(\d+)x(\d+)\.webp")


@dataclass(frozen=True)
class Thumbnail:
    """A thumbnail: its file, and the size in pixels of the image that it shows, which the name has too."""

    name: str
    width: int
    height: int


def name_thumbnail(sha256: str, width: int, height: int) -> Thumbnail:
    """Return the thumbnail of an image of this content and size."""
    return Thumbnail(f"{sha256[:20]}-{width}x{height}.webp", width, height)


def find_thumbnails(folder: Path) -> dict[str, Thumbnail]:
    """Return the thumbnails in the folder, by the first 20 digits of their images' sha256. Raises OSError."""
    names = os.listdir(folder) if folder.is_dir() else []  # noqa: PTH208 - a Path for each name costs more than the rest
    matches = filter(None, map(_NAME.fullmatch, names))
    return {match[1]: Thumbnail(match[0], int(match[2]), int(match[3])) for match in matches}


def create_thumbnails(
    folder: Path,
    box: tuple[int, int],
    images: Mapping[str, Callable[[], bytes | None]],
    temporary: Path,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> tuple[dict[str, Thumbnail], int, dict[str, str]]:
    """Create the thumbnails that do not exist yet.

    Args:
        folder: that they are in.
        box: width and height that each must fit, in pixels.
        images: by sha256, what reads each; it returns None if the image is gone.
        temporary: a folder for files that are not whole yet.
        on_progress: called after each new thumbnail, with the number of those and how many there will be.

    Returns:
        Each thumbnail by sha256, the number of new ones, and why others cannot be created.

    Raises:
        OSError: something cannot be read or written.

    """
    known = find_thumbnails(folder)
    found = {sha256: known[sha256[:20]] for sha256 in images if sha256[:20] in known}
    missing = {sha256: read for sha256, read in images.items() if sha256 not in found}
    wrong: dict[str, str] = {}
    cores = os.cpu_count() or 1
    cpu = threading.Semaphore(cores)  # so that no more images are in memory than there are cores to shrink them

    def create(sha256: str) -> None:
        with cpu:  # Pillow does its work outside of Python's lock
            data = missing[sha256]()
            if data is None or hashlib.sha256(data).hexdigest() != sha256:
                wrong[sha256] = "changed meanwhile"
                return
            try:
                small, width, height = shrink(data, box)
            except BadImage as error:
                wrong[sha256] = error.what
                return
        thumbnail = name_thumbnail(sha256, width, height)
        replace_file(folder / thumbnail.name, small, temporary)
        found[sha256] = thumbnail

    with ThreadPoolExecutor(cores * _WRITERS) as pool:
        for done, _ in enumerate(pool.map(create, missing), start=1):
            on_progress(done, len(missing))
    return found, len(missing) - len(wrong), wrong


def shrink(data: bytes, box: tuple[int, int]) -> tuple[bytes, int, int]:
    """Return the image as a WebP that fits the box (pixels), never enlarged; and its own width and height.

    Raises BadImage if it cannot be decoded.
    """
    from PIL import Image

    from imagegen.images.image_file import read_image

    file = read_image(data)
    small = file.picture_for(box)
    size = (file.width, file.height)
    profile = small.info.pop("icc_profile", None)
    # what a better filter or a larger gap adds is less than what the encoding takes away
    small.thumbnail(box, Image.Resampling.BICUBIC, reducing_gap=1.0)
    if small.mode == "L":
        small, profile = small.convert("RGB"), None
    if profile and profile[16:20] != b"RGB ":  # one of another colour space would make the file invalid
        profile = None
    buffer = io.BytesIO()
    small.save(buffer, "WEBP", quality=QUALITY, method=2, icc_profile=profile or b"")
    return buffer.getvalue(), *size
