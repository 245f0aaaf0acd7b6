"""JSON with positions: the json module's own scanner for scalars, and a walk that notes where each value stands."""

from __future__ import annotations

import bisect
import json
import math
import re
from typing import Any, NoReturn

from imagegen.config.document import LONGEST_KEY, MAX_DEPTH, MAX_PROBLEMS, MAX_VALUES, Document, hidden_character
from imagegen.errors import ImagegenError, Problem

__all__ = ["read_json"]

_SPACE = re.compile(r"[ \t\n]*")


def read_json(name: str, text: str) -> Document:
    """The document. Raises ImagegenError, located, for what is no JSON, and for duplicate keys."""
    reader = _Reader(name, text)
    if reader.skip(0) == len(text):
        raise ImagegenError(Problem(name, "is empty"))
    values, end = reader.value(reader.skip(0), (), 0)
    if reader.skip(end) != len(text):
        reader.fail(reader.skip(end), "there is more after the end of the document")
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
        try:
            value, end = self._decoder.raw_decode(self.text, at)
        except json.JSONDecodeError as error:
            self.fail(error.pos, _plain_words(error))
        except ValueError as error:
            self.fail(at, str(error))
        if isinstance(value, str):
            self._check_text(at, value)
        return value, end

    def skip(self, at: int) -> int:
        match = _SPACE.match(self.text, at)
        return match.end() if match else at

    def position(self, at: int) -> tuple[int, int]:
        line = bisect.bisect_right(self._lines, at)
        return line, at - self._lines[line - 1] + 1

    def fail(self, at: int, what: str) -> NoReturn:
        line, column = self.position(at)
        raise ImagegenError(*self.problems, Problem(f"{self.name}:{line}:{column}", what))

    def _object(self, at: int, path: tuple[str | int, ...], depth: int) -> tuple[dict[str, Any], int]:
        found: dict[str, Any] = {}
        at = self.skip(at)
        if self.text[at : at + 1] == "}":
            return found, at + 1
        while True:
            at = self.skip(at)
            if self.text[at : at + 1] != '"':
                self.fail(at, "is no JSON: expected a key in double quotes")
            start = at
            try:
                key, at = self._decoder.raw_decode(self.text, at)
            except json.JSONDecodeError as error:
                self.fail(error.pos, _plain_words(error))
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
            self.fail(at, f"is no JSON: expected '{character}'")
        return at + 1

    def _check_text(self, at: int, value: str) -> None:
        if what := hidden_character(value):
            line, column = self.position(at)
            self.problems.append(Problem(f"{self.name}:{line}:{column}", what))

    @staticmethod
    def _constant(word: str) -> NoReturn:
        raise ValueError(f"{word} is no number in JSON")

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


def _plain_words(error: json.JSONDecodeError) -> str:
    what = error.msg[:1].lower() + error.msg[1:]
    return f"is no JSON: {what.removesuffix(' at').removesuffix(' starting')}"
