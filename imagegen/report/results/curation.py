"""What is decided about images, as data: `doit accept`, `pick` and `mark`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from imagegen.report.run_summary import Cost, ImageOutcome, StaleReason

__all__ = ["AcceptedFile", "AcceptedFiles", "ChangedMark", "MarkedImage", "Marks", "Picked", "Variant"]


@dataclass(frozen=True)
class AcceptedFile:
    """What became of one image.

    Attributes:
        task: its name, `portraits:mallsing`.
        path: its file, in the project.
        state: accepted; unaccepted: that was taken back; fresh: there was nothing to decide; missing: there is no file.
        note: what else there is to say.
    """

    task: str
    path: str
    state: Literal["accepted", "unaccepted", "fresh", "missing"]
    note: str


@dataclass(frozen=True)
class AcceptedFiles:
    """What became of the images that were named.

    Attributes:
        images: each but those that have a problem.
    """

    images: tuple[AcceptedFile, ...]


@dataclass(frozen=True)
class Variant:
    """A variant's file.

    Attributes:
        task: its name: `portraits:mallsing-v3`, or `portraits:mallsing` if it is the image.
        path: its file, in the project.
        variant: its number.
    """

    task: str
    path: str
    variant: int


@dataclass(frozen=True)
class Picked:
    """What became of an item.

    Attributes:
        item: its name, `portraits:mallsing`.
        variant: the one that is the image now; null if all of them are.
        images: the item's images now: one, or all variants.
        candidates: the variants that wait to be picked.
        state: of the first image: fresh; stale: the next run generates it again; kept: it is left as it is; blocked:
            its file must not be replaced.
        reasons: why it is stale.
        derived: what became of the files that are made from the image.
        cost: of those.
    """

    item: str
    variant: int | None
    images: tuple[Variant, ...]
    candidates: tuple[Variant, ...]
    state: Literal["fresh", "stale", "kept", "blocked"]
    reasons: tuple[StaleReason, ...]
    derived: tuple[ImageOutcome, ...] = ()
    cost: Cost = field(default_factory=Cost)


@dataclass(frozen=True)
class MarkedImage:
    """What is said of an image.

    Attributes:
        task: its name, `portraits:mallsing`.
        path: its file, in the project.
        mark: keep, reject or later; null if it has none.
        note: its text; null if there is none.
        time: of the newest of both, in UTC.
        by: who said that; empty if that is not known.
        about_another_version: those of mark and note that are about another version than the one that is there now.
    """

    task: str
    path: str
    mark: str | None
    note: str | None
    time: str
    by: str
    about_another_version: tuple[Literal["mark", "note"], ...]


@dataclass(frozen=True)
class ChangedMark:
    """A mark or a note that was changed.

    Attributes:
        task: the image's name.
        kind: mark or note.
        value: it has now; null if it was taken back.
    """

    task: str
    kind: Literal["mark", "note"]
    value: str | None


@dataclass(frozen=True)
class Marks:
    """What is said of images.

    Attributes:
        images: all that have a mark or a note, if they were to be listed.
        changed: the marks and notes that were changed, if any were given.
        unchanged: images that had them already.
        without_image: images that there is no file of, and that so got no mark.
    """

    images: tuple[MarkedImage, ...] = ()
    changed: tuple[ChangedMark, ...] = ()
    unchanged: int = 0
    without_image: int = 0
