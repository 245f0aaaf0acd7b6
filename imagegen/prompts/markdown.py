"""The Markdown prompt source: a level-2 heading is an item's name, the first fenced code block after it its prompt.

A block with the info string `negative` is the negative prompt, one with `yaml` holds the item's overrides. Other
text is ignored, and so are blocks within lists and quotes. A level-1 or level-2 heading ends the item before it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from imagegen.config.document import decode, read_document
from imagegen.errors import ImagegenError, Problem
from imagegen.prompts.item import SourceItem

__all__ = ["read_markdown"]


@dataclass
class _Section:
    name: str
    line: int
    blocks: dict[str, tuple[str, int]] = field(default_factory=dict)
    """By role (prompt, negative, yaml): the text, and the line of its fence."""


def read_markdown(name: str, data: bytes) -> list[SourceItem]:
    """The items of the file `name`, in order. Raises ImagegenError with every problem, located."""
    text = decode(name, data)
    problems: list[Problem] = []
    sections = _sections(name, text, problems)
    if not sections and not problems:
        problems.append(Problem(f"{name}:1:1", "has no level-2 heading (## Name), so no items"))
    items = []
    first: dict[str, _Section] = {}
    for section in sections:
        other = first.setdefault(section.name, section)
        if other is not section:
            what = f"'{section.name}' is the name of two items, first in line {other.line}"
            problems.append(Problem(f"{name}:{section.line}:1", what))
        if item := _item(name, section, problems):
            items.append(item)
    if problems:
        raise ImagegenError(*sorted(problems, key=lambda problem: int(problem.where.split(":")[-2])))
    return items


def _sections(name: str, text: str, problems: list[Problem]) -> list[_Section]:
    from markdown_it import MarkdownIt  # not on the way of a run that reads no Markdown

    lines = text.split("\n")
    sections: list[_Section] = []
    current: _Section | None = None
    tokens = MarkdownIt("commonmark").parse(text)
    for index, token in enumerate(tokens):
        if token.level or token.map is None:
            continue
        line = token.map[0] + 1
        if token.type == "heading_open" and token.tag in ("h1", "h2"):
            current = None
            if token.tag == "h2":
                current = _Section(_plain(tokens[index + 1]), line)
                sections.append(current)
        elif token.type == "fence":
            if not _is_closed(lines, token):
                problems.append(Problem(f"{name}:{line}:1", f"this block is not closed: {token.markup} is missing"))
            elif current is not None:
                _take(name, current, token, line, problems)
    return sections


def _plain(inline: Any) -> str:
    """The text of a heading without its markup."""
    return "".join(
        child.content if child.type in ("text", "code_inline") else " "
        for child in inline.children or ()
        if child.type in ("text", "code_inline", "softbreak", "hardbreak")
    ).strip()


def _is_closed(lines: list[str], fence: Any) -> bool:
    begin, end = fence.map
    last = lines[min(end, len(lines)) - 1].strip()
    return end - begin > 1 and len(last) >= len(fence.markup) and set(last) == {fence.markup[0]}


def _take(name: str, section: _Section, fence: Any, line: int, problems: list[Problem]) -> None:
    info = fence.info.strip().split(" ")[0].lower()
    role = info if info in ("negative", "yaml") else "prompt"
    if role in section.blocks:
        if role != "prompt":
            what = f"'{section.name}' has two {role} blocks, the first in line {section.blocks[role][1]}"
            problems.append(Problem(f"{name}:{line}:1", what))
        return  # of plain blocks, only the first is the prompt
    section.blocks[role] = (fence.content, line)


def _item(name: str, section: _Section, problems: list[Problem]) -> SourceItem | None:
    here = f"{name}:{section.line}:1"
    if "prompt" not in section.blocks:
        problems.append(Problem(here, f"'{section.name}' has no prompt: a code block (```) under its heading"))
        return None
    marks = {"name": here}
    marks |= {role: f"{name}:{line}:1" for role, (_, line) in section.blocks.items()}
    overrides: dict[str, Any] = {}
    if "yaml" in section.blocks:
        content, line = section.blocks["yaml"]
        try:
            document = read_document(name, content.encode("utf-8"), first_line=line + 1)
        except ImagegenError as error:
            found = [Problem(p.where if p.where != name else marks["yaml"], p.what, p.mend) for p in error.problems]
            problems += found
            return None
        if not isinstance(document.values, dict):
            problems.append(Problem(marks["yaml"], "the yaml block is no mapping of overrides (steps: 30)"))
            return None
        overrides = document.values
        marks |= {key: document.where((key,)) for key in overrides}
    negative = section.blocks["negative"][0] if "negative" in section.blocks else None
    return SourceItem(section.name, section.blocks["prompt"][0], negative, overrides, marks)
