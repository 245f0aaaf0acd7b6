"""What every part of one process knows of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.backends.ollama.standin.state import State

__all__ = ["Program"]


@dataclass(frozen=True)
class Program:
    """`executable` is the file called `ollama`: the MLX libraries are looked for from there."""

    state: State
    version: str
    executable: Path

    def has_mlx(self) -> bool:
        """Whether a libmlxc is in one of the places of any platform."""
        here = self.executable.resolve().parent
        roots = (here / "lib/ollama", here.parent / "lib/ollama", here)
        return any(next(root.glob(pattern), None) for root in roots for pattern in ("mlx_*/libmlxc.*", "libmlxc.*"))
