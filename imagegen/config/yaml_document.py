"""YAML, read strictly and with positions: data only, and nothing that readers disagree on.

Built from the parser's events, so that tags, duplicate keys and aliases are seen before they mean anything.
"""

from __future__ import annotations

import math
import re
from typing import Any

import yaml

from imagegen.config.document import (
    LONGEST_KEY,
    MAX_DEPTH,
    MAX_PROBLEMS,
    MAX_VALUES,
    Ambiguous,
    Document,
    hidden_character,
)
from imagegen.config.numbers import plain_number
from imagegen.errors import ImagegenError, Problem

__all__ = ["MAX_ALIASED", "read_yaml"]

MAX_ALIASED = 10_000
"""Values that aliases may add to a document."""

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DIGITS = re.compile(r"[-+]?[0-9]+")
_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_NO_NUMBERS = {".nan": "not a number", ".inf": "infinity", "+.inf": "infinity", "-.inf": "infinity"}
_LONE_LETTERS = {"y": "true", "Y": "true", "n": "false", "N": "false"}
_OCTAL = re.compile(r"0o[0-7]+")
_LONGEST_NUMBER = 10_000
"""Characters. What is longer is no number to any reader, and PyYAML's patterns take much memory to tell."""
_TOO_DEEP = f"is nested more than {MAX_DEPTH} levels deep"
_KEY = (-1,)
"""The path while a key is read: no list has such an entry."""
_MENDS = {
    "mapping values are not allowed": "put text with ': ' in it in quotes, and check the indentation",
    "cannot start any token": "indent with spaces, not tabs; put text that begins with @, ` or % in quotes",
    "while scanning a quoted scalar": "close the quote",
    "while parsing a flow": "close the bracket",
}


def read_yaml(name: str, text: str, first_line: int = 1) -> Document:
    """The document. Raises ImagegenError with every problem, located."""
    builder = _Builder(name, text, first_line)
    try:
        values = builder.document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = " ".join(filter(None, [error.problem, error.context and f"({error.context})"]))
        if "maximum nesting depth" in what:  # libyaml has a bound of its own, which it meets before it says more
            builder.problem(mark, _TOO_DEEP)
        else:
            mend = next((mend for part, mend in _MENDS.items() if part in what), "")
            builder.problem(mark, f"is no YAML: {what}", mend)
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # without libyaml, "\\Uffffffff" raises the last two
        builder.problem(None, f"is no YAML: {' '.join(str(error).split())}")
    if builder.problems:
        raise ImagegenError(*builder.problems)
    return Document(name, values, builder.marks)


class _Stop(Exception):  # noqa: N818 - internal
    """Going on would make no sense; the problem has been noted."""


class _Builder:
    def __init__(self, name: str, text: str, first_line: int) -> None:
        self.name = name
        self.first_line = first_line
        self.marks: dict[tuple[str | int, ...], tuple[int, int]] = {}
        self.problems: list[Problem] = []
        self._loader = _Loader(text)
        self._anchors: dict[str, tuple[Any, int, int]] = {}
        """By name: the value, how many values it holds, how many levels deep it is."""
        self._count = 0
        self._deepest = 0
        self._aliased = 0

    def document(self) -> Any:
        try:
            return self._document()
        except _Stop:
            return None
        finally:
            self._loader.dispose()

    def problem(self, mark: Any, what: str, mend: str = "") -> None:
        place = f":{self._position(mark)[0]}:{self._position(mark)[1]}" if mark is not None else ""
        self.problems.append(Problem(f"{self.name}{place}", what, mend))

    def _position(self, mark: Any) -> tuple[int, int]:
        return mark.line + self.first_line, mark.column + 1

    def _stop(self, mark: Any, what: str) -> _Stop:
        self.problem(mark, what)
        return _Stop()

    def _document(self) -> Any:
        self._loader.get_event()  # the stream's start
        if isinstance(self._loader.peek_event(), yaml.StreamEndEvent):
            raise self._stop(None, "is empty")
        self._loader.get_event()  # the document's
        values = self._value(self._loader.get_event(), (), 0)
        self._loader.get_event()
        following = self._loader.peek_event()
        if not isinstance(following, yaml.StreamEndEvent):
            raise self._stop(following.start_mark, "a second document begins here: one file is one document")
        if values is None:
            raise self._stop(None, "is empty")
        return values

    def _value(self, event: Any, path: tuple[str | int, ...], depth: int) -> Any:
        self.marks.setdefault(path, self._position(event.start_mark))
        self._count += 1
        if len(self.problems) >= MAX_PROBLEMS:
            raise _Stop
        if self._count > MAX_VALUES:
            raise self._stop(event.start_mark, f"more than {MAX_VALUES} values are too many for one file: split it")
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, depth)
        if event.tag is not None:
            self.problem(event.start_mark, f"has the tag '{event.tag}': a job is plain data, without tags")
        self._reach(event, depth)
        if event.anchor is None:
            return self._content(event, path, depth)
        self._anchors.pop(event.anchor, None)
        before, deepest = self._count, self._deepest
        self._deepest = depth
        value = self._content(event, path, depth)
        self._anchors[event.anchor] = (value, self._count - before + 1, self._deepest - depth)
        self._deepest = max(deepest, self._deepest)
        return value

    def _reach(self, event: Any, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise self._stop(event.start_mark, _TOO_DEEP)
        if depth > self._deepest:
            self._deepest = depth

    def _content(self, event: Any, path: tuple[str | int, ...], depth: int) -> Any:
        if isinstance(event, yaml.ScalarEvent):
            return self._plain(event.value) if event.implicit[0] else self._quoted(event)
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(path, depth)
        found: list[Any] = []
        while not isinstance(inner := self._loader.get_event(), yaml.SequenceEndEvent):
            found.append(self._value(inner, (*path, len(found)), depth + 1))
        return found

    def _mapping(self, path: tuple[str | int, ...], depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while not isinstance(event := self._loader.get_event(), yaml.MappingEndEvent):
            key = self._key(event, depth)
            inner = (*path, key)
            if key in found:
                first = self.marks[inner][0]
                self.problem(event.start_mark, f"'{key}' is given twice, first in line {first}")
            else:
                self.marks[inner] = self._position(event.start_mark)
            found[key] = self._value(self._loader.get_event(), inner, depth + 1)
        return found

    def _key(self, event: Any, depth: int) -> str:
        if isinstance(event, yaml.CollectionStartEvent):
            self.problem(event.start_mark, "a key must be text")
        key = self._value(event, _KEY, depth + 1)
        self.marks.pop(_KEY, None)
        if isinstance(key, str) and len(key) > LONGEST_KEY:
            what = f"is a key of {len(key)} characters, and a key has at most {LONGEST_KEY}"
            raise self._stop(event.start_mark, what)
        if isinstance(event, yaml.ScalarEvent):
            if event.implicit[0] and key == "<<":
                self.problem(event.start_mark, "merge keys (<<) are not read: repeat the values")
            elif not isinstance(key, str):
                what = f"the key {event.value or '(nothing)'} is no text: put it in quotes"
                self.problem(event.start_mark, what)
            return str(event.value)
        if isinstance(event, yaml.AliasEvent):
            if isinstance(key, str):
                return key
            self.problem(event.start_mark, "a key must be text")
        return f"({event.start_mark.line}:{event.start_mark.column})"

    def _alias(self, event: Any, depth: int) -> Any:
        if event.anchor not in self._anchors:
            raise self._stop(event.start_mark, f"the alias *{event.anchor} has no anchor before it that is complete")
        value, size, height = self._anchors[event.anchor]
        self._reach(event, depth + height)
        self._aliased += size
        self._count += size
        if self._aliased > MAX_ALIASED:
            raise self._stop(event.start_mark, f"aliases make more than {MAX_ALIASED} values of this file")
        return value

    def _quoted(self, event: Any) -> str:
        text: str = event.value
        if what := hidden_character(text):
            self.problem(event.start_mark, what)
        return text

    def _plain(self, text: str) -> Any:
        if len(text) > _LONGEST_NUMBER:
            return text
        if text in _NULLS:
            return None
        if text in _BOOLEANS:
            return _BOOLEANS[text]
        if text.lower() in _NO_NUMBERS:
            return Ambiguous(text, _NO_NUMBERS[text.lower()])
        if (number := plain_number(text)) is not None:
            return number if math.isfinite(number) else Ambiguous(text, "infinity")
        if _DIGITS.fullmatch(text) and text.lstrip("+-")[0] != "0":
            return Ambiguous(text, f"a number of {len(text.lstrip('+-'))} digits")
        if text in _LONE_LETTERS:
            return Ambiguous(text, _LONE_LETTERS[text])
        tag = self._loader.resolve(yaml.ScalarNode, text, (True, False))
        if tag != "tag:yaml.org,2002:str" and text != "<<":
            return Ambiguous(text, _meaning(tag.rpartition(":")[2], text))
        if _DIGITS.fullmatch(text) or _OCTAL.fullmatch(text):  # `089`, `0o17`: text in YAML 1.1, numbers in YAML 1.2
            return Ambiguous(text, "a number")
        return text


def _meaning(kind: str, text: str) -> str:
    """What YAML 1.1 makes of a plain scalar."""
    if kind == "timestamp":
        return "a date"
    if len(text) <= 40:  # PyYAML takes quadratic time for `1:59:59:…`
        try:
            value = yaml.load(text, Loader=yaml.SafeLoader)
        except (yaml.YAMLError, ValueError):
            pass
        else:
            return str(value).lower() if isinstance(value, bool) else f"{value}"[:40]
    return "a number" if kind in ("int", "float") else "something else than text"
