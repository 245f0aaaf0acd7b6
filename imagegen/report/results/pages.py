"""Pages for people, as data: `doit gallery` and `review`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["GalleryPage", "ServedPage"]


@dataclass(frozen=True)
class GalleryPage:
    """The page that shows every image.

    Attributes:
        path: path of the page, relative to the project.
        url: address to open the page on this machine.
        state: whether the page was written, or was up to date.
        images: number of images on the page.
        thumbnails: number of new thumbnails.
        broken_jobs: broken jobs, whose images are shown as last recorded.
        is_opened: whether a browser was asked to open the page.
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
        urls: addresses of the page.
        is_for_other_machines: whether other machines could reach it.
    """

    urls: tuple[str, ...]
    is_for_other_machines: bool
