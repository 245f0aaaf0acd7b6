"""What the gallery's page shows, as data: pictures in groups, with what is known of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

__all__ = [
    "STATES",
    "Candidate",
    "DerivedFile",
    "FieldChange",
    "Frame",
    "Group",
    "Picture",
    "Provenance",
    "ShownRemark",
    "State",
    "Version",
]

State = Literal["fresh", "stale", "missing", "edited", "failed"]
"""Of a picture. edited: the file is not what was recorded. failed: there is none, and generating it failed."""
STATES: tuple[State, ...] = get_args(State)


@dataclass(frozen=True)
class Provenance:
    """How a picture was generated, or, if there is none yet, how it will be.

    Attributes:
        seed: empty if it is not chosen yet, or not honoured.
        parameters: all other fields of the request, as texts.
        seconds: None if it is not generated yet; then time is empty.

    """

    prompt: str
    negative: str
    seed: str
    backend: str
    model: str
    parameters: tuple[tuple[str, str], ...]
    version: str = ""
    digest: str = ""
    seconds: float | None = None
    time: str = ""


@dataclass(frozen=True)
class FieldChange:
    """A field in which the job now asks for something else than what the picture shows."""

    field: str
    old: str
    new: str


@dataclass(frozen=True)
class Version:
    """An earlier version of a picture, whose image is in the store under its sha256."""

    sha256: str
    provenance: Provenance


@dataclass(frozen=True)
class Candidate:
    """A variant that was not picked: it is no output while another one is.

    Attributes:
        path: of its file, empty if it has none here.
        sha256: of its file, or of an image of it in the store.

    """

    number: int
    path: str
    sha256: str
    provenance: Provenance


@dataclass(frozen=True)
class DerivedFile:
    """A file that is derived from one picture alone.

    Attributes:
        name: of its entry in the job.
        steps: in which it is made, in words; empty if it has none.
        why: reasons and notes in words, or why it failed.
        sha256: empty if there is no file, or none that can be shown.
        size: in bytes.

    """

    name: str
    path: str
    state: State
    steps: str
    why: tuple[str, ...]
    sha256: str
    size: int


@dataclass(frozen=True)
class Frame:
    """Where a picture is on a sheet.

    Attributes:
        name: as in the sheet's index.
        task: of the picture; there may be none of it.
        box: left, top, width and height in parts of the sheet's width and height, 0 to 1.

    """

    name: str
    task: str
    box: tuple[float, float, float, float]


@dataclass(frozen=True)
class ShownRemark:
    """A mark or a note of a picture. is_current: whether it is about the file that is there now."""

    value: str
    time: str
    by: str
    is_current: bool


@dataclass(frozen=True)
class Picture:
    """One output, as a card of the gallery shows it: an image, or a sheet of images; or a file that others follow from.

    Attributes:
        part: what tells it from the others of its item: matrix cell, variant.
        width: pixels, as planned; so is height.
        sha256: of the file, empty if there is none.
        size: of the file, in bytes.
        why: reasons and notes in words.
        earlier: newest first.
        derived: the files that are derived from it alone.
        frames: of a sheet: where each image is on it.
        is_given: whether it is a file that was there already, and no output.
        rerolls: whether `doit reroll` gives it another seed.
        item: the task of its item, which is its own if it is the picked variant; empty without variants.
        variant: its number; 0 without variants.
        candidates: of a picked one: the other variants whose images are here.

    """

    task: str
    name: str
    part: str
    path: str
    state: State
    provenance: Provenance
    width: int
    height: int
    sha256: str = ""
    size: int = 0
    why: tuple[str, ...] = ()
    wanted: tuple[FieldChange, ...] = ()
    failure: tuple[str, ...] = ()
    earlier: tuple[Version, ...] = ()
    derived: tuple[DerivedFile, ...] = ()
    frames: tuple[Frame, ...] = ()
    is_given: bool = False
    rerolls: bool = False
    item: str = ""
    variant: int = 0
    candidates: tuple[Candidate, ...] = ()
    mark: ShownRemark | None = None
    note: ShownRemark | None = None


@dataclass(frozen=True)
class Group:
    """One job. If it has problems, its pictures are those that its lock file records.

    notices: what keeps something from being shown, and not from being built.
    """

    name: str
    doc: str
    file: str
    pictures: tuple[Picture, ...]
    problems: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()
