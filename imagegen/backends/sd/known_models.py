"""The models that `sd` knows by name: their files, what they need, and the settings that they were trained for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["KNOWN_MODELS", "KnownFile", "KnownModel"]


@dataclass(frozen=True)
class KnownFile:
    """One file of a model on Hugging Face."""

    folder: str
    """The kind of model, which its folder is named after: checkpoints, diffusion_models, text_encoders, vae."""
    name: str
    """Of the file in that folder."""
    repo: str
    file: str
    revision: str
    """A commit."""
    size: int
    """Bytes."""
    sha256: str


@dataclass(frozen=True)
class KnownModel:
    """A model by its name."""

    name: str
    title: str
    parts: Mapping[str, KnownFile]
    """By the option that names such a file: model, diffusion_model, vae, llm …"""
    licence: str
    page: str
    """Where the licence can be read."""
    memory: int
    """Bytes of memory that it takes with its own size, approximately."""
    seconds: str
    """How long a picture takes, for a person."""
    steps: int
    cfg: float
    width: int
    height: int
    is_distilled: bool = True
    """Whether it was trained to work without CFG: it takes neither `cfg` nor a negative prompt."""
    takes_references: bool = False

    @property
    def bytes(self) -> int:
        """All files together."""
        return sum(file.size for file in self.parts.values())


KNOWN_MODELS: Mapping[str, KnownModel] = {}
"""By name, the smallest first."""
