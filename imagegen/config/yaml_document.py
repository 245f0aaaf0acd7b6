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
    find_hidden_character,
    parse_number,
)
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
_LOST = re.compile(r"[ \t]+(#(?=\S))")
_COMMENT = re.compile(r"[ \t]+(#)")
_LOST_BELOW = re.compile(r"(?:[ \t]*\n)+[ \t]+(#(?=\S))")
_HIDDEN = re.compile("[\u00a0\u00ad\u2000-\u200f\u202f\u2060\u3000\ufeff]")
_SMART_QUOTED = re.compile(
    "[\u2018-\u201b][^\u2018-\u201b]*[\u2018-\u201b]|[\u201c-\u201f][^\u201c-\u201f]*[\u201c-\u201f]|\u00ab[^\u00ab\u00bb]*\u00bb"
)


def read_yaml(name: str, text: str, first_line: int = 1) -> Document:
    """The document. Raises ImagegenError with every problem, located."""
    builder = _Builder(name, text, first_line)
    try:
        values = builder.document()
    except yaml.MarkedYAMLError as error:
        builder.refused(error)
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # without libyaml, "\\Uffffffff" raises the last two
        builder.problem(None, f"not valid YAML: {' '.join(str(error).split())}")
    if builder.problems:
        raise ImagegenError(*builder.problems)
    return Document(name, values, builder.marks)


class _Stop(Exception):  # noqa: N818 - internal
    """Going on would make no sense; the problem has been noted."""


class _Builder:
    def __init__(self, name: str, text: str, first_line: int) -> None:
        self.name = name
        self.first_line = first_line
        self._text = text
        self._last: Any = None
        self._comments = " #" in text or "\t#" in text
        self.marks: dict[tuple[str | int, ...], tuple[int, int]] = {}
        self.problems: list[Problem] = []
        self._loader = _Loader(text)
        self._anchors: dict[str, tuple[Any, int, int]] = {}
        """By name: the value, how many values it holds, how many levels deep it is."""
        self._unused: dict[str, Any] = {}
        """Anchors of texts that no alias has named yet, with their marks."""
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

    def problem(self, mark: Any, what: str, hint: str = "") -> None:
        place = f":{self._position(mark)[0]}:{self._position(mark)[1]}" if mark is not None else ""
        self.problems.append(Problem(f"{self.name}{place}", what, hint))

    def refused(self, error: yaml.MarkedYAMLError) -> None:
        """Note what the parser did not take."""
        from imagegen.config.yaml_errors import explain

        if "maximum nesting depth" in str(error.problem):  # libyaml has a bound of its own, and meets it earlier
            self.problem(error.problem_mark, _TOO_DEEP)
            return
        fault = explain(self._text, error, self._last, self.first_line)
        line = f"{self.name}:{fault.line + self.first_line}:"
        # what was noted of the same line follows from it
        self.problems = [problem for problem in self.problems if not problem.where.startswith(line)]
        self.problems.append(Problem(f"{line}{fault.column + 1}", fault.what, fault.fix))

    def _next(self) -> Any:
        self._last = self._loader.get_event()
        return self._last

    def _position(self, mark: Any) -> tuple[int, int]:
        return mark.line + self.first_line, mark.column + 1

    def _stop(self, mark: Any, what: str, hint: str = "") -> _Stop:
        self.problem(mark, what, hint)
        return _Stop()

    def _document(self) -> Any:
        self._loader.get_event()  # the stream's start
        if isinstance(self._loader.peek_event(), yaml.StreamEndEvent):
            raise self._stop(None, "is empty")
        self._loader.get_event()  # the document's
        values = self._value(self._next(), (), 0)
        self._next()
        following = self._loader.peek_event()
        if not isinstance(following, yaml.StreamEndEvent):
            raise self._stop(following.start_mark, "a second document begins here: one file is one document")
        if values is None:
            raise self._stop(None, "is empty")
        for anchor, mark in self._unused.items():
            self.problem(mark, f"nothing refers to the anchor &{anchor}", "put text that begins with & in quotes")
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
            what = f"has the tag '{event.tag}': a job is plain data, without tags"
            self.problem(event.start_mark, what, "put text that begins with ! in quotes")
        self._reach(event, depth)
        if event.anchor is None:
            return self._content(event, path, depth)
        self._anchors.pop(event.anchor, None)
        before, deepest = self._count, self._deepest
        self._deepest = depth
        value = self._content(event, path, depth)
        if isinstance(event, yaml.ScalarEvent):
            self._unused[event.anchor] = event.start_mark
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
            if not event.implicit[0]:
                return self._quoted(event)
            self._check_plain(event, path)
            return self._plain(event.value)
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(path, depth)
        found: list[Any] = []
        while not isinstance(inner := self._next(), yaml.SequenceEndEvent):
            found.append(self._value(inner, (*path, len(found)), depth + 1))
        return found

    def _mapping(self, path: tuple[str | int, ...], depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            key = self._key(event, depth)
            inner = (*path, key)
            if key in found:
                first = self.marks[inner][0]
                self.problem(event.start_mark, f"'{key}' is given twice, first in line {first}")
            else:
                self.marks[inner] = self._position(event.start_mark)
            value = self._next()
            if event.end_mark.index == value.start_mark.index == value.end_mark.index:
                before = next(reversed(found.values()), None)
                if _DIGITS.fullmatch(key) and isinstance(before, (int, float)):
                    self.problems.pop()  # that the key is not text
                    what, fix = f"'{key}' is a key without a value", f"write a number with a point: {before}.{key}"
                else:
                    what, fix = _without_colon(key, is_first=not found)
                self.problem(event.start_mark, what, fix)
            found[key] = self._value(value, inner, depth + 1)
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
                what = f"the key {event.value or '(nothing)'} is not text"
                self.problem(event.start_mark, what, "put it in quotes")
            elif event.implicit[0] and (hidden := _HIDDEN.search(key)):
                what = f"the key has the invisible character U+{ord(hidden[0]):04X} in it"
                self.problem(event.start_mark, what, "replace it by a blank from the space bar, or delete it")
            return str(event.value)
        if isinstance(event, yaml.AliasEvent):
            if isinstance(key, str):
                return key
            self.problem(event.start_mark, "a key must be text")
        return f"({event.start_mark.line}:{event.start_mark.column})"

    def _alias(self, event: Any, depth: int) -> Any:
        if event.anchor not in self._anchors:
            what = f"the alias *{event.anchor} has no anchor before it that is complete"
            raise self._stop(event.start_mark, what, "put text that begins with * in quotes")
        self._unused.pop(event.anchor, None)
        value, size, height = self._anchors[event.anchor]
        self._reach(event, depth + height)
        self._aliased += size
        self._count += size
        if self._aliased > MAX_ALIASED:
            raise self._stop(event.start_mark, f"aliases make more than {MAX_ALIASED} values of this file")
        return value

    def _check_plain(self, event: Any, path: tuple[str | int, ...]) -> None:
        """Note where a comment cut a text short, and quotes that are none."""
        text: str = event.value
        if self._comments and (found := self._comment(event, path)):
            at = found.start(1)
            line = self._text.count("\n", event.end_mark.index, at) + event.end_mark.line + self.first_line
            where = f"{self.name}:{line}:{at - self._text.rfind(chr(10), 0, at)}"
            fix = "put the text in quotes; or, for a comment, put a space after the #"
            if text.endswith(","):
                fix = "put the text in quotes; or, for a comment, delete the comma before it"
            self.problems.append(Problem(where, "the rest of the line is a comment", fix))
        if _SMART_QUOTED.fullmatch(text):
            what = f"{text[0]} and {text[-1]} are not quotes in YAML, but part of the text"
            fix = "use straight quotes, \" or '; to keep these, put straight ones around them"
            self.problem(event.start_mark, what, fix)
        elif _HIDDEN.search(text) and parse_number(_HIDDEN.sub("", text)) is not None:
            what = f"has the invisible character U+{ord(_HIDDEN.findall(text)[0]):04X} beside the number"
            self.problem(event.start_mark, what, "delete it")

    def _comment(self, event: Any, path: tuple[str | int, ...]) -> re.Match[str] | None:
        """What stands behind a text as if it were more of it: `#1`, or anything behind a comma.

        It can also be on the next line, where that is indented as more of the text would be.
        """
        text: str = event.value
        if text in _BOOLEANS or (text and text in _NULLS) or parse_number(text) is not None:
            return None
        pattern = _COMMENT if text.endswith(",") else _LOST
        if same_line := pattern.match(self._text, event.end_mark.index):
            return same_line
        below = _LOST_BELOW.match(self._text, event.end_mark.index)
        if below is None or not text or path == _KEY:
            return None
        column = below.start(1) - self._text.rfind("\n", 0, below.start(1))
        return below if column > self.marks[path][1] else None

    def _quoted(self, event: Any) -> str:
        text: str = event.value
        if what := find_hidden_character(text):
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
        if (number := parse_number(text)) is not None:
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


def _without_colon(key: str, *, is_first: bool) -> tuple[str, str]:
    """What is wrong with a word between the commas of `{…}` that has no value, and the fix."""
    what = f"'{key[:60]}' is a key without a value"
    if re.match(r"[\w.-]+:\S", key):
        return what, "a colon needs a space after it: 'key: value'"
    if is_first or "|" in key:
        return what, "put text that begins with { in quotes"
    return what, "put text that contains a comma in quotes"


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
