"""What the pages say to write into pyproject.toml is valid, also one piece after another."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from imagegen.config.settings import collect_settings
from tests.wheels import ROOT

PAGES = ("a1111", "cluster", "comfyui", "models", "openai", "settings", "shared-store")
BELOW = "# pyproject.toml, below [tool.imagegen]\n"


def sections(page: str) -> list[str]:
    """Return the pieces of TOML in each section of a page, as they are written one after another."""
    parts = re.split(r"^## ", (ROOT / f"docs/{page}.md").read_text("utf-8"), flags=re.MULTILINE)
    pieces = ["".join(re.findall(r"^ *```toml\n(.*?)^ *```$", part, re.MULTILINE | re.DOTALL)) for part in parts]
    return [f"[tool.imagegen]\n{piece}" if piece.startswith(BELOW) else piece for piece in pieces if piece]


@pytest.mark.parametrize(("page", "text"), [(page, text) for page in PAGES for text in sections(page)])
def test_the_pieces_of_a_section_fit_together(page: str, text: str, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(text.replace('"…"', f'"{"0" * 64}"'), "utf-8")
    assert collect_settings(tmp_path, {}, {})[1] == [], page
