"""Encoding: from what a backend returned to the bytes of the output."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from imagegen.config.job import LONGEST_SIDE, Encoding
from imagegen.images.formats import BadImage
from imagegen.images.image_file import ImageInfo, decode
from imagegen.images.provenance import Provenance, embed

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = [
    "encode",
    "plain",
    "refuse_too_long",
    "written",
]


_COLOUR_SPACE = {"L": b"GRAY", "RGB": b"RGB ", "RGBA": b"RGB "}
"""A mode's name in the header of an ICC profile (ICC.1:2022, section 7.2.6)."""


def encode(raw: bytes, info: ImageInfo, encoding: Encoding, p: Provenance) -> bytes:
    """The output file. info: what `verify` said of `raw`. The same input makes the same bytes.

    A PNG that stays one keeps its pixels as they are encoded; all else is decoded to 8 bits a channel and
    encoded again, with its ICC profile and without its other metadata. JPEG has no transparency: white is put
    behind it. WebP of quality 100 is lossless.

    Raises BadImage where the format cannot hold an image of this size, or `raw` cannot be decoded.
    """
    data = raw
    if not info.format == encoding.format == "png":
        refuse_too_long(info.width, info.height, encoding)
        data = written(decode(raw), encoding)
    return embed(data, p if encoding.metadata == "full" else None)


def refuse_too_long(width: int, height: int, encoding: Encoding) -> None:
    """Raises BadImage where the format cannot hold an image of this size in pixels."""
    longest = LONGEST_SIDE.get(encoding.format)
    if longest is not None and max(width, height) > longest:
        limit = f"{encoding.format} holds no more than {longest} pixels a side"
        raise BadImage(f"the image is {width}×{height}, and {limit}")


def written(image: Image, encoding: Encoding) -> bytes:
    """The picture as a file of this format and quality, with its ICC profile and no other metadata."""
    profile = image.info.get("icc_profile")
    image = plain(image)
    options: dict[str, Any] = {}
    if encoding.format == "webp":
        # lossless also where the picture is transparent: `exact` keeps the colours there
        lossless = encoding.quality == 100
        options = {"quality": encoding.quality, "lossless": lossless, "exact": lossless}
        image = image.convert("RGB") if image.mode == "L" else image
    elif encoding.format == "jpeg":
        options = {"quality": encoding.quality}
        image = _on_white(image) if image.mode == "RGBA" else image
    # a profile of another colour space than the image's would make the file invalid
    if profile and profile[16:20] == _COLOUR_SPACE[image.mode]:
        options["icc_profile"] = profile
    file = io.BytesIO()
    image.save(file, encoding.format.upper(), **options)
    return file.getvalue()


def plain(image: Image) -> Image:
    """The image as L, RGB or RGBA, with nothing in its `info` that saving would pick up."""
    if image.mode.startswith("I"):
        # Pillow's own conversion clips 16 bits to 8 where it should scale; 65535 / 257 = 255
        image.info.pop("transparency", None)
        image = image.convert("I").point(lambda value: value * (1 / 257) + 0.5)
        mode = "L"
    elif image.has_transparency_data:
        mode = "RGBA"
    else:
        mode = "L" if image.mode in ("1", "L") else "RGB"
    result = image if image.mode == mode else image.convert(mode)
    result.info.clear()
    return result


def _on_white(image: Image) -> Image:
    from PIL import Image

    white = Image.new("RGB", image.size, "white")
    white.paste(image, mask=image.getchannel("A"))
    return white
