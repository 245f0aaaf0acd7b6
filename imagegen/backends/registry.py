"""The backends: our own, and those that installed packages add."""

from __future__ import annotations

import importlib.metadata
import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import partial

from imagegen.backends.a1111 import A1111Backend
from imagegen.backends.base import Backend
from imagegen.backends.comfyui import ComfyUIBackend
from imagegen.backends.ollama import OllamaBackend
from imagegen.backends.openai import OpenAIBackend
from imagegen.backends.placeholder import PlaceholderBackend
from imagegen.backends.sd import SdBackend
from imagegen.config.schema import ITEM_SCHEMA, job_schema
from imagegen.errors import Problem

__all__ = ["ENTRY_POINTS", "check_plug_in_names", "registry"]

ENTRY_POINTS = "imagegen.backends"
"""The entry-point group through which a package adds a backend: each names a callable without arguments."""

_OURS: dict[str, Callable[[], Backend]] = {
    "placeholder": PlaceholderBackend,
    "comfyui": ComfyUIBackend,
    "ollama": OllamaBackend,
    "sd": SdBackend,
    "a1111": A1111Backend,
    "openai": OpenAIBackend,
}
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,59}")
_TAKEN = frozenset({*job_schema({}), *ITEM_SCHEMA, *_OURS})
"""A job's section for a backend has its name, so that it cannot be that of another key."""


def registry() -> dict[str, Callable[[], Backend]]:
    """Return what creates each backend, by its name. A package's raises ImagegenError if it cannot be used."""
    found = dict(_OURS)
    for name, entries in _find_plug_ins().items():
        if _is_usable(name):
            found[name] = partial(_create, name, entries)
    return found


def check_plug_in_names() -> list[Problem]:
    """Return the problems of plug-ins that no job can use because of their names."""
    problems = []
    for name, entries in _find_plug_ins().items():
        if not _is_usable(name):
            what = f"no job can use the backend '{name}' of {_list_packages(entries)}: {_explain_name(name)}"
            problems.append(Problem("", what, "uninstall the package, or have its author choose another name"))
    return problems


def _find_plug_ins() -> dict[str, list[importlib.metadata.EntryPoint]]:
    """Return the entry points by name; of a package that is found twice on the path, the first."""
    found: dict[str, dict[tuple[str, str], importlib.metadata.EntryPoint]] = defaultdict(dict)
    for entry in importlib.metadata.entry_points(group=ENTRY_POINTS):
        found[entry.name].setdefault((entry.value, entry.dist.name if entry.dist else ""), entry)
    return {name: list(entries.values()) for name, entries in found.items()}


def _is_usable(name: str) -> bool:
    return name not in _TAKEN and _NAME.fullmatch(name) is not None


def _explain_name(name: str) -> str:
    if name in _OURS:
        return "imagegen has a backend of that name itself"
    if name in _TAKEN:
        return "a key of job files has that name"
    return "a name is at most 60 letters, digits, - and _, and begins with a letter"


def _create(name: str, entries: list[importlib.metadata.EntryPoint]) -> Backend:
    from imagegen.backends.guard import BackendFaultError, guard, load

    if len(entries) > 1:
        raise BackendFaultError(name, f"two packages bring it: {_list_packages(entries)}")
    return guard(name, load(name, entries[0]))


def _list_packages(entries: Iterable[importlib.metadata.EntryPoint]) -> str:
    named = ((f"{entry.dist.name} {entry.dist.version}" if entry.dist else "", entry.value) for entry in entries)
    return ", ".join(f"{package} ({value})".lstrip() for package, value in named)
