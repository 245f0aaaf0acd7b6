"""fsspec's file system in memory, each of them a world of its own."""

from __future__ import annotations

from typing import Any

from fsspec.implementations.memory import MemoryFileSystem

__all__ = ["memory"]


def memory(base: type = MemoryFileSystem) -> Any:
    """A new one. base: its class, where that is to behave in some way."""
    return type("Memory", (base,), {"store": {}, "pseudo_dirs": [""], "cachable": False})()
