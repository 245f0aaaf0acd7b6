"""The documentation as data: its code blocks and its tables."""

from __future__ import annotations

import re

from tests.wheels import ROOT

__all__ = ["files", "table"]

_BLOCK = re.compile(r"^```\w*\n# (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def files(page: str) -> dict[str, str]:
    """The code blocks of a page that begin with a comment that is a file's path: path → text."""
    return dict(_BLOCK.findall(_text(page)))


def table(page: str, first: str) -> list[list[str]]:
    """The rows of the page's table whose first column has this heading, each as its cells."""
    lines = _text(page).splitlines()
    start = next(at for at, line in enumerate(lines) if line.startswith(f"| {first} |"))
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def _text(page: str) -> str:
    return (ROOT / page).read_text("utf-8")
