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
        task: name of the task, such as `portraits:mallsing`.
        path: path of the file, relative to the project.
        state: what became of the image; `unaccepted`: its acceptance was taken back; `fresh`: there was nothing to
            decide; `missing`: there is no file.
        note: further remark; empty if there is none.
    """

    task: str
    path: str
    state: Literal["accepted", "unaccepted", "fresh", "missing"]
    note: str


@dataclass(frozen=True)
class AcceptedFiles:
    """What became of the images that were named.

    Attributes:
        images: named images, except those with a problem.
    """

    images: tuple[AcceptedFile, ...]


@dataclass(frozen=True)
class Variant:
    """A variant's file.

    Attributes:
        task: name of its task: `portraits:mallsing-v3`, or `portraits:mallsing` if it is the picked image.
        path: path of the file, relative to the project.
        variant: number of the variant.
    """

    task: str
    path: str
    variant: int


@dataclass(frozen=True)
class Picked:
    """What became of an item.

    Attributes:
        item: name of the item, such as `portraits:mallsing`.
        variant: number of the variant that is the image now; null if all of them are.
        images: images of the item now: one, or all variants.
        candidates: variants that wait to be picked.
        state: state of the first image; `stale`: the next run generates it again; `kept`: its file stays as it is;
            `blocked`: its file must not be replaced.
        reasons: reasons why it is stale.
        derived: what became of the files that are made from the image.
        cost: cost of the files that are made from the image.
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
        task: name of the task, such as `portraits:mallsing`.
        path: path of the file, relative to the project.
        mark: mark of the image: `keep`, `reject` or `later`; null if it has none.
        note: text of its note; null if it has none.
        mark_time: time of its mark, in UTC; empty if it has none.
        mark_by: author of its mark; empty if that is not known.
        note_time: time of its note, in UTC; empty if it has none.
        note_by: author of its note; empty if that is not known.
        about_another_version: which of its mark and note are about another version than the current one.
    """

    task: str
    path: str
    mark: str | None
    note: str | None
    mark_time: str
    mark_by: str
    note_time: str
    note_by: str
    about_another_version: tuple[Literal["mark", "note"], ...]


@dataclass(frozen=True)
class ChangedMark:
    """A mark or a note that was changed.

    Attributes:
        task: name of the task, such as `portraits:mallsing`.
        kind: what was changed.
        value: mark or text of the note now; null if it was taken back.
    """

    task: str
    kind: Literal["mark", "note"]
    value: str | None


@dataclass(frozen=True)
class Marks:
    """What is said of images.

    Attributes:
        images: all images with a mark or a note, if nothing was changed.
        changed: marks and notes that were changed.
        unchanged: number of images that had the same mark or note already.
        without_image: number of images that got no mark because they have no file.
    """

    images: tuple[MarkedImage, ...] = ()
    changed: tuple[ChangedMark, ...] = ()
    unchanged: int = 0
    without_image: int = 0
