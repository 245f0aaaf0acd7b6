"""What the gallery shows, as data: groups of pictures, each with how it was made and its earlier versions."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["STATES", "Group", "Making", "Picture", "Version", "Wanted"]

STATES = ("fresh", "stale", "missing", "edited", "failed")
"""Of a picture. edited: the file is not what was recorded. failed: there is none, and making it failed."""


@dataclass(frozen=True)
class Making:
    """How a picture was made, or, where there is none yet, how it will be.

    parameters: all that is not named apart, as texts. seed: empty where it is not drawn yet, or not honoured.
    seconds, time: None and empty where it is not made yet.
    """

    prompt: str
    negative: str
    seed: str
    backend: str
    model: str
    parameters: tuple[tuple[str, str], ...]
    backend_version: str = ""
    model_digest: str = ""
    seconds: float | None = None
    time: str = ""


@dataclass(frozen=True)
class Wanted:
    """A field in which the job now asks for something else than what the picture was made with."""

    field: str
    old: str
    new: str


@dataclass(frozen=True)
class Version:
    """An earlier version of a picture, whose image is in the store. sha256: of it there."""

    sha256: str
    making: Making


@dataclass(frozen=True)
class Picture:
    """One output.

    task: its name in doit, unique. part: what tells it from the others of its item (matrix cell, variant).
    path: relative to the project. sha256: of the file there, empty where there is none. size: of it, bytes.
    width, height: pixels, as planned. why: reasons and notes in words. earlier: newest first.
    derived: name and path of each file there that is derived from it alone.
    rerolls: whether `doit reroll` gives it another seed. pick: what to type behind `doit pick`; empty without variants.
    """

    task: str
    name: str
    part: str
    path: str
    state: str
    making: Making
    width: int
    height: int
    sha256: str = ""
    size: int = 0
    why: tuple[str, ...] = ()
    wanted: tuple[Wanted, ...] = ()
    failure: tuple[str, ...] = ()
    earlier: tuple[Version, ...] = ()
    derived: tuple[tuple[str, str], ...] = ()
    rerolls: bool = False
    pick: str = ""


@dataclass(frozen=True)
class Group:
    """One job. problems: why it is broken, located; its pictures are then what its lock file tells of."""

    name: str
    doc: str
    file: str
    pictures: tuple[Picture, ...]
    problems: tuple[str, ...] = ()
