"""What models are called, and where their manifests lie.

Source of the facts: Ollama 0.32.5.
"""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["manifest_of", "models_folder", "plain", "tagged"]

_HOST, _NAMESPACE = "registry.ollama.ai", "library"


def tagged(model: str) -> str:
    """The name as `ollama list` shows it: with a tag, and without what everybody leaves out."""
    before, _, last = model.rpartition("/")
    parts = before.split("/") if before else []
    if len(parts) == 2 and parts[0].lower() == _HOST:
        del parts[0]
    if len(parts) == 1 and parts[0].lower() == _NAMESPACE:
        del parts[0]
    return "/".join([*parts, last if ":" in last else f"{last}:latest"])


def plain(model: str) -> str:
    """The same model by one name, however it is written: without the tag that is taken anyway."""
    return tagged(model).removesuffix(":latest")


def models_folder() -> Path:
    """Where an Ollama that this user runs keeps its models."""
    given = os.environ.get("OLLAMA_MODELS", "").strip().strip("'\"")
    return Path(given) if given else Path.home() / ".ollama" / "models"


def manifest_of(model: str, folder: Path) -> Path:
    """The model's manifest in a folder of models, whether it is there or not."""
    path, _, tag = tagged(model).rpartition(":")
    parts = path.split("/")
    return folder.joinpath("manifests", *(_HOST, _NAMESPACE)[: max(0, 3 - len(parts))], *parts, tag)
