"""Python, and the packages that imagegen says it needs."""

from __future__ import annotations

import importlib.metadata
import json
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import imagegen
from imagegen import DISTRIBUTION, __version__
from imagegen.backends.base import Diagnosis

__all__ = ["installed_as", "machine", "needed_packages"]

_NEEDED = (3, 10)
_REQUIREMENT = re.compile(r"([\w.-]+?) *>= *([\d.]+)")


def machine(requirements: Iterable[str]) -> Iterator[Diagnosis]:
    """Rows for this interpreter and what is installed in it. requirements: each as `doit>=0.36`."""
    version = ".".join(map(str, sys.version_info[:3]))
    hint = "" if sys.version_info >= _NEEDED else f"use Python {'.'.join(map(str, _NEEDED))} or later"
    yield Diagnosis(not hint, "Python", f"{version}, {sys.executable}", hint)
    yield Diagnosis(True, "imagegen", installed_as())
    yield from _namesake()
    sound = []
    for requirement in requirements:
        if ";" in requirement:  # of an extra, or of another Python
            continue
        found = _installed(requirement)
        if isinstance(found, Diagnosis):
            yield found
        else:
            sound.append(found)
    if sound:
        yield Diagnosis(True, "packages", ", ".join(sound))


def installed_as() -> str:
    """Our version, what pip calls us, what it was installed from, and where: `0.1.0 (doit-imagegen from …, in …)`."""
    where = Path(imagegen.__file__).parent
    try:
        distribution = importlib.metadata.distribution(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        return f"{__version__} (not installed, found in {where})"
    source = _source(distribution.read_text("direct_url.json") or "{}")
    return f"{__version__} ({DISTRIBUTION}{source}, in {where})"


def _source(record: str) -> str:
    """From pip's own record (direct_url.json) of an installation that is not from a package index."""
    with suppress(ValueError, AttributeError, TypeError):
        found = json.loads(record)
        commit = found.get("vcs_info", {}).get("commit_id", "")[:10]
        url = re.sub(r"//[^/@]*@", "//", found.get("url", ""))  # an address may have a password in it
        return f" from {url}{f' at {commit}' if commit else ''}" if url else ""
    return ""


def _namesake() -> Iterator[Diagnosis]:
    """A row where the distribution `imagegen` is installed beside ours: each has overwritten files of the other."""
    with suppress(importlib.metadata.PackageNotFoundError):
        version = importlib.metadata.version("imagegen")
        found = f"imagegen {version} is installed too: another project's package of the same name"
        hint = f"{sys.executable} -m pip uninstall imagegen {DISTRIBUTION}, then install {DISTRIBUTION} again"
        yield Diagnosis(True, "packages", found, hint)


def needed_packages() -> list[str]:
    """The requirements of imagegen as it is installed; none where it only lies on the path."""
    try:
        return importlib.metadata.requires(DISTRIBUTION) or []
    except importlib.metadata.PackageNotFoundError:
        return []


def _installed(requirement: str) -> str | Diagnosis:
    match = _REQUIREMENT.match(requirement)
    if match is None:
        return requirement
    name, needed = match[1], match[2]
    hint = f"{sys.executable} -m pip install --upgrade '{name}>={needed}'"
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return Diagnosis(False, f"package {name}", "not installed", hint)
    if _numbers(version) < _numbers(needed):
        return Diagnosis(False, f"package {name}", f"{version}, older than {needed}", hint)
    return f"{name} {version}"


def _numbers(version: str) -> tuple[int, ...]:
    match = re.match(r"\d+(\.\d+)*", version)
    numbers = [int(number) for number in match[0].split(".")] if match else []
    while numbers and not numbers[-1]:
        numbers.pop()  # 6 and 6.0 are one
    return tuple(numbers)
