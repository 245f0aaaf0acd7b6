r"""The grammar of prompts: `{axis}`, alternatives, quantities, weights, wildcards, escapes.

- `{name}` is an axis, if the job has a matrix.
- Braces with a `|` in them are alternatives. So are braces that begin with a quantity (`{2$$a|b|c}`,
  `{1-2$$ and $$a|b}`) or a weight (`{3::a|b}`).
- `__hair__` is a wildcard: a line of a file.
- All other braces are plain text, and so is a `|` outside braces. But in a text with alternatives, a brace without its
  counterpart is refused.
- `\{`, `\|`, `\}`, `\__`, `\$$`, `\::` and `\#` are the characters themselves. Any other backslash is plain text.

What sd-dynamic-prompts has beyond that (variables, Jinja, cyclical samplers) is refused.
"""

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
    """A text that is not a valid prompt. at: index of the problem. hint: what to do about it."""

    def __init__(self, at: int, what: str, hint: str) -> None:
        super().__init__(what)
        self.at = at
        self.hint = hint


@dataclass(frozen=True)
class Axis:
    """Stands for the text of an axis of the matrix."""

    name: str


@dataclass(frozen=True)
class Wildcard:
    """Stands for a line of the wildcard's files."""

    name: str  # may contain `*` and `**`
    label: str  # identifies its pick
    at: int  # index in the text


@dataclass(frozen=True)
class Option:
    """What can be picked."""

    key: str  # its text as written, without the weight; with a number if it is not the first with that text
    template: Template
    weight: float = 1.0  # above 0: how likely it is, compared to the others


@dataclass(frozen=True)
class Choice:
    """Stands for one of its options."""

    label: str  # identifies its pick
    options: tuple[Option, ...]


@dataclass(frozen=True)
class Several:
    """Stands for some of its options, each at most once, or for lines of a wildcard."""

    label: str  # identifies its picks
    options: tuple[Option, ...]  # empty if there is a wildcard
    least: int
    most: int  # there may be fewer
    separator: str  # between them
    wildcard: Wildcard | None = None


Part = str | Axis | Wildcard | Choice | Several
Template = tuple[Part, ...]
"""A parsed text."""


def make_options(
    texts: Sequence[str], templates: Iterable[Template], weights: Sequence[float] | None = None
) -> tuple[Option, ...]:
    """Make options of texts. A text that appears several times counts as often; one of weight 0 is left out."""
    seen: Counter[str] = Counter()
    options = []
    for text, template, weight in zip(texts, templates, weights or [1.0] * len(texts), strict=True):
        if not weight:
            continue
        seen[text] += 1
        options.append(Option(f"{text}#{seen[text]}" if seen[text] > 1 else text, template, weight))
    return tuple(options)


def walk_parts(template: Template) -> Iterator[Part]:
    """Yield all parts, including those within alternatives."""
    for part in template:
        yield part
        if isinstance(part, (Choice, Several)):
            for option in part.options:
                yield from walk_parts(option.template)


def has_choices(template: Template) -> bool:
    """Whether anything in a template is picked."""
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
_SEPARATOR = ", "
_SAMPLERS = {"@": "cycles through its options", "!": "makes an image of each of its options"}
_REFUSED = {
    "variable": (
        "is a variable of dynamic prompts, which are not supported",
        'an axis of the matrix has one text in the whole image: matrix: {x: {any: "{a|b}"}}, then {x}; '
        r"write \${ if the characters themselves are meant",
    ),
    "wrap": (
        "is a wrapping of dynamic prompts, which is not supported",
        r"write the text out, or %\{ if the characters themselves are meant",
    ),
    "jinja": (
        "is a Jinja template, which is not supported",
        r"write alternatives {a|b}, wildcards __x__ or a matrix; \{ if the brace itself is meant",
    ),
    "within": (
        "has alternatives within a wildcard's name, which is not supported",
        r"write alternatives of wildcards: {__light/indoor__|__light/outdoor__}; or \__ for the characters themselves",
    ),
    "near": (
        "is not the name of a wildcard",
        r"write its path in jobs/wildcards, such as __face/eyes__; or \__ if the characters themselves are meant",
    ),
    "call": (
        "gives a wildcard a value, which is not supported",
        r"write a wildcard file for each; or \__ if the characters themselves are meant",
    ),
}
"""Of the grammar of dynamic prompts: why it is refused, and what to write instead."""


def parse_template(text: str, *, has_axes: bool = False) -> Template:
    """Parse a text. has_axes: whether `{name}` is an axis. Raises PromptError."""
    if "{" in text or "}" in text or "__" in text or "\\" in text:
        return _parse_signs(text, has_axes)
    return (text,) if text else ()


@functools.lru_cache(maxsize=4096)
def _parse_signs(text: str, has_axes: bool) -> Template:
    """Parse a text that is not plain."""
    template = _Parser(text, has_axes).template()
    if has_choices(template):
        refuse_comment(text)
    return template


def refuse_comment(text: str) -> None:
    """Raise PromptError if the text has a comment, as dynamic prompts know them."""
    if comment := _COMMENT.search(text):
        what = f"'{text[comment.start() :][:30].splitlines()[0]}' looks like a comment, which a prompt cannot have"
        raise PromptError(comment.start(), what, r"delete it, or write \# if the character itself is meant")


def split_weight(text: str) -> tuple[float, str]:
    """Return the weight that a line of a wildcard file begins with, 1 by default; and the rest of the line."""
    found = _WEIGHT.match(text)
    return (float(found[1]), text[found.end() :].strip()) if found else (1.0, text)


@dataclass
class _Brace:
    """An open brace that may begin alternatives."""

    at: int
    head: re.Match[str]
    bars: list[int] = field(default_factory=list)
    odd: int | None = None  # index of the first `$$` in it that does not belong to a quantity

    @property
    def is_group(self) -> bool:
        has_weight = _WEIGHT.match(self.head.string, self.head.end())
        return bool(self.bars or self.head["quantity"] or has_weight)


@dataclass(frozen=True)
class _Group:
    """Alternatives."""

    at: int  # index of their brace
    begin: int  # of their first option
    ends: tuple[int, ...]  # of each option
    least: int | None = None  # None: no quantity
    most: int = 1
    separator: str = _SEPARATOR


class _Parser:
    """Finds the braces that are alternatives, and then reads the text once."""

    def __init__(self, text: str, has_axes: bool) -> None:
        self.text = text
        self.has_axes = has_axes
        self.tokens = list(_TOKEN.finditer(text))
        self.groups: dict[int, _Group] = {}
        """By the index of their brace."""
        self._unbalanced: PromptError | None = None
        self._find_groups()
        self._seen: Counter[str] = Counter()
        self._next = 0  # index of a token
        self._at = 0  # index in the text
        self._depth = 0

    def template(self) -> Template:
        template = self._read(len(self.text))
        if self._unbalanced:
            raise self._unbalanced
        return template

    def _find_groups(self) -> None:
        opened: list[_Brace] = []
        stray: list[int] = []
        """Braces that close nothing, after a `|`."""
        has_bar, escaped = False, 0
        for token in self.tokens:
            at, mark = token.start(), token["mark"]
            escaped += token["kept"] == "{"
            if not mark or (opened and at < opened[-1].head.end()):
                continue
            if mark == "{":
                opened.append(_Brace(at, next(_HEAD.finditer(self.text, at + 1))))
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
                hint = r"close them with }, or write \{ if the brace itself is meant"
                raise PromptError(one.at, f"the alternatives '{self.text[one.at : one.at + 30]}' are not closed", hint)
        if stray or (self.groups and opened):
            at = stray[0] if stray else opened[0].at
            brace, other = ("}", "{") if stray else ("{", "}")
            hint = rf"add the {other}, or write \{brace} if the brace itself is meant"
            what = f"'{brace}' has no '{other}' in a text with alternatives"
            self._unbalanced = PromptError(at, what, hint)

    def _close(self, brace: _Brace, end: int) -> None:
        if brace.odd is not None:
            raise self._misplaced(brace.odd)
        if not brace.is_group:
            return
        head, ends = brace.head, (*brace.bars, end)
        if head["sampler"] in _SAMPLERS:
            raise _sampler(brace.at, f"{{{head['sampler']}", head["sampler"])
        if not head["quantity"]:
            self.groups[brace.at] = _Group(brace.at, head.end(), ends)
            return
        least = int(head["exact"] or head["least"] or 1)
        most = int(head["exact"] or head["most"] or 10**9)
        if least > most:
            what = f"'{{{head['quantity']}' asks for at least {least} and at most {most}"
            raise PromptError(brace.at, what, f"write {{{most}-{least}$$…}}")
        separator = _SEPARATOR if head["separator"] is None else _ESCAPE.sub(r"\1", head["separator"])
        self.groups[brace.at] = _Group(brace.at, head.end(), ends, least, most, separator)

    def _read(self, end: int) -> Template:
        """Read what is left up to an index."""
        parts: list[Part] = []
        while self._next < len(self.tokens) and self.tokens[self._next].start() < end:
            token = self.tokens[self._next]
            self._next += 1
            at, mark = token.start(), token["mark"]
            if at < self._at or (token["axis"] and not self.has_axes):
                continue
            if mark in ("$$", "::") and self._depth:
                raise self._misplaced(at)
            if mark and at not in self.groups:
                continue
            _add(parts, self.text[self._at : at])
            if mark:
                parts.append(self._read_group(self.groups[at]))
            else:
                self._at = token.end()
                self._add_token(parts, token)
        _add(parts, self.text[self._at : end])
        self._at = end
        return tuple(parts)

    def _read_group(self, group: _Group) -> Part:
        written = self.text[group.at : group.ends[-1] + 1]
        label = self._label(written)
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise PromptError(group.at, f"alternatives are nested more than {MAX_DEPTH} levels deep", "")
        texts, templates, weights = [], [], []
        self._at = group.begin
        for end in group.ends:
            found = _WEIGHT.match(self.text, self._at)
            weights.append(float(found[1]) if found else 1.0)
            self._at = found.end() if found else self._at
            texts.append(self.text[self._at : end])
            templates.append(self._read(end))
            self._at = end + 1
        self._depth -= 1
        if group.least is not None:
            texts = [text.strip() for text in texts]
        options = make_options(texts, templates, weights)
        if not options:
            raise PromptError(group.at, f"all options of '{written[:30]}' have the weight 0", "give one a weight")
        if group.least is None:
            return Choice(label, options)
        if [option.key for option in options] == [""]:
            raise PromptError(group.at, f"'{written[:30]}' has no options", "write them: {2$$a|b|c}")
        if len(options) == 1 and (wildcard := _only_wildcard(options[0].template)):
            return Several(label, (), group.least, group.most, group.separator, wildcard)
        return Several(label, options, group.least, group.most, group.separator)

    def _add_token(self, parts: list[Part], token: re.Match[str]) -> None:
        """Add what is not a mark."""
        for kind, (what, hint) in _REFUSED.items():
            if token[kind]:
                raise PromptError(token.start(), f"'{token[0][:40]}' {what}", hint)
        if token["kept"]:
            _add(parts, token["kept"])
        elif token["axis"]:
            parts.append(Axis(token["axis"]))
        elif token["sampler"] in _SAMPLERS:
            raise _sampler(token.start(), token[0], token["sampler"])
        else:
            parts.append(Wildcard(token["wildcard"], self._label(token[0]), token.start()))

    def _misplaced(self, at: int) -> PromptError:
        mark = self.text[at : at + 2]
        rule = {
            "$$": "comes after a quantity, such as {2$$a|b|c} or {1-2$$ and $$a|b}",
            "::": "comes after a weight, such as {3::red|blue}",
        }[mark]
        return PromptError(at, f"'{mark}' {rule}", rf"write it so, or \{mark} if the characters themselves are meant")

    def _label(self, text: str) -> str:
        """Return the text as written with its occurrence number: its pick depends on nothing else in the prompt."""
        self._seen[text] += 1
        return f"{text}#{self._seen[text]}"


_ESCAPE = re.compile(r"\\([|#]|__|::)")


def _sampler(at: int, written: str, sampler: str) -> PromptError:
    what = f"'{written[:40]}' {_SAMPLERS[sampler]}, which is not supported: each image picks by its own seed"
    hint = rf"leave the {sampler} out, or use a matrix; write \{sampler} or \__ if the characters themselves are meant"
    return PromptError(at, what, hint)


def _add(parts: list[Part], text: str) -> None:
    if not text:
        return
    if parts and isinstance(last := parts[-1], str):
        parts[-1] = last + text
    else:
        parts.append(text)


def _only_wildcard(template: Template) -> Wildcard | None:
    """Return the wildcard that a template consists of, apart from white space."""
    parts = [part for part in template if not isinstance(part, str) or part.strip()]
    return parts[0] if len(parts) == 1 and isinstance(parts[0], Wildcard) else None
