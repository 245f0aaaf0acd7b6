"""The step that makes a texture seamless."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imagegen.images.formats import BadImage

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["tile"]


def tile(picture: Image, *, overlap: int | None = None) -> Image:
    """Blend opposite edges, so that copies of the picture side by side show no seam.

    The right edge is laid over the left one and fades out, then likewise the lower one over the upper one. So the
    picture gets smaller by the overlap, and what is in it is seen through each other.

    overlap: in pixels; None: an eighth of the shorter side.

    Raises:
        BadImage: the picture is smaller than two overlaps.
    """
    from PIL.Image import Transpose

    side = min(picture.size)
    overlap = overlap or max(1, side // 8)
    if side < 2 * overlap:
        what = f"the image is {picture.width}×{picture.height}, too small for an overlap of {overlap} pixels"
        raise BadImage(what, f"the overlap can be at most {side // 2}" if side > 1 else "use a larger image")
    turned = _blend_sides(picture, overlap).transpose(Transpose.TRANSPOSE)
    return _blend_sides(turned, overlap).transpose(Transpose.TRANSPOSE)


def _blend_sides(picture: Image, overlap: int) -> Image:
    """Lay the right edge over the left one, fading out, and return all but the right edge."""
    from PIL import Image

    width, height = picture.width - overlap, picture.height
    fading = bytes(255 * (overlap - x) // (overlap + 1) for x in range(overlap))
    cover = Image.frombytes("L", (overlap, 1), fading).resize((overlap, height), Image.Resampling.NEAREST)
    # of a picture with its colours multiplied by their opacity, what is transparent adds no colour
    blended = picture.mode.replace("A", "a")
    left = picture.crop((0, 0, overlap, height)).convert(blended)
    right = picture.crop((width, 0, picture.width, height)).convert(blended)
    left.paste(right, mask=cover)
    result = picture.crop((0, 0, width, height))
    result.paste(left.convert(picture.mode), (0, 0))
    return result
