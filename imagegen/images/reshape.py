"""Another size for a picture: fitted in, cut, or distorted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from imagegen.images.formats import BadImage
from imagegen.images.image_file import MAX_PIXELS

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Shape", "TooSmall", "align", "check_size", "reshape"]


class TooSmall(BadImage):
    """The picture is smaller than asked for."""


@dataclass(frozen=True)
class Shape:
    """What a picture becomes. With both sides given, it is fitted in whole, or cropped to just that size."""

    width: int | None = None  # pixels; None if it follows from the other side, or from the image
    height: int | None = None
    crop: str | None = None  # the side that is kept: `top-left`, `centre`
    enlarge: bool = False  # whether an image that is too small may be enlarged
    is_exact: bool = False  # with both sides: distorted to just that size
    is_hard: bool = False  # every pixel is one of the picture's own: no smooth edges


def reshape(image: Image, shape: Shape) -> Image:
    """Return the picture in this shape. Raises TooSmall, or BadImage if it would be too large."""
    from PIL import Image

    width, height = image.size
    scales = [asked / has for asked, has in ((shape.width, width), (shape.height, height)) if asked is not None]
    if not scales:
        return image
    scale = max(scales) if shape.crop or shape.is_exact else min(scales)
    if scale > 1 and not shape.enlarge:
        asked = "×".join(str(side) for side in (shape.width, shape.height) if side is not None)
        what = f"the image is {width}×{height}, too small for {asked} pixels"
        raise TooSmall(what, "ask for less, or enlarge: true in the job")
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    box = (0.0, 0.0, float(width), float(height))
    if (shape.crop or shape.is_exact) and shape.width and shape.height:
        size = (shape.width, shape.height)
        if shape.crop:
            box = _crop_box((width, height), (size[0] / scale, size[1] / scale), shape.crop)
    if (size, box) == (image.size, (0.0, 0.0, float(width), float(height))):
        return image
    check_size(*size)
    return image.resize(size, Image.Resampling.NEAREST if shape.is_hard else Image.Resampling.LANCZOS, box)


def _crop_box(size: tuple[int, int], part: tuple[float, float], crop: str) -> tuple[float, float, float, float]:
    """Return the box (left, top, right, bottom; pixels) of that size at the side that is kept."""
    across, down = align(crop)
    # a part is never larger than the whole, but for the last bit of a float
    left, top = max(0.0, size[0] - part[0]) * across, max(0.0, size[1] - part[1]) * down
    return left, top, min(float(size[0]), left + part[0]), min(float(size[1]), top + part[1])


def align(side: str) -> tuple[float, float]:
    """Return how far to the right and how far down a side is, from 0 to 1: `top-left` → (0, 0)."""
    words = side.split("-")
    across = 0.0 if "left" in words else 1.0 if "right" in words else 0.5
    down = 0.0 if "top" in words else 1.0 if "bottom" in words else 0.5
    return across, down


def check_size(width: int, height: int) -> None:
    """Check that a picture of this size may be made. Raises BadImage."""
    if width * height > MAX_PIXELS:
        raise BadImage(f"the picture would be {width}×{height}, which is more than {MAX_PIXELS} pixels")
