"""Breaks a text that was changed into lines, where it was broken before as far as that still fits."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import SequenceMatcher

__all__ = ["break_lines"]

_GAP = re.compile(r"(?<=\S) (?=\S)")
"""A single blank, in whose place a line can end."""
_EMPTY = "\n"
"""In place of a word: an empty line, which stands for a line end in the text."""


def break_lines(text: str, before: Sequence[str], width: int) -> list[str]:
    """Return the lines that give the text when they are folded, as YAML does.

    Args:
        text: its line ends become empty lines.
        before: the lines that were there.
        width: the longest line, in characters, if its words allow that.
    """
    words = _split(text.split("\n"), between=True)
    old, begins = _find_begins(before)
    breaks = set()
    for what, i, j, k, m in SequenceMatcher(None, old, words, autojunk=False).get_opcodes():
        if what == "equal":
            breaks |= {k + index - i for index in range(i, j) if index in begins}
        elif what == "replace" and i in begins and k < m:
            breaks.add(k)
    lines: list[str] = []
    line = ""
    for index, word in enumerate(words):
        if word == _EMPTY:
            lines += [line, ""] if line or not lines else [""]
            line = ""
        elif line and (index in breaks or len(line) + 1 + len(word) > width):
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}" if line else word
    return [*lines, line]


def _split(lines: Sequence[str], *, between: bool) -> list[str]:
    words: list[str] = []
    for index, line in enumerate(lines):
        if between and index:
            words.append(_EMPTY)
        words += _GAP.split(line) if line else []
    return words


def _find_begins(lines: Sequence[str]) -> tuple[list[str], set[int]]:
    """Return the words of lines, and the numbers of those that begin one."""
    words: list[str] = []
    begins = set()
    for line in lines:
        begins.add(len(words))
        words += _split([line], between=False) if line else [_EMPTY]
    return words, begins
