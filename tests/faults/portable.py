"""What a portable path is, said once more and apart from the code that is tested: by what each system documents."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

__all__ = ["file_key", "same_files", "why_not_portable"]

_DEVICES = {"con", "prn", "aux", "nul", "conin$", "conout$"} | {
    f"{port}{digit}" for port in ("com", "lpt") for digit in "0123456789¹²³"
}
"""https://learn.microsoft.com/en-us/windows/win32/fileio/naming-a-file"""
_WINDOWS = set('<>:"|?*\\')
_INVISIBLE = ("Cc", "Cf", "Cs", "Zl", "Zp")
"""Controls, formats (HFS+ leaves many of these out when it compares names), halves of pairs, line ends."""
_LONGEST_NAME = 255
"""Bytes on ext4 and APFS; UTF-16 units, of which a text never has more than bytes, on NTFS."""
_LONGEST_PATH = 240
"""UTF-16 units: Windows takes 259, the project's folder among them."""


def why_not_portable(path: str) -> str:
    """Why not every system takes this relative path; empty where all do."""
    if len(path.encode("utf-16-le")) // 2 > _LONGEST_PATH:
        return "too long"
    for part in path.split("/"):
        stem = part.partition(".")[0]
        if part in ("", ".", ".."):
            return f"no plain path: {part!r}"
        if any(sign in _WINDOWS or unicodedata.category(sign) in _INVISIBLE for sign in part):
            return f"a character: {part!a}"
        if part[-1] in ". " or len(part.encode("utf-8")) > _LONGEST_NAME:
            return f"an end or a length: {part!a}"
        if stem.rstrip(" ").casefold() in _DEVICES or part.casefold() in (".git", ".imagegen"):
            return f"taken: {part!a}"
        if stem[-2:-1] == "~" and stem[-1:].isdecimal():
            return f"a short name of Windows for another file: {part!a}"
    return ""


def file_key(path: str) -> str:
    """Equal for two paths that are one file where neither case nor normalisation counts."""
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", path).casefold())


def same_files(paths: Iterable[str]) -> list[str]:
    """Those that are a file of another one of them, or a folder that another one lies in."""
    keys = [file_key(path) for path in paths]
    folders = {"/".join(parts[:end]) for parts in (key.split("/") for key in keys) for end in range(1, len(parts))}
    return [key for index, key in enumerate(keys) if key in folders or key in keys[:index]]
