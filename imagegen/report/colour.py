"""Lines in pieces on a terminal: in colour, unless NO_COLOR is set."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TextIO

from rich.console import Console
from rich.text import Text

from imagegen.report.word_diff import Piece

__all__ = ["STYLES", "show"]

STYLES = {
    "generate": "green",
    "derive": "green",
    "follow": "cyan",
    "restore": "cyan",
    "keep": "yellow",
    "fail": "bold red",
    "ignore": "yellow",
    "old": "red",
    "new": "green",
}


def show(lines: Iterable[Iterable[Piece]], stream: TextIO) -> None:
    """Print them; the terminal wraps what is longer than it is wide."""
    console = Console(file=stream, highlight=False, soft_wrap=True)
    for line in lines:
        console.print(Text.assemble(*((text, STYLES.get(style, "")) for text, style in line)))
