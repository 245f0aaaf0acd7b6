"""Inserts an item into the text of a job file. Everything else in the file stays as it is, to the last blank.

The caller reads the result again to check that it says what it should.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from imagegen.config.text_nodes import (
    Node,
    find_margin,
    find_next_line,
    format_flow,
    format_scalar,
    insert_entry,
    insert_lines,
    parse_nodes,
    reads_back,
)

__all__ = ["insert_item"]

_BLANK_LINE = re.compile(r"\n[ \t]*\r?\n")


def insert_item(name: str, text: str, item: Mapping[str, Any]) -> str:
    """Return the text of a job file, which must be valid, with one more item after those that it has.

    Raises:
        ValueError: if there is no way to insert it.
    """
    newline = "\r\n" if "\r\n" in text else "\n"
    is_json = name.lower().endswith(".json")
    root, end = parse_nodes(name, text)
    if not root.is_mapping:
        raise ValueError("the file is not a mapping")
    items = root.value("items")
    if items and items.is_empty and not root.flow:
        return _insert_block_item(text, root, items, item, newline)
    if items and items.is_mapping:
        raise ValueError("its items are the files of a folder, to which no prompt can be added")
    if items and not items.is_list:
        raise ValueError("its items are not a list")
    if is_json:
        return _insert_json_item(text, root, items, item, newline)
    if items is None:
        return _insert_items_key(text, root, end, item, newline)
    if items.flow:
        return insert_entry(text, items, 1, format_flow(item), newline)
    return _insert_block_item(text, root, items, item, newline)


def _insert_block_item(text: str, root: Node, items: Node, item: Mapping[str, Any], newline: str) -> str:
    if items.is_empty:
        margin = " " * (root.column + 2)
        lines = [margin + line if line else "" for line in _format_block(item, 1)]
        return insert_lines(text, find_next_line(text, items.end), lines, newline)
    last = items.inner[-1]
    gap = max(1, last.column - items.column - 1)
    lines = _format_block(item, gap) if not last.flow else [f"-{' ' * gap}{format_flow(item)}"]
    at = find_next_line(text, last.end)
    while comment := re.compile(rf"[ ]{{{items.column + 1},}}#[^\n]*(?:\n|$)").match(text, at):
        at = comment.end()  # it belongs to the item above it
    between = text[items.inner[-2].end : last.start] if len(items.inner) > 1 else ""
    blank = [""] if _BLANK_LINE.search(between) else []
    return insert_lines(text, at, [*blank, *(" " * items.column + line if line else "" for line in lines)], newline)


def _insert_items_key(text: str, root: Node, end: int, item: Mapping[str, Any], newline: str) -> str:
    if root.flow:
        return insert_entry(text, root, 2, f"items: [{format_flow(item)}]", newline)
    margin = " " * root.column
    blank = [""] if _BLANK_LINE.search(text[root.start : root.end]) else []
    lines = [*blank, f"{margin}items:", *(f"{margin}  {line}" if line else "" for line in _format_block(item, 1))]
    return insert_lines(text, end, lines, newline)


def _format_block(item: Mapping[str, Any], gap: int) -> list[str]:
    """Return an entry of a list in block style. gap: blanks between its dash and its keys."""
    margin = " " * (1 + gap)
    lines: list[str] = []
    for key, value in item.items():
        is_block = isinstance(value, str) and "\n" in value
        if is_block and reads_back("\n".join(_format_literal(key, value, "")), {key: value}):
            lines += _format_literal(key, value, margin)
        else:
            lines.append(f"{margin}{key}: {format_scalar(value, '{}: {}')}")
    return ["-" + lines[0][1:], *lines[1:]]


def _format_literal(key: str, value: str, margin: str) -> list[str]:
    return [f"{margin}{key}: |-", *(f"{margin}  {line}" if line else "" for line in value.split("\n"))]


def _insert_json_item(text: str, root: Node, items: Node | None, item: Mapping[str, Any], newline: str) -> str:
    def dumped(value: Any, indent: str, margin: str) -> str:
        return json.dumps(value, ensure_ascii=False, indent=indent).replace("\n", f"{newline}{margin}")

    if items is None:
        margin = find_margin(text, root.inner[0]) if root.inner else ""
        entry = dumped([item], margin, margin) if margin else json.dumps([item], ensure_ascii=False)
        return insert_entry(text, root, 2, f'"items": {entry}', newline)
    last = items.inner[-1] if items.inner else None
    if last and "\n" in text[last.start : last.end] and last.inner:
        outer, inner = find_margin(text, last), find_margin(text, last.inner[0])
        return insert_entry(text, items, 1, dumped(item, inner.removeprefix(outer) or "  ", outer), newline)
    return insert_entry(text, items, 1, json.dumps(item, ensure_ascii=False), newline)
