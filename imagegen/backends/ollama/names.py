"""What models are called, and where their manifests lie.

Source of the facts: Ollama 0.32.5.
"""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["manifest_of", "models_folder", "plain", "tagged"]

_DEFAULTS = ("registry.ollama.ai", "library")


def tagged(model: str) -> str:
    """The name as `ollama list` shows it: with a tag, and without what everybody leaves out."""
    name = model if ":" in model.rpartition("/")[2] else f"{model}:latest"
    return name.removeprefix(f"{_DEFAULTS[0]}/").removeprefix(f"{_DEFAULTS[1]}/")


def plain(model: str) -> str:
    """The same model by one name, however it is written: without the tag that is taken anyway."""
    return tagged(model).removesuffix(":latest")


def models_folder() -> Path:
    """Where an Ollama that this user runs keeps its models."""
    given = os.environ.get("OLLAMA_MODELS", "").strip(" '\"")
    return Path(given) if given else Path.home() / ".ollama" / "models"


def manifest_of(model: str, folder: Path) -> Path:
    """The model's manifest in a folder of models, whether it is there or not."""
    path, _, tag = tagged(model).rpartition(":")
    parts = path.split("/")
    return folder.joinpath("manifests", *_DEFAULTS[: max(0, 3 - len(parts))], *parts, tag)
