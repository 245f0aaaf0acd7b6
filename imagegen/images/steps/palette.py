"""Palette files: the colours that a picture is reduced to."""

from __future__ import annotations

import re

from imagegen.images.formats import BadImage
from imagegen.images.image_file import verify_still

__all__ = ["Colours", "read_palette"]

Colours = list[tuple[int, int, int]]

_MOST = 256
_GPL, _JASC = "GIMP Palette", "JASC-PAL"


def read_palette(data: bytes) -> Colours:
    """Return the colours of a palette file, each once, in its order.

    It may be a `.gpl` of GIMP, a `.hex` as Lospec gives it (a colour of six digits a line), a `.pal` of JASC (as Paint
    Shop Pro and Aseprite write it), or an image. The content says which one.

    Raises:
        BadImage: it is none of these, or has more than 256 colours.
    """
    if b"\0" in data[:64] or data[:2] == b"\xff\xd8":
        return _read_image(data)
    lines = [line.strip() for line in data.decode("utf-8-sig", "replace").splitlines()]
    lines = [line for line in lines if line]
    head = lines[0] if lines else ""
    if head == _GPL:
        found = [_read_levels(line) for line in lines[1:] if line[0] != "#" and not re.match("(Name|Columns):", line)]
    elif head == _JASC:
        found = [_read_levels(line) for line in lines[3:]]
    else:
        found = [_read_hex(line) for line in lines if not line.startswith(";")]
    colours = list(dict.fromkeys(found))
    if not 1 <= len(colours) <= _MOST:
        raise BadImage(f"it has {len(colours)} colours; a palette has 1 to {_MOST}")
    return colours


def _read_levels(line: str) -> tuple[int, int, int]:
    found = re.match(r"(\d{1,3})\s+(\d{1,3})\s+(\d{1,3})(?!\d)", line)
    levels = [int(level) for level in found.groups()] if found else [_MOST]
    if max(levels) >= _MOST:
        raise _not_a_palette(line)
    return levels[0], levels[1], levels[2]


def _read_hex(line: str) -> tuple[int, int, int]:
    if not re.fullmatch("#?[0-9A-Fa-f]{6}", line):
        raise _not_a_palette(line)
    red, green, blue = bytes.fromhex(line[-6:])
    return red, green, blue


def _not_a_palette(line: str) -> BadImage:
    hint = "a palette is a .gpl of GIMP, a .hex of Lospec, a .pal of JASC, or an image of at most 256 colours"
    return BadImage(f"it is not a palette: '{line[:40]}' is not a colour", hint)


def _read_image(data: bytes) -> Colours:
    if data.startswith(b"RIFF") and data[8:12] == b"PAL ":
        raise BadImage("it is a palette of Microsoft's format", "save it as JASC-PAL, .gpl or .hex")
    shown = verify_still(data).upright
    found = shown.convert("RGBA").getcolors(_MOST + 1)
    colours = {
        (colour[0], colour[1], colour[2]) for _, colour in found or () if isinstance(colour, tuple) and colour[3]
    }
    if found is None or len(colours) > _MOST:
        raise BadImage(f"it has more than {_MOST} colours", "a palette as an image has a pixel or a square for each")
    if not colours:
        raise BadImage("it is fully transparent, and has no colours")
    return sorted(colours)
