"""The CSV prompt source: the first row names the columns, each further row is an item.

Columns have the names of an item's fields, in upper or lower case; others, such as a price, are ignored. Cells are
separated by commas, semicolons or tabs, whichever the first row has most of, or as Excel's line `sep=;` says. An empty
cell sets nothing, and a row of empty cells is ignored.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from imagegen.config.document import decode, parse_number
from imagegen.config.schema import ITEM_SCHEMA
from imagegen.errors import InputError, Problem
from imagegen.prompts import MAX_ITEMS, SourceItem

__all__ = ["find_dialect", "match_field", "read_csv"]

_DELIMITERS = ",;\t"
_MAX_COLUMNS = 100
"""About a dozen have a meaning; the others are what a spreadsheet leaves behind."""
_REQUIRED = [field for field, rules in ITEM_SCHEMA.items() if rules.get("required")]
_NUMBERS = frozenset(field for field, rules in ITEM_SCHEMA.items() if rules["type"] in ("whole", "number"))


_SEPARATOR = re.compile(r'"?sep=(?:([,;\t|])|\\t)"?[,;\t]*(?:\r?\n|\Z)', re.IGNORECASE)
"""The first line, which tells Excel what separates the cells."""
_FAILED_FORMULA = re.compile(r"#(?:REF|VALUE|DIV/0|NULL|NUM|ERROR|SPILL|CALC)!|#(?:N/A|NAME\?)|Err:\d{3}")
_INVISIBLE = re.compile("[\u200b-\u200d\u2060\ufeff]")
_OTHERS = frozenset({"speed"})
"""Columns that are one letter from ours, but mean something else."""
_OURS_IN_PHRASES = ("prompt", "negative", "cfg", "sampler", "scheduler")
"""A longer name with one of these in it, `negative prompt` for example, means that field."""


@dataclass(frozen=True)
class _Row:
    file: str
    line: int
    cells: list[str]

    def where(self, cell: int) -> str:
        return f"{self.file}:{self.line}:{cell + 1}"


def read_csv(name: str, data: bytes) -> list[SourceItem]:
    """Return the items of a CSV file, in order.

    Raises:
        ImagegenError: with every problem, at `name:line:cell`: the line in which the row begins, and the number of the
            cell in the row, from 1.
    """
    problems: list[Problem] = []
    rows = _read_rows(name, decode(name, data), problems)
    if not rows and not problems:
        problems.append(
            Problem(f"{name}:1:1", "is empty: the first row names the columns, and each further row is an item")
        )
    items = _read_items(rows[0], rows[1:], problems) if rows else []
    if not items and not problems:
        problems.append(Problem(rows[0].where(0), "has no row below its column names, so no items"))
    if problems:
        raise InputError(*problems)
    return items


def _read_rows(name: str, text: str, problems: list[Problem]) -> list[_Row]:
    skipped, delimiter, first = find_dialect(text)
    if first.count(delimiter) >= _MAX_COLUMNS:
        what = f"has {first.count(delimiter) + 1} columns, and at most {_MAX_COLUMNS} are read"
        problems.append(Problem(f"{name}:1:1", what, f"the columns are {', '.join(ITEM_SCHEMA)}"))
        return []
    reader = csv.reader(io.StringIO(text[skipped:]), delimiter=delimiter, skipinitialspace=True, strict=True)
    rows = []
    above = 1 if skipped else 0
    begin = above + 1
    try:
        for cells in reader:
            row = _Row(name, begin, _trim(cells))
            begin = above + reader.line_num + 1
            if any(row.cells):
                rows.append(row)
            if len(rows) > MAX_ITEMS + 1:
                problems.append(Problem(row.where(0), f"has more than {MAX_ITEMS} items", "split the file"))
                return []
    except csv.Error as error:
        what = f"not valid CSV: {error}, in the row that begins here and was read up to line {above + reader.line_num}"
        hint = "a cell that begins with a double quote must end with one; a quote within it is written twice"
        problems.append(Problem(f"{name}:{begin}:1", what, hint))
    return rows


def find_dialect(text: str) -> tuple[int, str, str]:
    """Return how many characters come before the first row, what separates the cells, and the row's first line."""
    separator = _SEPARATOR.match(text)
    skipped = separator.end() if separator else 0
    first = next((line for line in io.StringIO(text[skipped:]) if line.strip(_DELIMITERS + " \r\n")), "")
    return skipped, (separator[1] or "\t") if separator else _find_delimiter(first), first


def _find_delimiter(first: str) -> str:
    """Return what separates the cells of the first row: what gives it our columns, else what it has most of."""
    for delimiter in _DELIMITERS:
        names = {match_field(cell.strip(' "')) for cell in first.rstrip("\r\n").split(delimiter)}
        if names.issuperset(_REQUIRED):
            return delimiter
    return max(_DELIMITERS, key=first.count)


def _trim(cells: Sequence[str]) -> list[str]:
    """Remove white space, and the empty cells that a spreadsheet leaves at the end."""
    kept = [cell.strip() for cell in cells]
    while kept and not kept[-1]:
        kept.pop()
    return kept


def _read_items(found: _Row, rows: Sequence[_Row], problems: list[Problem]) -> list[SourceItem]:
    header = _Row(found.file, found.line, [match_field(column) for column in found.cells])
    if not set(_REQUIRED) <= set(header.cells):
        below = next((row for row in rows if {match_field(cell) for cell in row.cells}.issuperset(_REQUIRED)), None)
        if below is not None:
            what = f"the column names are in line {below.line}; they must be in the first"
            problems.append(Problem(header.where(0), what, "delete the lines above them"))
            return []
    _check_columns(header, problems)
    if not set(_REQUIRED) <= set(header.cells):
        return []  # the problems of the rows would follow from this
    items = []
    first: dict[str, int] = {}
    for row in rows:
        item = _read_item(header.cells, row, problems)
        if item is None:
            continue
        items.append(item)
        if first.setdefault(item.name, row.line) != row.line:
            what = f"'{item.name[:60]}' is the name of two items, first in line {first[item.name]}"
            problems.append(Problem(item.marks["name"], what))
    return items


def _check_columns(header: _Row, problems: list[Problem]) -> None:
    for index, column in enumerate(header.cells):
        if not column:
            continue  # spreadsheets write such columns; a cell below it is refused
        if column not in ITEM_SCHEMA and len(header.cells) > 1:
            if meant := _match_misspelt(column):
                what = f"'{column[:60]}' is not a column; did you mean '{meant}'?"
                problems.append(Problem(header.where(index), what, f"the columns are {', '.join(ITEM_SCHEMA)}"))
        elif header.cells.index(column) < index:
            what = f"the column '{column}' is given twice, first as number {header.cells.index(column) + 1}"
            problems.append(Problem(header.where(index), what))
    for column in _REQUIRED:
        if column not in header.cells:
            named = ", ".join(f"'{cell[:60]}'" for cell in header.cells if cell)
            fix = f"the columns here are {named}"
            if len(header.cells) == 1:
                fix += "; cells are separated by commas, semicolons or tabs"
            problems.append(Problem(header.where(0), f"there is no column '{column}'", fix))


def match_field(column: str) -> str:
    """Return the field that a column's name means, in upper or lower case; else the name itself."""
    name = _INVISIBLE.sub("", column).casefold()
    return name if name in ITEM_SCHEMA else column


def _match_misspelt(column: str) -> str:
    """Return the field that a misspelt column name surely means; empty for any other name, such as a weight."""
    name = column.casefold()
    words = re.split(r"[^a-z]+", name)
    for field in _OURS_IN_PHRASES:
        if field in words or name == field[:3] or (field == "cfg" and name.startswith(field)):
            return field
    return next((field for field in ITEM_SCHEMA if name not in _OTHERS and _is_slip(name, field)), "")


def _is_slip(name: str, field: str) -> bool:
    """Whether a letter, but not the first one, is missing, added, replaced or swapped with the next."""
    if abs(len(name) - len(field)) > 1 or len(name) < 3:
        return False
    begin = next((at for at, (one, other) in enumerate(zip(name, field, strict=False)) if one != other), None)
    if begin is None:
        return True
    rest, of_field = name[begin:], field[begin:]
    if rest[:2] == of_field[:2][::-1] and rest[2:] == of_field[2:]:
        return True
    return begin > 0 and (rest[1:] == of_field[1:] or rest[1:] == of_field or rest == of_field[1:])


def _read_item(columns: Sequence[str], row: _Row, problems: list[Problem]) -> SourceItem | None:
    if len(row.cells) > len(columns):
        what = f"this row has {len(row.cells)} cells, but there are {len(columns)} columns"
        hint = "put a cell that contains commas, semicolons or tabs in double quotes"
        problems.append(Problem(row.where(len(columns)), what, hint))
    fields: dict[str, str] = {}
    marks: dict[str, str] = {}
    for index, (column, cell) in enumerate(zip(columns, row.cells, strict=False)):
        if cell and not column:
            problems.append(Problem(row.where(index), "this cell is in a column without a name"))
        elif cell and column in ITEM_SCHEMA:
            if _FAILED_FORMULA.fullmatch(cell):
                what = f"{cell} is what a spreadsheet writes for a formula that failed"
                problems.append(Problem(row.where(index), what, "correct the formula, and export the table again"))
            fields[column], marks[column] = cell, row.where(index)
    missing = [column for column in _REQUIRED if column not in fields]
    for column in missing:
        problems.append(Problem(row.where(columns.index(column)), f"this row has no {column}"))
    if missing:
        return None
    name, prompt, negative = fields.pop("name"), fields.pop("prompt"), fields.pop("negative", None)
    return SourceItem(name, prompt, negative, {key: _read_value(key, cell) for key, cell in fields.items()}, marks)


def _read_value(field: str, cell: str) -> str | int | float:
    """Return the number in a cell of a number field; any other text stays as it is, for the checks to refuse."""
    number = parse_number(cell) if field in _NUMBERS else None
    return cell if number is None or not math.isfinite(number) else number
