r"""The grammar of prompts, and drawing from them: `{axis}`, alternatives `{red|green}`, wildcards `__hair__`, escapes.

`{name}` is an axis where the job has a matrix. Braces with a `|` in them are alternatives. All other braces are
plain text, and so is a `|` outside of braces. `\{`, `\|`, `\}` and `\__` are the characters themselves; any other
backslash is plain text.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

__all__ = [
    "MAX_DEPTH",
    "Axis",
    "Choice",
    "Option",
    "Template",
    "Wildcard",
    "WordingError",
    "escaped",
    "is_open",
    "options_of",
    "parse",
    "parts_of",
    "resolve",
]

MAX_DEPTH = 10
"""Levels of alternatives within each other, and of wildcards."""
_WORD = r"[^\W_](?:[^\W_]|-|_(?!_))*"
_TOKEN = re.compile(
    rf"\\(?P<kept>[{{|}}]|__)|\{{(?P<axis>[a-z][a-z0-9_]*)\}}|__(?P<wildcard>{_WORD}(?:/{_WORD})*)__|(?P<mark>[{{|}}])"
)


class WordingError(ValueError):
    """A text that is no prompt. at: where in it, from 0. mend: what to do about it."""

    def __init__(self, at: int, what: str, mend: str) -> None:
        super().__init__(what)
        self.at = at
        self.mend = mend


@dataclass(frozen=True)
class Axis:
    """Stands for the text of the matrix's axis."""

    name: str


@dataclass(frozen=True)
class Wildcard:
    """Stands for a line of the wildcard's file. label: what its draw is known by. at: where it is, from 0."""

    name: str
    label: str
    at: int


@dataclass(frozen=True)
class Option:
    """What can be drawn. key: its text as written; where there are several of one text, with a number."""

    key: str
    template: Template


@dataclass(frozen=True)
class Choice:
    """Stands for one of its options. label: what its draw is known by."""

    label: str
    options: tuple[Option, ...]


Part = str | Axis | Wildcard | Choice
Template = tuple[Part, ...]
"""A parsed text."""


@functools.lru_cache(maxsize=4096)
def parse(text: str, *, has_axes: bool = False) -> Template:
    """The template of a text. has_axes: whether `{name}` is an axis. Raises WordingError."""
    if "{" not in text and "__" not in text and "\\" not in text:
        return (text,) if text else ()
    return _Parser(text, has_axes).template()


@dataclass
class _Group:
    """Alternatives that are being read. begin, end: of the text within the braces; label as in `Choice`."""

    begin: int
    label: str
    options: list[list[Part]]
    texts: list[str]


class _Parser:
    def __init__(self, text: str, has_axes: bool) -> None:
        self.text = text
        self.has_axes = has_axes
        self.tokens = list(_TOKEN.finditer(text))
        self.ends: dict[int, int] = {}
        """Of alternatives: where they begin → where they end."""
        self.bars: set[int] = set()
        self._find_groups()
        self._seen: Counter[str] = Counter()

    def _find_groups(self) -> None:
        opened: list[tuple[int, list[int]]] = []
        for token in self.tokens:
            at = token.start()
            if token["mark"] == "{":
                opened.append((at, []))
            elif token["mark"] == "|" and opened:
                opened[-1][1].append(at)
            elif token["mark"] == "}" and opened:
                begin, bars = opened.pop()
                if bars:
                    self.ends[begin] = at
                    self.bars.update(bars)
        for begin, bars in opened:
            if bars:
                mend = r"close them with }, or write \{ where the brace itself is meant"
                raise WordingError(begin, f"the alternatives '{self.text[begin : begin + 30]}' are not closed", mend)

    def template(self) -> Template:
        groups: list[_Group] = []
        top: list[Part] = []
        current = top
        plain_from = 0
        ends = set(self.ends.values())
        for token in self.tokens:
            at = token.start()
            if token["mark"] and at not in self.ends and at not in ends and at not in self.bars:
                continue
            if token["axis"] and not self.has_axes:
                continue
            _add(current, self.text[plain_from:at])
            plain_from = token.end()
            if token["kept"]:
                _add(current, token["kept"])
            elif token["axis"]:
                current.append(Axis(token["axis"]))
            elif token["wildcard"]:
                current.append(Wildcard(token["wildcard"], self._label(token[0]), at))
            elif token["mark"] == "{":
                groups.append(_Group(at + 1, self._label(self.text[at : self.ends[at] + 1]), [[]], []))
                if len(groups) > MAX_DEPTH:
                    raise WordingError(at, f"alternatives are nested more than {MAX_DEPTH} levels deep", "")
                current = groups[-1].options[-1]
            else:
                group = groups[-1]
                group.texts.append(self.text[group.begin : at])
                group.begin = at + 1
                if token["mark"] == "|":
                    group.options.append([])
                    current = group.options[-1]
                else:
                    groups.pop()
                    current = groups[-1].options[-1] if groups else top
                    current.append(Choice(group.label, options_of(group.texts, map(tuple, group.options))))
        _add(current, self.text[plain_from:])
        return tuple(top)

    def _label(self, text: str) -> str:
        """The text as written, and the how-manieth of it this is: so that what else is there decides nothing."""
        self._seen[text] += 1
        return f"{text}#{self._seen[text]}"


def _add(parts: list[Part], text: str) -> None:
    if not text:
        return
    if parts and isinstance(last := parts[-1], str):
        parts[-1] = last + text
    else:
        parts.append(text)


def options_of(texts: Sequence[str], templates: Iterable[Template]) -> tuple[Option, ...]:
    """Options, each known by its text; a text that is there several times counts as often."""
    seen: Counter[str] = Counter()
    options = []
    for text, template in zip(texts, templates, strict=True):
        seen[text] += 1
        options.append(Option(f"{text}#{seen[text]}" if seen[text] > 1 else text, template))
    return tuple(options)


def parts_of(template: Template) -> Iterator[Part]:
    """All parts, those within alternatives too."""
    for part in template:
        yield part
        if isinstance(part, Choice):
            for option in part.options:
                yield from parts_of(option.template)


def is_open(template: Template) -> bool:
    """Whether anything in it is drawn."""
    return any(isinstance(part, (Choice, Wildcard)) for part in template)


def resolve(
    template: Template, seed: int, place: str, lines: Mapping[str, Sequence[Option]], axes: Mapping[str, str]
) -> str:
    """The text, everything drawn. lines: of each wildcard. axes: each axis's text.

    place: what the text is, `prompt` for example. A draw follows from the seed, the place, and its own text alone: of
    the options that one wins for which the SHA-256 of `SEED:PLACE/LABEL:KEY` is greatest. So a line that is added to
    a file is drawn where it wins, and changes no other image.
    """
    texts = []
    for part in template:
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, Axis):
            texts.append(axes[part.name])
        elif isinstance(part, Choice):
            drawn = _drawn(part.options, f"{seed}:{place}/{part.label}:")
            texts.append(resolve(drawn.template, seed, place, lines, axes))
        else:
            drawn = _drawn(lines[part.name], f"{seed}:{place}/{part.label}:")
            texts.append(resolve(drawn.template, seed, f"{place}/{part.label}", lines, axes))
    return "".join(texts)


def _drawn(options: Sequence[Option], head: str) -> Option:
    begun = hashlib.sha256(head.encode("utf-8"))

    def rank(option: Option) -> bytes:
        digest = begun.copy()
        digest.update(option.key.encode("utf-8"))
        return digest.digest()

    return max(options, key=rank)


def escaped(text: str) -> str:
    """How a prompt says this very text; as it is where nothing in it would be read otherwise."""
    try:
        if "".join(part for part in parse(text) if isinstance(part, str)) == text and not is_open(parse(text)):
            return text
    except WordingError:
        pass
    return re.sub(r"[{|}]|__", r"\\\g<0>", text)
