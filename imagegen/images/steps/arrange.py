"""Steps that change the picture's size, or how it lies within it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["resize"]


def resize(picture: Image, *, mode: str, width: int | None = None, height: int | None = None) -> Image:
    """Resize the picture to these pixels. mode, with both: `fit` it in, `fill` them and cut, or `exact`, distorted."""
    from PIL import Image, ImageOps

    if width is not None and height is not None and mode != "fit":
        size = (width, height)
        if mode == "exact":
            return picture.resize(size, Image.Resampling.LANCZOS)
        return ImageOps.fit(picture, size, Image.Resampling.LANCZOS)
    scale = min(asked / has for asked, has in zip((width, height), picture.size, strict=True) if asked is not None)
    scaled = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return picture.resize(scaled, Image.Resampling.LANCZOS)
