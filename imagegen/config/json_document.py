"""JSON with positions: the json module's own scanner for scalars, and a walk that notes where each value stands."""

from __future__ import annotations

import bisect
import json
import math
import re
from typing import Any, NoReturn

from imagegen.config.document import LONGEST_KEY, MAX_DEPTH, MAX_PROBLEMS, MAX_VALUES, Document, find_hidden_character
from imagegen.errors import ImagegenError, Problem

__all__ = ["read_json"]

_OTHER_QUOTES = "'`\u2018\u2019\u201a\u201b\u201c\u201d\u201e\u201f\u00ab\u00bb"
_WORDS = {"True": "true", "False": "false", "None": "null", "undefined": "null", "TRUE": "true", "FALSE": "false"}
_SPACE = re.compile(r"[ \t\n]*")


def read_json(name: str, text: str) -> Document:
    """The document. Raises ImagegenError, located, for what is not valid JSON, and for duplicate keys."""
    reader = _Reader(name, text)
    if reader.skip(0) == len(text):
        raise ImagegenError(Problem(name, "is empty"))
    values, end = reader.value(reader.skip(0), (), 0)
    if reader.skip(end) != len(text):
        reader.fail(reader.skip(end), "there is more after the end of the document", "one file is one document")
    if reader.problems:
        raise ImagegenError(*reader.problems)
    return Document(name, values, reader.marks)


class _Reader:
    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.text = text
        self.marks: dict[tuple[str | int, ...], tuple[int, int]] = {}
        self.problems: list[Problem] = []
        self._count = 0
        self._lines = [0] + [match.end() for match in re.finditer("\n", text)]
        self._decoder = json.JSONDecoder(parse_constant=self._constant, parse_int=self._whole, parse_float=self._number)

    def value(self, at: int, path: tuple[str | int, ...], depth: int) -> tuple[Any, int]:
        self.marks.setdefault(path, self.position(at))
        self._count += 1
        if len(self.problems) >= MAX_PROBLEMS:
            raise ImagegenError(*self.problems)
        if self._count > MAX_VALUES:
            self.fail(at, f"more than {MAX_VALUES} values are too many for one file: split it")
        if depth > MAX_DEPTH:
            self.fail(at, f"is nested more than {MAX_DEPTH} levels deep")
        opening = self.text[at : at + 1]
        if opening == "{":
            return self._object(at + 1, path, depth)
        if opening == "[":
            return self._array(at + 1, path, depth)
        value, end = self._scalar(at)
        if isinstance(value, str):
            self._check_text(at, value)
        return value, end

    def skip(self, at: int) -> int:
        match = _SPACE.match(self.text, at)
        return match.end() if match else at

    def position(self, at: int) -> tuple[int, int]:
        line = bisect.bisect_right(self._lines, at)
        return line, at - self._lines[line - 1] + 1

    def fail(self, at: int, what: str, hint: str = "") -> NoReturn:
        line, column = self.position(at)
        raise ImagegenError(*self.problems, Problem(f"{self.name}:{line}:{column}", what, hint))

    def refuse(self, at: int, expected: str) -> NoReturn:
        """Fail at what is not valid JSON, with what its user probably meant."""
        rest = self.text[at : at + 20]
        before = self.text[:at].rstrip()
        word = re.match(r"[A-Za-z_]\w*", rest)
        if rest.startswith(("//", "/*", "#")):
            self.fail(at, "JSON has no comments", "delete the comment, or write the job in YAML, which has them")
        if rest.startswith(("}", "]")) and before.endswith(","):
            self.fail(len(before) - 1, f"a comma before {rest[0]} is not valid JSON", "delete the comma")
        if rest and rest[0] in _OTHER_QUOTES:
            self.fail(at, f"{rest[0]} is not a quote in JSON", 'put text in double quotes: "…"')
        if word and (right := _WORDS.get(word[0])):
            self.fail(at, f"{word[0]} is not valid JSON", f"write {right}")
        if word:
            self.fail(at, f"text must be in double quotes in JSON, found {word[0]}", f'write "{word[0]}"')
        if expected == "','" and rest.startswith('"'):
            self.fail(at, "not valid JSON: expected ',' before the next entry", "put a comma between the two")
        found = f"'{rest[0]}'" if rest else "the end of the file"
        self.fail(at, f"not valid JSON: expected {expected}, found {found}")

    def _scalar(self, at: int) -> tuple[Any, int]:
        try:
            value, end = self._decoder.raw_decode(self.text, at)
        except json.JSONDecodeError as error:
            if error.msg.startswith("Expecting value"):
                self.refuse(at, "a value")
            self._refuse_text(at, error)
        except ValueError as error:
            self.fail(at, str(error))
        return value, end

    def _refuse_text(self, start: int, error: json.JSONDecodeError) -> NoReturn:
        """Fail at a text in double quotes that is not valid."""
        if error.msg.startswith("Invalid control character"):
            sign = self.text[error.pos]
            if sign == "\n":
                what = "the quote that begins here is not closed in its line"
                self.fail(start, what, "close the quote; a line end within a text is written \\n")
            self.fail(error.pos, f"a control character (U+{ord(sign):04X}) within a text", "write a tab as \\t")
        if error.msg.startswith("Unterminated"):
            self.fail(start, "the quote that begins here is never closed", "close the quote")
        if "escape" in error.msg:
            escape = self.text[error.pos : error.pos + 2]
            self.fail(error.pos, f"{escape} is not an escape in JSON", "write \\\\ for a backslash")
        self.fail(error.pos, f"not valid JSON: {error.msg[:1].lower() + error.msg[1:]}")

    def _object(self, at: int, path: tuple[str | int, ...], depth: int) -> tuple[dict[str, Any], int]:
        found: dict[str, Any] = {}
        at = self.skip(at)
        if self.text[at : at + 1] == "}":
            return found, at + 1
        while True:
            at = self.skip(at)
            if self.text[at : at + 1] != '"':
                self.refuse(at, "a key in double quotes")
            start = at
            key, at = self._scalar(at)
            self._check_text(start, key)
            if len(key) > LONGEST_KEY:
                self.fail(start, f"is a key of {len(key)} characters, and a key has at most {LONGEST_KEY}")
            inner = (*path, key)
            if key in found:
                line, column = self.position(start)
                first = self.marks[inner]
                what = f"'{key}' is given twice, first in line {first[0]}"
                self.problems.append(Problem(f"{self.name}:{line}:{column}", what))
            else:
                self.marks[inner] = self.position(start)
            at = self._expect(self.skip(at), ":")
            found[key], at = self.value(self.skip(at), inner, depth + 1)
            at = self.skip(at)
            if self.text[at : at + 1] == "}":
                return found, at + 1
            at = self._expect(at, ",")

    def _array(self, at: int, path: tuple[str | int, ...], depth: int) -> tuple[list[Any], int]:
        found: list[Any] = []
        at = self.skip(at)
        if self.text[at : at + 1] == "]":
            return found, at + 1
        while True:
            value, at = self.value(self.skip(at), (*path, len(found)), depth + 1)
            found.append(value)
            at = self.skip(at)
            if self.text[at : at + 1] == "]":
                return found, at + 1
            at = self._expect(at, ",")

    def _expect(self, at: int, character: str) -> int:
        if self.text[at : at + 1] != character:
            self.refuse(at, f"'{character}'")
        return at + 1

    def _check_text(self, at: int, value: str) -> None:
        if what := find_hidden_character(value):
            line, column = self.position(at)
            self.problems.append(Problem(f"{self.name}:{line}:{column}", what))

    @staticmethod
    def _constant(word: str) -> NoReturn:
        raise ValueError(f"{word} is not a number in JSON")

    @staticmethod
    def _number(digits: str) -> float:
        if not math.isfinite(float(digits)):
            raise ValueError(f"{digits[:20]} is too large a number")
        return float(digits)

    @staticmethod
    def _whole(digits: str) -> int:
        if len(digits) > 40:
            raise ValueError(f"is a number of {len(digits)} digits")
        return int(digits)
