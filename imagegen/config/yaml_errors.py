"""Explains why a text is not valid YAML, in the words of somebody who writes job files.

The parser says what it expected. The lines around that position show what the writer did.
"""

from __future__ import annotations

import bisect
import functools
import re
from dataclasses import dataclass
from typing import Any

import yaml

__all__ = ["Fault", "explain", "quoted"]

_QUOTE_IT = "put the whole text in quotes"
_ENTRY = re.compile(
    r"(?P<lead>\s*(?:-\s+)*)"
    r"(?:(?P<key>\"[^\"]*\"|'[^']*'|[^\s\"'\[\]{}&*!|>%@`#-][^:#]*?):[ \t]+)?"
    r"(?P<value>\S.*)"
)
"""A line: its dashes, its key if it has one, and the rest."""
_BEGINNINGS = "{[}],*&!|>%@`"
_HIDDEN_BLANK = re.compile(
    "^[ \t-]*([\u00a0\u2000-\u200f\u202f\u205f\u2060\u3000\ufeff])|^[ \t-]*[\\w.-]+:([\u00a0\u2000-\u200f\u202f\u3000])"
)
_OTHER_DASH = re.compile("\\s*([\u2010-\u2015\u2022\u2212\u25cf\u00b7])(?=\\s)")
_SMART_QUOTES = re.compile("[\u2018-\u201f\u00ab\u00bb]")
_BREAKS = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
"""What ends a line in YAML 1.1."""


@dataclass(frozen=True)
class Fault:
    """What is wrong, and where; line and column from 0."""

    line: int
    column: int
    what: str
    hint: str = ""


def quoted(text: str) -> str:
    """Return a text as YAML in quotes, on one line."""
    if "'" in text and not re.search(r'["\\]', text):
        return f'"{text}"'
    return "'" + text.replace("'", "''") + "'"


def explain(text: str, error: yaml.MarkedYAMLError, last: Any, first_line: int) -> Fault:
    """Explain the parser's error.

    Args:
        text: that was parsed.
        error: of the parser.
        last: the event before it; None if there was none.
        first_line: of the text within its file, from 1.
    """
    scene = _Scene(text, error, last, first_line)
    rules = [scene.hidden_blank, scene.tab, scene.quote, scene.smart_quote, scene.escape, scene.beginning]
    rules += [scene.brackets, scene.colon, scene.no_key, scene.indentation]
    return next(filter(None, (rule() for rule in rules)), scene.unexplained())


class _Scene:
    """The lines around an error. Each method recognises one kind of fault, and returns None for any other."""

    def __init__(self, text: str, error: yaml.MarkedYAMLError, last: Any, first_line: int) -> None:
        self.text = text
        self.first_line = first_line
        mark: Any = error.problem_mark or error.context_mark
        context: Any = error.context_mark or mark
        self.lines = _BREAKS.split(text)
        self.breaks = _BREAKS.findall(text)
        self.what = " ".join(filter(None, [error.problem, error.context and f"({error.context})"]))
        self.line: int = mark.line if mark else 0
        self.column: int = mark.column if mark else 0
        self.from_line: int = context.line if context else 0
        self.from_column: int = context.column if context else 0
        self.last: Any = last
        self.here = self._line(self.line)
        entry = _ENTRY.match(self.here)
        self.key = (entry["key"] or "") if entry else ""
        self.value = _without_comment(entry["value"]) if entry else ""
        self.value_column = entry.start("value") if entry else 0

    def hidden_blank(self) -> Fault | None:
        for number in range(min(self.from_line, self._above(self.line)), self.line + 1):
            if found := _HIDDEN_BLANK.search(self._line(number)):
                group = 1 if found[1] else 2
                what = f"has the invisible character U+{ord(found[group]):04X} here, which is not a blank in YAML"
                return Fault(number, found.start(group), what, "replace it by a blank from the space bar")
        return None

    def tab(self) -> Fault | None:
        start = self.here[: self.column + 1]
        if "\t" not in start or re.sub(r"[\s-]", "", start[:-1]):
            return None
        return Fault(self.line, start.index("\t"), "a tab cannot indent a line in YAML", "indent with spaces, not tabs")

    def quote(self) -> Fault | None:
        """Recognise a quote that is not closed, or closed before the text ends."""
        if "end of stream" in self.what or "document indicator" in self.what or "document separator" in self.what:
            if "quoted" not in self.what:
                return None
            return Fault(
                self.from_line, self.from_column, "the quote that begins here is never closed", "close the quote"
            )
        last = self.last
        if not isinstance(last, yaml.ScalarEvent) or last.style not in ("'", '"'):
            return None
        begin: Any = last.start_mark
        end: Any = last.end_mark
        if end.line != self.line or self.here[end.column : self.column].strip():
            return None
        if begin.line != end.line:
            what = f"the quote that begins here is closed only in line {self._number(end.line)}"
            return Fault(begin.line, begin.column, what, f"close it at the end of its text; {_DOUBLED[last.style]}")
        written, rest = self.here[begin.column : end.column], self.here[end.column :].strip()
        what = f"the text in quotes ends with {_short(written)}, and more follows it"
        inner = _without_comment(self.here[begin.column :])
        if self._in_brackets():
            return Fault(begin.line, begin.column, what, f"{_QUOTE_IT}; {_DOUBLED[last.style]}")
        if rest.endswith(last.style) and not rest.startswith(",") and len(inner) > 1:
            inner = inner[1:-1]
        return Fault(begin.line, begin.column, what, self._quote_fix(inner))

    def smart_quote(self) -> Fault | None:
        if not (_SMART_QUOTES.match(self.value) and self.value_column <= self.column):
            return None
        what = f"{self.value[0]} is not a quote in YAML"
        return Fault(self.line, self.value_column, what, "use straight quotes, \" or '")

    def escape(self) -> Fault | None:
        if "escape" not in self.what:
            return None
        what = f"{self.here[self.column : self.column + 2]} is not an escape within double quotes"
        return Fault(self.line, self.column, what, "write \\\\ for a backslash, or put the text in single quotes")

    def beginning(self) -> Fault | None:
        """Recognise a text that begins with what means something else to YAML."""
        value = self.value
        if not value or self.column < self.value_column or self._in_brackets():
            return None
        if not (value[0] in _BEGINNINGS or re.match(r"[-?](\s|$)", value)):
            return None
        if value[0] in "{[" and not isinstance(self.last, yaml.CollectionEndEvent) and not self._is_one_line():
            return None
        if value[0] in "{[" and re.fullmatch(r"\{[^{}]*\}[}\]]+|\[[^\[\]]*\][}\]]+", value):
            return Fault(self.line, self.column, f"there is one {self.here[self.column]} too many", "delete it")
        if value[0] in "|>" and re.fullmatch(r"[|>][-+0-9]*", value):
            return None
        fix = self._quote_fix(value)
        if value[0] in "|>":
            fix += f"; or begin it on the line below the {value[0]}"
        return Fault(self.line, self.value_column, f"text that begins with {value[0]} must be in quotes", fix)

    def brackets(self) -> Fault | None:
        """Recognise a fault within `{…}` or `[…]`, or brackets that are not closed."""
        if not self._in_brackets():
            return None
        line, column = self._opening()
        opening = self._line(line)[column : column + 1]
        closing = "}" if opening == "{" else "]"
        for number in range(line, self.line + 1):
            start = self._find_comment(number, column if number == line else 0)
            comment = self._line(number)[start : self.column if number == self.line else None]
            if comment.count(closing) > comment.count(opening):
                what = "the rest of the line is a comment, and brackets are still open"
                fix = (
                    "put text that begins with # or has ' #' in it in quotes, or close the brackets before the comment"
                )
                return Fault(number, start, what, fix)
        if fault := self._within_brackets():
            return fault
        is_at_end = not any(map(str.strip, [self.here[self.column :], *self.lines[self.line + 1 :]]))
        until = "never closed" if is_at_end else f"not closed before line {self._number(self.line)}"
        what = f"the {opening} that begins here is {until}"
        return Fault(line, column, what, f"close the bracket with {closing}")

    def _within_brackets(self) -> Fault | None:
        """Recognise what follows something else on its line."""
        sign = self.here[self.column : self.column + 1]
        last = self.last
        if last is None or not sign or not last.end_mark.line == last.start_mark.line == self.line:
            return None
        end = last.end_mark.column
        if sign in "]}":
            line, column = self._opening()
            opening = self._line(line)[column : column + 1]
            what = f"{sign} does not close the {opening} of line {self._number(line)}"
            return Fault(self.line, self.column, what, "close the brackets in the order in which they were opened")
        if sign == ",":
            return Fault(self.line, self.column, "there is a comma too many", "delete it")
        if isinstance(last, yaml.CollectionEndEvent):
            closing = self.here[end - 1]
            what = f"more text follows the {closing}, and text that begins with a bracket must be in quotes"
            return Fault(self.line, self.column, what, _QUOTE_IT)
        if not isinstance(last, yaml.ScalarEvent) or self._begins_key():
            return None
        said = "text with ': ' in it" if sign == ":" else f"text with {sign} in it"
        fix = f"{_QUOTE_IT}; or, if a comma is missing before the key, put it there" if sign == ":" else _QUOTE_IT
        return Fault(self.line, self.column, f"within brackets, {said} must be in quotes", fix)

    def _begins_key(self) -> bool:
        """Whether the line, on which a colon is wrong within brackets, is the next key of what the brackets are in."""
        line, _ = self._opening()
        is_first = self.last.start_mark.column == _indent(self.here) <= _indent(self._line(line))
        return is_first and self.line > line and self.here[self.column] == ":"

    def _opening(self) -> tuple[int, int]:
        """Return where the innermost open bracket is."""
        found: list[Any] = []
        for token in self._tokens:
            if isinstance(token, (yaml.FlowMappingStartToken, yaml.FlowSequenceStartToken)):
                found.append(token.start_mark)
            elif isinstance(token, (yaml.FlowMappingEndToken, yaml.FlowSequenceEndToken)) and found:
                found.pop()
        return (found[-1].line, found[-1].column) if found else (self.line, self.column)

    def _find_comment(self, line: int, column: int) -> int:
        """Return where the comment of a line begins, not before a column; if it has none, where the line ends."""
        text = self._line(line)
        for found in re.finditer("#", text):
            here = line, found.start()
            before = bisect.bisect_right(self._texts, (here, (self.line + 1, 0))) - 1
            if found.start() >= column and (before < 0 or self._texts[before][1] <= here):
                return found.start()
        return len(text)

    @functools.cached_property
    def _texts(self) -> list[tuple[tuple[int, int], tuple[int, int]]]:
        """Where each text and key before the fault begins and ends."""
        marks = [(one.start_mark, one.end_mark) for one in self._tokens if isinstance(one, yaml.ScalarToken)]
        return [((begin.line, begin.column), (end.line, end.column)) for begin, end in marks]

    @functools.cached_property
    def _tokens(self) -> list[Any]:
        """What the scanner finds before the fault."""
        found = []
        try:
            for token in yaml.scan(self.text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
                if (token.start_mark.line, token.start_mark.column) >= (self.line, self.column):
                    break
                found.append(token)
        except (yaml.YAMLError, ValueError, OverflowError):  # what is not valid for the scanner ends here
            pass
        return found

    def colon(self) -> Fault | None:
        if "mapping values are not allowed" not in self.what:
            return None
        if self.key and self.value_column <= self.column:
            return Fault(self.line, self.column, "text with ': ' in it must be in quotes", self._quote_fix(self.value))
        above = self._above(self.line)
        for number in (above, self.line):
            if found := _OTHER_DASH.match(self._line(number)):
                what = f"{found[1]} is not the dash that begins an entry in YAML"
                return Fault(number, found.start(1), what, "write - instead")
            if found := re.match(r"\s*-(?=[^\s-])", self._line(number)):
                return Fault(number, found.end() - 1, "a dash needs a space after it", "write '- name: …'")
        if found := re.match(r"\s*(?:- +)*[\w.-]+:(?=\S)", self._line(above)):
            return Fault(above, found.end() - 1, "a colon needs a space after it", "write 'key: value'")
        key = _ENTRY.match(self._line(above))
        begin = key.end("lead") if key else 0
        what = f"this line is indented deeper than line {self._number(above)}, so it continues the text there"
        fix = f"indent it by {_blanks(begin)} as line {self._number(above)}; or, if it is one text, {_QUOTE_IT}"
        return Fault(self.line, _indent(self.here), what, fix)

    def no_key(self) -> Fault | None:
        if "simple key" not in self.what:
            return None
        line, column = self.from_line, self.from_column
        if line and (odd := self.breaks[line - 1]) not in ("\n", "\r\n"):
            return Fault(line - 1, len(self._line(line - 1)), f"has a line end U+{ord(odd):04X} here", "delete it")
        above = self._above(line)
        number = self._number(above)
        if re.search(r"(^|\s)[|>][-+0-9]*\s*$", self._line(above)):
            return Fault(line, column, f"the text of line {number} must be indented deeper than its key", "indent it")
        what = "this line is not a key with a value"
        return Fault(
            line, column, what, f"write 'key: value'; if it is more of the text in line {number}, indent it deeper"
        )

    def indentation(self) -> Fault | None:
        own = _indent(self.here)
        if self.column != own or not self.here.strip():
            return None
        above = self._above(self.line, comments=True)
        if re.search(r"(^|\s)#", self._line(above)) and own > max(self._columns(self.line), default=(0, 0))[0]:
            what = f"the comment in line {self._number(above)} ends the text above, and this line goes on with it"
            return Fault(self.line, own, what, f"move the comment, or {_QUOTE_IT}")
        for number in range(self.line - 1, -1, -1):
            if self._line(number).strip() and _indent(self._line(number)) < own:
                if re.search(r":\s+[|>][-+0-9]*\s*(#.*)?$", self._line(number)):
                    first = _indent(self._line(number + 1))
                    what = f"this line is indented by {_blanks(own)}, the text that begins above it by {first}"
                    return Fault(self.line, own, what, f"indent it by {_blanks(first)}")
                break
        columns = self._columns(self.line, dashes=self.here.lstrip().startswith("- ")) or self._columns(self.line)
        if not columns:
            return None
        column, number = min(columns, key=lambda pair: (abs(pair[0] - own), -pair[0]))
        what = f"this line is indented by {_blanks(own)}, like none above it"
        return Fault(self.line, own, what, f"indent it by {_blanks(column)}, as line {self._number(number)}")

    def unexplained(self) -> Fault:
        return Fault(self.line, self.column, f"not valid YAML: {self.what}")

    def _line(self, number: int) -> str:
        return self.lines[number] if 0 <= number < len(self.lines) else ""

    def _number(self, line: int) -> int:
        """Return a line's number in its file."""
        return line + self.first_line

    def _above(self, line: int, *, comments: bool = False) -> int:
        """Return the next line above that is not empty."""
        for number in range(line - 1, -1, -1):
            text = self._line(number).strip()
            if text and (comments or not text.startswith("#")):
                return number
        return 0

    def _columns(self, line: int, *, dashes: bool = False) -> list[tuple[int, int]]:
        """Return where the keys, or dashes, of what is still open above a line begin, each with its line."""
        found = []
        limit = len(self.here) + 1000
        for number in range(line - 1, -1, -1):
            text = self._line(number)
            entry = _ENTRY.match(text)
            if entry is None or text.lstrip().startswith("#") or _indent(text) >= limit:
                continue
            limit = _indent(text)
            if dashes and entry["lead"].strip():
                found.append((limit, number))
            elif not dashes and entry["key"]:
                found.append((entry.end("lead"), number))
        return found

    def _in_brackets(self) -> bool:
        return "flow" in self.what

    def _is_one_line(self) -> bool:
        return self.from_line == self.line or not self._in_brackets()

    def _quote_fix(self, text: str) -> str:
        if len(text) > 80 or not text:
            return _QUOTE_IT
        return f"{_QUOTE_IT}: {self.key}: {quoted(text)}" if self.key else f"{_QUOTE_IT}: {quoted(text)}"


_DOUBLED = {"'": "a ' within single quotes is written twice", '"': 'a " within double quotes is written \\"'}


def _without_comment(value: str) -> str:
    return re.split(r"\s#(?:\s|$)", value)[0].rstrip()


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _blanks(count: int) -> str:
    return f"{count} blank" + "s" * (count != 1)


def _short(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:20]}…{text[-19:]}"
