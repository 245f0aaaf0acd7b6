"""Model files on this machine: where they are looked for, which the project lists, and what is there.

They are in folders named after their kind, as ComfyUI's are, for all backends alike. All of these are searched:

- those of `comfyui.model_paths`, and of ComfyUI's extra_model_paths.yaml;
- `tools/ComfyUI/models`;
- `tools/models`, which belongs to no program. ComfyUI looks there too: see comfyui/install.

A download goes to the first folder of `comfyui.model_paths` for its kind. Without one it goes to `tools/models`; only
where there is a `tools/ComfyUI` and no `tools/models` yet, to ComfyUI's own.

Source of the kinds and endings: ComfyUI's folder_paths, v0.33.0. Nothing is downloaded here.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from imagegen.backends.text import size_text
from imagegen.config.models import ModelFile
from imagegen.config.settings import Settings
from imagegen.errors import InputError, Problem, did_you_mean

__all__ = [
    "EXTRA_PATHS",
    "FOLDER",
    "KINDS",
    "MODELS",
    "Folders",
    "ListedModel",
    "describe_download",
    "digest_cache",
    "display_path",
    "download_path",
    "find_file",
    "find_missing_models",
    "find_obstacles",
    "free_bytes",
    "hash_model",
    "inspect_model",
    "list_candidates",
    "list_model_folders",
    "list_names",
    "remember_digest",
    "select_models",
]

FOLDER = Path("tools/ComfyUI")
"""Where ComfyUI is, from the project's root."""
MODELS = Path("tools/models")
"""Model files of no program's own."""
Folders = Mapping[str, Sequence[str]]
"""Kind of model, as ComfyUI calls its folder → absolute folders, the first one counting most."""
KINDS: Mapping[str, tuple[str, ...]] = {
    "ckpt_name": ("checkpoints",),
    "unet_name": ("diffusion_models", "unet"),
    "lora_name": ("loras",),
    "vae_name": ("vae",),
    "clip_name": ("text_encoders", "clip"),
    "clip_name1": ("text_encoders", "clip"),
    "clip_name2": ("text_encoders", "clip"),
    "control_net_name": ("controlnet",),
}
"""An input's name in ComfyUI's loaders → the kinds of model that it names one of."""
EXTRA_PATHS = f"{FOLDER}/extra_model_paths.yaml"
_PARENTS = (FOLDER / "models", MODELS)
_ENDINGS = (".safetensors", ".ckpt", ".sft", ".pt", ".pth", ".bin", ".gguf")
_ALL_KINDS = frozenset(kind for kinds in KINDS.values() for kind in kinds)


def list_model_folders(root: Path, settings: Settings) -> Folders:
    """Return the project's model folders: the settings', ComfyUI's, tools/models, and extra_model_paths.yaml's."""
    found: dict[str, list[str]] = {"checkpoints": [os.path.abspath(root / f) for f in settings.comfyui_checkpoint_dirs]}  # noqa: PTH100 - it follows no link
    for kind, own in settings.comfyui_model_paths:
        found.setdefault(kind, []).extend(os.path.abspath(root / folder) for folder in own)  # noqa: PTH100 - as above
    for kind in sorted(_ALL_KINDS):
        found.setdefault(kind, []).extend(str(root / parent / kind) for parent in _PARENTS)
    for kind, folder in _read_extra_paths(root / EXTRA_PATHS):
        if folder not in found.setdefault(kind, []):
            found[kind].append(folder)
    return found


def _read_extra_paths(file: Path) -> Iterator[tuple[str, str]]:
    """Yield the kinds and folders of an extra_model_paths.yaml; nothing if it is not valid, which ComfyUI reports."""
    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return
    import yaml  # not on the way of a project without one

    with contextlib.suppress(yaml.YAMLError, AttributeError):
        for section in (yaml.safe_load(text) or {}).values():
            base = os.path.expandvars(os.path.expanduser(section.pop("base_path", "")))  # noqa: PTH111 - as ComfyUI does
            for kind, folders in section.items():
                for folder in str(folders).splitlines() if kind != "is_default" else ():
                    if folder.strip():
                        yield str(kind), str((file.parent / base / folder.strip()).absolute())


def list_names(folders: Iterable[str]) -> list[str]:
    """Return the model files in these folders and below, as ComfyUI names them, with `/` before a file."""
    found = set()
    for folder in folders:
        for path, _, files in os.walk(folder, followlinks=True):
            inner = os.path.relpath(path, folder).replace(os.sep, "/")
            prefix = "" if inner == "." else f"{inner}/"
            found |= {prefix + name for name in files if name.lower().endswith(_ENDINGS)}
    return sorted(found)


def find_file(name: str, folders: Iterable[str]) -> str:
    """Return the path of that name in the first folder that has it; empty if none does."""
    return next(filter(os.path.isfile, list_candidates(name, folders)), "")


def list_candidates(name: str, folders: Iterable[str]) -> list[str]:
    """Return the path of that name in each of the folders."""
    parts = name.replace("\\", "/").split("/")
    return [os.path.join(folder, *parts) for folder in folders] if name else []  # noqa: PTH118 - thousands of times in a plan


def hash_model(path: str, cache: Path) -> str | None:
    """Return a file's sha256 (hex); None if it cannot be read. It is read again only if its size or mtime has changed.

    Args:
        cache: a JSON file that remembers it, which may be deleted.
    """
    try:
        stat = os.stat(path)  # noqa: PTH116 - as above
        known = _read_cache(cache).get(path)
        if isinstance(known, list) and known[:2] == [stat.st_size, stat.st_mtime_ns]:
            return str(known[2])
        with open(path, "rb") as file:  # noqa: PTH123 - as above
            digest = _sha256(file)
    except OSError:
        return None
    _remember(path, stat, digest, cache)
    return digest


def remember_digest(path: str, digest: str, cache: Path) -> None:
    """Remember the sha256 of a file that was just written, so that it is not read again. Raises OSError."""
    _remember(path, os.stat(path), digest, cache)  # noqa: PTH116 - as above


def _remember(path: str, stat: os.stat_result, digest: str, cache: Path) -> None:
    _CACHES[cache] = {**_read_cache(cache), path: [stat.st_size, stat.st_mtime_ns, digest]}
    with contextlib.suppress(OSError):  # then it is read again next time
        cache.parent.mkdir(parents=True, exist_ok=True)
        written = cache.with_name(f".{uuid.uuid4().hex}.tmp")
        written.write_text(json.dumps(_CACHES[cache]), encoding="utf-8")
        written.replace(cache)


_CACHES: dict[Path, dict[str, Any]] = {}


def _read_cache(cache: Path) -> dict[str, Any]:
    if cache not in _CACHES:
        try:
            found = json.loads(cache.read_bytes())
        except (OSError, ValueError):
            found = {}
        _CACHES[cache] = found if isinstance(found, dict) else {}
    return _CACHES[cache]


def _sha256(file: Any) -> str:
    found = hashlib.sha256()
    while part := file.read(1024 * 1024):
        found.update(part)
    return found.hexdigest()


State = Literal["there", "partly", "missing", "other"]


@dataclass(frozen=True)
class ListedModel:
    """A model that the project lists, and what is there of it.

    Attributes:
        path: where it is, or would be downloaded to.
        state: partly: a download was cut short; other: the file of that name is not the listed one.
        bytes: how many of them are there.
    """

    model: ModelFile
    path: Path
    state: State
    bytes: int = 0

    @property
    def missing_bytes(self) -> int:
        """About how many bytes are still to be downloaded."""
        return max(0, self.model.size - self.bytes) if self.state in ("partly", "missing") else 0


def download_path(root: Path, settings: Settings, model: ModelFile) -> Path:
    """Return where it is downloaded to: see the module."""
    own = dict(settings.comfyui_model_paths).get(model.folder, ())
    if own:
        return root / own[0] / model.name
    is_comfyuis = (root / FOLDER).exists() and not (root / MODELS).exists()
    return root / (FOLDER / "models" if is_comfyuis else MODELS) / model.folder / model.name


def digest_cache(root: Path) -> Path:
    """Return the file that remembers the sha256 of models."""
    return root / ".imagegen" / "cache" / "models.json"


def inspect_model(root: Path, settings: Settings, model: ModelFile) -> ListedModel:
    """Look for a listed model in all folders of its kind; a file whose sha256 is not remembered is read."""
    target = download_path(root, settings, model)
    for path in (target, *_list_other_paths(root, settings, model)):
        size = _size(path)
        if size is None or not model.least <= size <= model.most:
            continue
        if hash_model(str(path), digest_cache(root)) == model.sha256:
            return ListedModel(model, path, "there", size)
    if os.path.lexists(target):
        return ListedModel(model, target, "other", _size(target) or 0)
    from imagegen.backends.download import partial_path  # not needed by a run with nothing to do

    begun = _size(partial_path(target))
    return ListedModel(model, target, "missing" if begun is None else "partly", begun or 0)


def select_models(models: Sequence[ModelFile], names: Sequence[str]) -> list[ModelFile]:
    """Return the models of these names, or all if there are none. Raises ImagegenError if one is not listed."""
    known = {model.key: model for model in models}
    unknown = [name for name in names if name not in known]
    if unknown:
        hint = f"listed are {', '.join(known)}" if known else "list it in [tool.imagegen.models] of pyproject.toml"
        raise InputError(
            *(Problem("", f"no model '{name}' is listed{did_you_mean(name, known)}", hint) for name in unknown)
        )
    return [known[name] for name in dict.fromkeys(names)] or list(models)


def find_missing_models(root: Path, settings: Settings) -> dict[str, str]:
    """Return the name of each listed model's file that is not there → the command that downloads it. Reads no file."""
    keys: dict[str, list[str]] = defaultdict(list)
    for model in settings.models:
        places = [download_path(root, settings, model), *_list_other_paths(root, settings, model)]
        if not any(os.path.lexists(path) for path in places):
            keys[model.name].append(model.key)
    return {name: f"doit models:pull {' '.join(found)}" for name, found in keys.items()}


def find_obstacles(root: Path, wanted: Sequence[ListedModel]) -> Iterator[Problem]:
    """Yield everything that would keep these from being downloaded, before any is."""
    for one in wanted:
        if one.state == "other":
            what = f"{display_path(root, one.path)} exists, but is not the file that is listed"
            yield Problem(one.model.key, what, "move it away, correct size and sha256, or give the model another name")
    missing = [one for one in wanted if one.missing_bytes]
    disks: dict[int, list[ListedModel]] = defaultdict(list)
    for one in missing:
        disks[_find_existing_folder(one.path).stat().st_dev].append(one)
    for on_disk in disks.values():
        needed, free = sum(one.missing_bytes for one in on_disk), free_bytes(on_disk[0].path)
        if needed > free:
            names = ", ".join(one.model.key for one in on_disk)
            where = display_path(root, on_disk[0].path.parent)
            what = f"{names}: {size_text(needed)} to download, but only {size_text(free)} free on the disk of {where}"
            yield Problem("", what, "make room, or move the folder: comfyui.model_paths in [tool.imagegen.comfyui]")


def describe_download(missing: Sequence[ListedModel]) -> str:
    """Return how much there is to download, and the room for it."""
    needed, free = sum(one.missing_bytes for one in missing), free_bytes(missing[0].path)
    return f"{size_text(needed)} to download, {size_text(free)} free"


def free_bytes(path: Path) -> int:
    """Return the bytes that are free on the disk that the path is, or would be, on."""
    return shutil.disk_usage(_find_existing_folder(path)).free


def display_path(root: Path, path: Path) -> str:
    """Return a path for a person: relative to the project if it is inside."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)


def _list_other_paths(root: Path, settings: Settings, model: ModelFile) -> list[Path]:
    """Return where else it may be: the other folders of its kind."""
    folders: Mapping[str, Sequence[str]] = list_model_folders(root, settings)
    own = dict(settings.comfyui_model_paths).get(model.folder, ())
    parents = [str(root / parent / model.folder) for parent in _PARENTS]
    return [root / folder / model.name for folder in (*own[1:], *folders.get(model.folder, ()), *parents)]


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size if path.is_file() else None
    except OSError:
        return None


def _find_existing_folder(path: Path) -> Path:
    """Return the nearest folder above the path that exists."""
    return next(folder for folder in path.absolute().parents if folder.exists())
