"""The step that reduces the picture to a few colours."""

from __future__ import annotations

from array import array
from itertools import compress
from typing import TYPE_CHECKING

from imagegen.images.steps.palette import Colours, read_palette

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["quantise"]

_SAMPLES = 32_749
"""Pixels from which colours are chosen: of more, it takes seconds. A prime, so that they are of all columns."""


def quantise(picture: Image, *, dither: bool, hard: bool, colours: int = 0, palette: bytes = b"") -> Image:
    """Reduce the picture to a few colours.

    Args:
        picture: the picture.
        dither: whether dots of two colours stand for those between them.
        colours: how many, chosen from those that can be seen.
        palette: a file with the colours instead.
        hard: whether each pixel becomes opaque if at least a half of it is, and else fully transparent.
    """
    from PIL import Image

    if hard and picture.mode == "RGBA":
        picture = picture.copy()
        picture.putalpha(picture.getchannel("A").point([0] * 128 + [255] * 128))
    alpha = picture.getchannel("A") if picture.mode == "RGBA" else None
    plain = picture.convert("RGB")
    if palette:
        chosen = read_palette(palette)
    else:
        visible = _keep_visible(plain, alpha)
        if not visible.width or visible.getcolors(colours):
            return picture  # it has no more colours than that
        chosen = _choose_colours(visible, colours)
    swatch = Image.new("P", (1, 1))
    # of a shorter palette, Pillow takes the rest for black
    swatch.putpalette([level for colour in (chosen + chosen[:1] * 256)[:256] for level in colour])
    if alpha:
        # what cannot be seen has nothing to pass on to what can
        plain.paste(chosen[0], mask=alpha.point([255] + [0] * 255))
    method = Image.Dither.FLOYDSTEINBERG if dither else Image.Dither.NONE
    result = plain.quantize(palette=swatch, dither=method).convert("RGB")
    if alpha:
        result.putalpha(alpha)
    return result


def _keep_visible(picture: Image, alpha: Image | None) -> Image:
    """Return all pixels that are not fully transparent, in one row."""
    from PIL import Image

    if alpha is None:
        return Image.frombytes("RGB", (picture.width * picture.height, 1), picture.tobytes())
    pixels = memoryview(picture.convert("RGBA").tobytes()).cast("I")
    found = array("I", compress(pixels, alpha.tobytes()))
    return Image.frombytes("RGBA", (len(found), 1 if found else 0), found.tobytes()).convert("RGB")


def _choose_colours(pixels: Image, most: int) -> Colours:
    """Return the means of so many groups of similar colours (k-means). pixels: in one row."""
    from PIL import Image

    if pixels.width > _SAMPLES:
        pixels = pixels.resize((_SAMPLES, 1), Image.Resampling.NEAREST)
    found = pixels.quantize(most, Image.Quantize.MAXCOVERAGE, kmeans=1)
    levels = found.getpalette("RGB") or []
    used = [index for index, count in enumerate(found.histogram()) if count]
    return [(levels[3 * index], levels[3 * index + 1], levels[3 * index + 2]) for index in used]
