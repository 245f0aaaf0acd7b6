"""JSON, read with positions: the json module reads scalars, and a walk around it notes where each value is."""

from __future__ import annotations

import bisect
import json
import math
import re
from typing import Any, NoReturn

from imagegen.config.document import DocumentReader, Location, Position

__all__ = ["JsonReader"]

_OTHER_QUOTES = "'`\u2018\u2019\u201a\u201b\u201c\u201d\u201e\u201f\u00ab\u00bb"
_WORDS = {"True": "true", "False": "false", "None": "null", "undefined": "null", "TRUE": "true", "FALSE": "false"}
_SPACE = re.compile(r"[ \t\n]*")


class JsonReader(DocumentReader):
    """Reads one JSON document. `at` is an index into the text."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(name)
        self.text = text
        self._lines = [0] + [match.end() for match in re.finditer("\n", text)]
        self._decoder = json.JSONDecoder(
            parse_constant=_refuse_constant, parse_int=_parse_whole, parse_float=_parse_decimal
        )

    def read_values(self) -> Any:
        """Return the document's values."""
        if self._skip(0) == len(self.text):
            raise self.stop(None, "is empty")
        values, end = self._read_value(self._skip(0), (), 0)
        if (end := self._skip(end)) != len(self.text):
            self._fail(end, "there is more after the end of the document", "one file is one document")
        return values

    def _read_value(self, at: int, location: Location, depth: int) -> tuple[Any, int]:
        """Return a value, and where it ends."""
        self.begin_value(location, self._position(at), depth)
        opening = self.text[at : at + 1]
        if opening == "{":
            return self._read_object(at + 1, location, depth)
        if opening == "[":
            return self._read_array(at + 1, location, depth)
        value, end = self._read_scalar(at)
        if isinstance(value, str):
            self.check_text(value, self._position(at))
        return value, end

    def _read_object(self, at: int, location: Location, depth: int) -> tuple[dict[str, Any], int]:
        found: dict[str, Any] = {}
        at = self._skip(at)
        if self.text[at : at + 1] == "}":
            return found, at + 1
        while True:
            at = self._skip(at)
            if self.text[at : at + 1] != '"':
                self._refuse(at, "a key in double quotes")
            position = self._position(at)
            key, at = self._read_scalar(at)
            self.check_text(key, position)
            self.check_key(key, position)
            inner = self.begin_key(key, found, location, position)
            at = self._expect(self._skip(at), ":")
            found[key], at = self._read_value(self._skip(at), inner, depth + 1)
            at = self._skip(at)
            if self.text[at : at + 1] == "}":
                return found, at + 1
            at = self._expect(at, ",")

    def _read_array(self, at: int, location: Location, depth: int) -> tuple[list[Any], int]:
        found: list[Any] = []
        at = self._skip(at)
        if self.text[at : at + 1] == "]":
            return found, at + 1
        while True:
            value, at = self._read_value(self._skip(at), (*location, len(found)), depth + 1)
            found.append(value)
            at = self._skip(at)
            if self.text[at : at + 1] == "]":
                return found, at + 1
            at = self._expect(at, ",")

    def _read_scalar(self, at: int) -> tuple[Any, int]:
        try:
            return self._decoder.raw_decode(self.text, at)
        except json.JSONDecodeError as error:
            if error.msg.startswith("Expecting value"):
                self._refuse(at, "a value")
            self._refuse_text(at, error)
        except ValueError as error:
            self._fail(at, str(error))

    def _skip(self, at: int) -> int:
        match = _SPACE.match(self.text, at)
        return match.end() if match else at

    def _expect(self, at: int, character: str) -> int:
        if self.text[at : at + 1] != character:
            self._refuse(at, f"'{character}'")
        return at + 1

    def _position(self, at: int) -> Position:
        line = bisect.bisect_right(self._lines, at)
        return line, at - self._lines[line - 1] + 1

    def _fail(self, at: int, what: str, hint: str = "") -> NoReturn:
        raise self.stop(self._position(at), what, hint)

    def _refuse(self, at: int, expected: str) -> NoReturn:
        """Fail at what is not valid JSON, with what its writer probably meant."""
        rest = self.text[at : at + 20]
        before = self.text[:at].rstrip()
        word = re.match(r"[A-Za-z_]\w*", rest)
        if rest.startswith(("//", "/*", "#")):
            self._fail(at, "JSON has no comments", "delete the comment, or write the job in YAML, which has them")
        if rest.startswith(("}", "]")) and before.endswith(","):
            self._fail(len(before) - 1, f"a comma before {rest[0]} is not valid JSON", "delete the comma")
        if rest and rest[0] in _OTHER_QUOTES:
            self._fail(at, f"{rest[0]} is not a quote in JSON", 'put text in double quotes: "…"')
        if word and (right := _WORDS.get(word[0])):
            self._fail(at, f"{word[0]} is not valid JSON", f"write {right}")
        if word:
            self._fail(at, f"text must be in double quotes in JSON, found {word[0]}", f'write "{word[0]}"')
        if expected == "','" and rest.startswith('"'):
            self._fail(at, "not valid JSON: expected ',' before the next entry", "put a comma between the two")
        found = f"'{rest[0]}'" if rest else "the end of the file"
        self._fail(at, f"not valid JSON: expected {expected}, found {found}")

    def _refuse_text(self, start: int, error: json.JSONDecodeError) -> NoReturn:
        """Fail at a text in double quotes that is not valid."""
        if error.msg.startswith("Invalid control character"):
            sign = self.text[error.pos]
            if sign == "\n":
                what = "the quote that begins here is not closed in its line"
                self._fail(start, what, "close the quote; a line end within a text is written \\n")
            self._fail(error.pos, f"a control character (U+{ord(sign):04X}) within a text", "write a tab as \\t")
        if error.msg.startswith("Unterminated"):
            self._fail(start, "the quote that begins here is never closed", "close the quote")
        if "escape" in error.msg:
            escape = self.text[error.pos : error.pos + 2]
            self._fail(error.pos, f"{escape} is not an escape in JSON", "write \\\\ for a backslash")
        self._fail(error.pos, f"not valid JSON: {error.msg[:1].lower() + error.msg[1:]}")


def _refuse_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is not a number in JSON")


def _parse_decimal(digits: str) -> float:
    if not math.isfinite(float(digits)):
        raise ValueError(f"{digits[:20]} is too large a number")
    return float(digits)


def _parse_whole(digits: str) -> int:
    if len(digits) > 40:
        raise ValueError(f"is a number of {len(digits)} digits")
    return int(digits)
