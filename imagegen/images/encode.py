"""Encoding: from what a backend returned to the bytes of the output."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from imagegen.config.job import LONGEST_SIDE, Encoding
from imagegen.images.avif import NO_AVIF
from imagegen.images.formats import BadImage
from imagegen.images.image_file import ImageFile
from imagegen.images.provenance import Provenance, provenance_chunks, provenance_options, rewrite_png

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["encode", "encode_picture"]

_COLOUR_SPACE = {"L": b"GRAY", "RGB": b"RGB ", "RGBA": b"RGB "}
"""A mode's name in the header of an ICC profile (ICC.1:2022, section 7.2.6)."""


def encode(file: ImageFile, encoding: Encoding, provenance: Provenance | None) -> bytes:
    """Return the output file. Equal inputs give equal bytes.

    A PNG that stays one keeps its pixels as they are encoded; everything else is decoded to 8 bits a channel and
    encoded again, with its ICC profile and without its other metadata.

    Args:
        file: what a backend returned, or an image made earlier.
        encoding: format, quality and metadata.
        provenance: written if the encoding's metadata is `full`.

    Raises:
        BadImage: the format cannot hold an image of this size, or the file cannot be decoded.

    """
    provenance = provenance if encoding.metadata == "full" else None
    if file.format == encoding.format == "png":
        return rewrite_png(file, provenance)
    _refuse_too_long(file.width, file.height, encoding)
    return encode_picture(file.picture, encoding, provenance)


def encode_picture(image: Image, encoding: Encoding, provenance: Provenance | None) -> bytes:
    """Return the picture (L, RGB or RGBA) as a file of this format and quality, with its ICC profile.

    JPEG has no transparency: white is put behind it. WebP of quality 100 is lossless. AVIF never is, since Pillow has
    its colours converted to YCbCr.

    Raises:
        BadImage: the format cannot hold an image of this size, or Pillow has no AVIF.

    """
    _refuse_too_long(*image.size, encoding)
    profile = image.info.get("icc_profile")
    options: dict[str, Any] = {}
    if encoding.format == "png":
        options = {"pnginfo": _png_info(provenance)} if provenance else {}
    elif encoding.format == "webp":
        # lossless even if the picture is transparent: `exact` keeps the colours there
        lossless = encoding.quality == 100
        options = {"quality": encoding.quality, "lossless": lossless, "exact": lossless}
        options |= provenance_options(provenance, "webp") if provenance else {}
        image = image.convert("RGB") if image.mode == "L" else image
    elif encoding.format == "avif":
        options = _avif_options(encoding) | (provenance_options(provenance, "avif") if provenance else {})
    else:
        options = {"quality": encoding.quality, **(provenance_options(provenance, "jpeg") if provenance else {})}
        image = _on_white(image) if image.mode == "RGBA" else image
    # a profile of another colour space than the image's would make the file invalid
    is_same_space = profile and profile[16:20] == _COLOUR_SPACE[image.mode]
    file = io.BytesIO()
    image.save(file, encoding.format.upper(), icc_profile=profile if is_same_space else None, **options)
    return file.getvalue()


def _avif_options(encoding: Encoding) -> dict[str, Any]:
    """Return what Pillow's `save` takes, so that equal pictures give equal bytes on every machine.

    By default, it takes as many threads as the machine has cores, and aom writes other bytes with several threads than
    with one. At quality 100, colours keep the full resolution: then no value is more than a few of 255 off.
    """
    from PIL import AvifImagePlugin

    if not AvifImagePlugin.SUPPORTED:
        raise BadImage(NO_AVIF)
    options: dict[str, Any] = {"quality": encoding.quality, "speed": 6, "max_threads": 1}
    return {**options, "subsampling": "4:4:4"} if encoding.quality == 100 else options


def _refuse_too_long(width: int, height: int, encoding: Encoding) -> None:
    longest = LONGEST_SIDE.get(encoding.format)
    if longest is not None and max(width, height) > longest:
        limit = f"{encoding.format} holds no more than {longest} pixels a side"
        raise BadImage(f"the image is {width}×{height}, and {limit}")


def _png_info(provenance: Provenance) -> Any:
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    for kind, content in provenance_chunks(provenance):
        info.add(kind, content)
    return info


def _on_white(image: Image) -> Image:
    from PIL import Image

    white = Image.new("RGB", image.size, "white")
    white.paste(image, mask=image.getchannel("A"))
    return white
