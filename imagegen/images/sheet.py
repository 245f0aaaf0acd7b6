"""Sheets: many pictures in the cells of one, and the index that says where each of them is.

Equal inputs give equal bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from imagegen.config.job import Encoding
from imagegen.images.encode import encode_picture
from imagegen.images.image_file import ImageFile

__all__ = ["NO_ANIMATIONS", "Grid", "add_animations", "draw_grid", "write_grid_index", "write_index"]

NO_ANIMATIONS: Mapping[str, Sequence[str]] = {}


@dataclass(frozen=True)
class Grid:
    """Cells of a sheet, filled row by row."""

    columns: int
    cell: int  # pixels, of both sides


def draw_grid(files: Iterable[ImageFile], count: int, grid: Grid, encoding: Encoding) -> bytes:
    """Return a sheet of the pictures, row by row, each fitted into the middle of its cell, never enlarged.

    What no picture covers is transparent, or white in a JPEG. Raises BadImage for a file that cannot be read.

    Args:
        files: of the pictures, of which one at a time is held in memory.
        count: how many there are.
        grid: of the sheet.
        encoding: of the sheet.

    """
    from PIL import Image

    rows = -(-count // grid.columns)
    whole = Image.new("RGBA", (grid.columns * grid.cell, rows * grid.cell))
    for file, (left, top) in zip(files, _walk_cells(count, grid), strict=True):
        place = _place(file.upright.size, grid.cell)
        fitted = file.upright.convert("RGBA").resize(place[2:], Image.Resampling.LANCZOS)
        whole.paste(fitted, (left + place[0], top + place[1]))
    return encode_picture(whole, encoding, None)


def write_grid_index(
    sizes: Mapping[str, tuple[int, int]],
    grid: Grid,
    image: str,
    animations: Mapping[str, Sequence[str]] = NO_ANIMATIONS,
    fps: float = 0,
) -> bytes:
    """Return where each picture is on a sheet: JSON, as TexturePacker writes it ("hash") and game engines read it.

    Args:
        sizes: of the images in pixels, by name, in their order.
        grid: of the sheet.
        image: the name of the sheet's file.
        animations: the pictures of each, in order.
        fps: frames a second.

    """
    frames = {}
    for (name, size), (left, top) in zip(sizes.items(), _walk_cells(len(sizes), grid), strict=True):
        x, y, width, height = _place(size, grid.cell)
        frames[name] = {
            "frame": {"x": left + x, "y": top + y, "w": width, "h": height},
            "rotated": False,
            "trimmed": False,
            "sourceSize": {"w": width, "h": height},
        }
    rows = -(-len(sizes) // grid.columns)
    size_of_all = {"w": grid.columns * grid.cell, "h": rows * grid.cell}
    meta = {"image": image, "size": size_of_all, "scale": "1", "columns": grid.columns, "cell": grid.cell}
    found = {"frames": frames, "meta": meta}
    add_animations(found, animations, fps)
    return write_index(found)


def add_animations(index: dict[str, Any], animations: Mapping[str, Sequence[str]], fps: float) -> None:
    """Add to an index the animations whose frames it has, with their frames a second."""
    own = {name: [*frames] for name, frames in animations.items() if frames[0] in index["frames"]}
    if own:
        index["animations"] = own
        index["meta"]["fps"] = int(fps) if fps == int(fps) else fps


def write_index(index: Mapping[str, Any]) -> bytes:
    """Return an index as JSON."""
    return (json.dumps(index, indent=1, ensure_ascii=False) + "\n").encode("utf-8")


def _walk_cells(count: int, grid: Grid) -> Iterator[tuple[int, int]]:
    """Return the top left corner of each cell."""
    for number in range(count):
        row, column = divmod(number, grid.columns)
        yield column * grid.cell, row * grid.cell


def _place(size: tuple[int, int], cell: int) -> tuple[int, int, int, int]:
    """Return left, top, width and height (pixels) within a cell of an image of that size."""
    scale = min(1.0, cell / max(size))
    width, height = max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
    return (cell - width) // 2, (cell - height) // 2, width, height
