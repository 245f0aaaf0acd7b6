"""The step that puts an image file over or under the picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imagegen.images.image_file import read_image

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["frame"]


def frame(picture: Image, *, image: bytes, place: str) -> Image:
    """Put an image file, resized to the picture's size, over or under it."""
    from PIL import Image

    ring = read_image(image).upright.convert("RGBA").resize(picture.size, Image.Resampling.LANCZOS)
    below, above = (picture.convert("RGBA"), ring) if place == "over" else (ring, picture.convert("RGBA"))
    return Image.alpha_composite(below, above)
