"""Where a job may read and write: in the project, elsewhere only if allowed, and with names that all systems accept."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

__all__ = ["GALLERY", "LONGEST_PATH", "check_name", "check_path", "count_path_units"]

GALLERY = "assets/gallery"
"""The folder of `doit gallery`, which removes what is not its own there."""

_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f<>:"|?*\\]')
"""Control characters, and what Windows does not accept in a file name."""
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Categories of invisible characters. HFS+ leaves many of them out of a name (its `.g<U+200C>it` is `.git`), and those
that change the direction of writing make a name look like another one."""
_DEVICE = re.compile(r"(?i)(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³]) *(\..*)?$")
_SHORT = re.compile(r"[^.]*~[0-9]+(\..*)?$")
"""Windows gives a file with a long name such a short one too (`MALLSI~1.PNG`), so it may mean another file."""
_LONGEST_NAME = 255
"""Bytes, on ext4 and APFS. NTFS allows as many UTF-16 units, and a name has no more of these than bytes."""
LONGEST_PATH = 240
"""UTF-16 units, from the project's folder on: Windows allows 259, including that folder's path."""
_PRIVATE = frozenset({".git", ".imagegen"})


def check_path(root: Path, path: str, allowed: Iterable[str], *, writes: bool = True) -> str:
    """Return why a job must not use a path, symlinks included; empty if it may.

    Args:
        root: the project's folder.
        path: as the job has it, relative to the project.
        allowed: folders outside that the settings allow.
        writes: whether it is written to, and so must be portable.
    """
    real_root = os.path.realpath(root)
    real = os.path.realpath(Path(real_root, path))
    outside = not _is_within(real, real_root)
    if outside and not any(_is_within(real, os.path.realpath(Path(real_root, folder))) for folder in allowed):
        return (
            f"'{path}' is outside the project (at {real}); to allow its folder: "
            'allow_outside = ["../art"] in [tool.imagegen] of pyproject.toml, for example'
        )
    if not writes:
        return ""
    if path.startswith("~"):
        return f"'{path}': ~ does not mean the home folder here"
    if Path(path).is_absolute() and not outside:
        return f"'{path}' is in the project: write it as '{os.path.relpath(real, real_root)}'"
    if not outside and _PRIVATE & {part.casefold() for part in Path(os.path.relpath(real, real_root)).parts}:
        return f"'{path}' is not for images"
    if _is_within(real.casefold(), str(Path(real_root, GALLERY)).casefold()):
        return f"'{path}' is not for images: {GALLERY} is where doit gallery writes"
    return check_name(path)


def check_name(path: str) -> str:
    """Return why some system does not accept a file or folder with this name; empty if all do."""
    for part in path.split("/"):
        if part not in ("", ".", "..") and (why := _check_part(part)):
            return f"'{_shorten(path)}'{why}"
    return ""


def _check_part(part: str) -> str:
    if found := _FORBIDDEN.search(part):
        return f" has {_describe(found[0])} in it, which some systems do not accept; use / between folders"
    if unseen := "" if part.isascii() else next(filter(_is_unseen, part), ""):
        return f" has U+{ord(unseen):04X} in it, which is invisible, and which some systems leave out"
    if part[-1] in ". ":
        return f": '{part}' ends in a dot or a space, which Windows drops"
    if (length := len(part.encode("utf-8"))) > _LONGEST_NAME:
        return f" has a name of {length} bytes in it, and some systems accept at most {_LONGEST_NAME}"
    if _SHORT.match(part):
        return f": '{part}' may be the short name that Windows gives another file; leave out the ~"
    if _DEVICE.match(part):
        return f": Windows reserves the name '{part}' for a device"
    return ""


def count_path_units(path: str) -> int:
    """Return the length of a path as Windows counts it, in UTF-16 units."""
    return len(path) if path.isascii() else len(path.encode("utf-16-le")) // 2


def _is_within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


def _is_unseen(character: str) -> bool:
    return unicodedata.category(character) in _INVISIBLE


def _shorten(path: str) -> str:
    """Return the path, shortened, with an escape for what is invisible or would control a terminal."""
    cut = path if len(path) <= 200 else f"{path[:199]}…"
    return "".join(ascii(sign)[1:-1] if _is_unseen(sign) else sign for sign in cut)


def _describe(character: str) -> str:
    return f"'{character}'" if character.isprintable() else f"the control character {ord(character):#04x}"
