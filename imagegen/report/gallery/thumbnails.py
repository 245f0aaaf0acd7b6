"""Thumbnails: WebP files named after what they show, so that one that is there is never made again."""

from __future__ import annotations

import hashlib
import io
import os
import re
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from imagegen.images.formats import BadImage
from imagegen.state.atomic import replace_file

__all__ = ["Thumbnail", "shrink", "there", "thumbnails"]

QUALITY = 80
_NAME = re.compile(r"([0-9a-f]{20})-(\d+)x(\d+)\.webp")


@dataclass(frozen=True)
class Thumbnail:
    """name: of its file. width, height: of the image that it shows, in pixels; the name has them too."""

    name: str
    width: int
    height: int


def there(folder: Path) -> dict[str, Thumbnail]:
    """The thumbnails in the folder, by the first 20 digits of their images' sha256. Raises OSError."""
    names = os.listdir(folder) if folder.is_dir() else []  # noqa: PTH208 - a Path for each name costs more than the rest
    matches = filter(None, map(_NAME.fullmatch, names))
    return {match[1]: Thumbnail(match[0], int(match[2]), int(match[3])) for match in matches}


def thumbnails(
    folder: Path, box: tuple[int, int], images: Mapping[str, Callable[[], bytes | None]], temporary: Path
) -> tuple[dict[str, Thumbnail], int, dict[str, str]]:
    """A thumbnail of each image, those made that are not there yet; with how many were made, and why others cannot be.

    box: width and height that it must fit, in pixels. images: by sha256, what reads each; None where it is gone.
    The rest of what was found, by sha256: images whose files were changed meanwhile or are broken. Raises OSError.
    """
    known = there(folder)
    found = {sha256: known[sha256[:20]] for sha256 in images if sha256[:20] in known}
    missing = {sha256: read for sha256, read in images.items() if sha256 not in found}
    wrong: dict[str, str] = {}

    def make(sha256: str) -> None:
        data = missing[sha256]()
        if data is None or hashlib.sha256(data).hexdigest() != sha256:
            wrong[sha256] = "changed meanwhile"
            return
        try:
            small, width, height = shrink(data, box)
        except BadImage as error:
            wrong[sha256] = error.what
            return
        thumbnail = Thumbnail(f"{sha256[:20]}-{width}x{height}.webp", width, height)
        replace_file(folder / thumbnail.name, small, temporary)
        found[sha256] = thumbnail

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:  # Pillow does its work outside of Python's lock
        for _ in pool.map(make, missing):
            pass
    return found, len(missing) - len(wrong), wrong


def shrink(data: bytes, box: tuple[int, int]) -> tuple[bytes, int, int]:
    """The image as a WebP that fits the box (pixels), never enlarged; and its own width and height.

    Raises BadImage where it cannot be decoded.
    """
    from PIL import Image

    from imagegen.images.encode import plain
    from imagegen.images.image_file import decode

    image = decode(data)
    size = image.size
    profile = image.info.get("icc_profile")
    small = plain(image)
    small.thumbnail(box, Image.Resampling.LANCZOS, reducing_gap=3.0)
    if small.mode == "L":
        small, profile = small.convert("RGB"), None
    if profile and profile[16:20] != b"RGB ":  # one of another colour space would make the file invalid
        profile = None
    buffer = io.BytesIO()
    small.save(buffer, "WEBP", quality=QUALITY, method=2, icc_profile=profile or b"")
    return buffer.getvalue(), *size
