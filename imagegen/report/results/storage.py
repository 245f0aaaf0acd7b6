"""The files that a project keeps, as data: `doit prune`, `store:push` and `models`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["ModelState", "ModelStates", "PrunedFiles", "PulledModels", "PushedImages", "UnusedFile"]


@dataclass(frozen=True)
class UnusedFile:
    """A file that nothing uses, or a line of a lock file.

    Attributes:
        path: path of the file, relative to the project.
        kind: what it is; `output`: an image or derived file of no item; `candidate`: a variant that was not picked;
            `preview`: a preview of an image that is gone; `leftover`: left by a killed run; `line`: a line in a lock
            file, whose file is gone.
        lock: lock file that records it; null if none does.
        action: whether it is removed, or kept though nothing uses it.
        why: reason for that.
        bytes: size of the file in bytes; 0 if there is none.
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
        is_removed: whether the files were removed, or only would be.
        files: unused files: those to remove, and those that are kept.
        store_bytes: bytes by which the store is over its limit; the images not used for longest are removed from it.
        bytes: size of everything to remove, in bytes.
    """

    is_removed: bool
    files: tuple[UnusedFile, ...]
    store_bytes: int
    bytes: int


@dataclass(frozen=True)
class PushedImages:
    """What the shared store has now.

    Attributes:
        store: address of the shared store.
        images: number of images that can be shared.
        unsent: number of these that still have to be uploaded.
        notes: further remarks, such as why images are not uploaded, one line each.
    """

    store: str
    images: int
    unsent: int
    notes: tuple[str, ...]


@dataclass(frozen=True)
class ModelState:
    """A model file that the project lists, or that the step cutout knows, and what is there of it.

    Attributes:
        name: name in [tool.imagegen.models].
        state: whether the file is there; `partly`: a download was cut short; `other`: a file with that name is there,
            but not the listed one.
        path: path of the file, or where it would be downloaded to.
        bytes: number of bytes that are there.
        size: size of the whole file in bytes; as listed, and so approximate, while the file is not there.
        sha256: sha256 of the whole file, as listed.
        source: where the file comes from: a repository on Hugging Face, or a host.
        licence_page: address of its licence; empty if it is not known.
        sd_models: models known to the backend sd by name that the file is part of.
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
        models: all listed model files, and those of the step cutout that are there.
        missing_bytes: bytes still to be downloaded, approximately.
    """

    models: tuple[ModelState, ...]
    missing_bytes: int


@dataclass(frozen=True)
class PulledModels:
    """The model files that were asked for, as they are now.

    Attributes:
        models: model files that were asked for.
        pulled: names of those that were downloaded now.
    """

    models: tuple[ModelState, ...]
    pulled: tuple[str, ...]
