"""Changes the blocks of an item in a Markdown prompt source. All other lines stay as they are, byte for byte."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from imagegen.config.text_nodes import format_flow, format_scalar
from imagegen.config.value_edits import edit_values
from imagegen.prompts import SourceItem

__all__ = ["edit_markdown"]

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\n|\r)|[^\r\n]+")
_FENCE = re.compile(r"( {0,3})(`{3,}|~{3,})(.*)", re.DOTALL)


class _Block(NamedTuple):
    """A fenced block: the index of its first line and of its last, and its fence."""

    first: int
    last: int
    margin: str
    fence: str


def edit_markdown(text: str, item: SourceItem, changes: Mapping[str, Any]) -> str:
    """Return the text of a valid page with an item changed. The caller reads it again.

    Args:
        text: with its own line ends.
        item: as the page has it.
        changes: by field, `prompt`, `steps` or `comfyui.checkpoint`; None removes it.

    Raises:
        ValueError: it is not possible without changing something else.
    """
    lines = _LINE.findall(text)
    newline = "\r\n" if "\r\n" in text else "\n"
    blocks = {role: _find_block(lines, item.marks[role]) for role in ("prompt", "yaml") if role in item.marks}
    if item.negative is not None:
        blocks["negative"] = _find_block(lines, item.marks["negative"])
    settings = {key: value for key, value in changes.items() if key not in blocks or key == "yaml"}
    added: list[str] = []
    if not {"yaml", "negative"} & blocks.keys() and settings.get("negative") is not None:
        added += _new_block("negative", str(settings.pop("negative")), newline)
    written: dict[_Block, list[str]] = {}
    for role in ("prompt", "negative"):
        if role in changes and role in blocks:
            written[blocks[role]] = _write_text(lines, blocks[role], changes[role], newline)
    if settings and "yaml" in blocks:
        written[blocks["yaml"]] = _write_settings(lines, blocks["yaml"], item, settings)
    elif settings := {key: value for key, value in settings.items() if value is not None}:
        said = "".join(f"{line}\n" for line in _format_settings(settings))
        added += _new_block("yaml", said.rstrip("\n"), newline)
    if added:
        end = max(blocks.values(), key=lambda block: block.last)
        kept = written.get(end, lines[end.first : end.last + 1])
        if kept and not kept[-1].endswith(("\n", "\r")):
            kept = [*kept[:-1], kept[-1] + newline]
        written[end] = [*kept, *added]
    for block in sorted(written, reverse=True):
        lines[block.first : block.last + 1] = written[block]
    return "".join(lines)


def _find_block(lines: list[str], where: str) -> _Block:
    """Return the block whose first line is at `file:line:column`."""
    first = int(where.rsplit(":", 2)[1]) - 1
    opening = _FENCE.match(lines[first])
    assert opening is not None  # noqa: S101 - it was read there
    closing = _closing(opening[2])
    last = next(index for index in range(first + 1, len(lines)) if closing.fullmatch(lines[index].rstrip("\r\n")))
    return _Block(first, last, opening[1], opening[2])


def _closing(fence: str) -> re.Pattern[str]:
    return re.compile(rf" {{0,3}}{re.escape(fence[0])}{{{len(fence)},}}[ \t]*")


def _write_text(lines: list[str], block: _Block, value: Any, newline: str) -> list[str]:
    """Return the lines of a block with another text; none if it is removed."""
    if value is None:
        return []
    opening, closing = lines[block.first], lines[block.last]
    texts = str(value).removesuffix("\n").split("\n") if value else []
    fence = block.fence
    while any(_closing(fence).fullmatch(text) for text in texts):
        fence += fence[0]
    if fence != block.fence:
        opening = opening.replace(block.fence, fence, 1)
        closing = closing.replace(closing.strip(), fence, 1)
    return [opening, *(f"{block.margin if text else ''}{text}{newline}" for text in texts), closing]


def _write_settings(lines: list[str], block: _Block, item: SourceItem, settings: Mapping[str, Any]) -> list[str]:
    if block.margin:
        raise ValueError("its yaml block is indented")
    inner = "".join(lines[block.first + 1 : block.last])
    if set(item.overrides) == {key for key, value in settings.items() if value is None}:
        if "#" in inner:
            raise ValueError("its yaml block has a comment in it, which would be lost")
        return []
    changed = edit_values("settings.yaml", inner, {tuple(key.split(".")): value for key, value in settings.items()})
    return [lines[block.first], *_LINE.findall(changed), lines[block.last]]


def _format_settings(settings: Mapping[str, Any]) -> list[str]:
    nested: dict[str, Any] = {}
    for key, value in settings.items():
        section, _, option = key.rpartition(".")
        if section:
            nested.setdefault(section, {})[option] = value
        else:
            nested[option] = value
    return [
        format_flow({key: value})[1:-1] if isinstance(value, dict) else f"{key}: {format_scalar(value, '{}: {}')}"
        for key, value in nested.items()
    ]


def _new_block(kind: str, text: str, newline: str) -> list[str]:
    fence = "```"
    while any(_closing(fence).fullmatch(line) for line in text.split("\n")):
        fence += "`"
    return [newline, f"{fence}{kind}{newline}", *(line + newline for line in text.split("\n")), f"{fence}{newline}"]
