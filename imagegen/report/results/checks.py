"""Whether everything is as it should be, as data: `doit doctor` and `verify`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

__all__ = ["Check", "Checks", "LocalServer", "VerifiedFile", "VerifiedFiles"]


@dataclass(frozen=True)
class LocalServer:
    """An image server that answers at a usual port of this machine.

    Attributes:
        settings: what uses it, in [tool.imagegen] of pyproject.toml; empty if it generates no images.
        missing: those of these settings that the project does not have yet.
    """

    settings: Mapping[str, str]
    missing: Mapping[str, str]


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        what: was looked at.
        state: ok, warning or wrong.
        found: what was found.
        hint: what to do about it, a command if there is one; empty if it is ok.
        blocks: whether it keeps a job from being built.
        server: with --find, of a port that answers; else null.
    """

    what: str
    state: Literal["ok", "warning", "wrong"]
    found: str
    hint: str
    blocks: bool
    server: LocalServer | None


@dataclass(frozen=True)
class Checks:
    """Whether everything that the jobs need is in place.

    Attributes:
        checks: all that was looked at.
        blocks: whether anything keeps a job from being built.
    """

    checks: tuple[Check, ...]
    blocks: bool


@dataclass(frozen=True)
class VerifiedFile:
    """A file that is not simply as it was generated.

    Attributes:
        task: the image, derived file or sheet that it is; null if it is none, or none any more.
        path: of the file, in the project.
        state: accepted: it was accepted by hand; new: not generated yet; pointer: one of Git LFS, whose content was not
            fetched; missing; changed: by hand; corrupt: its bytes are damaged; wrong: it cannot be read, or what is
            recorded of it does not fit; orphaned: it no longer belongs to any item.
        is_right: whether there is nothing to do.
        note: what was found.
        hint: what to do about it.
    """

    task: str | None
    path: str
    state: Literal["accepted", "new", "pointer", "missing", "changed", "corrupt", "wrong", "orphaned"]
    is_right: bool
    note: str
    hint: str


@dataclass(frozen=True)
class VerifiedFiles:
    """What was found of all files that were checked.

    Attributes:
        files: that are not intact, first those of images, then those of the store.
        counts: of the files of images, by state, the intact ones too.
        store_counts: of the files of the store, by state; null if it was not checked.
    """

    files: tuple[VerifiedFile, ...]
    counts: Mapping[str, int]
    store_counts: Mapping[str, int] | None
