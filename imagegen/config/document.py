"""A document: the values of a data-only file, and where each of them stands."""

from __future__ import annotations

import codecs
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from imagegen.errors import ImagegenError, Problem

__all__ = [
    "CONFLICT",
    "LONGEST_KEY",
    "MAX_BYTES",
    "MAX_DEPTH",
    "MAX_LINES",
    "MAX_PROBLEMS",
    "MAX_VALUES",
    "Ambiguous",
    "Document",
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
MAX_DEPTH = 32
"""Levels of lists and mappings within each other; a job has five."""
MAX_VALUES = 1_000_000
"""Values of one document, keys among them: twice what 100,000 items have. They take some 300 MB."""
MAX_LINES = 1_000_000
"""Of a job file or a prompt source: a hundred for each of 10,000 items."""
MAX_PROBLEMS = 1000
"""After so many in one document, the rest of it is not read."""
LONGEST_KEY = 500
"""Characters. A key stands in what is said of each value below it."""

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x80-\x84\x86-\x9f\ufffe\uffff]")
_MARKDOWN = (".md", ".markdown")
_SURROGATE = re.compile("[\\ud800-\\udfff]")
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_CONFLICT = re.compile(r"^[ \t]*(?:(?:<{7}|>{7})(?:[ \t].*)?|\|{7}[ \t]+\S.*)$", re.MULTILINE)
_DIVIDER = re.compile(r"^={7}$", re.MULTILINE)
"""The line between the two sides of a merge conflict. In Markdown it underlines a heading."""


@dataclass(frozen=True)
class Ambiguous:
    """A plain YAML scalar that readers disagree on. text: as written. meaning: what YAML 1.1 makes of it."""

    text: str
    meaning: str


@dataclass(frozen=True)
class Document:
    """name: as shown to the user. values: dict, list, str, int, float (finite), bool, None or Ambiguous.

    marks: line and column, from 1, of each key and list entry, by its path; () is the top. files: of those that stand
    in another file, its name.
    """

    name: str
    values: Any
    marks: Mapping[tuple[str | int, ...], tuple[int, int]]
    files: Mapping[tuple[str | int, ...], str] = field(default_factory=dict)

    def where(self, path: Sequence[str | int]) -> str:
        """`jobs/portraits.yaml:12:5`: of the path, or of what it is in."""
        key = tuple(path)
        while key and key not in self.marks:
            key = key[:-1]
        return ":".join(map(str, (self.files.get(key, self.name), *self.marks.get(key, ()))))


def decode(name: str, data: bytes) -> str:
    """The text of a file: UTF-8 with or without BOM, line ends as newlines. Raises ImagegenError, located."""
    if len(data) > MAX_BYTES:
        raise ImagegenError(Problem(name, f"is larger than {MAX_BYTES // 1024**2} MiB", "split it"))
    if data.startswith(_UTF16):
        raise ImagegenError(Problem(f"{name}:1:1", "is UTF-16 or UTF-32, not UTF-8", "save it as UTF-8"))
    data = data.removeprefix(codecs.BOM_UTF8)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line, column = _position(_newlines(data[: error.start].decode("utf-8")))
        what = f"is not UTF-8: byte {data[error.start]:#04x}"
        raise ImagegenError(Problem(f"{name}:{line}:{column}", what, "save it as UTF-8")) from None
    text = _newlines(text)
    if text.count("\n") > MAX_LINES:
        raise ImagegenError(Problem(name, f"has more than {MAX_LINES} lines", "split it"))
    if control := _CONTROL.search(text):
        line, column = _position(text[: control.start()])
        what = f"has the control character U+{ord(control[0]):04X} in it"
        raise ImagegenError(Problem(f"{name}:{line}:{column}", what, "delete it"))
    if conflict := find_merge_conflict(name, text):
        raise ImagegenError(conflict)
    return text


def find_merge_conflict(name: str, text: str) -> Problem | None:
    """What is wrong with a text that git left with a conflict in it; None where it did not."""
    found = _CONFLICT.search(text) or (None if name.lower().endswith(_MARKDOWN) else _DIVIDER.search(text))
    if found is None:
        return None
    line, column = _position(text[: found.start()])
    return Problem(
        f"{name}:{line}:{column}", CONFLICT, "choose one side, and delete the lines with <<<<<<<, ======= and >>>>>>>"
    )


def read_document(name: str, data: bytes, *, first_line: int = 1) -> Document:
    """The document in the file `name`: JSON where it is called so, else YAML.

    first_line: of the document within its file. Raises ImagegenError with every problem, located.
    """
    text = decode(name, data)
    if name.lower().endswith(".json"):
        from imagegen.config.json_document import read_json

        return read_json(name, text)
    from imagegen.config.yaml_document import read_yaml

    return read_yaml(name, text, first_line)


def clean_text(text: str) -> str:
    """A prompt without the white space that no generator sees: at line ends, and blank lines at both ends."""
    return "\n".join(line.rstrip() for line in text.splitlines()).strip("\n").lstrip()


def find_hidden_character(text: str) -> str:
    r"""What an escape such as `\0` put into a text that no path and no prompt can hold; empty where nothing did."""
    if text.isprintable():
        return ""
    if control := _CONTROL.search(text):
        return f"has the control character U+{ord(control[0]):04X} in it"
    return "has half of a surrogate pair in it" if _SURROGATE.search(text) else ""


def _position(before: str) -> tuple[int, int]:
    return before.count("\n") + 1, len(before) - before.rfind("\n")


def _newlines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


_WHOLE = re.compile(r"[-+]?(0|[1-9][0-9]{0,39})")
_DIGITS = re.compile(r"[-+]?[0-9]+")
_NUMBER = re.compile(r"[-+]?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?")


def parse_number(text: str) -> int | float | None:
    """The whole (up to 40 digits) or decimal number that the text is, infinite where it is too large.

    None for what is none, such as `012` and `1_000`.
    """
    if _WHOLE.fullmatch(text):
        return int(text)
    return float(text) if _NUMBER.fullmatch(text) and not _DIGITS.fullmatch(text) else None
