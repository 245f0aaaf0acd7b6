"""Small pictures, and steps as a job file writes them, for the tests of this folder."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from PIL import Image

from imagegen.config.steps import check_step, read_step
from imagegen.images.steps import apply_steps

NO_FILES: Mapping[str, bytes] = {}


def apply(picture: Image.Image, *steps: str | Mapping[str, Any], files: Mapping[str, bytes] = NO_FILES) -> Image.Image:
    """The picture after steps as they are written in a job. files: by the path that a step names."""
    read = [read_step(step) for step in steps]
    for name, parameters in read:
        assert check_step(name, parameters) == ""
    return apply_steps(picture, read, files)


def drawn(*rows: str, mode: str = "RGBA", **colours: tuple[int, ...]) -> Image.Image:
    """A picture with a pixel for each character: `.` is transparent black, W white, K black, R G B red, green, blue."""
    known: dict[str, tuple[int, ...]] = {
        ".": (0, 0, 0, 0),
        "W": (255, 255, 255, 255),
        "K": (0, 0, 0, 255),
        "R": (255, 0, 0, 255),
        "G": (0, 255, 0, 255),
        "B": (0, 0, 255, 255),
        **colours,
    }
    picture = Image.new("RGBA", (len(rows[0]), len(rows)))
    for y, row in enumerate(rows):
        for x, character in enumerate(row):
            picture.putpixel((x, y), known[character])
    return picture.convert(mode)


def opaque(picture: Image.Image) -> list[str]:
    """Where a picture is opaque (#), translucent (+) and transparent (.), row by row."""
    alpha = picture.getchannel("A").tobytes()
    characters = "".join("#" if level == 255 else "+" if level else "." for level in alpha)
    return [characters[at : at + picture.width] for at in range(0, len(characters), picture.width)]


def colour(picture: Image.Image, x: int, y: int) -> tuple[int, ...]:
    """The pixel as red, green, blue and opacity."""
    found = picture.convert("RGBA").getpixel((x, y))
    assert isinstance(found, tuple)
    return found


def png(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "png")
    return file.getvalue()
