"""The edges of a subject on a ground of one colour: how much of each pixel is the subject's, and in which colour.

At an edge, a pixel is a mixture of the ground and of the subject's colour a little further inside. All other pixels
are the subject's own, and stay as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["distance_from", "fade", "unmix"]

_REACH = 3
"""Pixels over which an edge may be blurred in the picture."""
_RISE = 8
"""By how much a pixel must be farther from the ground's colour than its neighbour, to be what that is mixed of."""
_ALIKE = 48
"""How far a level of red, green or blue may be from that of a mixture: a JPEG's colours are a little off."""
_FAINTEST = 16
"""Of 255: with less of the subject than this, a pixel is ground."""
_SIDES = ((1, 0), (-1, 0), (0, 1), (0, -1))
_AROUND = (*_SIDES, (1, 1), (1, -1), (-1, 1), (-1, -1))


def distance_from(colours: Image, ground: Sequence[int]) -> Image:
    """Return how far each pixel (RGB) is from the ground's colour: the greatest difference of a channel (L)."""
    from PIL import Image, ImageChops

    farthest = Image.new("L", colours.size)
    for channel, value in zip(colours.split(), ground, strict=True):
        farthest = ImageChops.lighter(farthest, channel.point([abs(level - value) for level in range(256)]))
    return farthest


def unmix(colours: Image, ground: Sequence[int], kept: Image, visible: Image) -> tuple[Image, Image]:
    """Return the subject's colours (RGB), and how much of each pixel is the subject's (L).

    Args:
        colours: of the picture (RGB).
        ground: the colour behind the subject.
        kept: 255 where the subject is, 0 where the ground is (L).
        visible: 255 where the picture is not fully transparent, else 0 (L).
    """
    from PIL import Image, ImageChops

    distance = ImageChops.darker(distance_from(colours, ground), visible)
    inside = _climb(colours, distance, kept)
    # Pillow divides colours that are multiplied by their opacity by it: a mixture's part is distance by distance
    whole = distance_from(inside, ground)
    part = Image.merge("RGBa", (distance, distance, distance, whole)).convert("RGBA").getchannel(0)
    part = part.point([0 if level < _FAINTEST else level for level in range(256)])
    mixture = Image.composite(inside, Image.new("RGB", colours.size, tuple(ground)), part)
    is_alike = _where_greater(Image.new("L", colours.size, _ALIKE), _largest_difference(mixture, colours))
    # of the ground, a pixel is a mixture only with what is farther from it
    rim = ImageChops.darker(_find_rim(kept), _where_greater(whole, distance))
    is_edge = ImageChops.lighter(_find_rising(kept, distance), rim)
    is_mixed = ImageChops.darker(ImageChops.darker(is_edge, visible), is_alike)
    return Image.composite(inside, colours, is_mixed), Image.composite(part, kept, is_mixed)


def fade(kept: Image, pixels: int) -> Image:
    """Return a ramp from the edges of what is kept (255) inwards, over so many pixels."""
    from PIL import ImageFilter

    # within the kept part, the blur goes from a half to 1 over as many pixels as its radius
    return kept.filter(ImageFilter.BoxBlur(pixels)).point([max(0, 2 * level - 255) for level in range(256)])


def _climb(colours: Image, distance: Image, kept: Image) -> Image:
    """Return for each pixel the subject's colour that its neighbours lead up to, away from the ground's.

    Where none is farther from that, it is the pixel's own colour.
    """
    from PIL import Image, ImageChops

    subject = ImageChops.darker(distance, kept)
    found = colours
    for _ in range(_REACH):
        best = distance.point([min(255, level + _RISE) for level in range(256)])
        chosen = found
        for by in _SIDES:
            there = _move(subject, by)
            chosen = Image.composite(_move(found, by), chosen, _where_greater(there, best))
            best = ImageChops.lighter(best, there)
        found = chosen
    return found


def _find_rising(kept: Image, distance: Image) -> Image:
    """Return the subject's outermost pixels, and those further inside as long as they get farther from the ground.

    So a white shirt behind a thin dark line isn't taken for an edge of that line.
    """
    from PIL import Image, ImageChops

    found = latest = ImageChops.darker(kept, _widen(ImageChops.invert(kept), _SIDES))
    for _ in range(_REACH - 1):
        reached = Image.new("L", kept.size)
        for by in _SIDES:
            rises = _where_greater(distance, _move(distance, by))
            reached = ImageChops.lighter(reached, ImageChops.darker(_move(latest, by), rises))
        latest = ImageChops.darker(kept, ImageChops.subtract(reached, found))
        found = ImageChops.lighter(found, latest)
    return found


def _find_rim(kept: Image) -> Image:
    """Return the ground's pixels that touch the subject: a little of it may be in them."""
    from PIL import ImageChops

    return ImageChops.darker(ImageChops.invert(kept), _widen(kept, _AROUND))


def _widen(mask: Image, ways: Sequence[tuple[int, int]]) -> Image:
    from PIL import ImageChops

    found = mask
    for by in ways:
        found = ImageChops.lighter(found, _move(mask, by))
    return found


def _move(picture: Image, by: tuple[int, int]) -> Image:
    """Return the picture in which each pixel is its neighbour; there is black outside of it."""
    left, top = by
    return picture.crop((left, top, left + picture.width, top + picture.height))


def _where_greater(one: Image, other: Image) -> Image:
    """Return 255 where the level of the first is greater, else 0."""
    from PIL import ImageChops

    return ImageChops.subtract(one, other).point([0] + [255] * 255)


def _largest_difference(one: Image, other: Image) -> Image:
    from PIL import ImageChops

    red, green, blue = ImageChops.difference(one, other).split()
    return ImageChops.lighter(ImageChops.lighter(red, green), blue)
