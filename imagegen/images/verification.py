"""Verification: whether bytes are a whole, sound image of the size asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from imagegen.images import jpeg, png, webp
from imagegen.images.containers import decode, format_of
from imagegen.images.errors import BadImage

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["MAX_PIXELS", "BadImage", "ImageInfo", "verify"]

MAX_PIXELS = 8192 * 8192
"""The largest image that is decoded, in pixels: 256 MiB as RGBA, and below the size at which Pillow warns."""


@dataclass(frozen=True)
class ImageInfo:
    """What an image file is. format: `png`, `webp` or `jpeg`; width, height: pixels."""

    format: str
    width: int
    height: int
    lossless: bool


def verify(
    data: bytes,
    width: int | None = None,
    height: int | None = None,
    *,
    may_be_flat: bool = True,
    may_be_followed: bool = False,
) -> ImageInfo:
    """Decode the whole image, and say what it is.

    width, height: the pixels asked for, None where any will do. may_be_flat: whether one flat colour will do.
    may_be_followed: whether something else may come after the image, as after a photo of a phone.

    Pillow passes files that miss their end, so the file's structure is walked first, to its last byte. A PNG
    has checksums; within the data of a lossy image a flipped bit may go unseen. Of an animation, only the
    first frame is decoded.

    Raises BadImage for what is no PNG, WebP or JPEG, is cut off, corrupt or followed by something else, is
    larger than `MAX_PIXELS`, not of the size asked for, or flat. Size is told by the header, before decoding.
    """
    info = _header(data, may_be_followed)
    actual = (info.width, info.height)
    asked = (info.width if width is None else width, info.height if height is None else height)
    if 0 in actual:
        raise BadImage("the image is corrupt: its header gives no size")
    if actual != asked:
        raise BadImage(f"the image is {_size(actual)}, not the {_size(asked)} asked for")
    if info.width * info.height > MAX_PIXELS:
        raise BadImage(f"the image is {_size(actual)}, which is more than {MAX_PIXELS} pixels")
    image = decode(data)
    if not may_be_flat and len(_with_colours(image).getcolors(1) or ()) == 1:
        raise BadImage(f"the image is of one flat colour, {_colour(image)}")
    return info


def _with_colours(image: Image) -> Image:
    return image if image.mode in ("L", "RGB", "RGBA") else image.convert("RGBA")


def _header(data: bytes, may_be_followed: bool) -> ImageInfo:
    kind = format_of(data)
    if kind == "png":
        return ImageInfo(kind, *png.size(png.read_chunks(data, may_be_followed=may_be_followed)), lossless=True)
    if kind == "webp":
        chunks = webp.read_chunks(data, may_be_followed=may_be_followed)
        return ImageInfo(kind, *webp.size(chunks), lossless=webp.is_lossless(chunks))
    return ImageInfo(kind, *jpeg.size(jpeg.read_segments(data, may_be_followed=may_be_followed)), lossless=False)


def _colour(image: Image) -> str:
    return "#" + "".join(f"{value:02x}" for value in image.convert("RGB").resize((1, 1)).tobytes())


def _size(pixels: tuple[int, int]) -> str:
    return f"{pixels[0]}×{pixels[1]}"
