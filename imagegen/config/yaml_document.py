"""YAML, read strictly and with positions: data only, and nothing that readers disagree on.

It uses the parser's events, so that tags, duplicate keys and aliases are seen before they have an effect.
"""

from __future__ import annotations

import math
import re
from typing import Any

import yaml

from imagegen.config.document import MAX_DEPTH, Ambiguous, DocumentReader, Location, Position, parse_number

__all__ = ["YamlReader"]

MAX_ALIASED = 10_000
"""Values that aliases may add to a document."""

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DIGITS = re.compile(r"[-+]?[0-9]+")
_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_NO_NUMBERS = {".nan": "not a number", ".inf": "infinity", "+.inf": "infinity", "-.inf": "infinity"}
_LONE_LETTERS = {"y": "true", "Y": "true", "n": "false", "N": "false"}
"""Texts in practice, which YAML 1.1 reads as truth values. As a key, there is nothing else that they can mean."""
_OCTAL = re.compile(r"0o[0-7]+")
_LONGEST_NUMBER = 10_000
"""Characters. No reader takes anything longer for a number, and PyYAML's patterns need much memory for it."""
_LONGEST_WORD = 5
"""Characters of `false`: what begins with a letter and is longer is text in every version of YAML."""
_KEY = (-1,)
"""The location while a key is read: no list has this entry."""
_LOST = re.compile(r"[ \t]+(#(?=\S))")
_COMMENT = re.compile(r"[ \t]+(#)")
_LOST_BELOW = re.compile(r"(?:[ \t]*\n)+[ \t]+(#(?=\S))")
_HIDDEN = re.compile("[\u00a0\u00ad\u2000-\u200f\u202f\u2060\u3000\ufeff]")
_SMART_QUOTED = re.compile(
    "[\u2018-\u201b][^\u2018-\u201b]*[\u2018-\u201b]|[\u201c-\u201f][^\u201c-\u201f]*[\u201c-\u201f]|\u00ab[^\u00ab\u00bb]*\u00bb"
)


class YamlReader(DocumentReader):
    """Reads one YAML document."""

    def __init__(self, name: str, text: str, first_line: int) -> None:
        super().__init__(name)
        self._text = text
        self._first_line = first_line
        self._loader = _Loader(text)
        self._last: Any = None  # the latest event
        self._has_comments = " #" in text or "\t#" in text
        self._keys: set[str] = set()
        """Plain keys in which nothing is wrong, wherever they are."""
        self._anchors: dict[str, tuple[Any, int, int]] = {}
        """By name: the value, how many values it holds, how many levels deep it is."""
        self._unused: dict[str, Any] = {}
        """Anchors of texts that no alias has named yet, with their marks."""
        self._deepest = 0
        self._aliased = 0

    def read_values(self) -> Any:
        """Return the document's values."""
        try:
            return self._read_document()
        except yaml.MarkedYAMLError as error:
            self._refuse(error)
        except (
            yaml.YAMLError,
            ValueError,
            OverflowError,
        ) as error:  # without libyaml, "\\Uffffffff" raises the last two
            self.note(None, f"not valid YAML: {' '.join(str(error).split())}")
        finally:
            self._loader.dispose()
        return None

    def _refuse(self, error: yaml.MarkedYAMLError) -> None:
        """Note what the parser did not accept."""
        from imagegen.config.yaml_errors import explain

        if "maximum nesting depth" in str(error.problem):  # libyaml has a limit of its own, and reaches it earlier
            raise self.too_deep(self._position(error.problem_mark))
        fault = explain(self._text, error, self._last, self._first_line)
        line = f"{self.name}:{fault.line + self._first_line}:"
        # what was noted of the same line follows from it
        self.problems = [problem for problem in self.problems if not problem.where.startswith(line)]
        self.note((fault.line + self._first_line, fault.column + 1), fault.what, fault.hint)

    def _next(self) -> Any:
        self._last = self._loader.get_event()
        return self._last

    def _position(self, mark: Any) -> Position:
        return mark.line + self._first_line, mark.column + 1

    def _note(self, event: Any, what: str, hint: str = "") -> None:
        self.note(self._position(event.start_mark), what, hint)

    def _read_document(self) -> Any:
        self._loader.get_event()  # the stream's start
        if isinstance(self._loader.peek_event(), yaml.StreamEndEvent):
            raise self.stop(None, "is empty")
        self._loader.get_event()  # the document's
        values = self._read_value(self._next(), (), 0)
        self._next()
        following = self._loader.peek_event()
        if not isinstance(following, yaml.StreamEndEvent):
            position = self._position(following.start_mark)
            raise self.stop(position, "a second document begins here: one file is one document")
        if values is None:
            raise self.stop(None, "is empty")
        for anchor, event in self._unused.items():
            self._note(event, f"nothing refers to the anchor &{anchor}", "put text that begins with & in quotes")
        return values

    def _read_value(self, event: Any, location: Location, depth: int) -> Any:
        self.begin_value(location, self._position(event.start_mark), depth)
        if isinstance(event, yaml.AliasEvent):
            return self._read_alias(event, depth)
        if event.tag is not None:
            what = f"has the tag '{event.tag}': a job is plain data, without tags"
            self._note(event, what, "put text that begins with ! in quotes")
        if depth > self._deepest:
            self._deepest = depth
        if event.anchor is None:
            return self._read_content(event, location, depth)
        self._anchors.pop(event.anchor, None)
        before, deepest = self.count, self._deepest
        self._deepest = depth
        value = self._read_content(event, location, depth)
        if isinstance(event, yaml.ScalarEvent):
            self._unused[event.anchor] = event
        self._anchors[event.anchor] = (value, self.count - before + 1, self._deepest - depth)
        self._deepest = max(deepest, self._deepest)
        return value

    def _read_alias(self, event: Any, depth: int) -> Any:
        position = self._position(event.start_mark)
        if event.anchor not in self._anchors:
            what = f"the alias *{event.anchor} has no anchor before it that is complete"
            raise self.stop(position, what, "put text that begins with * in quotes")
        self._unused.pop(event.anchor, None)
        value, size, height = self._anchors[event.anchor]
        if depth + height > MAX_DEPTH:
            raise self.too_deep(position)
        self._deepest = max(self._deepest, depth + height)
        self._aliased += size
        self.count += size
        if self._aliased > MAX_ALIASED:
            raise self.stop(position, f"aliases make more than {MAX_ALIASED} values of this file")
        return value

    def _read_content(self, event: Any, location: Location, depth: int) -> Any:
        if isinstance(event, yaml.ScalarEvent):
            if event.implicit[0]:
                self._check_plain(event, location)
                is_letter = location == _KEY and event.value in _LONE_LETTERS
                return event.value if is_letter else self._resolve_plain(event.value)
            self.check_text(event.value, self._position(event.start_mark))
            return event.value
        if isinstance(event, yaml.MappingStartEvent):
            return self._read_mapping(location, depth)
        found: list[Any] = []
        while not isinstance(inner := self._next(), yaml.SequenceEndEvent):
            found.append(self._read_value(inner, (*location, len(found)), depth + 1))
        return found

    def _read_mapping(self, location: Location, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            position = self._position(event.start_mark)
            if self._is_known_key(event):
                key = event.value
                self.count_value(position, depth + 1)
            else:
                key = self._read_key(event, depth)
            inner = self.begin_key(key, found, location, position)
            value = self._next()
            if event.end_mark.index == value.start_mark.index == value.end_mark.index:
                before = next(reversed(found.values()), None)
                if _DIGITS.fullmatch(key) and isinstance(before, (int, float)):
                    self.problems.pop()  # that the key is not text
                    what, hint = f"'{key}' is a key without a value", f"write a number with a point: {before}.{key}"
                else:
                    what, hint = _explain_without_colon(key, is_first=not found)
                self._note(event, what, hint)
            found[key] = self._read_value(value, inner, depth + 1)
        return found

    def _is_known_key(self, event: Any) -> bool:
        """Whether the key is one that `_read_key` has read without finding anything wrong: most are the same ones."""
        if not isinstance(event, yaml.ScalarEvent) or event.value not in self._keys:
            return False
        end: Any = event.end_mark
        is_plain = event.implicit[0] and event.anchor is None and event.tag is None
        return is_plain and self._text.startswith(":", end.index)

    def _read_key(self, event: Any, depth: int) -> str:
        before = len(self.problems)
        if isinstance(event, yaml.CollectionStartEvent):
            self._note(event, "a key must be text")
        key = self._read_value(event, _KEY, depth + 1)
        self.marks.pop(_KEY, None)
        if isinstance(key, str):
            self.check_key(key, self._position(event.start_mark))
        if isinstance(event, yaml.ScalarEvent):
            if event.implicit[0] and key == "<<":
                self._note(event, "merge keys (<<) are not supported: repeat the values")
            elif not isinstance(key, str):
                self._note(event, f"the key {event.value or '(nothing)'} is not text", "put it in quotes")
            elif event.implicit[0] and (hidden := _HIDDEN.search(key)):
                what = f"the key has the invisible character U+{ord(hidden[0]):04X} in it"
                self._note(event, what, "replace it by a blank from the space bar, or delete it")
            if len(self.problems) == before:
                self._keys.add(event.value)
            return str(event.value)
        if isinstance(event, yaml.AliasEvent):
            if isinstance(key, str):
                return key
            self._note(event, "a key must be text")
        return f"({event.start_mark.line}:{event.start_mark.column})"

    def _check_plain(self, event: Any, location: Location) -> None:
        """Note a comment that cuts a text short, quotes that are not quotes, and invisible characters."""
        text: str = event.value
        if self._has_comments and (found := self._find_cutting_comment(event, location)):
            at = found.start(1)
            line = self._text.count("\n", event.end_mark.index, at) + event.end_mark.line + self._first_line
            hint = "put the text in quotes; or, for a comment, put a space after the #"
            if text.endswith(","):
                hint = "put the text in quotes; or, for a comment, delete the comma before it"
            self.note((line, at - self._text.rfind("\n", 0, at)), "the rest of the line is a comment", hint)
        if text.isascii():
            return
        if _SMART_QUOTED.fullmatch(text):
            what = f"{text[0]} and {text[-1]} are not quotes in YAML, but part of the text"
            hint = "use straight quotes, \" or '; to keep these, put straight ones around them"
            self._note(event, what, hint)
        elif _HIDDEN.search(text) and parse_number(_HIDDEN.sub("", text)) is not None:
            what = f"has the invisible character U+{ord(_HIDDEN.findall(text)[0]):04X} beside the number"
            self._note(event, what, "delete it")

    def _find_cutting_comment(self, event: Any, location: Location) -> re.Match[str] | None:
        """Return the comment after a text that looks like more of it: `#1`, or anything after a comma.

        It can also be on the next line, if that is indented like more of the text.
        """
        text: str = event.value
        if text in _BOOLEANS or (text and text in _NULLS) or parse_number(text) is not None:
            return None
        pattern = _COMMENT if text.endswith(",") else _LOST
        if same_line := pattern.match(self._text, event.end_mark.index):
            return same_line
        below = _LOST_BELOW.match(self._text, event.end_mark.index)
        if below is None or not text or location == _KEY:
            return None
        column = below.start(1) - self._text.rfind("\n", 0, below.start(1))
        return below if column > self.marks[location][1] else None

    def _resolve_plain(self, text: str) -> Any:
        if len(text) > _LONGEST_WORD and (text[0].isalpha() or len(text) > _LONGEST_NUMBER):
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
            return Ambiguous(text, _find_meaning(tag.rpartition(":")[2], text))
        if _DIGITS.fullmatch(text) or _OCTAL.fullmatch(text):  # `089`, `0o17`: text in YAML 1.1, numbers in YAML 1.2
            return Ambiguous(text, "a number")
        return text


def _explain_without_colon(key: str, *, is_first: bool) -> tuple[str, str]:
    """Return what is wrong with a word between the commas of `{…}` that has no value, and a hint."""
    what = f"'{key[:60]}' is a key without a value"
    if re.match(r"[\w.-]+:\S", key):
        return what, "a colon needs a space after it: 'key: value'"
    if is_first or "|" in key:
        return what, "put text that begins with { in quotes"
    return what, "put text that contains a comma in quotes"


def _find_meaning(kind: str, text: str) -> str:
    """Return what YAML 1.1 makes of a plain scalar."""
    if kind == "timestamp":
        return "a date"
    if len(text) <= 40:  # PyYAML needs quadratic time for `1:59:59:…`
        try:
            value = yaml.load(text, Loader=yaml.SafeLoader)
        except (yaml.YAMLError, ValueError):
            pass
        else:
            return str(value).lower() if isinstance(value, bool) else f"{value}"[:40]
    return "a number" if kind in ("int", "float") else "something other than text"
