"""Pages for people, as data: `doit gallery`, `review`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["GalleryPage", "ServedPage"]


@dataclass(frozen=True)
class GalleryPage:
    """The page that shows every image.

    Attributes:
        path: its file, in the project.
        url: to open it on this machine.
        state: written; or fresh: it showed everything already.
        images: that it shows.
        thumbnails: that are new.
        broken_jobs: whose images are shown as they were last recorded.
        is_opened: whether a browser was asked to open it.
    """

    path: str
    url: str
    state: Literal["written", "fresh"]
    images: int
    thumbnails: int
    broken_jobs: tuple[str, ...]
    is_opened: bool


@dataclass(frozen=True)
class ServedPage:
    """A page that was served until Ctrl-C. Its addresses are in the event `serving` too, from the beginning.

    Attributes:
        urls: it had.
        is_for_other_machines: whether these reached it too.
    """

    urls: tuple[str, ...]
    is_for_other_machines: bool
