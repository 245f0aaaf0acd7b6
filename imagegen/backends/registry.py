"""Which backends there are: our own, and those that installed packages add."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable

from imagegen.backends.base import Backend
from imagegen.backends.comfyui import ComfyUIBackend
from imagegen.backends.ollama import OllamaBackend
from imagegen.backends.placeholder import PlaceholderBackend
from imagegen.backends.scripted import ScriptedBackend
from imagegen.errors import ImagegenError, Problem

__all__ = ["ENTRY_POINTS", "registry"]

ENTRY_POINTS = "imagegen.backends"
"""The entry-point group through which a package adds a backend: each names a callable without arguments."""


def registry() -> dict[str, Callable[[], Backend]]:
    """Each backend's name → what makes its object. Raises ImagegenError where a package's cannot be imported."""
    found: dict[str, Callable[[], Backend]] = {
        "placeholder": PlaceholderBackend,
        "comfyui": ComfyUIBackend,
        "ollama": OllamaBackend,
        "scripted": ScriptedBackend,
    }
    for entry in importlib.metadata.entry_points(group=ENTRY_POINTS):
        if entry.name in found:
            continue
        try:
            found[entry.name] = entry.load()
        except Exception as error:  # a plug-in can fail in any way
            raise ImagegenError(
                Problem(
                    "",
                    f"the backend '{entry.name}' ({entry.value}) cannot be imported: {type(error).__name__}: {error}",
                    "mend or uninstall the package that brings it",
                )
            ) from None
    return found
