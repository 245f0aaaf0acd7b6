"""libGDX's `.atlas`.

The format: https://libgdx.com/wiki/tools/texture-packer#textureatlas
Every release reads the keys that are written here; those since 1.9.13 have shorter ones too.
"""

from __future__ import annotations

from collections.abc import Iterator

from imagegen.images.atlas.atlas import PIXELS, Atlas, Frame

__all__ = ["write_libgdx"]


def write_libgdx(atlas: Atlas, _: str) -> str:
    """Return the pages with their regions. A frame of an animation has the animation's name, and its number in it."""
    places = {frame: (name, at) for name, frames in atlas.animations.items() for at, frame in enumerate(frames)}
    lines: list[str] = []
    for page in atlas.pages:
        lines += ["", page.image, f"size: {page.width}, {page.height}", f"format: {PIXELS}"]
        lines += ["filter: Linear, Linear", "repeat: none"]
        for frame in page.frames:
            lines += _describe(frame, *places.get(frame.name, (frame.name, -1)))
    return "\n".join(lines) + "\n"


def _describe(frame: Frame, name: str, number: int) -> Iterator[str]:
    yield name
    yield "  rotate: false"
    yield f"  xy: {frame.x}, {frame.y}"
    yield f"  size: {frame.width}, {frame.height}"
    yield f"  orig: {frame.source_width}, {frame.source_height}"
    yield f"  offset: {frame.left}, {frame.bottom}"  # from the lower left corner
    yield f"  index: {number}"
