"""Steps that resize, flip or rotate the picture."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from imagegen.images.formats import BadImage
from imagegen.images.reshape import Shape, TooSmall, check_size, reshape

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["flip", "resize", "rotate"]


def resize(
    picture: Image,
    *,
    mode: str,
    enlarge: bool,
    filter: str,  # noqa: A002 - the parameter's name in job files
    width: int | None = None,
    height: int | None = None,
    keep: str = "centre",
) -> Image:
    """Resize the picture.

    Args:
        picture: the picture.
        mode: with both sides, `fit` it in, `fill` them and cut, or `exact`, distorted.
        enlarge: whether a smaller picture may be enlarged.
        filter: `smooth` or `nearest`.
        width: in pixels.
        height: in pixels.
        keep: the side that `fill` keeps.

    Raises:
        BadImage: the picture is too small.
    """
    crop = keep if mode == "fill" else None
    try:
        return reshape(picture, Shape(width, height, crop, enlarge, mode == "exact", filter == "nearest"))
    except TooSmall as error:
        raise BadImage(error.what, "ask for less, or resize: {enlarge: true}") from None


def flip(picture: Image, *, direction: str) -> Image:
    """Mirror the picture: `horizontal` swaps left and right, `vertical` top and bottom."""
    from PIL.Image import Transpose

    return picture.transpose(Transpose.FLIP_LEFT_RIGHT if direction == "horizontal" else Transpose.FLIP_TOP_BOTTOM)


def rotate(picture: Image, *, angle: float, filter: str) -> Image:  # noqa: A002 - as above
    """Turn the picture clockwise by so many degrees. Quarter turns are exact; otherwise the corners are transparent.

    filter: `smooth` or `nearest`.
    """
    from PIL.Image import Resampling, Transpose

    angle %= 360
    quarters = {0: None, 90: Transpose.ROTATE_270, 180: Transpose.ROTATE_180, 270: Transpose.ROTATE_90}
    if angle in quarters:
        turn = quarters[int(angle)]
        return picture if turn is None else picture.transpose(turn)
    across, down = abs(math.cos(math.radians(angle))), abs(math.sin(math.radians(angle)))
    width, height = picture.size
    check_size(math.ceil(width * across + height * down), math.ceil(width * down + height * across))
    resampling = Resampling.NEAREST if filter == "nearest" else Resampling.BICUBIC
    return picture.convert("RGBA").rotate(-angle, resampling, expand=True)
