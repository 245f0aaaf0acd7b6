"""A document: the values of a data-only file, and the position of each. Both readers, of YAML and JSON, build one."""

from __future__ import annotations

import codecs
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from imagegen.errors import InputError, Problem

__all__ = [
    "CONFLICT",
    "MAX_BYTES",
    "MAX_DEPTH",
    "MAX_PROBLEMS",
    "Ambiguous",
    "Document",
    "DocumentReader",
    "Location",
    "Position",
    "StopReading",
    "clean_text",
    "decode",
    "find_hidden_character",
    "find_merge_conflict",
    "parse_number",
    "read_document",
]

CONFLICT = "has unresolved merge-conflict markers"
MAX_BYTES = 16 * 1024**2
"""Of a job file or a prompt source: ten times what 10,000 items take."""
MAX_LINES = 1_000_000
"""Of a job file or a prompt source: a hundred for each of 10,000 items."""
MAX_DEPTH = 32
"""Levels of lists and mappings within each other; a job has five."""
MAX_VALUES = 1_000_000
"""Values of one document, keys included: twice what 100,000 items have. They take about 300 MB."""
MAX_PROBLEMS = 1000
"""After that many in one document, the rest of it is not read."""
LONGEST_KEY = 500
"""Characters. A problem with a value names the keys above it."""

# not compiled here: a run with nothing to do does without
_CONTROL = r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x80-\x84\x86-\x9f\ufffe\uffff]"
_SURROGATE = "[\\ud800-\\udfff]"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_MARKDOWN = (".md", ".markdown")
_CONFLICT = r"(?m)^[ \t]*(?:(?:<{7}|>{7})(?:[ \t].*)?|\|{7}[ \t]+\S.*)$"
_DIVIDER = r"(?m)^={7}$"
"""The line between the two sides of a merge conflict. In Markdown it underlines a heading."""
_WHOLE = re.compile(r"[-+]?(0|[1-9][0-9]{0,39})")
_DIGITS = re.compile(r"[-+]?[0-9]+")
_NUMBER = re.compile(r"[-+]?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?")

Location = tuple[str | int, ...]
"""The keys and list indices that lead to a value; () is the top of the document."""
Position = tuple[int, int]
"""Line and column, from 1."""


@dataclass(frozen=True)
class Ambiguous:
    """A plain YAML scalar that readers disagree on."""

    text: str  # as written
    meaning: str  # what YAML 1.1 makes of it


@dataclass(frozen=True)
class Document:
    """The values of a file: dict, list, str, int, float (finite), bool, None or Ambiguous."""

    name: str  # of the file, as shown to the user
    values: Any
    marks: Mapping[Location, Position]  # of each key and list entry
    files: Mapping[Location, str] = field(default_factory=dict)  # of what comes from another file

    def where(self, location: Sequence[str | int]) -> str:
        """Return `jobs/portraits.yaml:12:5` for a location, or for the nearest one above it that has a position."""
        key = tuple(location)
        while key and key not in self.marks:
            key = key[:-1]
        return ":".join(map(str, (self.files.get(key, self.name), *self.marks.get(key, ()))))


class StopReading(Exception):  # noqa: N818 - never leaves the readers
    """It makes no sense to read on; the problem has been noted."""


class DocumentReader(ABC):
    """What a reader of either format has: positions, problems, limits, and the checks of keys and texts."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.marks: dict[Location, Position] = {}
        self.problems: list[Problem] = []
        self.count = 0

    @abstractmethod
    def read_values(self) -> Any:
        """Return the document's values, with their marks noted. Raises StopReading."""

    def read(self) -> Document:
        """Return the document. Raises ImagegenError with every problem, located."""
        try:
            values = self.read_values()
        except StopReading:
            values = None
        if self.problems:
            raise InputError(*self.problems)
        return Document(self.name, values, self.marks)

    def note(self, position: Position | None, what: str, hint: str = "") -> None:
        """Note a problem, and read on."""
        self.problems.append(Problem(":".join(map(str, (self.name, *(position or ())))), what, hint))

    def stop(self, position: Position | None, what: str, hint: str = "") -> StopReading:
        """Note a problem, and return the exception that ends the reading."""
        self.note(position, what, hint)
        return StopReading()

    def begin_value(self, location: Location, position: Position, depth: int) -> None:
        """Note where a value is, and hold the document to its limits."""
        self.marks.setdefault(location, position)
        self.count_value(position, depth)

    def count_value(self, position: Position, depth: int) -> None:
        """Hold the document to its limits."""
        self.count += 1
        if len(self.problems) >= MAX_PROBLEMS:
            raise StopReading
        if self.count > MAX_VALUES:
            raise self.stop(position, f"has more than {MAX_VALUES} values, the maximum for one file", "split the file")
        if depth > MAX_DEPTH:
            raise self.too_deep(position)

    def too_deep(self, position: Position) -> StopReading:
        """Note that the nesting is too deep."""
        return self.stop(position, f"is nested more than {MAX_DEPTH} levels deep")

    def check_key(self, key: str, position: Position) -> None:
        """Refuse a key that is too long."""
        if len(key) > LONGEST_KEY:
            raise self.stop(position, f"has a key of {len(key)} characters; a key has at most {LONGEST_KEY}")

    def begin_key(self, key: str, keys: Mapping[str, Any], above: Location, position: Position) -> Location:
        """Note where a key is, or that its mapping has it already; return the location of its value."""
        location = (*above, key)
        if key in keys:
            self.note(position, f"'{key}' is given twice, first in line {self.marks[location][0]}")
        else:
            self.marks[location] = position
        return location

    def check_text(self, text: str, position: Position) -> None:
        """Note what a text has in it that no path and no prompt can have."""
        if what := find_hidden_character(text):
            self.note(position, what)


def read_document(name: str, data: bytes, *, first_line: int = 1) -> Document:
    """Read the document in a file: JSON if its name says so, else YAML.

    Args:
        name: of the file, as shown to the user.
        data: its content.
        first_line: the line of the file in which the document begins.

    Raises:
        ImagegenError: with every problem, located.
    """
    text = decode(name, data)
    if name.lower().endswith(".json"):
        from imagegen.config.json_document import JsonReader

        return JsonReader(name, text).read()
    from imagegen.config.yaml_document import YamlReader

    return YamlReader(name, text, first_line).read()


def decode(name: str, data: bytes) -> str:
    """Return the text of a file: UTF-8 with or without BOM, line ends as newlines. Raises ImagegenError, located."""
    if len(data) > MAX_BYTES:
        raise InputError(Problem(name, f"is larger than {MAX_BYTES // 1024**2} MiB", "split the file"))
    if data.startswith(_UTF16):
        raise InputError(Problem(f"{name}:1:1", "is UTF-16 or UTF-32, not UTF-8", "save it as UTF-8"))
    data = data.removeprefix(codecs.BOM_UTF8)
    try:
        text = _with_newlines(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        where = _where(name, _with_newlines(data[: error.start].decode("utf-8")))
        raise InputError(Problem(where, f"is not UTF-8: byte {data[error.start]:#04x}", "save it as UTF-8")) from None
    if text.count("\n") > MAX_LINES:
        raise InputError(Problem(name, f"has more than {MAX_LINES} lines", "split the file"))
    if control := re.search(_CONTROL, text):
        where = _where(name, text[: control.start()])
        raise InputError(Problem(where, find_hidden_character(control[0]), "delete it"))
    if conflict := find_merge_conflict(name, text):
        raise InputError(conflict)
    return text


def find_merge_conflict(name: str, text: str) -> Problem | None:
    """Return the problem of a text that git left with a conflict in it; None if there is none."""
    found = re.search(_CONFLICT, text) or (None if name.lower().endswith(_MARKDOWN) else re.search(_DIVIDER, text))
    if found is None:
        return None
    hint = "choose one side, and delete the lines with <<<<<<<, ======= and >>>>>>>"
    return Problem(_where(name, text[: found.start()]), CONFLICT, hint)


def find_hidden_character(text: str) -> str:
    r"""Return what is wrong with a text that no path and no prompt can hold, as escapes such as `\0` make it; or ''."""
    if text.isprintable():
        return ""
    if control := re.search(_CONTROL, text):
        return f"has the control character U+{ord(control[0]):04X} in it"
    return "has half of a surrogate pair in it" if re.search(_SURROGATE, text) else ""


def clean_text(text: str) -> str:
    """Return a prompt without the white space that no generator sees: at line ends, and blank lines at both ends."""
    return "\n".join(line.rstrip() for line in text.splitlines()).strip("\n").lstrip()


def parse_number(text: str) -> int | float | None:
    """Return the whole (up to 40 digits) or decimal number that a text is, infinite if it is too large.

    None for what is not a plain number, such as `012` and `1_000`.
    """
    if _WHOLE.fullmatch(text):
        return int(text)
    return float(text) if _NUMBER.fullmatch(text) and not _DIGITS.fullmatch(text) else None


def _where(name: str, before: str) -> str:
    return f"{name}:{before.count(chr(10)) + 1}:{len(before) - before.rfind(chr(10))}"


def _with_newlines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")
