"""Steps that draw around what isn't transparent: an outline, a shadow."""

from __future__ import annotations

from math import ceil, hypot
from typing import TYPE_CHECKING

from imagegen.images.steps.canvas import grow, read_colour, require_visible

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["outline", "shadow"]


def outline(picture: Image, *, width: int, colour: str, smooth: bool) -> Image:
    """Draw a line around what isn't transparent; the picture grows by its width.

    smooth: whether the line's edges are smooth. Otherwise it is where the picture is at least half opaque.
    """
    require_visible(picture)
    whole = grow(picture, width, width, width, width)
    alpha = whole.getchannel("A")
    alpha = alpha if smooth else alpha.point([0] * 128 + [255] * 128)
    return _put_under(whole, _widen(alpha, width, smooth=smooth), colour)


def shadow(picture: Image, *, x: int, y: int, blur: int, colour: str, opacity: float) -> Image:
    """Put a shadow under what isn't transparent; the picture grows so that nothing of it is cut off.

    Args:
        picture: the picture.
        x: pixels by which the shadow is moved to the right.
        y: pixels by which it is moved down.
        blur: pixels over which its edges fade.
        colour: of the shadow.
        opacity: from 0 to 1.
    """
    from PIL import ImageFilter

    require_visible(picture)
    # the blur's deviation is a half of what is seen of it, and Pillow's reaches three deviations
    reach = ceil(1.5 * blur)
    left, top, right, bottom = (max(0, reach + by) for by in (-x, -y, x, y))
    whole = grow(picture, left, top, right, bottom)
    cast = grow(picture.getchannel("A"), left + x, top + y, right - x, bottom - y)
    cast = cast.filter(ImageFilter.GaussianBlur(blur / 2)) if blur else cast
    return _put_under(whole, cast.point([round(level * opacity) for level in range(256)]), colour)


def _put_under(picture: Image, cover: Image, colour: str) -> Image:
    """Put a colour under the picture. cover: how opaque it is, from 0 to 255."""
    from PIL import Image

    *plain, opacity = read_colour(colour)
    ground = Image.new("RGBA", picture.size, (*plain, 0))
    ground.putalpha(cover.point([(level * opacity + 127) // 255 for level in range(256)]))
    return Image.alpha_composite(ground, picture)


def _widen(alpha: Image, by: int, *, smooth: bool) -> Image:
    """Return each pixel's greatest value within a disc. The outermost `by` pixels on each side must be 0.

    The disc is put together from its rows: what is widened across by so many pixels is moved up and down.
    """
    from PIL import ImageChops

    result = across = alpha
    for dx in range(by + 1):
        if dx:
            moved = ImageChops.lighter(ImageChops.offset(alpha, dx, 0), ImageChops.offset(alpha, -dx, 0))
            across = ImageChops.lighter(across, moved)
        for dy in range(by + 1):
            share = _share_of_disc(dx, dy, by, smooth=smooth)
            if share == 0 or (share == 1 and _share_of_disc(dx + 1, dy, by, smooth=smooth) == 1):
                continue
            part = across if share == 1 else across.point([round(level * share) for level in range(256)])
            for down in {dy, -dy}:
                result = ImageChops.lighter(result, ImageChops.offset(part, 0, down))
    return result


def _share_of_disc(dx: int, dy: int, radius: int, *, smooth: bool) -> float:
    """Return how much of the pixel at this distance is within the disc."""
    distance = hypot(dx, dy)
    return max(0.0, min(1.0, radius + 1 - distance)) if smooth else float(distance < radius + 0.5)
