"""Every link, path and anchor in the documentation leads somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.wheels import ROOT

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
_CODE = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)")
_PATH = re.compile(
    r"`((?:tests|tools|imagegen|docs|faults|endtoend|state|plan|execute|images|backends|project|tasks|commands|report|config|prompts)/[\w./*-]+)"
)


def text(page: Path) -> str:
    """The page without its code blocks."""
    return _CODE.sub("", page.read_text("utf-8"))


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.*)$", text(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def exists(path: str) -> bool:
    """Whether a file of that name is in the repository; the tests' own folder and ending may be left out."""
    if path.startswith(("tools/ComfyUI", "tools/models", "tools/ollama", "tools/sd")) or "ROOM" in path:
        return True  # folders that commands create; a pattern
    candidates = [path, f"{path}.py", f"tests/{path}", f"tests/{path}.py"]
    return any(next(ROOT.glob(candidate.rstrip("/")), None) for candidate in candidates)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_each_link_leads_to_a_page_and_a_heading(page: Path) -> None:
    for path, anchor in _LINK.findall(text(page)):
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page.name} links to {path}"
        if anchor:
            assert anchor in anchors(target), f"{page.name} links to {path}#{anchor}"


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "architecture.md"], ids=lambda page: page.name)
def test_each_file_of_the_repository_that_is_named_is_there(page: Path) -> None:
    missing = [path for path in _PATH.findall(text(page)) if not exists(path)]
    assert missing == []
