"""Other versions of images, as data: `doit reroll` and `restore`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from imagegen.report.run_summary import Cost, ImageOutcome, StaleReason

__all__ = ["RerollForecast", "Rerolled", "RestoredImage", "RestoredImages", "Version"]


@dataclass(frozen=True)
class RerollForecast:
    """What a reroll comes to.

    Attributes:
        pictures: to generate.
        seconds: that they take; null if that is not known of each.
        price: of them, in US dollars, as far as that is known.
        unpriced: of how many the price is not known.
    """

    pictures: int
    seconds: float | None
    price: float
    unpriced: int


@dataclass(frozen=True)
class Rerolled:
    """What became of a reroll.

    Attributes:
        images: what became of each picture, one after another; with `--count`, the last of each image is the image.
        pictures: that there are of each image now, and were not before.
        waiting: images whose new seed is recorded, but not built yet: the next run builds them.
        cost: of all of them.
        forecast: what it comes to, if it was not begun without a yes; else null.
    """

    images: tuple[ImageOutcome, ...] = ()
    pictures: int = 0
    waiting: tuple[str, ...] = ()
    cost: Cost = field(default_factory=Cost)
    forecast: RerollForecast | None = None


@dataclass(frozen=True)
class Version:
    """A version of an image.

    Attributes:
        number: in the list, the newest is 1. `--to` takes it.
        is_current: whether it is the image now.
        is_by_hand: whether somebody edited it, or accepted it.
        time: when it was generated, in UTC.
        sha256: of its file, of which `--to` takes the beginning.
        files: the sha256 of every file that there is of it, also of what the backend returned.
        backend: that generated it; empty if that is not known, as of the others.
        model: that generated it.
        prompt: it was generated with.
        seed: it was generated with; null if none decided it.
        reasons: how what it was generated for differs from what the job asks for now.
    """

    number: int
    is_current: bool
    is_by_hand: bool
    time: str
    sha256: str
    files: tuple[str, ...]
    backend: str
    model: str
    prompt: str
    seed: int | None
    reasons: tuple[StaleReason, ...]


@dataclass(frozen=True)
class RestoredImage:
    """What became of one image.

    Attributes:
        task: its name, `portraits:mallsing`.
        path: its file, in the project.
        state: restored; fresh: it was at this version already.
        number: of the version, in the list as it was before.
        time: when that was generated, in UTC.
        seed: it was generated with; null if none decided it.
        sha256: of the file now.
        note: how it stays, if that took a decision.
    """

    task: str
    path: str
    state: Literal["restored", "fresh"]
    number: int
    time: str
    seed: int | None
    sha256: str
    note: str


@dataclass(frozen=True)
class RestoredImages:
    """What became of the images that were named.

    Attributes:
        images: that are at the version asked for now; none with `--list`.
        versions: of the image, the newest first, before it was restored; empty if several were named.
    """

    images: tuple[RestoredImage, ...]
    versions: tuple[Version, ...]
