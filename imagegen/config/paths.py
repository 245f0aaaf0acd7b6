"""Where a job may read and write: in the project, on every system, and nowhere else unless allowed."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

__all__ = ["GALLERY", "name_problem", "path_problem"]

GALLERY = "assets/gallery"
"""The folder of `doit gallery`, which takes away what is not its own there."""

_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f<>:"|?*\\]')
"""Control characters, and what Windows takes in no file name."""
_DEVICE = re.compile(r"(?i)(con|prn|aux|nul|conin\$|conout\$|com\d|lpt\d)(\..*)?$")
_PRIVATE = frozenset({".git", ".imagegen"})


def path_problem(root: Path, path: str, allowed: Iterable[str], *, writes: bool = True) -> str:
    """Why a job must not use this path, also where a symlink leads it away; empty where it may.

    path: as the job says it, relative to the project `root`. allowed: folders outside that were allowed.
    writes: whether it is written to, and so must be portable.
    """
    real_root = os.path.realpath(root)
    real = os.path.realpath(Path(real_root, path))
    outside = not _within(real, real_root)
    if outside and not any(_within(real, os.path.realpath(Path(real_root, folder))) for folder in allowed):
        return (
            f"'{path}' leads out of the project (to {real}); "
            "allow_outside in [tool.imagegen] of pyproject.toml can allow a folder"
        )
    if not writes:
        return ""
    if path.startswith("~"):
        return f"'{path}': ~ is no home folder here"
    if Path(path).is_absolute() and not outside:
        return f"'{path}' lies in the project: write it from there, '{os.path.relpath(real, real_root)}'"
    if not outside and _PRIVATE & {part.lower() for part in Path(os.path.relpath(real, real_root)).parts}:
        return f"'{path}' is not for images"
    if _within(real.casefold(), str(Path(real_root, GALLERY)).casefold()):
        return f"'{path}' is not for images: {GALLERY} is where doit gallery writes"
    return name_problem(path)


def name_problem(path: str) -> str:
    """Why not every system takes a file or folder of this name; empty where all do."""
    for part in path.split("/"):
        if part in ("", ".", ".."):
            continue
        if found := _FORBIDDEN.search(part):
            return f"'{path}' has {_name(found[0])} in it, which not every system takes; use / between folders"
        if part[-1] in ". ":
            return f"'{path}': '{part}' ends in a dot or a space, which Windows drops"
        if _DEVICE.match(part):
            return f"'{path}': Windows keeps the name '{part}' for a device"
    return ""


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


def _name(character: str) -> str:
    return f"'{character}'" if character.isprintable() else f"the control character {ord(character):#04x}"
