"""The messages that the documentation quotes are those of the code."""

from __future__ import annotations

import ast
import re
from functools import cache

import pytest

from tests.docs.pages import table
from tests.wheels import ROOT

QUOTES = [
    *(("docs/comfyui.md", heading, 0) for heading in ("message or symptom", "message")),
    ("docs/models.md", "message", 0),
    ("docs/sd.md", "message", 0),
    ("docs/ollama.md", "message", 0),
    ("docs/a1111.md", "message", 0),
    ("docs/openai.md", "message", 0),
    *(
        ("docs/reliability.md", heading, 1)
        for heading in ("damage", "fault", "fault of Ollama's", "fault of sd-server's")
    ),
]
"""The tables with messages: page, first heading, column."""
VARIABLE_WORDS = re.compile(
    "No space left on device|Read-only file system|Permission denied|Bad Gateway|too new|in node"
)
"""What the system and servers say, and words that are put into messages."""
_VARIABLE = re.compile(r"…|: |, |'|<html>|[\d×]+|(?:GET|POST) /\S+")
_SHORTEST = 13


@cache
def texts() -> str:
    """All texts in the code of the package."""
    trees = (ast.parse(path.read_text("utf-8")) for path in (ROOT / "imagegen").rglob("*.py"))
    nodes = (node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Constant))
    return "\n".join(node.value for node in nodes if isinstance(node.value, str))


def fragments(message: str) -> list[str]:
    """What is the same whenever the message is printed."""
    found = (fragment.strip(" .;()") for fragment in _VARIABLE.split(VARIABLE_WORDS.sub("…", message)))
    return [fragment for fragment in found if len(fragment) >= _SHORTEST]


def quoted(cell: str) -> list[str]:
    return [quote for quote in re.findall(r"`([^`]+)`", cell) if " " in quote and not quote.startswith("doit ")]


@pytest.mark.parametrize(("page", "heading", "column"), QUOTES, ids=lambda value: str(value))
def test_each_quoted_message_is_in_the_code(page: str, heading: str, column: int) -> None:
    cells = [row[column] for row in table(page, heading)]
    if page == "docs/ollama.md":
        cells = [f"`{cell}`" for cell in cells]
    stale = [one for cell in cells for quote in quoted(cell) for one in fragments(quote) if one not in texts()]
    assert stale == []
