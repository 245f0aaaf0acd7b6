"""Steps that change what is around the picture: cut it off, or add to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imagegen.config.steps import NEEDS_ALPHA_HINT
from imagegen.images.formats import BadImage
from imagegen.images.reshape import align, check_size

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["grow", "pad", "read_colour", "require_alpha", "require_visible", "trim"]


def trim(picture: Image, *, padding: int) -> Image:
    """Cut off what is fully transparent on all sides, but for so many pixels.

    Raises:
        BadImage: the picture has no transparency, or nothing else.
    """
    left, top, right, bottom = require_visible(picture)
    return grow(
        picture, padding - left, padding - top, padding + right - picture.width, padding + bottom - picture.height
    )


def pad(
    picture: Image,
    *,
    colour: str,
    to: str = "",
    width: int | None = None,
    height: int | None = None,
    margin: int = 0,
    position: str = "centre",
) -> Image:
    """Put the picture on a larger canvas of one colour.

    Args:
        colour: of the canvas.
        to: `square`, or `power-of-two`.
        width: of the canvas, in pixels; None if it is the picture's own.
        height: likewise.
        margin: pixels on each side.
        position: where the picture goes: `top-left`, `centre`.
    """
    from PIL import Image

    size = (picture.width + 2 * margin, picture.height + 2 * margin)
    if to:
        size = (max(size),) * 2 if to == "square" else _next_powers(size)
    size = (width or size[0], height or size[1])
    if size[0] < picture.width or size[1] < picture.height:
        what = f"the image is {picture.width}×{picture.height}, larger than {size[0]}×{size[1]} pixels"
        raise BadImage(what, "put resize before it, or ask for more")
    check_size(*size)
    ground = read_colour(colour)
    mode = "RGBA" if ground[3] < 255 else "RGB" if picture.mode == "L" else picture.mode
    across, down = align(position)
    place = (int((size[0] - picture.width) * across), int((size[1] - picture.height) * down))
    canvas = Image.new(mode, size, ground if mode == "RGBA" else ground[:3])
    if picture.mode == "RGBA" and ground[3]:
        canvas.alpha_composite(picture, place)
    else:
        canvas.paste(picture.convert(mode), place)
    return canvas


def _next_powers(size: tuple[int, int]) -> tuple[int, int]:
    width, height = ((side - 1).bit_length() for side in size)
    return 2**width, 2**height


def grow(picture: Image, left: int, top: int, right: int, bottom: int) -> Image:
    """Add so many transparent pixels on each side; a negative number cuts off. picture: RGBA. Raises BadImage."""
    width, height = picture.width + left + right, picture.height + top + bottom
    check_size(width, height)
    # `crop` fills with transparent black what is outside the picture
    return picture.crop((-left, -top, width - left, height - top))


def require_alpha(picture: Image) -> Image:
    """Return the picture's transparency. Raises BadImage if it can't have any."""
    if picture.mode != "RGBA":
        raise BadImage("the image has no transparency", NEEDS_ALPHA_HINT)
    return picture.getchannel("A")


def require_visible(picture: Image) -> tuple[int, int, int, int]:
    """Return the box of what isn't fully transparent. Raises BadImage if nothing is, or the picture has no alpha."""
    box = require_alpha(picture).getbbox()
    if box is None:
        raise BadImage("the image is fully transparent")
    return box


def read_colour(colour: str) -> tuple[int, int, int, int]:
    """Return red, green, blue and opacity of a colour as `config.steps` accepts it."""
    from PIL import ImageColor

    if colour == "transparent":
        return (0, 0, 0, 0)
    red, green, blue, *alpha = ImageColor.getrgb(colour)
    return (red, green, blue, alpha[0] if alpha else 255)
