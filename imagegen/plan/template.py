"""A parsed prompt: its parts, and the options that it picks from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

__all__ = [
    "MAX_DEPTH",
    "Axis",
    "Choice",
    "Option",
    "Part",
    "Several",
    "Template",
    "Wildcard",
    "WordingError",
    "is_open",
    "options_of",
    "parts_of",
]

MAX_DEPTH = 10
"""Levels of alternatives within each other, and of wildcards."""


class WordingError(ValueError):
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


def options_of(
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


def parts_of(template: Template) -> Iterator[Part]:
    """All parts, those within alternatives too."""
    for part in template:
        yield part
        if isinstance(part, (Choice, Several)):
            for option in part.options:
                yield from parts_of(option.template)


def is_open(template: Template) -> bool:
    """Whether anything in it is picked."""
    return any(not isinstance(part, (str, Axis)) for part in template)
