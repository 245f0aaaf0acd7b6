"""Wildcards: files of lines to pick from, read when a prompt names them, and checked to their last line."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from imagegen.config.document import decode
from imagegen.errors import ImagegenError, InputError, Problem, did_you_mean
from imagegen.plan.prompt_grammar import (
    MAX_DEPTH,
    Axis,
    Choice,
    Option,
    PromptError,
    Several,
    Template,
    Wildcard,
    make_options,
    parse_template,
    refuse_comment,
    split_weight,
    walk_parts,
)

__all__ = ["MAX_SIZE", "NO_WILDCARDS", "WILDCARD_FOLDER", "Shape", "Wildcards", "wildcard_path"]

MAX_SIZE = 20_000
"""Characters that a text may have, whatever is picked, each pick counted as one more: the limit of a prompt."""

WILDCARD_FOLDER = "jobs/wildcards"


def wildcard_path(name: str) -> str:
    """Return the path of a wildcard's file: `jobs/wildcards/hair.txt`."""
    return f"{WILDCARD_FOLDER}/{name}.txt"


_Locate = Callable[[Wildcard], tuple[str, str]]
"""For a wildcard in a text: where it is, and what a problem begins with."""


@dataclass(frozen=True)
class Shape:
    """What the text of a template can be like."""

    size: int  # the most characters
    may_be_blank: bool
    depth: int = 0  # of wildcards within each other


@dataclass
class Wildcards:
    """The project's wildcard files, each read once."""

    names: Callable[[], Sequence[str]]  # of all that exist
    read: Callable[[str], bytes]  # reads a file, by its path in the project; raises ImagegenError
    lines: dict[str, tuple[Option, ...]] = field(default_factory=dict)  # of each wildcard that was checked
    unread: Callable[[], Sequence[str]] = tuple  # files in the folder that are not .txt files
    _texts: dict[str, list[tuple[str, Template, float]]] = field(default_factory=dict)
    _shapes: dict[str, Shape] = field(default_factory=dict)
    _wrong: dict[str, tuple[Problem, ...]] = field(default_factory=dict)

    def check(
        self, what: str, where: str, template: Template, axes: Mapping[str, Shape] = MappingProxyType({})
    ) -> Shape:
        """Check a text and the files that it names, so that no pick can fail afterwards; return its shape.

        Args:
            what: the text's key, `prompt` for example.
            where: it is.
            template: of the text.
            axes: the shape of each axis.

        Raises:
            ImagegenError: with every problem, those of the files too.
        """
        shape = self._measure(template, (), lambda _: (where, f"{what}: "), axes)
        if shape.size > MAX_SIZE:
            raise InputError(Problem(where, f"{what}: can have more than the {MAX_SIZE} characters of a prompt"))
        return shape

    def list_files(self) -> dict[str, list[str]]:
        """Return the files that each name stands for that a text was checked with, those that their lines name too."""
        return {name: sorted(map(wildcard_path, self._names_within(name, set()))) for name in self.lines}

    def _names_within(self, name: str, found: set[str]) -> set[str]:
        """Add the names of all files that this name stands for to those that were found, and return them."""
        for one in [one for one in self._texts if _compile_name(name).fullmatch(one)] if "*" in name else [name]:
            if one not in found:
                found.add(one)
                for part in (part for _, template, _ in self._texts[one] for part in walk_parts(template)):
                    inner = part.wildcard if isinstance(part, Several) else part
                    if isinstance(inner, Wildcard):
                        self._names_within(inner.name, found)
        return found

    def _measure(
        self,
        template: Template,
        above: tuple[str, ...],
        locate: _Locate,
        axes: Mapping[str, Shape] = MappingProxyType({}),
    ) -> Shape:
        problems: list[Problem] = []
        size, may_be_blank, depth = 0, True, 0
        for part in template:
            if isinstance(part, str):
                shape = Shape(len(part), not part.strip())
            elif isinstance(part, Axis):
                shape = axes[part.name]
            else:
                try:
                    shape = self._measure_picked(part, above, locate, axes)
                except ImagegenError as error:
                    problems += error.problems
                    continue
            size += shape.size
            may_be_blank = may_be_blank and shape.may_be_blank
            depth = max(depth, shape.depth)
        if problems:
            raise InputError(*problems)
        return Shape(min(size, 10 * MAX_SIZE), may_be_blank, depth)

    def _measure_picked(
        self, part: Choice | Several | Wildcard, above: tuple[str, ...], locate: _Locate, axes: Mapping[str, Shape]
    ) -> Shape:
        if isinstance(part, Wildcard):
            return self._measure_lines(part, above, *locate(part))
        if isinstance(part, Several) and part.wildcard:
            shape = self._measure_lines(part.wildcard, above, *locate(part.wildcard))
            shapes = [shape] * len(self.lines[part.wildcard.name])
            return _combine_several(part, shapes)
        problems: list[Problem] = []
        shapes = []
        for option in part.options:
            try:
                shapes.append(self._measure(option.template, above, locate, axes))
            except ImagegenError as error:
                problems += error.problems
        if problems:
            raise InputError(*problems)
        return _combine_several(part, shapes) if isinstance(part, Several) else _combine_any(shapes)

    def _measure_lines(self, part: Wildcard, above: tuple[str, ...], where: str, what: str) -> Shape:
        """Return the shape of all lines of the files that a wildcard names."""
        if "*" not in part.name:
            return self._measure_file(part.name, above, where, what)
        names = [name for name in self.names() if _compile_name(part.name).fullmatch(name)]
        if unread := self.unread():
            what = f"{what}__{part.name}__ reads .txt files only, and there is {WILDCARD_FOLDER}/{unread[0]}"
            raise InputError(Problem(where, what, "write it as a .txt file, one text per line, or move it away"))
        if not names:
            what = f"{what}there is no {wildcard_path(part.name)} for __{part.name}__"
            raise InputError(Problem(where, what, r"write one; or \__ if the characters themselves are meant"))
        found = _combine_any([self._measure_file(name, above, where, what) for name in sorted(names)])
        self.lines[part.name] = _make_options([line for name in sorted(names) for line in self._texts[name]])
        return found

    def _measure_file(self, name: str, above: tuple[str, ...], where: str, what: str) -> Shape:
        """Return the shape of one file, read if it has not been. above: the wildcards that it is within."""
        if name in above:
            circle = " → ".join(f"__{other}__" for other in (*above[above.index(name) :], name))
            raise InputError(Problem(where, f"{what}__{name}__ comes back to itself: {circle}", "break the circle"))
        if len(above) > 2 * MAX_DEPTH:  # surely too deep; the exact depth is known after the last file
            raise InputError(_too_deep(where, what, name))
        if name in self._wrong:
            raise InputError(*self._wrong[name])
        if name not in self._shapes:
            if name not in self.names():
                raise InputError(self._explain_missing(name, where, what))
            try:
                self._shapes[name] = self._read(name, (*above, name))
            except ImagegenError as error:
                self._wrong[name] = error.problems
                raise
        if self._shapes[name].depth > MAX_DEPTH:
            raise InputError(_too_deep(where, what, name))
        return self._shapes[name]

    def _explain_missing(self, name: str, where: str, what: str) -> Problem:
        names = self.names()
        below = next((other for other in names if f"/{other}".lower().endswith(f"/{name}".lower())), "")
        meant = f"; did you mean '{below}'?" if below else did_you_mean(name, names)
        text = f"{what}there is no {wildcard_path(name)} for __{name}__{meant}"
        hint = rf"create it with one text per line; or write \__{name}\__ to get these characters"
        if not meant and (unread := self.unread()):
            hint = f"{WILDCARD_FOLDER}/{unread[0]} is not read: wildcards are .txt files; {hint}"
        return Problem(where, text, hint)

    def _read(self, name: str, above: tuple[str, ...]) -> Shape:
        file = wildcard_path(name)
        problems: list[Problem] = []
        found: list[tuple[str, Template, float]] = []
        shapes: list[Shape] = []
        for number, raw in enumerate(decode(file, self.read(file)).split("\n"), start=1):
            written = raw.strip()
            if not written or written.startswith("#"):
                continue
            weight, text = split_weight(written)
            column = raw.rindex(text) + 1 if text else 1
            try:
                refuse_comment(text)
                template = parse_template(text)
                shapes.append(self._measure(template, above, _locate_in_line(f"{file}:{number}", column)))
                found.append((text.removeprefix("\\") if text.startswith("\\#") else text, template, weight))
            except PromptError as error:
                problems.append(Problem(f"{file}:{number}:{column + error.at}", str(error), error.hint))
            except ImagegenError as error:
                problems += error.problems
        if not problems and not any(weight for _, _, weight in found):
            what = "all lines have the weight 0" if found else f"has no line to pick for __{name}__"
            problems.append(Problem(file, what, "write one text per line"))
        if problems:
            raise InputError(*dict.fromkeys(problems))
        self._texts[name] = found
        self.lines[name] = _make_options(found)
        shape = _combine_any(shapes)
        return replace(shape, depth=shape.depth + 1)


@functools.lru_cache(maxsize=256)
def _compile_name(name: str) -> re.Pattern[str]:
    """Return the pattern of the names that a wildcard with `*` (within a folder) and `**` (folders too) stands for."""
    parts = re.split(r"(\*\*/?|\*)", name)
    words = {"*": "[^/]*", "**": ".*", "**/": "(?:.*/)?"}
    return re.compile("".join(words.get(part, re.escape(part)) for part in parts))


def _make_options(lines: Sequence[tuple[str, Template, float]]) -> tuple[Option, ...]:
    texts, templates, weights = zip(*lines, strict=True)
    return make_options(texts, templates, weights)


NO_WILDCARDS = Wildcards(tuple, lambda _: b"")
"""Of a project without any."""


def _too_deep(where: str, what: str, name: str) -> Problem:
    return Problem(where, f"{what}__{name}__: wildcards are nested more than {MAX_DEPTH} levels deep")


def _locate_in_line(line: str, column: int) -> _Locate:
    return lambda part: (f"{line}:{column + part.at}", "")


def _combine_several(part: Several, shapes: Sequence[Shape]) -> Shape:
    """Return the shape of several of the options, with the separator between them."""
    longest = sorted((shape.size for shape in shapes), reverse=True)[: part.most]
    size = sum(longest) + len(part.separator) * len(longest) + 1
    blank = sum(shape.may_be_blank for shape in shapes)
    return Shape(min(size, 10 * MAX_SIZE), blank >= min(part.least, len(shapes)), max(one.depth for one in shapes))


def _combine_any(shapes: Sequence[Shape]) -> Shape:
    size = 1 + max(shape.size for shape in shapes)
    depth = max(shape.depth for shape in shapes)
    return Shape(min(size, 10 * MAX_SIZE), any(shape.may_be_blank for shape in shapes), depth)
