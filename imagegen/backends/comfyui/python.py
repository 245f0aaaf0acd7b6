"""The Python that ComfyUI's venv is made from: the one that the settings name, or the best one found."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from imagegen.backends.comfyui.commands import ask
from imagegen.errors import ImagegenError, Problem

__all__ = ["Python", "find_python"]

_RECOMMENDED = ((3, 12), (3, 13))
_LEAST = (3, 10)
_ORDER = (*_RECOMMENDED, (3, 11), (3, 10))
"""Best first; newer ones come after these: packages of custom nodes lag behind."""
_PROBE = """
import importlib.util, sys
print(*sys.version_info[:3], *(name for name in ("venv", "ensurepip") if importlib.util.find_spec(name)))
"""


@dataclass(frozen=True)
class Python:
    """A Python that a venv can be made from."""

    command: str
    version: tuple[int, int, int]

    def __str__(self) -> str:
        """For a person to read."""
        return f"Python {'.'.join(map(str, self.version))} ({self.command})"


def find_python(root: Path, asked: str) -> Python:
    """The Python for ComfyUI.

    asked: the setting `comfyui.python`, a command or a path from `root`; empty: the best one found.
    Raises ImagegenError where there is none, with what was found instead.
    """
    if asked:
        path = root / Path(asked).expanduser()
        found = _look(str(path) if path.is_file() else asked)
        if isinstance(found, str):
            raise ImagegenError(Problem("comfyui.python", found, "name another Python, at least 3.10, or none"))
        return found
    pythons, refused = [], []
    for command in _candidates():
        found = _look(command)
        if isinstance(found, str):
            refused.append(found)
        elif found.version[:2] in _RECOMMENDED:
            return found
        else:
            pythons.append(found)
    if not pythons:
        what = "; ".join(dict.fromkeys(refused)) or "no Python found"
        hint = "install Python 3.12 or 3.13 with its venv module, or name one: comfyui.python"
        raise ImagegenError(Problem("", f"there is no Python for ComfyUI: {what}", hint))
    return min(pythons, key=lambda one: _ORDER.index(one.version[:2]) if one.version[:2] in _ORDER else len(_ORDER))


def _candidates() -> Iterator[str]:
    for major, minor in _RECOMMENDED:
        yield from filter(None, [shutil.which(f"python{major}.{minor}")])
    yield sys.executable
    for name in ("python3", "python", "python3.11", "python3.10", "python3.14"):
        yield from filter(None, [shutil.which(name)])


def _look(command: str) -> Python | str:
    """The Python of this command, or why it will not do."""
    words = (ask([command, "-I", "-c", _PROBE], Path(sys.prefix)) or "").split()
    if len(words) < 3:
        return f"{command} does not run"
    version = (int(words[0]), int(words[1]), int(words[2]))
    if version[:2] < _LEAST:
        return f"{command} is Python {'.'.join(words[:3])}, and ComfyUI needs 3.10 or newer"
    if len(words) < 5:
        package = f"python{words[0]}.{words[1]}-venv"
        return f"{command} has no venv module (on Debian and Ubuntu: apt install {package})"
    return Python(command, version)
