"""What the three file formats have in common: which one it is, its header, its looks, and decoding."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING

from imagegen.images import jpeg, png, webp
from imagegen.images.errors import BadImage

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["bare", "decode", "format_of"]


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
