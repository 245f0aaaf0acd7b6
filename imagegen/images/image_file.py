"""Verification: whether bytes are a whole, sound image of the size asked for."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imagegen.images import jpeg, png, webp
from imagegen.images.exif import orientation
from imagegen.images.formats import BadImage

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = [
    "MAX_PIXELS",
    "BadImage",
    "ImageInfo",
    "bare",
    "decode",
    "format_of",
    "upright",
    "verify",
]


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


def format_of(data: bytes) -> str:
    """`png`, `webp` or `jpeg`, by the first bytes alone. Raises BadImage where it is none of them."""
    if data.startswith(png.SIGNATURE):
        return "png"
    if data.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    if not data:
        raise BadImage("not an image (it is empty)")
    for name, pattern in _OTHERS.items():
        if pattern.match(data):
            raise BadImage(f"not a PNG, WebP or JPEG image, but {name}")
    # bytes' repr escapes whatever could upset a terminal
    raise BadImage(f"not a PNG, WebP or JPEG image (it starts with {repr(data[:32])[1:]})")


_OTHERS = {
    "a HEIC image": re.compile(rb"....ftyp(?:hei[cmsx]|hev[cmsx]|mif1|msf1)", re.DOTALL),
    "an AVIF image": re.compile(rb"....ftypavi[fs]", re.DOTALL),
    "a GIF image": re.compile(rb"GIF8[79]a"),
    "a BMP image": re.compile(rb"BM.{12}[\x0c\x28\x6c\x7c]", re.DOTALL),
    "a TIFF or raw camera image": re.compile(rb"II\*\0|MM\0\*|II\+\0"),
    "a JPEG XL image": re.compile(rb"\xff\x0a|\0\0\0\x0cJXL "),
    "a JPEG 2000 image": re.compile(rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51"),
    "a Photoshop document": re.compile(rb"8BPS"),
    "an SVG image": re.compile(rb"(?:\xef\xbb\xbf)?\s*(?:<\?xml[^>]*>\s*)?(?:<!DOCTYPE svg[^>]*>\s*)?<svg"),
}
"""By their first bytes, what people also call a picture."""


def bare(data: bytes, *, animated: bool = True) -> bytes:
    """The image with nothing but what decides its looks, ICC profile included; the pixels are not touched.

    animated: whether a PNG keeps the frames after its first. Raises BadImage for a file that cannot be read.
    """
    kind = format_of(data)
    if kind == "png":
        keep = png.LOOKS if animated else png.LOOKS - png.ANIMATION
        return png.write_chunks(chunk for chunk in png.read_chunks(data) if chunk[0] in keep)
    if kind == "webp":
        chunks = [chunk for chunk in webp.read_chunks(data) if chunk[0] in webp.LOOKS]
        return webp.write_chunks(webp.with_metadata(chunks, {}))
    return jpeg.write_segments(jpeg.looks(jpeg.read_segments(data)))


def decode(data: bytes) -> Image:
    """The image (of an animation: its first frame), decoded to its end. Raises BadImage.

    Pillow is handed the bare image. So it expands no compressed text, reads no Exif, and gives none of its
    warnings of those, which could not be held back for this thread alone.
    """
    from PIL import (
        Image,
        UnidentifiedImageError,
        WebPImagePlugin,  # noqa: F401 - keeps Pillow from importing all of its plugins to find this one
    )

    kind = format_of(data)
    try:
        image = Image.open(io.BytesIO(bare(data, animated=False)), formats=(kind.upper(),))
        image.load()
    except (BadImage, MemoryError):
        raise
    except UnidentifiedImageError:
        raise BadImage("the image is corrupt: its header cannot be read") from None
    except Exception as error:  # a decoder fails on foreign bytes in more ways than Pillow documents
        raise BadImage(f"the image is corrupt: {error}") from error
    return image


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
