"""Which backends there are: our own, and those that installed packages add."""

from __future__ import annotations

import importlib.metadata
import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import partial

from imagegen.backends.base import Backend
from imagegen.backends.comfyui import ComfyUIBackend
from imagegen.backends.ollama import OllamaBackend
from imagegen.backends.placeholder import PlaceholderBackend
from imagegen.config.schema import ITEM_SCHEMA, job_schema
from imagegen.errors import Problem

__all__ = ["ENTRY_POINTS", "registry", "unusable_names"]

ENTRY_POINTS = "imagegen.backends"
"""The entry-point group through which a package adds a backend: each names a callable without arguments."""

_OURS: dict[str, Callable[[], Backend]] = {
    "placeholder": PlaceholderBackend,
    "comfyui": ComfyUIBackend,
    "ollama": OllamaBackend,
}
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,59}")
_TAKEN = frozenset({*job_schema({}), *ITEM_SCHEMA, *_OURS})
"""A job's section for a backend has its name, so that it cannot be that of another key."""


def registry() -> dict[str, Callable[[], Backend]]:
    """Each backend's name → what makes its object; of a package's, raising ImagegenError where it cannot be used."""
    found = dict(_OURS)
    for name, entries in _plug_ins().items():
        if _can_be(name):
            found[name] = partial(_made, name, entries)
    return found


def unusable_names() -> list[Problem]:
    """Of each plug-in that no job can use because of its name, what is wrong with that."""
    problems = []
    for name, entries in _plug_ins().items():
        if not _can_be(name):
            what = f"no job can use the backend '{name}' of {_listed(entries)}: {_why_not(name)}"
            problems.append(Problem("", what, "uninstall the package, or have its author choose another name"))
    return problems


def _plug_ins() -> dict[str, list[importlib.metadata.EntryPoint]]:
    """By name; of one package that is found twice, on the path and beside it, the first."""
    found: dict[str, dict[tuple[str, str], importlib.metadata.EntryPoint]] = defaultdict(dict)
    for entry in importlib.metadata.entry_points(group=ENTRY_POINTS):
        found[entry.name].setdefault((entry.value, entry.dist.name if entry.dist else ""), entry)
    return {name: list(entries.values()) for name, entries in found.items()}


def _can_be(name: str) -> bool:
    return name not in _TAKEN and _NAME.fullmatch(name) is not None


def _why_not(name: str) -> str:
    if name in _OURS:
        return "imagegen has one of that name itself"
    if name in _TAKEN:
        return "it is the name of a key of jobs"
    return "a name is letters, digits, - and _, at most 60, a letter first"


def _made(name: str, entries: list[importlib.metadata.EntryPoint]) -> Backend:
    from imagegen.backends.guard import BackendFaultError, guard, load

    if len(entries) > 1:
        raise BackendFaultError(name, f"two packages bring it: {_listed(entries)}")
    return guard(name, load(name, entries[0]))


def _listed(entries: Iterable[importlib.metadata.EntryPoint]) -> str:
    named = ((f"{entry.dist.name} {entry.dist.version}" if entry.dist else "", entry.value) for entry in entries)
    return ", ".join(f"{package} ({value})".lstrip() for package, value in named)
