"""Every block of YAML in the documentation is read as a job is, and is a valid part of one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from imagegen.backends.registry import registry
from imagegen.config.checking import check_job
from imagegen.config.document import Document, read_document
from tests.wheels import ROOT

_BLOCK = re.compile(r"^```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SECTIONS: dict[str, Any] = {name: make().options for name, make in registry().items()} | {
    "gradient": {"angle": {"type": "number"}}  # the backend that docs/backends.md shows how to write
}


def examples() -> Iterator[Any]:
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        text = page.read_text("utf-8")
        for found in _BLOCK.finditer(text):
            name = f"{page.stem}:{text.count(chr(10), 0, found.start()) + 1}"
            if any(not line.startswith("#") for line in found[1].splitlines()):
                yield pytest.param(found[1], id=name)


def as_job(values: dict[str, Any]) -> dict[str, Any]:
    """Return a job that an example is a part of: of a derived file, of an item, or of a job without items."""
    if isinstance(values.get("steps"), list):
        values = {"derive": {"example": values}}
    elif isinstance(values.get("steps"), int):
        values = {"items": [{"name": "A", "prompt": "p", **values}]}
    return {"items": [{"name": "A", "prompt": "p"}], **values}


@pytest.mark.parametrize("text", list(examples()))
def test_each_example_is_valid(text: str) -> None:
    document = read_document("jobs/example.yaml", text.encode())
    check_job("example", Document(document.name, as_job(document.values), document.marks), SECTIONS)
