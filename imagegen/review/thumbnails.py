"""Thumbnails for the page, each made when it is first asked for: those of the gallery, or others in the cache."""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from collections.abc import Callable, Collection
from pathlib import Path

from imagegen.images.formats import BadImage
from imagegen.images.image_file import read_image
from imagegen.report.gallery.folder import (
    FOLDER,
    THUMB_BOX,
    Thumbnail,
    find_thumbnails,
    name_thumbnail,
    shrink,
)
from imagegen.report.gallery.page import THUMBS
from imagegen.state.atomic import replace_file

__all__ = ["Thumbnails"]

_LARGE = 24_000_000
"""Pixels from which on an image is made small alone: it takes some 100 MB meanwhile, whatever the size of its file."""


class Thumbnails:
    """The thumbnails of one project. Safe to share among threads.

    Attributes:
        temporary: a folder for files that are not whole yet.
        wrong: why an image cannot be shown, by sha256.

    """

    def __init__(self, root: Path, state: Path) -> None:
        self._cache = state / "cache" / THUMBS
        self.temporary = self._cache / "tmp"
        self._folders = (root / FOLDER / THUMBS, self._cache)
        self._known: dict[str, Path] = {}
        """By the first digits of the image's sha256."""
        self._sizes: dict[str, tuple[int, int]] = {}
        for folder in self._folders:
            with contextlib.suppress(OSError):
                for digits, thumbnail in find_thumbnails(folder).items():
                    self._note(digits, folder, thumbnail)
        self.wrong: dict[str, str] = {}
        self._mutex = threading.Lock()
        self._busy: dict[str, threading.Lock] = {}
        self._cores = threading.Semaphore(os.cpu_count() or 1)  # so many images are in memory at a time
        self._large = threading.Lock()  # and one of these

    def size(self, sha256: str, path: Path) -> tuple[int, int] | None:
        """Return the width and height of the image in the file, in pixels; None if it cannot be shown."""
        if sha256 in self.wrong:
            return None
        if (known := self._sizes.get(sha256[:20])) is None:
            known = _size_in_header(path)
            if known is None:
                try:
                    data = path.read_bytes()
                    file = read_image(data)
                except OSError:  # it is gone meanwhile
                    return None
                except BadImage as error:
                    if hashlib.sha256(data).hexdigest() == sha256:  # else it is another one meanwhile
                        self.wrong[sha256] = error.what
                    return None
                known = file.width, file.height
            self._sizes[sha256[:20]] = known
        return known

    def get(self, sha256: str, read: Callable[[str], bytes | None]) -> bytes | None:
        """Return the thumbnail of the image of this content; None if there is no image, or it cannot be decoded.

        read: returns the image. If others ask for the same thumbnail meanwhile, it is made once.
        """
        with self._mutex:
            lock = self._busy.setdefault(sha256, threading.Lock())
        with lock:
            data = self._read(sha256)
            if data is None and sha256 not in self.wrong:
                with self._alone_if_large(sha256), self._cores:
                    data = self._create(sha256, read)
        with self._mutex:
            self._busy.pop(sha256, None)
        return data

    def sweep(self, needed: Collection[str]) -> None:
        """Remove from the cache what none of these images (sha256) has."""
        digits = {sha256[:20] for sha256 in needed}
        with contextlib.suppress(OSError):
            for known, thumbnail in find_thumbnails(self._cache).items():
                if known not in digits:
                    (self._cache / thumbnail.name).unlink(missing_ok=True)

    def _alone_if_large(self, sha256: str) -> contextlib.AbstractContextManager[object]:
        width, height = self._sizes.get(sha256[:20], (_LARGE, 1))  # one that is not known may be
        return self._large if width * height >= _LARGE else contextlib.nullcontext()

    def _read(self, sha256: str) -> bytes | None:
        if path := self._known.get(sha256[:20]):
            with contextlib.suppress(OSError):  # `doit gallery` removes those that it does not need any more
                return path.read_bytes()
        return None

    def _create(self, sha256: str, read: Callable[[str], bytes | None]) -> bytes | None:
        data = read(sha256)
        if data is None or hashlib.sha256(data).hexdigest() != sha256:  # it is another one meanwhile
            return None
        try:
            small, width, height = shrink(data, THUMB_BOX)
        except BadImage as error:
            self.wrong[sha256] = error.what
            return None
        thumbnail = name_thumbnail(sha256, width, height)
        with contextlib.suppress(OSError):  # then it is made again the next time
            replace_file(self._cache / thumbnail.name, small, self.temporary)
            self._note(sha256[:20], self._cache, thumbnail)
        return small

    def _note(self, digits: str, folder: Path, thumbnail: Thumbnail) -> None:
        self._known[digits] = folder / thumbnail.name
        self._sizes[digits] = thumbnail.width, thumbnail.height


def _size_in_header(path: Path) -> tuple[int, int] | None:
    """Return the size as Pillow reads it from the first bytes of a file; None if it doesn't."""
    from PIL import Image

    try:
        with Image.open(path, formats=("PNG", "JPEG", "WEBP")) as image:
            width, height = image.size
            return width, height
    except Exception:
        return None
