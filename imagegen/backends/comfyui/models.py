"""Model files on this machine: where ComfyUI looks for them, which there are, and a checkpoint's sha256.

Source of the folders and endings: ComfyUI's folder_paths, v0.33.0.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from imagegen.backends.comfyui.launch import TREE
from imagegen.config.settings import Settings

__all__ = ["EXTRA_PATHS", "KINDS", "Folders", "digest_of", "file_of", "model_folders", "names_in", "note_digest"]

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
EXTRA_PATHS = f"{TREE}/extra_model_paths.yaml"
_ENDINGS = (".safetensors", ".ckpt", ".sft", ".pt", ".pth", ".bin", ".gguf")
_ALL_KINDS = frozenset(kind for kinds in KINDS.values() for kind in kinds)


def model_folders(root: Path, settings: Settings) -> Folders:
    """The folders of the project at `root`: the settings', ComfyUI's own, and those of its extra_model_paths.yaml."""
    found: dict[str, list[str]] = {"checkpoints": [os.path.abspath(root / f) for f in settings.comfyui_checkpoint_dirs]}  # noqa: PTH100 - it follows no link
    for kind, own in settings.comfyui_model_paths:
        found.setdefault(kind, []).extend(os.path.abspath(root / folder) for folder in own)  # noqa: PTH100 - as above
    for kind in sorted(_ALL_KINDS):
        found.setdefault(kind, []).append(str(root / TREE / "models" / kind))
    for kind, folder in _extra(root / EXTRA_PATHS):
        if folder not in found.setdefault(kind, []):
            found[kind].append(folder)
    return found


def _extra(file: Path) -> Iterator[tuple[str, str]]:
    """The kinds and folders of an extra_model_paths.yaml; nothing where it cannot be read, as ComfyUI itself says."""
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


def names_in(folders: Iterable[str]) -> list[str]:
    """The model files in these folders and below, as ComfyUI names them, with `/` between a folder and a file."""
    found = set()
    for folder in folders:
        for path, _, files in os.walk(folder, followlinks=True):
            inner = os.path.relpath(path, folder).replace(os.sep, "/")
            prefix = "" if inner == "." else f"{inner}/"
            found |= {prefix + name for name in files if name.lower().endswith(_ENDINGS)}
    return sorted(found)


def file_of(name: str, folders: Iterable[str]) -> str:
    """The file of that name in the first folder that has it; empty where none does."""
    for folder in folders if name else ():
        path = os.path.join(folder, *name.replace("\\", "/").split("/"))  # noqa: PTH118 - thousands of times in a plan
        if os.path.isfile(path):  # noqa: PTH113 - as above
            return path
    return ""


def digest_of(path: str, memory: Path) -> str | None:
    """sha256 (hex) of a file, read once while its size and mtime stay; None where it cannot be read.

    memory: a JSON file that keeps it, which may be deleted.
    """
    try:
        stat = os.stat(path)  # noqa: PTH116 - as above
        known = _remembered(memory).get(path)
        if isinstance(known, list) and known[:2] == [stat.st_size, stat.st_mtime_ns]:
            return str(known[2])
        with open(path, "rb") as file:  # noqa: PTH123 - as above
            digest = _sha256(file)
    except OSError:
        return None
    _remember(path, stat, digest, memory)
    return digest


def note_digest(path: str, digest: str, memory: Path) -> None:
    """Remember the sha256 of a file that was just written, so that it is not read for it. Raises OSError."""
    _remember(path, os.stat(path), digest, memory)  # noqa: PTH116 - as above


def _remember(path: str, stat: os.stat_result, digest: str, memory: Path) -> None:
    _MEMORIES[memory] = {**_remembered(memory), path: [stat.st_size, stat.st_mtime_ns, digest]}
    with contextlib.suppress(OSError):  # then it is read again next time
        memory.parent.mkdir(parents=True, exist_ok=True)
        written = memory.with_name(f".{uuid.uuid4().hex}.tmp")
        written.write_text(json.dumps(_MEMORIES[memory]), encoding="utf-8")
        written.replace(memory)


_MEMORIES: dict[Path, dict[str, Any]] = {}


def _remembered(memory: Path) -> dict[str, Any]:
    if memory not in _MEMORIES:
        try:
            found = json.loads(memory.read_bytes())
        except (OSError, ValueError):
            found = {}
        _MEMORIES[memory] = found if isinstance(found, dict) else {}
    return _MEMORIES[memory]


def _sha256(file: Any) -> str:
    found = hashlib.sha256()
    while part := file.read(1024 * 1024):
        found.update(part)
    return found.hexdigest()
