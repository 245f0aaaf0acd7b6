"""What the three file formats have in common: which one it is, its header, its looks, and decoding."""

from __future__ import annotations

import io
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
    # bytes' repr escapes whatever could upset a terminal
    raise BadImage(f"not a PNG, WebP or JPEG image (it starts with {repr(data[:32])[1:]})")


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
