"""Changes cells of a CSV prompt source. All other cells stay as they are, byte for byte."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from imagegen.prompts.csv import find_dialect, match_field

__all__ = ["edit_csv", "list_columns"]


class _Cell(NamedTuple):
    """A cell, with the blanks around it, from `start` up to `end` in the text."""

    start: int
    end: int
    value: str


def edit_csv(text: str, item: str, changes: Mapping[str, Any]) -> str:
    """Return the text of a valid table with cells of one row changed. The caller reads it again.

    Args:
        text: with its own line ends.
        item: its name.
        changes: by column; None empties the cell.

    Raises:
        ValueError: there is no such row or column.
    """
    delimiter, columns, rows = _parse(text)
    row = next((row for row in rows if _value(row, columns.index("name")) == item), None)
    if row is None:
        raise ValueError(f"no row has the name '{item}'")
    newline = "\r\n" if "\r\n" in text else "\n"
    for column, value in sorted(changes.items(), key=lambda change: columns.index(change[0]), reverse=True):
        said = "" if value is None else str(value).replace("\n", newline)
        text = _write(text, row, columns.index(column), said, delimiter)
    return text


def list_columns(text: str) -> list[str]:
    """Return the columns of a valid table: fields of an item by their names."""
    return _parse(text)[1]


def _write(text: str, row: list[_Cell], index: int, said: str, delimiter: str) -> str:
    if index >= len(row):  # a spreadsheet leaves out the empty cells at the end
        end = row[-1].end
        return text[:end] + delimiter * (index - len(row) + 1) + _format(said, delimiter, is_quoted=False) + text[end:]
    cell = row[index]
    raw = text[cell.start : cell.end]
    bare = raw.strip(" ")
    lead = raw[: len(raw) - len(raw.lstrip(" "))]
    written = _format(said, delimiter, is_quoted=bare.startswith('"'))
    tail = raw[len(raw.rstrip(" ")) :] if bare and not written.startswith('"') else ""  # a quote ends the cell
    return text[: cell.start] + lead + written + tail + text[cell.end :]


def _format(said: str, delimiter: str, *, is_quoted: bool) -> str:
    if is_quoted or said != said.strip() or any(mark in said for mark in (delimiter, '"', "\n", "\r")):
        return '"' + said.replace('"', '""') + '"'
    return said


def _value(row: list[_Cell], index: int) -> str:
    return row[index].value if index < len(row) else ""


def _parse(text: str) -> tuple[str, list[str], list[list[_Cell]]]:
    """Return what separates the cells, the columns, and the rows below them."""
    skipped, delimiter, _ = find_dialect(text)
    rows = [row for row in _scan(text, skipped, delimiter) if any(cell.value for cell in row)]
    return delimiter, [match_field(cell.value) for cell in rows[0]], rows[1:]


def _scan(text: str, at: int, delimiter: str) -> list[list[_Cell]]:
    ending = re.compile(rf"{re.escape(delimiter)}|\r\n|\n|\r|\Z")
    quoted = re.compile(r' *"((?:[^"]|"")*)"')
    rows: list[list[_Cell]] = [[]]
    while True:
        begin = quoted.match(text, at)
        found = ending.search(text, begin.end() if begin else at)
        assert found is not None  # noqa: S101 - it finds the end
        value = begin[1].replace('""', '"') if begin else text[at : found.start()]
        rows[-1].append(_Cell(at, found.start(), re.sub(r"\r\n?", "\n", value).strip()))
        at = found.end()
        if at == len(text) and found[0] != delimiter:
            return rows
        if found[0] != delimiter:
            rows.append([])
