"""Write docs/images/presets, the pictures of docs/presets.md: what each preset makes of the same example."""

from __future__ import annotations

import io
from pathlib import Path
from typing import get_args

from PIL import Image

from imagegen.config.presets import Use, list_presets, load_preset
from imagegen.report.presets.pictures import show_preset

__all__ = ["FOLDER", "LONGEST", "small_picture"]

FOLDER = Path(__file__).parents[1] / "docs/images/presets"
LONGEST = 160
"""Pixels of the longer side."""


def small_picture(image: bytes) -> Image.Image:
    """Return a picture for the page; one of few pixels is enlarged, so that they can be seen."""
    with Image.open(io.BytesIO(image)) as file:
        picture: Image.Image = file.convert("RGBA")
    scale = LONGEST // max(picture.size)
    if scale > 1:
        picture = picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.NEAREST)
    else:
        picture.thumbnail((LONGEST, LONGEST), Image.Resampling.LANCZOS)
    return picture


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for use in get_args(Use):
        for name in list_presets(use):
            shown = show_preset(load_preset(use, name))
            small_picture(shown.after).save(FOLDER / f"{name}.webp", quality=80, method=6)
            before = "pebbles" if "tile" in shown.preset.steps else "examples" if use == "sheet" else "example"
            small_picture(shown.before).save(FOLDER / f"{before}.webp", quality=80, method=6)
