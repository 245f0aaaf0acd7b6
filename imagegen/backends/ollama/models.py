"""What models are called, and where their manifests lie.

Source of the facts: Ollama 0.32.5.
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

if TYPE_CHECKING:
    from imagegen.backends.ollama.cli import Command, ListedModel

__all__ = [
    "canonical_name",
    "check_disk_space",
    "describe_pull",
    "find_digest",
    "manifest_path",
    "models_folder",
    "pull",
    "remember_manifest",
    "tagged_name",
]


_HOST, _NAMESPACE = "registry.ollama.ai", "library"


def tagged_name(model: str) -> str:
    """The name as `ollama list` shows it: with a tag, and without what everybody leaves out."""
    before, _, last = model.rpartition("/")
    parts = before.split("/") if before else []
    if len(parts) == 2 and parts[0].lower() == _HOST:
        del parts[0]
    if len(parts) == 1 and parts[0].lower() == _NAMESPACE:
        del parts[0]
    return "/".join([*parts, last if ":" in last else f"{last}:latest"])


def canonical_name(model: str) -> str:
    """The same model by one name, however it is written: without the tag that is taken anyway."""
    return tagged_name(model).removesuffix(":latest")


def models_folder() -> Path:
    """Where an Ollama that this user runs keeps its models."""
    given = os.environ.get("OLLAMA_MODELS", "").strip().strip("'\"")
    return Path(given) if given else Path.home() / ".ollama" / "models"


def manifest_path(model: str, folder: Path) -> Path:
    """The model's manifest in a folder of models, whether it is there or not."""
    path, _, tag = tagged_name(model).rpartition(":")
    parts = path.split("/")
    return folder.joinpath("manifests", *(_HOST, _NAMESPACE)[: max(0, 3 - len(parts))], *parts, tag)


_MOST = 16 * 1024**2
"""Bytes: a manifest has a line for each tensor, and so a few hundred thousand."""
_NOTING = threading.Lock()
_Version = tuple[int, int, int, int]


def find_digest(root: Path, host: str, model: str) -> str | None:
    """The sha256 (hex) of the manifest; None where it is not known that this server's is the one on this disk."""
    path = _memory(root).get(_key(host, model))
    return _sha256(Path(path)) if path else None


def remember_manifest(root: Path, host: str, model: str, found: ListedModel) -> None:
    """Remember whether the manifest on this disk is that of the model which the server at `host` lists."""
    path = manifest_path(model, models_folder())
    digest = _sha256(path)
    agrees = bool(digest and found.id and digest.startswith(found.id))
    key = _key(host, model)
    with _NOTING:  # jobs are prepared side by side
        memory = _memory(root)
        if memory.get(key) == (str(path) if agrees else None):
            return
        kept = {**memory, key: str(path)} if agrees else {name: value for name, value in memory.items() if name != key}
        file = _file(root)
        with contextlib.suppress(OSError):  # it is found out again next time
            file.parent.mkdir(parents=True, exist_ok=True)
            written = file.with_suffix(".tmp")
            written.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n", encoding="utf-8")
            written.replace(file)


def _memory(root: Path) -> Mapping[str, str]:
    with contextlib.suppress(OSError, ValueError):
        file = _file(root)
        return _remembered(file, _version(file))
    return {}


@lru_cache(maxsize=8)
def _remembered(file: Path, _version: _Version) -> Mapping[str, str]:
    found = json.loads(file.read_bytes())
    return {str(key): str(value) for key, value in found.items()} if isinstance(found, dict) else {}


def _file(root: Path) -> Path:
    return root / ".imagegen" / "cache" / "ollama.json"


def _key(host: str, model: str) -> str:
    return f"{host} {tagged_name(model)}"


def _sha256(path: Path) -> str | None:
    with contextlib.suppress(OSError, ValueError):
        return _hashed(path, _version(path))
    return None


@lru_cache(maxsize=64)
def _hashed(path: Path, _version: _Version) -> str:
    """Ten thousand images of one model ask for it ten thousand times."""
    with path.open("rb") as file:
        return hashlib.sha256(file.read(_MOST)).hexdigest()


def _version(path: Path) -> _Version:
    """What changes whenever the file does. Raises OSError."""
    state = path.stat()
    return state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns


_UNITS = {"B": 1, "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12}
_BAR = 24


@dataclass(frozen=True)
class _Known:
    """size: about how many bytes. licence: as its page has it."""

    size: float
    licence: str


_KNOWN = {
    "x/z-image-turbo": _Known(12e9, "Apache-2.0"),
    "x/flux2-klein": _Known(5.7e9, "Apache-2.0"),
    "x/flux2-klein:4b": _Known(5.7e9, "Apache-2.0"),
    "x/flux2-klein:9b": _Known(0, "FLUX non-commercial: not for what you sell"),
}
"""What Ollama's pages say of the models that make images; the registry says it only while it pulls."""


def describe_pull(model: str, folder: Path | None) -> str:
    """The model in one line for a person, before anything is pulled: how much comes, the free disk, the licence."""
    known = _KNOWN.get(canonical_name(model))
    size = f"about {_text(known.size)}" if known and known.size else "its size is not known before it comes"
    free = f"; {_text(_free(folder))} of disk are free" if folder else ""
    licence = f"; licence: {known.licence}" if known else ""
    return f"{model}: {size}{free}{licence}"


def check_disk_space(model: str, folder: Path | None) -> Problem | None:
    """That the disk does not take the model, as far as its size is known. folder: None for a server elsewhere."""
    known = _KNOWN.get(canonical_name(model))
    if folder is None or known is None:
        return None
    missing = known.size - _left_by_pulls(folder)
    return _too_large(model, missing, folder) if missing > _free(folder) else None


def pull(
    command: Command, model: str, folder: Path | None, say: Callable[[str], None], check: Callable[[], None]
) -> None:
    """Have the model pulled. say: gets a line of progress now and then. check: raises to cancel.

    folder: where it goes, None for a server elsewhere. Raises ImagegenError.
    """
    with tempfile.TemporaryDirectory(prefix="imagegen-") as place:
        room = _Room(model, folder)

        def tell(text: str) -> None:
            for line in reversed(text.splitlines()):
                if found := _PROGRESS.search(line):
                    room.check(found)
                    say(_progress(model, found))
                    return

        with command.call("pull", tagged_name(model), folder=Path(place), log=Path(place) / "log") as call:
            said = call.wait(check, tell)
    if said.code != 0:
        raise ImagegenError(_failed(model, said.error or f"exit code {said.code}"))


_PROGRESS = re.compile(
    r"(?P<percent>\d{1,3})%\s*▕[^▏]*▏\s*(?P<done>SIZE)(?:\s*/\s*(?P<total>SIZE))?(?:\s+SIZE/s)?(?:\s+(?P<left>(?:\d+[hms])+))?".replace(
        "SIZE", r"\d+(?:\.\d+)? [KMGT]?B"
    ),
    re.ASCII,
)
"""One bar of its own: `pulling model:  45% ▕███   ▏ 5.4 GB/ 12 GB   45 MB/s   2m10s`; without the total when done."""


@dataclass
class _Room:
    """Looks once, when it is first said how much comes, whether the disk takes what is not there yet."""

    model: str
    folder: Path | None
    seen: float = 0

    def check(self, found: re.Match[str]) -> None:
        if self.folder and found["total"] and (total := _bytes(found["total"])) > self.seen:
            self.seen = total
            if (missing := total - _bytes(found["done"])) > _free(self.folder):
                raise ImagegenError(_too_large(self.model, missing, self.folder))


def _progress(model: str, found: re.Match[str]) -> str:
    percent = min(int(found["percent"]), 100)
    full = round(_BAR * percent / 100)
    of = f" of {found['total']}" if found["total"] else ""
    left = f", {found['left']} left" if found["left"] else ""
    return f"pulling {model} {'━' * full}{'╌' * (_BAR - full)} {percent} %, {found['done']}{of}{left}"


def _failed(model: str, said: str) -> Problem:
    if "file does not exist" in said or "invalid model name" in said:
        what = f"Ollama knows no model {model} ({said})"
        return Problem("", what, "correct ollama.model; see https://ollama.com/search")
    if "no space left" in said:
        return Problem("", f"{model} could not be pulled: {said}", "make room; it goes on from there")
    if "could not connect" in said:
        return Problem("", f"{model} could not be pulled: Ollama does not answer any more", "start it again")
    return Problem("", f"{model} could not be pulled: {said}", "check the network, then run doit again: it goes on")


def _too_large(model: str, size: float, folder: Path) -> Problem:
    what = f"{model} takes about {_text(size)} more, and {_text(_free(folder))} of disk are free at {folder}"
    return Problem("", what, "make room, or keep models elsewhere: OLLAMA_MODELS, for Ollama itself too")


def _free(folder: Path) -> float:
    """Bytes; without end where the disk is not to be seen."""
    for place in (folder, *folder.parents):
        with contextlib.suppress(OSError):
            return float(shutil.disk_usage(place).free)
    return math.inf


def _left_by_pulls(folder: Path) -> float:
    """Bytes on the disk that no manifest names: of pulls that were broken off. The next one goes on from there."""
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
