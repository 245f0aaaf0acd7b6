"""The backends: our own, and those that installed packages add."""

from __future__ import annotations

import importlib
import importlib.metadata
import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import partial

from imagegen.backends.base import Backend
from imagegen.config.schema import ITEM_SCHEMA, job_schema
from imagegen.errors import Problem

__all__ = ["ENTRY_POINTS", "check_plug_in_names", "registry"]

ENTRY_POINTS = "imagegen.backends"
"""The entry-point group through which a package adds a backend: each names a callable without arguments."""

_OURS = {
    "placeholder": "PlaceholderBackend",
    "comfyui": "ComfyUIBackend",
    "ollama": "OllamaBackend",
    "sd": "SdBackend",
    "a1111": "A1111Backend",
    "openai": "OpenAIBackend",
}
"""The class of each, in the package of its name, which is imported when the backend is needed."""
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,59}")
_TAKEN = frozenset({*job_schema({}), *ITEM_SCHEMA, *_OURS})
"""A job's section for a backend has its name, so that it cannot be that of another key."""


def registry() -> dict[str, Callable[[], Backend]]:
    """Return what creates each backend, by its name. A package's raises ImagegenError if it cannot be used."""
    found: dict[str, Callable[[], Backend]] = {name: partial(_create_own, name) for name in _OURS}
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


def _create_own(name: str) -> Backend:
    package = importlib.import_module(f"imagegen.backends.{name}")
    created: Backend = getattr(package, _OURS[name])()
    return created


def _create(name: str, entries: list[importlib.metadata.EntryPoint]) -> Backend:
    from imagegen.backends.guard import BackendFaultError, guard, load

    if len(entries) > 1:
        raise BackendFaultError(name, f"two packages bring it: {_list_packages(entries)}")
    return guard(name, load(name, entries[0]))


def _list_packages(entries: Iterable[importlib.metadata.EntryPoint]) -> str:
    named = ((f"{entry.dist.name} {entry.dist.version}" if entry.dist else "", entry.value) for entry in entries)
    return ", ".join(f"{package} ({value})".lstrip() for package, value in named)
