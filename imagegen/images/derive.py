"""Pictures derived from pictures, with no generator: another size, crop or format, and many on one sheet.

Equal inputs give equal bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from imagegen.config.job import Encoding
from imagegen.images.encode import encode_picture
from imagegen.images.formats import BadImage
from imagegen.images.image_file import ImageFile
from imagegen.images.provenance import inherit_provenance

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

_NO_FILES: Mapping[str, bytes] = {}
__all__ = ["Grid", "Shape", "index", "picture", "sheet"]


@dataclass(frozen=True)
class Shape:
    """What a picture becomes. With both sides given, it is fitted in whole, or cropped to just that size."""

    width: int | None = None  # pixels; None if it follows from the other side, or from the image
    height: int | None = None
    crop: str | None = None  # the side that is kept: `top-left`, `centre`
    enlarge: bool = False  # whether an image that is too small may be enlarged


@dataclass(frozen=True)
class Grid:
    """Cells of a sheet, filled row by row."""

    columns: int
    cell: int  # pixels, of both sides


def picture(
    file: ImageFile,
    shape: Shape,
    encoding: Encoding,
    steps: Sequence[tuple[str, Mapping[str, Any]]] = (),
    step_files: Mapping[str, bytes] = _NO_FILES,
) -> bytes:
    """Return the image file's picture in this shape and encoding; what the file says of its making goes along.

    Args:
        file: of the image.
        shape: that the picture gets first.
        encoding: of the file that is returned.
        steps: names and parameters; that of a file is its sha256.
        step_files: the files that steps name, by their sha256.

    Raises:
        BadImage: the file cannot be decoded, is too small, or is too large for the format; or a step is not possible.

    """
    from imagegen.images.steps import apply_steps

    made_by = inherit_provenance(file) if encoding.metadata == "full" else None
    shaped = _reshape(file.upright, shape)
    return encode_picture(apply_steps(shaped, steps, step_files), encoding, made_by)


def _reshape(image: Picture, shape: Shape) -> Picture:
    from PIL import Image

    width, height = image.size
    scales = [asked / has for asked, has in ((shape.width, width), (shape.height, height)) if asked is not None]
    if not scales:
        return image
    scale = max(scales) if shape.crop else min(scales)
    if scale > 1 and not shape.enlarge:
        asked = "×".join(str(side) for side in (shape.width, shape.height) if side is not None)
        raise BadImage(f"the image is {width}×{height}, too small for {asked} pixels")
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    box = (0.0, 0.0, float(width), float(height))
    if shape.crop and shape.width and shape.height:
        size = (shape.width, shape.height)
        box = _crop_box((width, height), (size[0] / scale, size[1] / scale), shape.crop)
    if (size, box) == (image.size, (0.0, 0.0, float(width), float(height))):
        return image
    return image.resize(size, Image.Resampling.LANCZOS, box)


def _crop_box(size: tuple[int, int], part: tuple[float, float], crop: str) -> tuple[float, float, float, float]:
    """Return the box (left, top, right, bottom; pixels) of that size at the side that is kept."""
    words = crop.split("-")
    across = 0.0 if "left" in words else 1.0 if "right" in words else 0.5
    down = 0.0 if "top" in words else 1.0 if "bottom" in words else 0.5
    # a part is never larger than the whole, but for the last bit of a float
    left, top = max(0.0, size[0] - part[0]) * across, max(0.0, size[1] - part[1]) * down
    return left, top, min(float(size[0]), left + part[0]), min(float(size[1]), top + part[1])


def sheet(files: Sequence[ImageFile], grid: Grid, encoding: Encoding) -> bytes:
    """Return a sheet of the pictures, row by row, each fitted into the middle of its cell, never enlarged.

    What no picture covers is transparent, or white in a JPEG. Raises BadImage for a file that cannot be read.
    """
    from PIL import Image

    rows = -(-len(files) // grid.columns)
    whole = Image.new("RGBA", (grid.columns * grid.cell, rows * grid.cell))
    for file, (left, top) in zip(files, _cells(len(files), grid), strict=True):
        position = _position(file.upright.size, grid.cell)
        fitted = file.upright.convert("RGBA").resize(position[2:], Image.Resampling.LANCZOS)
        whole.paste(fitted, (left + position[0], top + position[1]))
    return encode_picture(whole, encoding, None)


def index(sizes: Mapping[str, tuple[int, int]], grid: Grid, image: str) -> bytes:
    """Return where each picture is on a sheet: JSON, as TexturePacker writes it ("hash") and game engines read it.

    Args:
        sizes: of the images in pixels, by name, in their order.
        grid: of the sheet.
        image: the name of the sheet's file.

    """
    frames = {}
    for (name, size), (left, top) in zip(sizes.items(), _cells(len(sizes), grid), strict=True):
        x, y, width, height = _position(size, grid.cell)
        frames[name] = {
            "frame": {"x": left + x, "y": top + y, "w": width, "h": height},
            "rotated": False,
            "trimmed": False,
            "sourceSize": {"w": width, "h": height},
        }
    rows = -(-len(sizes) // grid.columns)
    size_of_all = {"w": grid.columns * grid.cell, "h": rows * grid.cell}
    meta = {"image": image, "size": size_of_all, "scale": "1", "columns": grid.columns, "cell": grid.cell}
    return (json.dumps({"frames": frames, "meta": meta}, indent=1, ensure_ascii=False) + "\n").encode("utf-8")


def _cells(count: int, grid: Grid) -> Iterator[tuple[int, int]]:
    """Return the top left corner of each cell."""
    for number in range(count):
        row, column = divmod(number, grid.columns)
        yield column * grid.cell, row * grid.cell


def _position(size: tuple[int, int], cell: int) -> tuple[int, int, int, int]:
    """Return left, top, width and height (pixels) within a cell of an image of that size."""
    scale = min(1.0, cell / max(size))
    width, height = max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
    return (cell - width) // 2, (cell - height) // 2, width, height
