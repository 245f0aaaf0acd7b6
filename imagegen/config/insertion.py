"""Inserts an item into the text of a job file. Everything else in the file stays as it is, to the last blank.

A library that reads YAML and writes it again is not good enough: ruamel.yaml 0.19 changes indentation, quotes and line
breaks, and loses comments within `{…}`. The caller reads the result again to check that it says what it should.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from imagegen.config.document import read_document
from imagegen.errors import ImagegenError

__all__ = ["insert_item"]

_BLANK_LINE = re.compile(r"\n[ \t]*\r?\n")
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass
class _Node:
    """A value in a text, from `start` up to `end`."""

    start: int
    column: int  # of its start, from 0
    flow: bool = True  # JSON, or YAML in braces or brackets
    end: int = 0
    text: str = ""
    is_mapping: bool = False
    is_list: bool = False
    is_empty: bool = False  # YAML with nothing after the key
    inner: list[_Node] = field(default_factory=list)  # of a list its entries; of a mapping keys and values in turn

    def value(self, key: str) -> _Node | None:
        """Return the value of a key of a mapping."""
        pairs = zip(self.inner[::2], self.inner[1::2], strict=True)
        return next((value for name, value in pairs if name.text == key), None)


def insert_item(name: str, text: str, item: Mapping[str, Any]) -> str:
    """Return the text of a job file, which must be valid, with one more item after those that it has.

    Raises:
        ValueError: if there is no way to insert it.
    """
    newline = "\r\n" if "\r\n" in text else "\n"
    is_json = name.lower().endswith(".json")
    root, end = (_parse_json(text), len(text)) if is_json else _parse_yaml(text)
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
        return _insert_entry(text, items, 1, _format_flow(item), newline)
    return _insert_block_item(text, root, items, item, newline)


# YAML


def _parse_yaml(text: str) -> tuple[_Node, int]:
    """Return the document's value, and where something can be added at its end."""
    events: Iterator[Any] = yaml.parse(text, Loader=_Loader)
    root = _Node(0, 0)
    end = len(text)
    for event in events:
        if isinstance(event, yaml.DocumentStartEvent):
            root = _parse_yaml_node(next(events), events)
        elif isinstance(event, yaml.DocumentEndEvent) and event.explicit:
            end = _count_before(event.start_mark)
    return root, end


def _parse_yaml_node(event: Any, events: Iterator[Any]) -> _Node:
    node = _Node(event.start_mark.index, event.start_mark.column, end=event.end_mark.index)
    if isinstance(event, yaml.ScalarEvent):
        node.text = event.value
        node.is_empty = node.start == node.end
    if not isinstance(event, yaml.CollectionStartEvent):
        return node
    node.is_mapping = isinstance(event, yaml.MappingStartEvent)
    node.is_list = not node.is_mapping
    node.flow = bool(event.flow_style)
    following: Any = next(events)
    while not isinstance(following, yaml.CollectionEndEvent):
        node.inner.append(_parse_yaml_node(following, events))
        following = next(events)
    # for a block, the parser gives the position of the next token, after comments
    node.end = _count_before(following.end_mark) if node.flow else node.inner[-1].end
    return node


def _count_before(mark: Any) -> int:
    """Return the number of characters before a mark."""
    return int(mark.index)


def _insert_block_item(text: str, root: _Node, items: _Node, item: Mapping[str, Any], newline: str) -> str:
    if items.is_empty:
        margin = " " * (root.column + 2)
        lines = [margin + line if line else "" for line in _format_block(item, 1)]
        return _insert_lines(text, _find_next_line(text, items.end), lines, newline)
    last = items.inner[-1]
    gap = max(1, last.column - items.column - 1)
    lines = _format_block(item, gap) if not last.flow else [f"-{' ' * gap}{_format_flow(item)}"]
    at = _find_next_line(text, last.end)
    while comment := re.compile(rf"[ ]{{{items.column + 1},}}#[^\n]*(?:\n|$)").match(text, at):
        at = comment.end()  # it belongs to the item above it
    between = text[items.inner[-2].end : last.start] if len(items.inner) > 1 else ""
    blank = [""] if _BLANK_LINE.search(between) else []
    return _insert_lines(text, at, [*blank, *(" " * items.column + line if line else "" for line in lines)], newline)


def _insert_items_key(text: str, root: _Node, end: int, item: Mapping[str, Any], newline: str) -> str:
    if root.flow:
        return _insert_entry(text, root, 2, f"items: [{_format_flow(item)}]", newline)
    margin = " " * root.column
    blank = [""] if _BLANK_LINE.search(text[root.start : root.end]) else []
    lines = [*blank, f"{margin}items:", *(f"{margin}  {line}" if line else "" for line in _format_block(item, 1))]
    return _insert_lines(text, end, lines, newline)


def _format_block(item: Mapping[str, Any], gap: int) -> list[str]:
    """Return an entry of a list in block style. gap: blanks between its dash and its keys."""
    margin = " " * (1 + gap)
    lines: list[str] = []
    for key, value in item.items():
        if isinstance(value, str) and "\n" in value and _reads_back(_format_literal(key, value, ""), {key: value}):
            lines += _format_literal(key, value, margin)
        else:
            lines.append(f"{margin}{key}: {_format_scalar(value, '{}: {}')}")
    return ["-" + lines[0][1:], *lines[1:]]


def _format_literal(key: str, value: str, margin: str) -> list[str]:
    return [f"{margin}{key}: |-", *(f"{margin}  {line}" if line else "" for line in value.split("\n"))]


def _find_next_line(text: str, at: int) -> int:
    """Return where the next line begins; `at` itself if one begins there."""
    if at == 0 or text[at - 1] == "\n":
        return at
    found = text.find("\n", at)
    return len(text) if found < 0 else found + 1


def _insert_lines(text: str, at: int, lines: list[str], newline: str) -> str:
    before = text[:at]
    if before and not before.endswith("\n"):
        before += newline
    return before + "".join(line + newline for line in lines) + text[at:]


def _format_flow(value: Any) -> str:
    """Return a value in YAML on one line, within braces or brackets."""
    if isinstance(value, Mapping):
        return (
            "{"
            + ", ".join(f"{_format_scalar(key, '[{1}]')}: {_format_flow(inner)}" for key, inner in value.items())
            + "}"
        )
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_format_flow, value)) + "]"
    return _format_scalar(value, "{{{}: {}}}")


def _format_scalar(value: Any, pattern: str) -> str:
    """Return a value on one line: plain if it reads back the same within the pattern, else in double quotes."""
    if isinstance(value, (Mapping, list, tuple)):
        return _format_flow(value)
    if not isinstance(value, str):
        return json.dumps(value)
    plain = value and value == value.strip() and value.isprintable() and " #" not in value
    expected: Any = [value] if pattern.startswith("[") else {"x": value}
    if plain and _reads_back([pattern.format("x", value)], expected):
        return value
    # JSON's escapes are YAML's too, but YAML has more line ends
    return re.sub(
        r"[\x7f-\x9f\u2028\u2029\ufeff]", lambda c: f"\\u{ord(c[0]):04x}", json.dumps(value, ensure_ascii=False)
    )


def _reads_back(lines: list[str], expected: Any) -> bool:
    try:
        return bool(read_document("", "\n".join(lines).encode("utf-8")).values == expected)
    except ImagegenError:
        return False


# JSON, and YAML in braces or brackets


def _insert_entry(text: str, holder: _Node, size: int, entry: str, newline: str) -> str:
    """Put an entry after the last one in braces or brackets, on a line of its own if the last one is.

    Args:
        text: of the file.
        holder: of the entries.
        size: the number of nodes in an entry.
        entry: as text.
        newline: of the file.
    """
    if not holder.inner:
        return text[: holder.start + 1] + entry + text[holder.start + 1 :]
    begin, end = holder.inner[-size].start, holder.inner[-1].end
    margin = text[text.rfind("\n", 0, begin) + 1 : begin]
    return text[:end] + (", " if margin.strip() else f",{newline}{margin}") + entry + text[end:]


def _insert_json_item(text: str, root: _Node, items: _Node | None, item: Mapping[str, Any], newline: str) -> str:
    def dumped(value: Any, indent: str, margin: str) -> str:
        return json.dumps(value, ensure_ascii=False, indent=indent).replace("\n", f"{newline}{margin}")

    if items is None:
        margin = _find_margin(text, root.inner[0]) if root.inner else ""
        entry = dumped([item], margin, margin) if margin else json.dumps([item], ensure_ascii=False)
        return _insert_entry(text, root, 2, f'"items": {entry}', newline)
    last = items.inner[-1] if items.inner else None
    if last and "\n" in text[last.start : last.end] and last.inner:
        outer, inner = _find_margin(text, last), _find_margin(text, last.inner[0])
        return _insert_entry(text, items, 1, dumped(item, inner.removeprefix(outer) or "  ", outer), newline)
    return _insert_entry(text, items, 1, json.dumps(item, ensure_ascii=False), newline)


def _find_margin(text: str, node: _Node) -> str:
    """Return the white space that the line begins with."""
    line = text[text.rfind("\n", 0, node.start) + 1 : node.start]
    return line[: len(line) - len(line.lstrip())]


def _parse_json(text: str) -> _Node:
    """Return the document's value. Raises ValueError."""
    decoder = json.JSONDecoder()
    space = re.compile(r"[ \t\r\n]*")

    def skip(at: int) -> int:
        match = space.match(text, at)
        return match.end() if match else at

    def node(at: int) -> _Node:
        found = _Node(at, 0)
        if text[at] not in "{[":
            value, found.end = decoder.raw_decode(text, at)
            found.text = value if isinstance(value, str) else ""
            return found
        found.is_mapping, found.is_list = text[at] == "{", text[at] == "["
        at = skip(at + 1)
        while text[at] not in "}]":
            found.inner.append(node(at))
            at = skip(found.inner[-1].end)
            if text[at] in ",:":
                at = skip(at + 1)
        found.end = at + 1
        return found

    return node(skip(0))
