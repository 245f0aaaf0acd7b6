"""A parsed prompt: its parts, and the options that it picks from."""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

__all__ = [
    "MAX_DEPTH",
    "Axis",
    "Choice",
    "Option",
    "Part",
    "PromptError",
    "Several",
    "Template",
    "Wildcard",
    "has_choices",
    "make_options",
    "parse_template",
    "refuse_comment",
    "split_weight",
    "walk_parts",
]


MAX_DEPTH = 10
"""Levels of alternatives within each other, and of wildcards."""


class PromptError(ValueError):
    """A text that is not a valid prompt. at: where in it, from 0. hint: what to do about it."""

    def __init__(self, at: int, what: str, hint: str) -> None:
        super().__init__(what)
        self.at = at
        self.hint = hint


@dataclass(frozen=True)
class Axis:
    """Stands for the text of the matrix's axis."""

    name: str


@dataclass(frozen=True)
class Wildcard:
    """Stands for a line of the wildcard's files: its name can have `*` and `**`.

    label: what its pick is known by. at: where it is, from 0.
    """

    name: str
    label: str
    at: int


@dataclass(frozen=True)
class Option:
    """What can be picked.

    key: its text as written, without the weight; where there are several of one text, with a number.
    weight: above 0; how likely it is, against the others'.
    """

    key: str
    template: Template
    weight: float = 1.0


@dataclass(frozen=True)
class Choice:
    """Stands for one of its options. label: what its pick is known by."""

    label: str
    options: tuple[Option, ...]


@dataclass(frozen=True)
class Several:
    """Stands for some of its options, each at most once, or lines of a wildcard.

    label: what its picks are known by. options: empty where there is a wildcard. least, most: how many; fewer where
    there are no more. separator: between them.
    """

    label: str
    options: tuple[Option, ...]
    least: int
    most: int
    separator: str
    wildcard: Wildcard | None = None


Part = str | Axis | Wildcard | Choice | Several
Template = tuple[Part, ...]
"""A parsed text."""


def make_options(
    texts: Sequence[str], templates: Iterable[Template], weights: Sequence[float] | None = None
) -> tuple[Option, ...]:
    """Options, each known by its text; a text that is there several times counts as often.

    One of weight 0 is none.
    """
    seen: Counter[str] = Counter()
    options = []
    for text, template, weight in zip(texts, templates, weights or [1.0] * len(texts), strict=True):
        if not weight:
            continue
        seen[text] += 1
        options.append(Option(f"{text}#{seen[text]}" if seen[text] > 1 else text, template, weight))
    return tuple(options)


def walk_parts(template: Template) -> Iterator[Part]:
    """All parts, those within alternatives too."""
    for part in template:
        yield part
        if isinstance(part, (Choice, Several)):
            for option in part.options:
                yield from walk_parts(option.template)


def has_choices(template: Template) -> bool:
    """Whether anything in it is picked."""
    return any(not isinstance(part, (str, Axis)) for part in template)


_WORD = r"(?:[^\W_]|\*)(?:[^\W_]|[-*.?&'+]|[ _](?![ _]))*"
_PATH = rf"{_WORD}(?:/{_WORD})*"
_TOKEN = re.compile(
    r"\\(?P<kept>[{|}#]|__|\$\$|::|\$(?=\{))"
    r"|(?P<variable>\$\{\s*[A-Za-z_-][\w-]*\s*(?:\?=|[=:}]))"
    r"|(?P<wrap>%\{[^{}\n]*\$\$)"
    r"|(?P<jinja>\{%[-+]?\s*[a-z]+\s|\{#[^{}\n]*#\}|\{\{-?\s*(?:choice|random|randint|wildcard|weighted_choice)\("
    r"|\{\{-?\s+[^\W\d][^{}\n]*\}\})"
    r"|\{(?P<axis>[a-z][a-z0-9_]*)\}"
    rf"|__(?P<sampler>[~@!]?)(?P<wildcard>{_PATH})(?P<call>\s*\([^()\n]*\))?__"
    rf"|(?P<within>__[~@!]?(?:{_PATH}/?)?\{{[^{{}}\n]*\}}[\w/*. -]*?__)"
    r"|(?P<near>__(?=[/\\:*.-]*[^\W_])(?:(?!__)[\w/\\:*.-])+__)"
    r"|(?P<mark>[{|}]|\$\$|::)"
)
_HEAD = re.compile(
    r"(?:\s*(?P<sampler>[~@!])|\s*\\(?=[~@!]))?"
    r"(?P<quantity>\s*(?:(?P<exact>\d{1,9})|(?=-?\s*\d)(?P<least>\d{1,9})?\s*-\s*(?P<most>\d{1,9})?)\s*\$\$"
    r"(?:(?P<separator>(?:[^${}\\]|\\.)*)\$\$)?)?"
)
"""What alternatives can begin with: a sampler, a quantity, a separator."""
_WEIGHT = re.compile(r"\s*(\d{1,9}(?:\.\d{0,9})?|\.\d{1,9})\s*::")
_COMMENT = re.compile(r"(?<!\S)#(?=\s|\Z)")
_SIGNS = ("{", "}", "__", "\\")
"""Without any of them, a text is plain."""
_SEPARATOR = ", "
_SAMPLERS = {"@": "cycles through its options", "!": "makes an image of each of its options"}
_REFUSED = {
    "variable": (
        "is a variable of dynamic prompts, which are not supported",
        'an axis of the matrix has one text in the whole image: matrix: {x: {any: "{a|b}"}}, then {x}; '
        r"write \${ where the characters themselves are meant",
    ),
    "wrap": (
        "is a wrapping of dynamic prompts, which is not supported",
        r"write the text out, or %\{ where the characters themselves are meant",
    ),
    "jinja": (
        "is a Jinja template, which is not supported",
        r"write alternatives {a|b}, wildcards __x__ or a matrix; \{ where the brace itself is meant",
    ),
    "within": (
        "has alternatives within a wildcard's name, which is not supported",
        r"write alternatives of wildcards: {__light/indoor__|__light/outdoor__}; or \__ for the characters themselves",
    ),
    "near": (
        "is not the name of a wildcard",
        r"write its path in jobs/wildcards, such as __face/eyes__; or \__ where the characters themselves are meant",
    ),
    "call": (
        "gives a wildcard a value, which is not supported",
        r"write a wildcard file for each; or \__ where the characters themselves are meant",
    ),
}
"""Of the grammar of dynamic prompts: why it is refused, and what to write instead."""


@functools.lru_cache(maxsize=4096)
def parse_template(text: str, *, has_axes: bool = False) -> Template:
    """The template of a text. has_axes: whether `{name}` is an axis. Raises WordingError."""
    if not any(sign in text for sign in _SIGNS):
        return (text,) if text else ()
    template = _Parser(text, has_axes).template()
    if has_choices(template):
        refuse_comment(text)
    return template


def refuse_comment(text: str) -> None:
    """Raise WordingError where the text has a comment, as dynamic prompts know them."""
    if comment := _COMMENT.search(text):
        what = f"'{text[comment.start() :][:30].splitlines()[0]}' looks like a comment, which a prompt cannot have"
        raise PromptError(comment.start(), what, r"delete it, or write \# where the character itself is meant")


def split_weight(text: str) -> tuple[float, str]:
    """The weight that a line of a wildcard file begins with, 1 where it has none; and the rest of it."""
    found = _WEIGHT.match(text)
    return (float(found[1]), text[found.end() :].strip()) if found else (1.0, text)


@dataclass(frozen=True)
class _Head:
    """What alternatives begin with. at: of their brace. begin: of their first option. least: None without quantity."""

    at: int
    begin: int
    least: int | None = None
    most: int = 1
    separator: str = _SEPARATOR


@dataclass
class _Group:
    """Alternatives that are being read. begin: of the option within them; label as in `Choice`."""

    head: _Head
    label: str
    begin: int = 0
    weight: float = 1.0
    options: list[list[Part]] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)


@dataclass
class _Opened:
    """A brace that is open while alternatives are looked for. odd: the first `$$` in it that is not a quantity's."""

    at: int
    head: re.Match[str]
    bars: list[int] = field(default_factory=list)
    odd: int | None = None

    @property
    def is_group(self) -> bool:
        has_weight = _WEIGHT.match(self.head.string, self.head.end())
        return bool(self.bars or self.head["quantity"] or has_weight)


class _Parser:
    def __init__(self, text: str, has_axes: bool) -> None:
        self.text = text
        self.has_axes = has_axes
        self.tokens = list(_TOKEN.finditer(text))
        self.heads: dict[int, _Head] = {}
        """Of alternatives, by where they begin."""
        self.ends: dict[int, int] = {}
        """Of alternatives: where they begin → where they end."""
        self.bars: set[int] = set()
        self._unbalanced: PromptError | None = None
        self._find_groups()
        self._seen: Counter[str] = Counter()
        self._groups: list[_Group] = []
        self._top: list[Part] = []
        self._plain_from = 0

    def _find_groups(self) -> None:
        opened: list[_Opened] = []
        stray: list[int] = []
        """The braces that close nothing, in a text that has a `|` before them."""
        has_bar, escaped = False, 0
        for token in self.tokens:
            at, mark = token.start(), token["mark"]
            escaped += token["kept"] == "{"
            if not mark or (opened and at < opened[-1].head.end()):
                continue
            if mark == "{":
                opened.append(_Opened(at, next(_HEAD.finditer(self.text, at + 1))))
            elif mark == "|":
                has_bar = True
                if opened:
                    opened[-1].bars.append(at)
            elif mark == "$$" and opened and opened[-1].odd is None:
                opened[-1].odd = at
            elif mark == "}" and opened:
                self._close(opened.pop(), at)
            elif mark == "}" and escaped:
                escaped -= 1
            elif mark == "}" and has_bar:
                stray.append(at)
        for one in opened:
            if one.odd is not None:
                raise self._misplaced(one.odd)
            if one.is_group:
                hint = r"close them with }, or write \{ where the brace itself is meant"
                raise PromptError(one.at, f"the alternatives '{self.text[one.at : one.at + 30]}' are not closed", hint)
        if stray or (self.heads and opened):
            at = stray[0] if stray else opened[0].at
            brace, other = ("}", "{") if stray else ("{", "}")
            hint = rf"add the {other}, or write \{brace} where the brace itself is meant"
            what = f"'{brace}' has no '{other}' in a text with alternatives"
            self._unbalanced = PromptError(at, what, hint)

    def _close(self, one: _Opened, end: int) -> None:
        if one.odd is not None:
            raise self._misplaced(one.odd)
        if one.is_group:
            self.heads[one.at] = self._head(one)
            self.ends[one.at] = end
            self.bars.update(one.bars)

    def _head(self, one: _Opened) -> _Head:
        found = one.head
        if found["sampler"] in _SAMPLERS:
            raise _sampler(one.at, f"{{{found['sampler']}", found["sampler"])
        if not found["quantity"]:
            return _Head(one.at, found.end())
        least = int(found["exact"] or found["least"] or 1)
        most = int(found["exact"] or found["most"] or 10**9)
        if least > most:
            what = f"'{{{found['quantity']}' asks for {least} at least and {most} at most"
            raise PromptError(one.at, what, f"write {{{most}-{least}$$…}}")
        separator = _SEPARATOR if found["separator"] is None else _ESCAPE.sub(r"\1", found["separator"])
        return _Head(one.at, found.end(), least, most, separator)

    def template(self) -> Template:
        ends = set(self.ends.values())
        for token in self.tokens:
            at, mark = token.start(), token["mark"]
            if at < self._plain_from or (token["axis"] and not self.has_axes):
                continue
            if mark in ("$$", "::") and self._groups:
                raise self._misplaced(at)
            if mark and at not in self.heads and at not in ends and at not in self.bars:
                continue
            self._add_plain(at)
            self._plain_from = token.end()
            if mark == "{":
                self._open(at)
            elif mark:
                self._end_option(at, closes=mark == "}")
            else:
                self._add_token(token)
        if self._unbalanced:
            raise self._unbalanced
        self._add_plain(len(self.text))
        return tuple(self._top)

    @property
    def _current(self) -> list[Part]:
        return self._groups[-1].options[-1] if self._groups else self._top

    def _add_plain(self, until: int) -> None:
        _add(self._current, self.text[self._plain_from : until])

    def _add_token(self, token: re.Match[str]) -> None:
        """What is no mark."""
        for kind, (what, hint) in _REFUSED.items():
            if token[kind]:
                raise PromptError(token.start(), f"'{token[0][:40]}' {what}", hint)
        if token["kept"]:
            _add(self._current, token["kept"])
        elif token["axis"]:
            self._current.append(Axis(token["axis"]))
        elif token["sampler"] in _SAMPLERS:
            raise _sampler(token.start(), token[0], token["sampler"])
        else:
            self._current.append(Wildcard(token["wildcard"], self._label(token[0]), token.start()))

    def _open(self, at: int) -> None:
        head = self.heads[at]
        self._groups.append(_Group(head, self._label(self.text[at : self.ends[at] + 1])))
        if len(self._groups) > MAX_DEPTH:
            raise PromptError(at, f"alternatives are nested more than {MAX_DEPTH} levels deep", "")
        self._begin_option(head.begin)

    def _begin_option(self, at: int) -> None:
        group = self._groups[-1]
        found = _WEIGHT.match(self.text, at)
        group.weights.append(float(found[1]) if found else 1.0)
        group.begin = self._plain_from = found.end() if found else at
        group.options.append([])

    def _end_option(self, at: int, *, closes: bool) -> None:
        group = self._groups[-1]
        group.texts.append(self.text[group.begin : at])
        if not closes:
            self._begin_option(at + 1)
            return
        self._groups.pop()
        self._current.append(self._made(group))

    def _made(self, group: _Group) -> Part:
        head = group.head
        if head.least is None:
            options = make_options(group.texts, map(tuple, group.options), group.weights)
        else:
            options = make_options([text.strip() for text in group.texts], map(tuple, group.options), group.weights)
        if not options:
            raise PromptError(
                head.at,
                f"all options of '{group.label.rpartition('#')[0][:30]}' have the weight 0",
                "give one a weight",
            )
        if head.least is None:
            return Choice(group.label, options)
        if [option.key for option in options] == [""]:
            raise PromptError(
                head.at, f"'{group.label.rpartition('#')[0][:30]}' has no options", "write them: {2$$a|b|c}"
            )
        if len(options) == 1 and (wildcard := _only_wildcard(options[0].template)):
            return Several(group.label, (), head.least, head.most, head.separator, wildcard)
        return Several(group.label, options, head.least, head.most, head.separator)

    def _misplaced(self, at: int) -> PromptError:
        mark = self.text[at : at + 2]
        rule = {
            "$$": "comes after a quantity, such as {2$$a|b|c} or {1-2$$ and $$a|b}",
            "::": "comes after a weight, such as {3::red|blue}",
        }[mark]
        return PromptError(
            at, f"'{mark}' {rule}", rf"write it so, or \{mark} where the characters themselves are meant"
        )

    def _label(self, text: str) -> str:
        """The text as written, and its occurrence number in the text: so that what else is there decides nothing."""
        self._seen[text] += 1
        return f"{text}#{self._seen[text]}"


_ESCAPE = re.compile(r"\\([|#]|__|::)")


def _sampler(at: int, written: str, sampler: str) -> PromptError:
    what = f"'{written[:40]}' {_SAMPLERS[sampler]}, which is not supported: each image picks by its own seed"
    hint = (
        rf"leave the {sampler} out, or use a matrix; write \{sampler} or \__ where the characters themselves are meant"
    )
    return PromptError(at, what, hint)


def _add(parts: list[Part], text: str) -> None:
    if not text:
        return
    if parts and isinstance(last := parts[-1], str):
        parts[-1] = last + text
    else:
        parts.append(text)


def _only_wildcard(template: Template) -> Wildcard | None:
    """The wildcard that the template is, but for white space around it."""
    parts = [part for part in template if not isinstance(part, str) or part.strip()]
    return parts[0] if len(parts) == 1 and isinstance(parts[0], Wildcard) else None
