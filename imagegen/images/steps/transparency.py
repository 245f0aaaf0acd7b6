"""Steps that change what is transparent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imagegen.images.formats import BadImage
from imagegen.images.image_file import read_image

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["mask", "trim"]

_SMOOTH = 4
"""Shapes are drawn so many times larger, and made smaller: their edges are smooth then."""


def trim(picture: Image, *, padding: int) -> Image:
    """Cut off what is fully transparent on all sides, but for so many pixels.

    Raises:
        BadImage: the picture has no transparency, or nothing else.
    """
    if picture.mode != "RGBA":
        raise BadImage("the image has no transparency")
    box = picture.getchannel("A").getbbox()
    if box is None:
        raise BadImage("the image is fully transparent")
    # `crop` fills with transparent black what is outside the picture
    return picture.crop((box[0] - padding, box[1] - padding, box[2] + padding, box[3] + padding))


def mask(picture: Image, *, shape: str = "", image: bytes = b"", radius: int | None = None) -> Image:
    """Make transparent what is outside a shape: `circle`, `rounded`, or what an image file shows.

    radius: of the corners of `rounded`, in pixels.
    """
    from PIL import ImageChops

    drawn = _read_mask(image, picture.size) if image else _draw_shape(picture.size, shape, radius)
    result = picture.convert("RGBA")
    result.putalpha(ImageChops.multiply(result.getchannel("A"), drawn))
    return result


def _draw_shape(size: tuple[int, int], shape: str, radius: int | None) -> Image:
    from PIL import Image, ImageDraw

    width, height = size
    side = min(size)
    drawn = Image.new("L", (width * _SMOOTH, height * _SMOOTH))
    draw = ImageDraw.Draw(drawn)
    if shape == "circle":
        left, top = (width - side) * _SMOOTH // 2, (height - side) * _SMOOTH // 2
        draw.ellipse((left, top, left + side * _SMOOTH - 1, top + side * _SMOOTH - 1), fill=255)
    else:
        corner = (radius or max(1, side // 8)) * _SMOOTH
        draw.rounded_rectangle((0, 0, width * _SMOOTH - 1, height * _SMOOTH - 1), corner, fill=255)
    return drawn.resize(size, Image.Resampling.BOX)


def _read_mask(data: bytes, size: tuple[int, int]) -> Image:
    from PIL import Image

    shown = read_image(data).upright
    found = shown.getchannel("A") if shown.mode == "RGBA" else shown.convert("L")
    return found.resize(size, Image.Resampling.LANCZOS)
