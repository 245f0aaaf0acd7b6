"""What the importer script reads in Unity: lists only, as its JsonUtility takes no mappings.

https://docs.unity3d.com/Manual/json-serialization.html
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from imagegen.images.atlas.atlas import Atlas, Frame, Page

__all__ = ["read_importer", "write_unity"]


def write_unity(atlas: Atlas, _: str) -> str:
    """Return the sprites of each texture, in Unity's pixels, from the lower left corner, and the animations."""
    textures = [
        {
            "image": page.image,
            "width": page.width,
            "height": page.height,
            "sprites": [_describe(page, frame) for frame in page.frames],
        }
        for page in atlas.pages
    ]
    files = _name_files(atlas.animations)
    animations = [
        {"name": name, "file": file, "sprites": frames}
        for file, (name, frames) in zip(files, atlas.animations.items(), strict=True)
    ]
    found = {"imagegen": 1, "textures": textures, "animations": animations, "fps": atlas.fps}
    return json.dumps(found, indent=1, ensure_ascii=False) + "\n"


def _name_files(animations: Iterable[str]) -> list[str]:
    """Return a name for each animation's clip that no other one has, also where case doesn't count."""
    found: dict[str, str] = {}
    for name in animations:
        plain = name.replace("/", "-")
        tries = (plain if number == 1 else f"{plain}-{number}" for number in itertools.count(1))
        file = next(one for one in tries if one.casefold() not in found)
        found[file.casefold()] = file
    return [*found.values()]


def read_importer() -> str:
    """Return the importer script, a file of C#."""
    return (Path(__file__).parent / "ImagegenSheets.cs").read_text("utf-8")


def _describe(page: Page, frame: Frame) -> dict[str, Any]:
    """Describe a sprite. Its pivot is the middle of the picture before it was trimmed, in parts of the sprite."""
    pivot_x = (frame.source_width / 2 - frame.left) / frame.width
    pivot_y = (frame.source_height / 2 - frame.bottom) / frame.height
    return {
        "name": frame.name,
        "x": frame.x,
        "y": page.height - frame.y - frame.height,
        "width": frame.width,
        "height": frame.height,
        "pivotX": round(pivot_x, 6),
        "pivotY": round(pivot_y, 6),
    }
