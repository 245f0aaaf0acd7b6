"""The Markdown prompt source: a level-2 heading is an item's name, the first fenced code block after it its prompt.

A block marked `negative` is the negative prompt, and one marked `yaml` has the item's overrides. Other text is ignored,
and so are front matter, further plain blocks, and blocks in lists and quotes. A heading of level 1 or 2 ends the item
before it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from imagegen.config.document import CONFLICT, decode, read_document
from imagegen.errors import ImagegenError, InputError, Problem, did_you_mean
from imagegen.prompts import SourceItem

__all__ = ["MAX_LINES", "read_markdown"]

MAX_LINES = 200_000
"""Of one page: twenty for each of 10,000 items. The parser uses up to 4 KB for each."""
_LONGEST_HEADING = 1000
"""Characters: an item's name has at most 200, and the parser's time grows with their square."""


_Role = Literal["prompt", "negative", "yaml"]


@dataclass
class _Section:
    name: str
    line: int
    blocks: dict[_Role, tuple[str, int]] = field(default_factory=dict)  # the text, and the line of its fence
    is_cut_off: bool = False  # by a block that is not closed, so that nothing can be said about the rest
    hint: str = ""  # what its writer probably did, if it has no prompt
    subheading: str = ""  # the latest one of a lower level
    plain: list[str] = field(default_factory=list)  # the subheading of each plain block


def read_markdown(name: str, data: bytes) -> list[SourceItem]:
    """Return the items of a Markdown page, in order. Raises ImagegenError with every problem, located."""
    text = _blank_front_matter(decode(name, data))
    if text.count("\n") > MAX_LINES:
        where = f"{name}:{MAX_LINES + 1}:1"
        raise InputError(Problem(where, f"has more than {MAX_LINES} lines", "split the page"))
    problems: list[Problem] = []
    sections = _read_sections(name, text, problems)
    if not sections and not problems:
        problems.append(Problem(f"{name}:1:1", "has no level-2 heading (## Name), so no items"))
    items = []
    first: dict[str, _Section] = {}
    for section in sections:
        other = first.setdefault(section.name, section)
        if not section.name:
            problems.append(Problem(f"{name}:{section.line}:1", "this heading has no text, so its item has no name"))
        elif other is not section:
            what = f"'{section.name}' is the name of two items, first in line {other.line}"
            problems.append(Problem(f"{name}:{section.line}:1", what))
        if item := _read_item(name, section, problems):
            items.append(item)
    if problems:
        raise InputError(*sorted(problems, key=_position))
    return items


def _blank_front_matter(text: str) -> str:
    """Put blank lines in place of what Obsidian, Jekyll and Hugo read at the beginning of a page."""
    found = _FRONT_MATTER.match(text)
    if found is None or _CONTENT.search(found[0]):
        return text
    return "\n" * found[0].count("\n") + text[found.end() :]


_FRONT_MATTER = re.compile(
    r"---[ \t]*\n(?:.*\n)*?(?:---|\.\.\.)[ \t]*(?:\n|\Z)|\+\+\+[ \t]*\n(?:.*\n)*?\+\+\+[ \t]*(?:\n|\Z)"
)
_NO_HEADING = re.compile(r"^##(?:(?=[^#\s])|\u00a0+)(\S.*)", re.MULTILINE)
_DIVIDER = re.compile(r"^={7}$", re.MULTILINE)
_CONTENT = re.compile(r"^##\s(?:.*\n)*?(?:```|~~~)", re.MULTILINE)
"""What shows that text between two rules is not front matter."""


def _read_sections(name: str, text: str, problems: list[Problem]) -> list[_Section]:
    from markdown_it import MarkdownIt  # only for a run that reads Markdown

    lines = text.split("\n")
    sections: list[_Section] = []
    current: _Section | None = None
    env: dict[str, Any] = {}
    markdown = MarkdownIt("commonmark").disable("inline")  # of all the text, only the headings matter
    tokens = markdown.parse(text, env)
    for index, token in enumerate(tokens):
        if token.level and token.type == "fence" and current is not None:
            current.hint = "a block in a list or a quote is not read; put it at the beginning of its lines"
        if token.level or token.map is None:
            continue
        line = token.map[0] + 1
        if token.type == "heading_open" and token.tag in ("h1", "h2"):
            current = None
            if token.tag == "h2":
                content = tokens[index + 1].content
                if len(content) > _LONGEST_HEADING:
                    what = f"this heading has {len(content)} characters; an item's name has at most 200"
                    problems.append(Problem(f"{name}:{line}:1", what))
                    continue
                children: list[Any] = []
                markdown.inline.parse(content, markdown, env, children)
                current = _Section(_strip_markup(children), line)
                if token.markup == "-":
                    current.hint = "--- under a text makes it a heading; put a blank line above a rule"
                sections.append(current)
        elif token.type == "heading_open" and current is not None:
            current.subheading = tokens[index + 1].content
        elif token.type == "paragraph_open" and (slip := _NO_HEADING.search(tokens[index + 1].content)):
            line += tokens[index + 1].content.count("\n", 0, slip.start())
            what = "## needs a space after it to begin a heading"
            problems.append(Problem(f"{name}:{line}:1", what, f"write '## {slip[1][:40]}'"))
        elif token.type == "code_block" and current is not None:
            current.hint = "an indented block is not read; put the prompt between lines of ```"
        elif token.type == "fence":
            if not _is_closed(lines, token):
                problems.append(Problem(f"{name}:{line}:1", f"this block is not closed: {token.markup} is missing"))
                if current is not None:
                    current.is_cut_off = True
            elif current is not None:
                _add_block(name, current, token, line, problems)
    return sections


def _strip_markup(inline: Sequence[Any]) -> str:
    """Return the text of a heading without its markup."""
    texts = ("text", "text_special", "code_inline", "image")
    breaks = ("softbreak", "hardbreak")
    parts = (token.content if token.type in texts else " " * (token.type in breaks) for token in inline)
    return "".join(parts).strip()


def _is_closed(lines: list[str], fence: Any) -> bool:
    begin, end = fence.map
    closing = rf" {{0,3}}{fence.markup[0]}{{{len(fence.markup)},}}[ \t]*"
    return end - begin > 1 and re.fullmatch(closing, lines[end - 1]) is not None


_ROLES: dict[str, _Role] = {"negative": "negative", "yaml": "yaml", "yml": "yaml"}


def _add_block(name: str, section: _Section, fence: Any, line: int, problems: list[Problem]) -> None:
    info = "".join(fence.info.lower().split()[:1])
    if _DIVIDER.search(fence.content):
        problems.append(
            Problem(f"{name}:{line}:1", f"this block {CONFLICT}", "choose one side, and delete the line =======")
        )
    role = _ROLES.get(info, "prompt")
    if role == "prompt":
        section.plain.append(section.subheading)
        if meant := "; did you mean 'negative'?" if info[:3] == "neg" else did_you_mean(info, ["negative", "yaml"]):
            problems.append(Problem(f"{name}:{line}:1", f"'{info[:60]}' is not a kind of block{meant}"))
    if role in section.blocks:
        if role != "prompt":
            what = f"'{section.name}' has two {role} blocks, the first in line {section.blocks[role][1]}"
            problems.append(Problem(f"{name}:{line}:1", what))
        return  # of plain blocks, only the first is the prompt
    section.blocks[role] = (fence.content, line)


def _read_item(name: str, section: _Section, problems: list[Problem]) -> SourceItem | None:
    here = f"{name}:{section.line}:1"
    prompt, prompt_line = section.blocks.get("prompt", ("", 0))
    if not prompt_line:
        if not section.is_cut_off:
            what = f"'{section.name}' has no prompt: a code block (```) under its heading"
            problems.append(Problem(here, what, section.hint))
    elif all(section.plain) and len(set(section.plain)) > 1:
        headings = ", ".join(f"'{heading}'" for heading in dict.fromkeys(section.plain[:3]))
        what = f"'{section.name}' has prompts under several of its subheadings: {headings}"
        problems.append(Problem(here, what, "an item is a heading of level 2: ## Name"))
    elif not prompt.strip():
        problems.append(Problem(f"{name}:{prompt_line}:1", f"the prompt of '{section.name}' is empty"))
    marks = {"name": here}
    marks |= {role: f"{name}:{line}:1" for role, (_, line) in section.blocks.items()}
    overrides: dict[str, Any] = {}
    if "yaml" in section.blocks:
        content, line = section.blocks["yaml"]
        try:
            document = read_document(name, content.encode("utf-8"), first_line=line + 1)
        except ImagegenError as error:
            found = [Problem(p.where if p.where != name else marks["yaml"], p.what, p.hint) for p in error.problems]
            problems += found
            return None
        if not isinstance(document.values, dict):
            problems.append(Problem(marks["yaml"], "the yaml block is not a mapping of overrides (steps: 30)"))
            return None
        overrides = document.values
        marks |= {key: document.where((key,)) for key in overrides}
    negative = section.blocks["negative"][0] if "negative" in section.blocks else None
    return SourceItem(section.name, prompt, negative, overrides, marks)


def _position(problem: Problem) -> tuple[int, int]:
    _, line, column = problem.where.rsplit(":", 2)
    return int(line), int(column)
