"""Text for a person: one line of any text, a log as a terminal shows it, lists, sizes; whether a person watches."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Collection
from itertools import islice

__all__ = ["file_name", "is_terminal", "list_first", "one_line", "plain_lines", "size_text"]


def one_line(text: str | bytes, longest: int = 300) -> str:
    """Return the text as one line without control characters, cut to so many characters."""
    if isinstance(text, bytes):
        text = text[: 4 * longest].decode("utf-8", "replace")
    text = " ".join("".join(character if character.isprintable() else " " for character in text).split())
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def plain_lines(text: str) -> list[str]:
    """Return the lines that are not empty, as a terminal shows them but without colours, each cut to 400 characters."""
    shown = (re.sub(_CONTROL, "", line.rstrip("\r").rpartition("\r")[2]).rstrip() for line in text.split("\n"))
    return [line[:400] for line in shown if line]


# not compiled here: a run with nothing to do does without
_CONTROL = r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[@-Z\\^_]|(?!\t)[\x00-\x1f\x7f-\x9f]"
"""Escape sequences of a terminal (ECMA-48: CSI, OSC, two-character ones), and other control characters."""


def list_first(names: Collection[str], most: int = 3) -> str:
    """Return the first names in one line, such as `a, b and 4 more`."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(islice(names, most)) + more


def file_name(path: str) -> str:
    """Return the name of a file by its path, of whichever system."""
    return path.replace("\\", "/").rpartition("/")[2]


def is_terminal() -> bool:
    """Return whether a person watches: then there are progress bars."""
    try:
        return sys.stdout.isatty() and os.isatty(1)
    except (AttributeError, OSError):
        return False


def size_text(size: int) -> str:
    """Return the size such as `2.1 GB`, `144 MB` or `12 KB`."""
    for unit, factor, digits in (("TB", 1024**4, 1), ("GB", 1024**3, 1), ("MB", 1024**2, 0)):
        if size >= factor:
            return f"{size / factor:.{digits}f} {unit}"
    return f"{-(-size // 1024)} KB"
