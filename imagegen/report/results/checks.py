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
        settings: settings to use the server with, in [tool.imagegen] of pyproject.toml; empty if it generates no
            images.
        missing: those of these settings that the project does not have yet.
    """

    settings: Mapping[str, str]
    missing: Mapping[str, str]


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        what: what was checked.
        state: result of the check.
        found: what was found.
        hint: what to do about it, a command if there is one; empty if all is well.
        blocks: whether it keeps a job from being built.
        server: server at this port, with `--find`; null otherwise.
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
        checks: all checks.
        blocks: whether anything keeps a job from being built.
    """

    checks: tuple[Check, ...]
    blocks: bool


FileState = Literal["intact", "accepted", "new", "pointer", "missing", "changed", "corrupt", "wrong", "orphaned"]


@dataclass(frozen=True)
class VerifiedFile:
    """A file that is not simply as it was generated.

    Attributes:
        task: name of the task that the file is an output of; null if there is none (any more).
        path: path of the file, relative to the project.
        state: state of the file; `accepted`: by hand; `new`: not generated yet; `pointer`: a pointer of Git LFS, whose
            content was not fetched; `changed`: by hand; `corrupt`: its bytes are damaged; `wrong`: it cannot be read,
            or does not match its record; `orphaned`: it no longer belongs to any item.
        is_right: whether there is nothing to do.
        note: what was found.
        hint: what to do about it.
    """

    task: str | None
    path: str
    state: FileState
    is_right: bool
    note: str
    hint: str


@dataclass(frozen=True)
class VerifiedFiles:
    """What was found of all files that were checked.

    Attributes:
        files: files that are not intact: those of images, then those of the store.
        counts: number of images' files by state, the intact ones too.
        store_counts: number of the store's files by state; null if the store was not checked.
    """

    files: tuple[VerifiedFile, ...]
    counts: Mapping[FileState, int]
    store_counts: Mapping[FileState, int] | None
