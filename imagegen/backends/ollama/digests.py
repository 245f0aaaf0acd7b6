"""A model's digest: of the manifest file on this disk, once `ollama list` has shown that it is this model's.

The server may keep its models elsewhere than one thinks, so the file alone proves nothing. That both agreed is
remembered, so that whether an image is fresh is known without asking.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from imagegen.backends.ollama.names import manifest_of, models_folder, tagged

if TYPE_CHECKING:  # a run with nothing to do asks nobody, and has no need of what asks
    from imagegen.backends.ollama.queries import Listed

__all__ = ["digest_of", "note_agreement"]

_MOST = 16 * 1024**2
"""Bytes: a manifest has a line for each tensor, and so a few hundred thousand."""
_NOTING = threading.Lock()
_Version = tuple[int, int, int, int]


def digest_of(root: Path, host: str, model: str) -> str | None:
    """The sha256 (hex) of the manifest; None where it is not known that this server's is the one on this disk."""
    path = _memory(root).get(_key(host, model))
    return _sha256(Path(path)) if path else None


def note_agreement(root: Path, host: str, model: str, found: Listed) -> None:
    """Remember whether the manifest on this disk is that of the model which the server at `host` lists."""
    path = manifest_of(model, models_folder())
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
    return f"{host} {tagged(model)}"


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
