"""A sheet as its JSON index describes it: pages, frames and animations."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["PIXELS", "Atlas", "Frame", "Page", "describe_frame", "read_atlas"]

PIXELS = "RGBA8888"
"""What TexturePacker calls the format that pixels are loaded in, which is not that of the page's file."""


@dataclass(frozen=True)
class Frame:
    """Where a picture is on a page. All in pixels, from the upper left corner."""

    name: str
    x: int
    y: int
    width: int
    height: int
    left: int  # what was trimmed there
    top: int
    source_width: int  # of the picture before it was trimmed
    source_height: int

    @property
    def right(self) -> int:
        """Return what was trimmed there."""
        return self.source_width - self.left - self.width

    @property
    def bottom(self) -> int:
        """Return what was trimmed there."""
        return self.source_height - self.top - self.height

    @property
    def is_trimmed(self) -> bool:
        """Whether something was trimmed."""
        return (self.width, self.height) != (self.source_width, self.source_height)


@dataclass(frozen=True)
class Page:
    """A picture file, and the frames on it."""

    image: str  # the file's name
    width: int
    height: int
    frames: Sequence[Frame]


@dataclass(frozen=True)
class Atlas:
    """A sheet: pages with frames. Pages without any are left out."""

    pages: Sequence[Page]
    animations: Mapping[str, Sequence[str]]  # the names of the frames of each, in order
    fps: float  # of the animations

    @property
    def frames(self) -> Iterator[tuple[Page, Frame]]:
        """Return each frame with its page."""
        return ((page, frame) for page in self.pages for frame in page.frames)


def read_atlas(index: bytes) -> Atlas:
    """Return what a sheet's JSON index describes."""
    first = json.loads(index)
    said = [first, *first.get("pages", ())]
    animations: dict[str, Sequence[str]] = {}
    for page in said:
        animations |= page.get("animations", {})
    fps = next((page["meta"]["fps"] for page in said if "fps" in page["meta"]), 0)
    return Atlas([_read_page(page) for page in said if page["frames"]], animations, fps)


def _read_page(said: Mapping[str, Any]) -> Page:
    meta, size = said["meta"], said["meta"]["size"]
    frames = [_read_frame(name, frame) for name, frame in said["frames"].items()]
    return Page(meta["image"], size["w"], size["h"], frames)


def _read_frame(name: str, said: Mapping[str, Any]) -> Frame:
    at, source = said["frame"], said["sourceSize"]
    trimmed = said.get("spriteSourceSize", {"x": 0, "y": 0})
    place = (at["x"], at["y"], at["w"], at["h"])
    return Frame(name, *place, trimmed["x"], trimmed["y"], source["w"], source["h"])


def describe_frame(frame: Frame) -> dict[str, Any]:
    """Return what TexturePacker's JSON says of a frame, besides its name."""
    return {
        "frame": {"x": frame.x, "y": frame.y, "w": frame.width, "h": frame.height},
        "rotated": False,
        "trimmed": frame.is_trimmed,
        "spriteSourceSize": {"x": frame.left, "y": frame.top, "w": frame.width, "h": frame.height},
        "sourceSize": {"w": frame.source_width, "h": frame.source_height},
    }
