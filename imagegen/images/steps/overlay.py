"""Steps that lay another picture over this one: a mask, or a frame."""

from __future__ import annotations

from math import isqrt
from typing import TYPE_CHECKING

from imagegen.images.formats import BadImage
from imagegen.images.image_file import MAX_PIXELS, read_image, verify_still
from imagegen.images.steps.canvas import require_alpha

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["check_frame", "check_mask", "frame", "mask"]

_SMOOTH = 4
"""Shapes are drawn so many times larger, and made smaller: their edges are smooth then."""


def mask(picture: Image, *, shape: str = "", image: bytes = b"", radius: int | None = None, margin: int = 0) -> Image:
    """Make transparent what is outside a shape: `circle`, `rounded`, or what an image file shows.

    Args:
        picture: L, RGB or RGBA.
        shape: `circle` or `rounded`; empty if there is an image file.
        image: the file.
        radius: of the corners of `rounded`, in pixels.
        margin: pixels between the shape and the picture's edges.

    Raises:
        BadImage: the margin leaves nothing, or the image file's sides have another ratio than the picture's.
    """
    from PIL import ImageChops

    if image:
        drawn = _resize_to(_read_mask(read_image(image).upright), picture.size, "mask")
    else:
        if 2 * margin >= min(picture.size):
            raise BadImage(f"a margin of {margin} leaves nothing of {picture.width}×{picture.height} pixels")
        drawn = _draw_shape(picture.size, shape, radius, margin)
    result = picture.convert("RGBA")
    result.putalpha(ImageChops.multiply(result.getchannel("A"), drawn))
    return result


def _draw_shape(size: tuple[int, int], shape: str, radius: int | None, margin: int) -> Image:
    from PIL import Image, ImageDraw, ImageOps

    width, height = (side - 2 * margin for side in size)
    side = min(width, height)
    scale = max(1, min(_SMOOTH, isqrt(MAX_PIXELS // (width * height))))
    drawn = Image.new("L", (width * scale, height * scale))
    draw = ImageDraw.Draw(drawn)
    if shape == "circle":
        left, top = (width - side) * scale // 2, (height - side) * scale // 2
        draw.ellipse((left, top, left + side * scale - 1, top + side * scale - 1), fill=255)
    else:
        corner = min(radius or max(1, side // 8), side // 2) * scale
        draw.rounded_rectangle((0, 0, width * scale - 1, height * scale - 1), corner, fill=255)
    return ImageOps.expand(drawn.reduce(scale), margin, 0)


def frame(picture: Image, *, image: bytes, place: str) -> Image:
    """Put an image file, resized to the picture's size, `over` or `under` it."""
    from PIL import Image

    if place == "under":
        require_alpha(picture)
    ring = _resize_to(read_image(image).upright.convert("RGBA"), picture.size, "frame")
    whole = picture.convert("RGBA")
    if place == "under":
        return Image.alpha_composite(ring, whole)
    result = Image.alpha_composite(whole, ring)
    return result if picture.mode == "RGBA" else result.convert("RGB")


def check_mask(data: bytes) -> None:
    """Check that an image file can be a mask. Raises BadImage."""
    levels = _read_mask(verify_still(data).upright).histogram()
    if not any(levels[:255]):
        raise BadImage("as a mask it changes nothing: it is nowhere transparent or black")
    if not any(levels[1:]):
        raise BadImage("as a mask it leaves nothing: it is fully transparent or black")


def check_frame(data: bytes, place: str) -> None:
    """Check that an image file can be a frame in this place. Raises BadImage."""
    shown = verify_still(data).upright
    if place == "over" and _is_opaque(shown):
        raise BadImage("it is nowhere transparent, and would hide the picture", "put it under: place: under")


def _read_mask(shown: Image) -> Image:
    """Return a mask's transparency, or its brightness if it is nowhere transparent."""
    return shown.convert("L") if _is_opaque(shown) else shown.getchannel("A")


def _is_opaque(shown: Image) -> bool:
    return shown.mode != "RGBA" or not any(shown.getchannel("A").histogram()[:255])


def _resize_to(shown: Image, size: tuple[int, int], what: str) -> Image:
    """Resize a file's picture to another one's size. Raises BadImage if that would distort it by more than a pixel."""
    from PIL import Image

    off_by = (shown.width * size[1] / shown.height - size[0], shown.height * size[0] / shown.width - size[1])
    if min(map(abs, off_by)) > 1:
        what = f"the {what} is {shown.width}×{shown.height} and the picture {size[0]}×{size[1]}: the ratio differs"
        scale = min(size[0] / shown.width, size[1] / shown.height)
        width, height = (max(1, round(side * scale)) for side in shown.size)
        raise BadImage(
            what, f"cut the picture to it first, with resize: {{width: {width}, height: {height}, mode: fill}}"
        )
    return shown if shown.size == size else shown.resize(size, Image.Resampling.LANCZOS)
