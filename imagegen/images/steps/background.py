"""The step that makes a background of one colour transparent: a colour key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imagegen.images.formats import BadImage
from imagegen.images.steps.canvas import read_colour
from imagegen.images.steps.edges import distance_from, fade, unmix

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["background"]

_Colour = tuple[int, ...]
_BYTE_REVERSED = bytes(int(f"{value:08b}"[::-1], 2) for value in range(256))


def background(picture: Image, *, colour: str, tolerance: int, feather: int, everywhere: bool) -> Image:
    """Make transparent what has the background's colour.

    Unless edges are to be hard, the key colour is taken out of the pixels that are mixtures of it and of the picture
    behind them. All others keep their colours.

    Args:
        picture: the picture.
        colour: of the background; `corners`: the mean of the picture's corners, which must be alike.
        tolerance: how far red, green and blue may each be from that.
        feather: pixels over which edges fade; 0: none, they are hard; 1: as they do in the picture.
        everywhere: whether also what is not connected with the picture's edges goes.

    Raises:
        BadImage: the corners differ, nothing is background, or everything is.
    """
    from PIL import ImageChops

    whole = picture.convert("RGBA")
    key = _read_corners(whole, tolerance) if colour == "corners" else read_colour(colour)[:3]
    far = distance_from(whole.convert("RGB"), key).point([255 if level > tolerance else 0 for level in range(256)])
    matched = ImageChops.invert(ImageChops.darker(far, _where_visible(whole.getchannel("A"))))
    removed = matched if everywhere else _keep_connected(matched)
    if removed.getbbox() is None:
        at = "" if everywhere else " at the picture's edges"
        raise BadImage(f"nothing{at} is within {tolerance} of {_hex(key)}", "name another colour, or raise tolerance")
    kept = ImageChops.invert(removed)
    if kept.getbbox() is None:
        raise BadImage(f"everything is within {tolerance} of {_hex(key)}", "name another colour, or lower tolerance")
    if feather:
        result = _fade(whole, key, kept, feather)
    else:
        result = whole.copy()
        result.putalpha(ImageChops.multiply(whole.getchannel("A"), kept))
    result.paste((0, 0, 0, 0), mask=ImageChops.invert(_where_visible(result.getchannel("A"))))
    return result


def _read_corners(picture: Image, tolerance: int) -> _Colour:
    """Return the mean colour of the corners. Raises BadImage if one is farther from another than the tolerance."""
    right, bottom = picture.width - 1, picture.height - 1
    corners = [
        picture.crop((x, y, x + 1, y + 1)).tobytes() for x, y in ((0, 0), (right, 0), (0, bottom), (right, bottom))
    ]
    if not any(corner[3] for corner in corners):
        raise BadImage("the picture's corners are transparent already", "name the colour, or leave the step out")
    difference = max(max(channel) - min(channel) for channel in zip(*corners, strict=True))
    if difference > tolerance:
        listed = ", ".join(_hex(corner[:3]) for corner in corners)
        what = f"the picture's corners differ by {difference}, and the tolerance is {tolerance}: {listed}"
        raise BadImage(what, "name the background's colour, or raise tolerance")
    red, green, blue, _ = ((2 * sum(channel) + 4) // 8 for channel in zip(*corners, strict=True))
    return red, green, blue


def _fade(picture: Image, key: _Colour, kept: Image, feather: int) -> Image:
    """Return the picture without the key colour in its edges, which fade over so many pixels."""
    from PIL import ImageChops

    alpha = picture.getchannel("A")
    result, within = unmix(picture.convert("RGB"), key, kept, _where_visible(alpha))
    if feather > 1:
        within = ImageChops.multiply(within, fade(kept, feather - 1))
    result.putalpha(ImageChops.multiply(alpha, within))
    return result


def _where_visible(alpha: Image) -> Image:
    return alpha.point([0] + [255] * 255)


def _keep_connected(matched: Image) -> Image:
    """Return what of the matched pixels (255) is connected with the picture's edges.

    A row is one number with a bit for each pixel, so that a step of the fill takes a whole row at once.
    """
    from PIL import Image

    width, height = matched.size
    length = -(-width // 8)
    data = matched.convert("1", dither=Image.Dither.NONE).tobytes()
    rows = [int.from_bytes(data[y * length : (y + 1) * length], "big") for y in range(height)]
    first = 1 << (8 * length - 1)
    at_edges = first | first >> (width - 1)
    filled = [0] * height
    waiting = []
    for y, row in enumerate(rows):
        filled[y] = _fill_row(row if y in (0, height - 1) else row & at_edges, row, length)
        if filled[y]:
            waiting.append(y)
    while waiting:
        y = waiting.pop()
        for near in (y - 1, y + 1):
            if 0 <= near < height and (new := filled[y] & rows[near] & ~filled[near]):
                filled[near] |= _fill_row(new, rows[near], length)
                waiting.append(near)
    found = b"".join(row.to_bytes(length, "big") for row in filled)
    return Image.frombytes("1", matched.size, found).convert("L")


def _fill_row(seeds: int, row: int, length: int) -> int:
    """Return the runs of ones in the row that have a seed in them. length: of the row in bytes."""
    filled = _fill_up(seeds, row)
    return _reverse(_fill_up(_reverse(filled, length), _reverse(row, length)), length)


def _fill_up(seeds: int, row: int) -> int:
    """Return each seed with the ones above it in its run: adding a seed to a run of ones carries through to its end."""
    return row & ((row ^ (row + seeds)) | seeds)


def _reverse(row: int, length: int) -> int:
    """Return the row with its bits in the other order."""
    return int.from_bytes(row.to_bytes(length, "big").translate(_BYTE_REVERSED), "little")


def _hex(colour: bytes | _Colour) -> str:
    return "#" + bytes(colour).hex()
