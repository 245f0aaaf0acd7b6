"""What changed in a text, word by word, readable without colour: `a [-grey-] {+green+} cloak`."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher

__all__ = ["Piece", "word_diff"]

Piece = tuple[str, str]
"""Text, and its style: `old`, `new`, or none."""
_AROUND = 8
"""Words that are shown of what stayed, before and after a change."""


def word_diff(old: str, new: str) -> list[Piece]:
    """The words that went as `[-…-]`, those that came as `{+…+}`, between them what stayed, the long middle as `…`."""
    before, after = old.split(), new.split()
    if before == after:
        return [("only its white space changed", "")]
    pieces: list[Piece] = []
    for what, i, j, k, m in SequenceMatcher(None, before, after).get_opcodes():
        if what == "equal":
            pieces.append((_stayed(before[i:j], is_first=i == 0, is_last=j == len(before) and m == len(after)), ""))
            continue
        if i < j:
            pieces.append((f"[-{' '.join(before[i:j])}-]", "old"))
        if k < m:
            pieces.append((f"{{+{' '.join(after[k:m])}+}}", "new"))
    return [(f"{' ' if index else ''}{text}", style) for index, (text, style) in enumerate(pieces)]


def _stayed(words: Sequence[str], *, is_first: bool, is_last: bool) -> str:
    head = [] if is_first else list(words[:_AROUND])
    tail = [] if is_last else list(words[len(words) - _AROUND :])
    if len(words) <= len(head) + len(tail) + 3:  # to leave out so few would save nobody anything
        return " ".join(words)
    return " ".join([*head, "…", *tail])
