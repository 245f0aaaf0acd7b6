"""The model files that the project lists: where each belongs on this machine, and what is there. Downloads nothing."""

from __future__ import annotations

import os
import shutil
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from imagegen.backends.comfyui.launch import TREE
from imagegen.backends.comfyui.models import digest_of, model_folders
from imagegen.backends.download import partial_path
from imagegen.backends.text import size_text
from imagegen.config.models import ModelFile
from imagegen.config.settings import Settings
from imagegen.errors import ImagegenError, Problem, did_you_mean

__all__ = [
    "Listed",
    "free_bytes",
    "look",
    "memory_of",
    "missing_models",
    "named",
    "obstacles",
    "path_of",
    "shown",
]

State = Literal["there", "partly", "missing", "other"]


@dataclass(frozen=True)
class Listed:
    """How it stands with one of them.

    path: where it is, or would be downloaded to. state: `there`; `partly`: a download was cut short; `other`: a
    file of that name that is not the listed one. bytes: of what is there, whole or in part.
    """

    model: ModelFile
    path: Path
    state: State
    bytes: int = 0

    @property
    def lacking(self) -> int:
        """Bytes that are to be downloaded, about."""
        return max(0, self.model.size - self.bytes) if self.state in ("partly", "missing") else 0


def path_of(root: Path, settings: Settings, model: ModelFile) -> Path:
    """Where it is downloaded to: in the first of the user's own folders of its kind, else in ComfyUI's."""
    own = dict(settings.comfyui_model_paths).get(model.folder, ())
    return (root / own[0] if own else root / TREE / "models" / model.folder) / model.name


def memory_of(root: Path) -> Path:
    """Where the sha256 of models is remembered."""
    return root / ".imagegen" / "cache" / "models.json"


def look(root: Path, settings: Settings, model: ModelFile) -> Listed:
    """What is there of it; a file whose sha256 is not remembered is read. It may be in any folder of its kind."""
    target = path_of(root, settings, model)
    for path in (target, *_others(root, settings, model)):
        size = _size(path)
        if size is None or not model.least <= size <= model.most:
            continue
        if digest_of(str(path), memory_of(root)) == model.sha256:
            return Listed(model, path, "there", size)
    if os.path.lexists(target):
        return Listed(model, target, "other", _size(target) or 0)
    begun = _size(partial_path(target))
    return Listed(model, target, "missing" if begun is None else "partly", begun or 0)


def named(models: Sequence[ModelFile], names: Sequence[str]) -> list[ModelFile]:
    """The models of these names, all where there are none. Raises ImagegenError where one is not listed."""
    known = {model.key: model for model in models}
    unknown = [name for name in names if name not in known]
    if unknown:
        hint = f"listed are {', '.join(known)}" if known else "list it in [tool.imagegen.models] of pyproject.toml"
        raise ImagegenError(
            *(Problem("", f"no model '{name}' is listed{did_you_mean(name, known)}", hint) for name in unknown)
        )
    return [known[name] for name in dict.fromkeys(names)] or list(models)


def missing_models(root: Path, settings: Settings) -> dict[str, str]:
    """ComfyUI's name of each listed model that no folder has → the command that downloads it. Reads no file."""
    keys: dict[str, list[str]] = defaultdict(list)
    for model in settings.models:
        places = [path_of(root, settings, model), *_others(root, settings, model)]
        if not any(os.path.lexists(path) for path in places):
            keys[model.name].append(model.key)
    return {name: f"doit models:pull {' '.join(found)}" for name, found in keys.items()}


def obstacles(root: Path, wanted: Sequence[Listed]) -> Iterator[Problem]:
    """All that is known to keep these from being downloaded, before any is asked for."""
    for one in wanted:
        if one.state == "other":
            what = f"{shown(root, one.path)} is there and is not the file that is listed"
            yield Problem(
                one.model.key, what, "move it away; or correct size and sha256, or give the model another name"
            )
    lacking = [one for one in wanted if one.lacking]
    disks: dict[int, list[Listed]] = defaultdict(list)
    for one in lacking:
        disks[_existing(one.path).stat().st_dev].append(one)
    for on_disk in disks.values():
        needed, free = sum(one.lacking for one in on_disk), free_bytes(on_disk[0].path)
        if needed > free:
            names = ", ".join(one.model.key for one in on_disk)
            where = shown(root, on_disk[0].path.parent)
            what = f"{names}: {size_text(needed)} to download, and {size_text(free)} free on the disk of {where}"
            yield Problem("", what, "make room, or move the folder: comfyui.model_paths in [tool.imagegen.comfyui]")


def free_bytes(path: Path) -> int:
    """Bytes that are free on the disk that the path is, or would be, on."""
    return shutil.disk_usage(_existing(path)).free


def shown(root: Path, path: Path) -> str:
    """A path for a person: from the project where it lies in it."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)


def _others(root: Path, settings: Settings, model: ModelFile) -> list[Path]:
    """Where else it may be: in another folder that ComfyUI looks in for this kind."""
    folders: Mapping[str, Sequence[str]] = model_folders(root, settings)
    own = dict(settings.comfyui_model_paths).get(model.folder, ())
    comfyui = root / TREE / "models" / model.folder
    return [root / folder / model.name for folder in (*own[1:], *folders.get(model.folder, ()), str(comfyui))]


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size if path.is_file() else None
    except OSError:
        return None


def _existing(path: Path) -> Path:
    """The nearest folder above the path that is there."""
    return next(folder for folder in path.absolute().parents if folder.exists())
