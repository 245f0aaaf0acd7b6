"""The files that a project keeps, as data: `doit prune`, `store:push` and `models`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["ModelState", "ModelStates", "PrunedFiles", "PulledModels", "PushedImages", "UnusedFile"]


@dataclass(frozen=True)
class UnusedFile:
    """A file that nothing uses, or a line of a lock file.

    Attributes:
        path: of the file, in the project.
        kind: output: an image or derived file of no item; candidate: a variant that was not picked; preview: of an
            image that is gone; leftover: what a killed run left; line: there is no file any more, only a line in a lock
            file.
        lock: the lock file that has the line; null if it is not about one.
        action: remove, or keep: it stays, though nothing uses it.
        why: that is so.
        bytes: its size; 0 if there is no file.
    """

    path: str
    kind: Literal["output", "candidate", "preview", "leftover", "line"]
    lock: str | None
    action: Literal["remove", "keep"]
    why: str
    bytes: int


@dataclass(frozen=True)
class PrunedFiles:
    """What nothing uses any more.

    Attributes:
        is_removed: whether it was removed, or only would be.
        files: those to remove, and those that stay though nothing uses them.
        store_bytes: by which the store is over its limit; images that were not used for long are removed from it.
        bytes: of all that is to be removed, together.
    """

    is_removed: bool
    files: tuple[UnusedFile, ...]
    store_bytes: int
    bytes: int


@dataclass(frozen=True)
class PushedImages:
    """What the shared store has now.

    Attributes:
        store: its address.
        images: how many can be shared.
        unsent: how many of them still have to be uploaded.
        notes: what there is to say besides, such as why, a line each.
    """

    store: str
    images: int
    unsent: int
    notes: tuple[str, ...]


@dataclass(frozen=True)
class ModelState:
    """A model file that the project lists, or that the step cutout knows, and what is there of it.

    Attributes:
        name: as [tool.imagegen.models] lists it.
        state: partly: a download was cut short; other: the file of that name is not the listed one.
        path: where it is, or would be downloaded to.
        bytes: how many of them are there.
        size: of the whole file, in bytes; as it is listed, and so approximately, while it is not there.
        sha256: of the whole file, as it is listed.
        source: where it comes from: a repository on Hugging Face, or a host.
        licence_page: where its licence can be read; empty if that is not known.
        sd_models: models that the backend sd knows by name and that it is a file of.
    """

    name: str
    state: Literal["there", "partly", "missing", "other"]
    path: str
    bytes: int
    size: int
    sha256: str
    source: str
    licence_page: str
    sd_models: tuple[str, ...]


@dataclass(frozen=True)
class ModelStates:
    """The model files that the project lists.

    Attributes:
        models: all of them; and those of the step cutout that are there.
        missing_bytes: about how many are still to be downloaded.
    """

    models: tuple[ModelState, ...]
    missing_bytes: int


@dataclass(frozen=True)
class PulledModels:
    """The model files that were asked for, as they are now.

    Attributes:
        models: all of them.
        pulled: the names of those that were downloaded now.
    """

    models: tuple[ModelState, ...]
    pulled: tuple[str, ...]
