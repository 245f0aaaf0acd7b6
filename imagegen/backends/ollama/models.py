"""Models: their names, where their manifests are, their digests, and pulling them.

Whether an image is fresh is known without asking Ollama: a model's digest is that of the manifest file on this disk,
once `ollama list` has shown that it is this model's. The server may keep its models elsewhere, so the file alone proves
nothing; that both agreed is remembered. Source of the facts: Ollama 0.32.5.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import re
import shutil
import tempfile
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from imagegen.errors import ImagegenError, Problem

if TYPE_CHECKING:  # a run with nothing to do asks nobody, and does not need what asks
    from imagegen.backends.ollama.cli import Command, ListedModel

__all__ = [
    "canonical_name",
    "check_disk_space",
    "describe_pull",
    "find_digest",
    "list_digest_files",
    "manifest_path",
    "models_folder",
    "pull_model",
    "remember_manifest",
    "tagged_name",
]

_REGISTRY, _NAMESPACE = "registry.ollama.ai", "library"
_LARGEST_MANIFEST = 16 * 1024**2
"""Bytes: a manifest has a line for each tensor, and so a few hundred thousand."""
_writing = threading.Lock()
_Version = tuple[int, int, int, int]


def tagged_name(model: str) -> str:
    """Return the name as `ollama list` shows it: with a tag, and without what everybody leaves out."""
    before, _, last = model.rpartition("/")
    parts = before.split("/") if before else []
    if len(parts) == 2 and parts[0].lower() == _REGISTRY:
        del parts[0]
    if len(parts) == 1 and parts[0].lower() == _NAMESPACE:
        del parts[0]
    return "/".join([*parts, last if ":" in last else f"{last}:latest"])


def canonical_name(model: str) -> str:
    """Return one name for a model, however it is written: without the tag that is the default."""
    return tagged_name(model).removesuffix(":latest")


def models_folder() -> Path:
    """Return where an Ollama that this user runs keeps its models."""
    given = os.environ.get("OLLAMA_MODELS", "").strip().strip("'\"")
    return Path(given) if given else Path.home() / ".ollama" / "models"


def manifest_path(model: str, folder: Path) -> Path:
    """Return the path of the model's manifest in a folder of models."""
    path, _, tag = tagged_name(model).rpartition(":")
    parts = path.split("/")
    return folder.joinpath("manifests", *(_REGISTRY, _NAMESPACE)[: max(0, 3 - len(parts))], *parts, tag)


def find_digest(root: Path, host: str, model: str) -> str | None:
    """Return the manifest's sha256 (hex); None if it is not known whether this server's is the one on this disk."""
    path = _read_memory(root).get(_key(host, model))
    return _sha256(Path(path)) if path else None


def list_digest_files(root: Path, host: str, model: str) -> tuple[str, ...]:
    """Return the files that `find_digest` follows from: what is remembered of the server, and the manifest."""
    path = _read_memory(root).get(_key(host, model))
    return (str(_memory_file(root).absolute()), *([path] if path else []))


def remember_manifest(root: Path, host: str, model: str, found: ListedModel) -> None:
    """Remember whether the manifest on this disk is that of the model which the server at `host` lists."""
    path = manifest_path(model, models_folder())
    digest = _sha256(path)
    agrees = bool(digest and found.id and digest.startswith(found.id))
    key = _key(host, model)
    with _writing:  # jobs are prepared side by side
        memory = _read_memory(root)
        if memory.get(key) == (str(path) if agrees else None):
            return
        kept = {**memory, key: str(path)} if agrees else {name: value for name, value in memory.items() if name != key}
        file = _memory_file(root)
        with contextlib.suppress(OSError):  # it is found out again next time
            file.parent.mkdir(parents=True, exist_ok=True)
            written = file.with_suffix(".tmp")
            written.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n", encoding="utf-8")
            written.replace(file)


def _read_memory(root: Path) -> Mapping[str, str]:
    with contextlib.suppress(OSError, ValueError):
        file = _memory_file(root)
        return _parse_memory(file, _version(file))
    return {}


@lru_cache(maxsize=8)
def _parse_memory(file: Path, _version: _Version) -> Mapping[str, str]:
    found = json.loads(file.read_bytes())
    return {str(key): str(value) for key, value in found.items()} if isinstance(found, dict) else {}


def _memory_file(root: Path) -> Path:
    return root / ".imagegen" / "cache" / "ollama.json"


def _key(host: str, model: str) -> str:
    return f"{host} {tagged_name(model)}"


def _sha256(path: Path) -> str | None:
    with contextlib.suppress(OSError, ValueError):
        return _hash_manifest(path, _version(path))
    return None


@lru_cache(maxsize=64)
def _hash_manifest(path: Path, _version: _Version) -> str:
    """Hash it once: ten thousand images of one model ask for it ten thousand times."""
    with path.open("rb") as file:
        return hashlib.sha256(file.read(_LARGEST_MANIFEST)).hexdigest()


def _version(path: Path) -> _Version:
    """Return what changes whenever the file does. Raises OSError."""
    state = path.stat()
    return state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns


@dataclass(frozen=True)
class _KnownModel:
    """size: about how many bytes. licence: as its page has it."""

    size: float
    licence: str


_KNOWN = {
    "x/z-image-turbo": _KnownModel(12e9, "Apache-2.0"),
    "x/flux2-klein": _KnownModel(5.7e9, "Apache-2.0"),
    "x/flux2-klein:4b": _KnownModel(5.7e9, "Apache-2.0"),
    "x/flux2-klein:9b": _KnownModel(0, "FLUX non-commercial: not for what you sell"),
}
"""From Ollama's pages on the models that generate images; the registry says it only while it pulls."""


def describe_pull(model: str, folder: Path | None) -> str:
    """Return a line on the model before it is pulled: how much there is to download, the free disk, the licence."""
    known = _KNOWN.get(canonical_name(model))
    size = f"about {_text(known.size)}" if known and known.size else "its size is not known in advance"
    free = f"; {_text(_free_space(folder))} of disk are free" if folder else ""
    licence = f"; licence: {known.licence}" if known else ""
    return f"{model}: {size}{free}{licence}"


def check_disk_space(model: str, folder: Path | None) -> Problem | None:
    """Return a problem if the disk has no room for the model, as far as its size is known.

    folder: None for a server elsewhere.
    """
    known = _KNOWN.get(canonical_name(model))
    if folder is None or known is None:
        return None
    missing = known.size - _left_by_pulls(folder)
    return _too_large(model, missing, folder) if missing > _free_space(folder) else None


def pull_model(
    command: Command, model: str, folder: Path | None, on_progress: Callable[[str], None], check: Callable[[], None]
) -> None:
    """Pull a model.

    Args:
        folder: where it goes; None for a server elsewhere.
        on_progress: gets a line of progress now and then.
        check: called often; raises to cancel.

    Raises:
        ImagegenError: it cannot be pulled.
    """
    largest = 0.0

    def report(text: str) -> None:
        nonlocal largest
        found = next(filter(None, map(_PROGRESS.search, reversed(text.splitlines()))), None)
        if found is None:
            return
        total = _bytes(found["total"]) if found["total"] else 0.0
        if total > largest:  # it says for the first time how much there is; later its space may be taken
            largest = total
            _check_room(model, folder, found)
        on_progress(_progress_line(model, found))

    with (
        tempfile.TemporaryDirectory(prefix="imagegen-") as scratch,
        command.start("pull", tagged_name(model), folder=Path(scratch), log=Path(scratch) / "log") as call,
    ):
        result = call.wait(check, report)
    if result.code != 0:
        raise ImagegenError(_explain_failure(model, result.error or f"exit code {result.code}"))


_BAR = 24
_PROGRESS = re.compile(
    r"(?P<percent>\d{1,3})%\s*▕[^▏]*▏\s*(?P<done>SIZE)(?:\s*/\s*(?P<total>SIZE))?(?:\s+SIZE/s)?(?:\s+(?P<left>(?:\d+[hms])+))?".replace(
        "SIZE", r"\d+(?:\.\d+)? [KMGT]?B"
    ),
    re.ASCII,
)
"""A bar: `pulling model:  45% ▕███   ▏ 5.4 GB/ 12 GB   45 MB/s   2m10s`; without the total when it is done."""
_UNITS = {"B": 1, "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12}


def _progress_line(model: str, found: re.Match[str]) -> str:
    percent = min(int(found["percent"]), 100)
    full = round(_BAR * percent / 100)
    of = f" of {found['total']}" if found["total"] else ""
    left = f", {found['left']} left" if found["left"] else ""
    return f"pulling {model} {'━' * full}{'╌' * (_BAR - full)} {percent} %, {found['done']}{of}{left}"


def _check_room(model: str, folder: Path | None, found: re.Match[str]) -> None:
    """Raise ImagegenError if the disk has no room for what is still missing."""
    if folder and found["total"] and (missing := _bytes(found["total"]) - _bytes(found["done"])) > _free_space(folder):
        raise ImagegenError(_too_large(model, missing, folder))


def _explain_failure(model: str, said: str) -> Problem:
    if "file does not exist" in said or "invalid model name" in said:
        what = f"Ollama knows no model {model} ({said})"
        return Problem("", what, "correct ollama.model; see https://ollama.com/search")
    if "no space left" in said:
        return Problem("", f"{model} could not be pulled: {said}", "make room; it continues from there")
    if "could not connect" in said:
        return Problem("", f"{model} could not be pulled: Ollama does not answer any more", "start it again")
    hint = "check the network, then run doit again: it continues from there"
    return Problem("", f"{model} could not be pulled: {said}", hint)


def _too_large(model: str, size: float, folder: Path) -> Problem:
    what = f"{model} takes about {_text(size)} more, and {_text(_free_space(folder))} of disk are free at {folder}"
    return Problem("", what, "make room, or keep models elsewhere: OLLAMA_MODELS, for Ollama itself too")


def _free_space(folder: Path) -> float:
    """Return the free bytes; infinite if the disk cannot be seen."""
    for path in (folder, *folder.parents):
        with contextlib.suppress(OSError):
            return float(shutil.disk_usage(path).free)
    return math.inf


def _left_by_pulls(folder: Path) -> float:
    """Return the bytes on the disk that no manifest names: of interrupted pulls. The next pull continues there."""
    named, size = set[str](), 0.0
    with contextlib.suppress(OSError):
        for manifest in (folder / "manifests").glob("*/*/*/*"):
            named |= set(re.findall("sha256:([0-9a-f]{64})", manifest.read_text("utf-8", "replace")))
        for blob in (folder / "blobs").glob("sha256-*"):
            if blob.name[7:71] not in named:
                found = blob.stat()
                size += min(found.st_size, getattr(found, "st_blocks", math.inf) * 512)  # some have their size at once
    return size


def _bytes(text: str) -> float:
    number, _, unit = text.partition(" ")
    return float(number) * _UNITS[unit]


def _text(size: float) -> str:
    return f"{size / 1e9:.0f} GB" if size >= 1e10 else f"{size / 1e9:.1f} GB"
