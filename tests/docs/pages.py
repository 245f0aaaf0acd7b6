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
    """The rows of all tables of the page whose first column has this heading, each row as its cells."""
    rows = []
    is_inside = False
    for line in _text(page).splitlines():
        if line.startswith(f"| {first} |"):
            is_inside = True
        elif not line.startswith("|"):
            is_inside = False
        elif is_inside and not line.startswith("|---"):
            rows.append([cell.strip() for cell in line.strip("|").split("|")])
    assert rows, f"{page} has no table that begins with {first!r}"
    return rows


def _text(page: str) -> str:
    return (ROOT / page).read_text("utf-8")
