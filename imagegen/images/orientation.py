"""How a file wants its picture turned before it is shown: cameras and editors write that, viewers follow it.

Source: Exif 2.32, section 4.6.4, tag Orientation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from imagegen.images import jpeg, png, webp
from imagegen.images.containers import decode, format_of
from imagegen.images.exif import orientation

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["upright"]


def upright(data: bytes) -> Image:
    """The image as a viewer shows it. Raises BadImage."""
    from PIL.Image import Transpose

    image = decode(data)
    turns = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    turn = turns.get(orientation(_exif(data)))
    return image if turn is None else image.transpose(turn)


def _exif(data: bytes) -> bytes:
    kind = format_of(data)
    if kind == "jpeg":
        return jpeg.metadata(jpeg.read_segments(data), jpeg.EXIF)
    if kind == "webp":
        return webp.metadata(webp.read_chunks(data), b"EXIF").removeprefix(jpeg.EXIF)
    return next((payload for found, payload in png.read_chunks(data) if found == b"eXIf"), b"")
