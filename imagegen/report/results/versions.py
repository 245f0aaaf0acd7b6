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
        pictures: number of pictures to generate.
        seconds: expected time for generating, in seconds; null unless it is known of each picture.
        price: expected price in US dollars, as far as it is known.
        unpriced: number of pictures whose price is not known.
    """

    pictures: int
    seconds: float | None
    price: float
    unpriced: int


@dataclass(frozen=True)
class Rerolled:
    """What became of a reroll.

    Attributes:
        images: what became of each picture, one after another; with `--count`, the last one of each image is the image.
        pictures: number of new pictures of each image.
        waiting: images whose new seed is recorded, and which the next run builds.
        cost: cost of all these pictures.
        forecast: what the reroll would come to, if it was not begun because nobody said yes; null otherwise.
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
        number: number in the list for `--to`, 1 being the newest.
        is_current: whether it is the image now.
        is_by_hand: whether somebody edited or accepted it.
        time: time at which it was generated, in UTC.
        path: path of a file that has it, relative to the project, to look at; that of an earlier version is in the
            store, and its name has no ending.
        sha256: sha256 of its file; `--to` takes the first digits.
        files: sha256 of each file of this version, including what the backend returned.
        backend: backend that generated it; empty if it is not known.
        model: model that generated it; empty if it is not known.
        prompt: prompt it was generated with; empty if it is not known.
        seed: seed it was generated with; null if none decided it.
        reasons: differences between what it was generated for and what the job asks for now.
    """

    number: int
    is_current: bool
    is_by_hand: bool
    time: str
    path: str
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
        task: name of the task, such as `portraits:mallsing`.
        path: path of the file, relative to the project.
        state: what became of the image; `fresh`: it was at this version already.
        number: number of the version in the list.
        time: time at which the version was generated, in UTC.
        seed: seed it was generated with; null if none decided it.
        sha256: sha256 of the file now.
        note: what keeps the image at this version; empty if nothing needs to.
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
        images: images that are now at the version asked for; none with `--list`.
        versions: versions of the image now, the newest first; empty if several images were named.
    """

    images: tuple[RestoredImage, ...]
    versions: tuple[Version, ...]
