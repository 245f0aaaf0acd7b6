"""Pictures derived from pictures, with no generator: another size, crop or format.

Equal inputs give equal bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from imagegen.config.job import Encoding
from imagegen.images.encode import encode_picture
from imagegen.images.formats import BadImage
from imagegen.images.image_file import ImageFile
from imagegen.images.provenance import inherit_provenance

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

    from imagegen.images.steps.cutout import FindAlpha

_NO_FILES: Mapping[str, bytes] = {}
_NO_MODELS: Mapping[str, FindAlpha] = {}
__all__ = ["Shape", "picture"]


@dataclass(frozen=True)
class Shape:
    """What a picture becomes. With both sides given, it is fitted in whole, or cropped to just that size."""

    width: int | None = None  # pixels; None if it follows from the other side, or from the image
    height: int | None = None
    crop: str | None = None  # the side that is kept: `top-left`, `centre`
    enlarge: bool = False  # whether an image that is too small may be enlarged


def picture(
    file: ImageFile,
    shape: Shape,
    encoding: Encoding,
    steps: Sequence[tuple[str, Mapping[str, Any]]] = (),
    step_files: Mapping[str, bytes] = _NO_FILES,
    models: Mapping[str, FindAlpha] = _NO_MODELS,
) -> bytes:
    """Return the image file's picture in this shape and encoding; what the file says of its making goes along.

    Args:
        file: of the image.
        shape: that the picture gets first.
        encoding: of the file that is returned.
        steps: names and parameters; that of a file is its sha256, that of a model has its name and sha256.
        step_files: the files that steps name, by their sha256.
        models: what finds with each model that steps name, by its name.

    Raises:
        BadImage: the file cannot be decoded, is too small, or is too large for the format; or a step is not possible.

    """
    from imagegen.images.steps import apply_steps

    made_by = inherit_provenance(file) if encoding.metadata == "full" else None
    shaped = _reshape(file.upright, shape)
    return encode_picture(apply_steps(shaped, steps, step_files, models), encoding, made_by)


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
