"""The values in the text of a YAML or JSON file, each with its place, and how a value is written there.

A library that reads YAML and writes it again is not good enough to edit a file of somebody's: ruamel.yaml 0.19 changes
indentation, quotes and line breaks, and loses comments within `{…}`. So edits are made in the text itself, and whoever
makes one reads the result again to check that it says what it should.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from imagegen.config.document import decode, read_document
from imagegen.errors import ImagegenError

__all__ = [
    "Node",
    "find_margin",
    "find_next_line",
    "format_flow",
    "format_scalar",
    "insert_entry",
    "insert_lines",
    "parse_nodes",
    "quote",
    "reads_back",
    "split_bom",
]

_TRAILING_LINES = re.compile(r"(?:\r?\n[ \t]*)+\Z")
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass
class Node:
    """A value in a text, from `start` up to `end`."""

    start: int
    column: int  # of its start, from 0
    flow: bool = True  # JSON, or YAML in braces or brackets
    end: int = 0
    text: str = ""
    style: str = ""  # of a YAML text: one of | > ' ", or empty for a plain one
    is_mapping: bool = False
    is_list: bool = False
    is_empty: bool = False  # YAML with nothing after the key
    anchor: str = ""
    alias: str = ""  # the anchor that it stands for
    inner: list[Node] = field(default_factory=list)  # of a list its entries; of a mapping keys and values in turn

    @property
    def pairs(self) -> list[tuple[Node, Node]]:
        """The keys of a mapping with their values."""
        return list(zip(self.inner[::2], self.inner[1::2], strict=True))

    def value(self, key: str) -> Node | None:
        """Return the value of a key of a mapping."""
        return next((value for name, value in self.pairs if name.text == key), None)


def split_bom(name: str, data: bytes) -> tuple[bytes, str]:
    """Return the byte order mark that a file begins with, if it has one, and its text with its own line ends.

    Raises ImagegenError, located.
    """
    decode(name, data)
    bom = codecs.BOM_UTF8 if data.startswith(codecs.BOM_UTF8) else b""
    return bom, data[len(bom) :].decode("utf-8")


def parse_nodes(name: str, text: str) -> tuple[Node, int]:
    """Return the value of a valid file, JSON or YAML by its name, and where something can be added at its end.

    Raises ValueError.
    """
    return (_parse_json(text), len(text)) if name.lower().endswith(".json") else _parse_yaml(text)


def _parse_yaml(text: str) -> tuple[Node, int]:
    events: Iterator[Any] = yaml.parse(text, Loader=_Loader)
    root = Node(0, 0)
    end = len(text)
    for event in events:
        if isinstance(event, yaml.DocumentStartEvent):
            root = _parse_yaml_node(next(events), events, text)
        elif isinstance(event, yaml.DocumentEndEvent) and event.explicit:
            end = _count_before(event.start_mark)
    return root, end


def _parse_yaml_node(event: Any, events: Iterator[Any], text: str) -> Node:
    node = Node(event.start_mark.index, event.start_mark.column, end=event.end_mark.index)
    if isinstance(event, yaml.AliasEvent):
        node.alias = event.anchor or ""
        return node
    node.anchor = event.anchor or ""
    if isinstance(event, yaml.ScalarEvent):
        node.text, node.style = event.value, event.style or ""
        node.is_empty = node.start == node.end
        if node.style in ("|", ">") and "+" not in text[node.start : node.start + 3]:
            # the parser counts the empty lines below to it
            node.end = node.start + len(_TRAILING_LINES.sub("", text[node.start : node.end]))
    if not isinstance(event, yaml.CollectionStartEvent):
        return node
    node.is_mapping = isinstance(event, yaml.MappingStartEvent)
    node.is_list = not node.is_mapping
    node.flow = bool(event.flow_style)
    following: Any = next(events)
    while not isinstance(following, yaml.CollectionEndEvent):
        node.inner.append(_parse_yaml_node(following, events, text))
        following = next(events)
    # for a block, the parser gives the position of the next token, after comments
    node.end = _count_before(following.end_mark) if node.flow else node.inner[-1].end
    return node


def _count_before(mark: Any) -> int:
    """Return the number of characters before a mark."""
    return int(mark.index)


def _parse_json(text: str) -> Node:
    decoder = json.JSONDecoder()
    space = re.compile(r"[ \t\r\n]*")

    def skip(at: int) -> int:
        match = space.match(text, at)
        return match.end() if match else at

    def node(at: int) -> Node:
        found = Node(at, 0)
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


# places


def find_next_line(text: str, at: int) -> int:
    """Return where the next line begins; `at` itself if one begins there."""
    if at == 0 or text[at - 1] == "\n":
        return at
    found = text.find("\n", at)
    return len(text) if found < 0 else found + 1


def find_margin(text: str, node: Node) -> str:
    """Return the white space that the line of a node begins with."""
    line = text[text.rfind("\n", 0, node.start) + 1 : node.start]
    return line[: len(line) - len(line.lstrip())]


def insert_lines(text: str, at: int, lines: list[str], newline: str) -> str:
    """Put whole lines where a line begins, or at the end."""
    before = text[:at]
    if before and not before.endswith("\n"):
        before += newline
    return before + "".join(line + newline for line in lines) + text[at:]


def insert_entry(text: str, holder: Node, size: int, entry: str, newline: str) -> str:
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


# values as text


def format_flow(value: Any) -> str:
    """Return a value in YAML on one line, within braces or brackets."""
    if isinstance(value, Mapping):
        pairs = (f"{format_scalar(key, '[{1}]')}: {format_flow(inner)}" for key, inner in value.items())
        return f"{{{', '.join(pairs)}}}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(format_flow, value))}]"
    return format_scalar(value, "{{{}: {}}}")


def format_scalar(value: Any, pattern: str) -> str:
    """Return a value on one line: plain if it reads back the same within the pattern, else in double quotes."""
    if isinstance(value, (Mapping, list, tuple)):
        return format_flow(value)
    if not isinstance(value, str):
        return json.dumps(value)
    plain = value and value == value.strip() and value.isprintable() and " #" not in value
    expected: Any = [value] if pattern.startswith("[") else {"x": value}
    if plain and reads_back(pattern.format("x", value), expected):
        return value
    return quote(value)


def quote(value: str) -> str:
    """Return a text in double quotes."""
    # JSON's escapes are YAML's too, but YAML has more line ends
    return re.sub(
        r"[\x7f-\x9f\u2028\u2029\ufeff]", lambda c: f"\\u{ord(c[0]):04x}", json.dumps(value, ensure_ascii=False)
    )


def reads_back(text: str, expected: Any) -> bool:
    """Whether a text in YAML says just this."""
    try:
        return bool(read_document("", text.encode("utf-8")).values == expected)
    except (ImagegenError, UnicodeEncodeError):
        return False
