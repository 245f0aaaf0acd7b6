"""Add keys to pyproject.toml as a person would: nothing else in it changes, not even a space.

Each way to add them is tried, and the one counts after which the document reads as before, with these keys added.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["TomlTable", "add_tables", "format_tables", "parse_toml"]


@dataclass(frozen=True)
class TomlTable:
    """Keys for one table of a document."""

    path: tuple[str, ...]
    """The names that lead to it, such as tool, imagegen, sd."""
    values: Mapping[str, str | int] = field(default_factory=dict)


def add_tables(text: str, tables: Sequence[TomlTable]) -> str:
    """Return the document with these keys added: to their table if it is there, else in a new one at the end.

    Raises:
        ValueError: it is not valid TOML, has one of the keys already, or writes a table in such a way (inline, for
            example) that nothing can be added to it.
    """
    for table in tables:
        wanted = _merge(parse_toml(text), table.path, table.values)
        found = next((one for one in _list_ways(text, table) if _reads_as(one, wanted)), None)
        if found is None:
            raise ValueError(f"[{_format_path(table.path)}] cannot be added to it")
        text = found
    return text


def format_tables(tables: Sequence[TomlTable]) -> str:
    """Return the lines that a person adds by hand."""
    return "\n\n".join("\n".join((f"[{_format_path(table.path)}]", *_format_values(table))) for table in tables)


def parse_toml(text: str) -> dict[str, Any]:
    """Return what a document holds. Raises ValueError."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    found: dict[str, Any] = tomllib.loads(text)
    return found


def _list_ways(text: str, table: TomlTable) -> Iterator[str]:
    """Yield the document with the keys below the table's own header, then with a new table, then as `table.key`.

    The last is for a table that has no header, because its keys are written so already.
    """
    end = "\r\n" if "\r\n" in text else "\n"
    lines = [line + end for line in _format_values(table)]
    yield from _insert_below(text, table.path, lines, end)
    head = "" if not text or text.endswith("\n") else end
    gap = end if text.strip() and not re.search(r"\n\r?\n\Z", text) else ""
    yield "".join((text, head, gap, f"[{_format_path(table.path)}]{end}", *lines))
    for depth in range(len(table.path) - 1, 0, -1):
        prefix = _format_path(table.path[depth:])
        yield from _insert_below(text, table.path[:depth], [f"{prefix}.{line}" for line in lines], end)


def _insert_below(text: str, path: Sequence[str], lines: Sequence[str], end: str) -> Iterator[str]:
    """Yield the document with the lines after each line that looks like that table's header."""
    position = 0
    for line in text.split("\n"):
        position = min(position + len(line) + 1, len(text))
        if line.lstrip(" \t").startswith("[") and _is_header(line, path):
            before = text[:position]
            yield "".join((before, "" if before.endswith("\n") else end, *lines, text[position:]))


def _is_header(line: str, path: Sequence[str]) -> bool:
    """Return whether a line by itself begins that table; within a text of several lines it may not."""
    try:
        return _equal(parse_toml(line.rstrip("\r")), _merge({}, path, {}))
    except ValueError:
        return False


def _reads_as(text: str, wanted: Mapping[str, Any]) -> bool:
    try:
        return _equal(parse_toml(text), wanted)
    except ValueError:
        return False


def _merge(document: Mapping[str, Any], path: Sequence[str], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the document with these values in its table. Raises ValueError if there is something else."""
    if not isinstance(document, dict):
        raise ValueError(f"{path[0] if path else 'it'} is not in a table")
    if path:
        return {**document, path[0]: _merge(document.get(path[0], {}), path[1:], values)}
    if taken := sorted({*document} & {*values}):
        raise ValueError(f"it has {taken[0]} already")
    return {**document, **values}


def _equal(one: Any, other: Any) -> bool:
    """Compare two values of TOML: 1, 1.0 and true differ, and a NaN is equal to itself."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_equal(value, other[key]) for key, value in one.items())
    if isinstance(one, list):
        return len(one) == len(other) and all(map(_equal, one, other))
    return bool(one == other or (one != one and other != other))  # NaN


def _format_path(path: Sequence[str]) -> str:
    return ".".join(map(_format_key, path))


def _format_key(key: str) -> str:
    return key if re.fullmatch("[A-Za-z0-9_-]+", key) else _format_value(key)


def _format_values(table: TomlTable) -> list[str]:
    return [f"{_format_key(key)} = {_format_value(value)}" for key, value in table.values.items()]


def _format_value(value: str | int) -> str:
    """Return it as TOML has it, which is as JSON has it, but for one control character."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
