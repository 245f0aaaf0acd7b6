"""The prompt of one image: its parsed texts, the picks that follow from its seed, and its final words."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from imagegen.config.document import clean_text
from imagegen.errors import ImagegenError, InputError, Problem, did_you_mean
from imagegen.plan.prompt_grammar import (
    Axis,
    Choice,
    Option,
    PromptError,
    Several,
    Template,
    has_choices,
    parse_template,
    walk_parts,
)
from imagegen.plan.wildcards import Wildcards

__all__ = ["PromptTemplate", "Text", "escape_prompt", "join_prompt", "parse_prompt", "render"]


class Text(NamedTuple):
    """A text as the job gives it."""

    text: str
    what: str  # its key, for a person
    where: str  # `file:line:column`


@dataclass(frozen=True)
class PromptTemplate:
    """The texts of one image, parsed and checked."""

    texts: Mapping[str, Template]  # prefix, prompt, suffix and negative, by these names
    axes: Mapping[str, Template]  # of each axis that they name
    lines: Mapping[str, Sequence[Option]]  # of the wildcards
    has_choices: bool  # whether any of it follows from the seed

    def render(self, seed: int) -> tuple[str, str]:
        """Return the prompt and the negative prompt for a seed. An axis has the same text throughout."""
        axes = {name: render(text, seed, f"matrix.{name}", self.lines, {}) for name, text in self.axes.items()}
        texts = {key: render(text, seed, key, self.lines, axes) for key, text in self.texts.items()}
        if self.has_choices:  # an empty pick can leave white space at an end
            texts = {key: clean_text(text) for key, text in texts.items()}
        return join_prompt(texts["prefix"], texts["prompt"], texts["suffix"]), texts["negative"]


def parse_prompt(texts: Mapping[str, Text], axes: Mapping[str, Text], wildcards: Wildcards) -> PromptTemplate:
    """Parse and check the texts of an image.

    Args:
        texts: prefix, prompt, suffix and negative, by these names.
        axes: the text of each axis in this cell of the matrix; empty if there is no matrix.
        wildcards: that the texts can name.

    Raises:
        ImagegenError: with every problem.
    """
    problems: list[Problem] = []
    parsed = {key: _parse(text, bool(axes), problems) for key, text in texts.items()}
    if not problems and all(isinstance(part, str) for template in parsed.values() for part in template):
        return PromptTemplate(parsed, {}, {}, False)
    said: dict[str, Template] = {}
    for key, template in parsed.items():
        for part in walk_parts(template):
            if not isinstance(part, Axis) or part.name in said:
                continue
            if part.name in axes:
                said[part.name] = _parse(axes[part.name], False, problems)
            else:
                what = f"{{{part.name}}}: no axis of the matrix has this name{did_you_mean(part.name, axes)}"
                problems.append(Problem(texts[key].where, f"{texts[key].what}: {what}"))
    if not problems and any(map(has_choices, (*parsed.values(), *said.values()))):
        problems += _check_picks(texts, parsed, {name: (axes[name], said[name]) for name in said}, wildcards)
        if not problems:
            return PromptTemplate(parsed, said, wildcards.lines, True)
    if problems:
        raise InputError(*problems)
    return PromptTemplate(parsed, said, {}, False)


def _parse(text: Text, has_axes: bool, problems: list[Problem]) -> Template:
    try:
        return parse_template(text.text, has_axes=has_axes)
    except PromptError as error:
        problems.append(Problem(text.where, f"{text.what}: {error}", error.hint))
        return ()


def _check_picks(
    texts: Mapping[str, Text],
    parsed: Mapping[str, Template],
    axes: Mapping[str, tuple[Text, Template]],
    wildcards: Wildcards,
) -> list[Problem]:
    """Return the problems of what can be picked."""
    problems: list[Problem] = []
    try:
        of_axes = {name: wildcards.check(text.what, text.where, template) for name, (text, template) in axes.items()}
    except ImagegenError as error:
        return list(error.problems)
    may_be_blank = True
    for key, template in parsed.items():
        try:
            shape = wildcards.check(texts[key].what, texts[key].where, template, of_axes)
        except ImagegenError as error:
            problems += error.problems
        else:
            may_be_blank = may_be_blank and (shape.may_be_blank or key == "negative")
    if may_be_blank and not problems:
        hint = "give each alternative words, or write some beside them"
        problems.append(Problem(texts["prompt"].where, "prompt: can be empty, depending on what is picked", hint))
    return problems


def join_prompt(*parts: str) -> str:
    """Join prefix, prompt and suffix: with a comma, or with a space if the first ends in a punctuation mark."""
    join_prompt = ""
    for part in filter(None, parts):
        join_prompt += part if not join_prompt else (" " if join_prompt[-1] in ".,;:!?" else ", ") + part
    return join_prompt


def render(
    template: Template, seed: int, key: str, lines: Mapping[str, Sequence[Option]], axes: Mapping[str, str]
) -> str:
    """Return the text of a template, with everything picked.

    A pick follows only from the seed, the key, and its own text: the option with the greatest SHA-256 of
    `SEED:KEY/LABEL:OPTION` wins. So a line that is added to a wildcard file changes only the images that pick it.

    Args:
        template: parsed and checked.
        seed: of the image.
        key: what the text is, `prompt` for example.
        lines: of each wildcard.
        axes: the text of each axis.
    """
    if len(template) == 1 and isinstance(template[0], str):
        return template[0]
    texts = []
    for part in template:
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, Axis):
            texts.append(axes[part.name])
        elif isinstance(part, Several):
            texts.append(_render_several(part, seed, key, lines, axes))
        else:
            options, within = (part.options, key) if isinstance(part, Choice) else (lines[part.name], "")
            picked = max(options, key=_rank(options, f"{seed}:{key}/{part.label}:"))
            texts.append(render(picked.template, seed, within or f"{key}/{part.label}", lines, axes))
    return "".join(texts)


def _render_several(
    part: Several, seed: int, key: str, lines: Mapping[str, Sequence[Option]], axes: Mapping[str, str]
) -> str:
    """Return the texts of the options that rank highest. Their number is a pick of its own."""
    head = f"{seed}:{key}/{part.label}:"
    options = lines[part.wildcard.name] if part.wildcard else part.options
    ranked = sorted(options, key=_rank(options, head))
    picks = list({option.template: option for option in ranked}.values())[::-1]  # of one text, the first
    numbers = range(min(part.least, len(picks)), min(part.most, len(picks)) + 1)
    counts = [Option(str(number), ()) for number in numbers]
    count = int(max(counts, key=_rank(counts, f"{head}$$:")).key)
    texts = []
    for option in picks[:count]:
        within = f"{key}/{part.label}:{option.key}" if part.wildcard else key
        texts.append(render(option.template, seed, within, lines, axes).strip())
    return part.separator.join(filter(None, texts))


def _rank(options: Sequence[Option], head: str) -> Callable[[Option], tuple[float, bytes]]:
    """Return the function that options are ranked by: the greatest is the first pick.

    Without weights it is their hash. With weights it is w / -ln(hash as a number from 0 to 1): each is the first as
    often as its weight says, and adding or removing one keeps the order of the others.
    """
    begun = hashlib.sha256(head.encode("utf-8"))
    has_weights = any(option.weight != 1 for option in options)

    def rank(option: Option) -> tuple[float, bytes]:
        digest = begun.copy()
        digest.update(option.key.encode("utf-8"))
        found = digest.digest()
        if not has_weights:
            return 0.0, found
        chance = ((int.from_bytes(found[:8], "big") >> 12) + 0.5) / 2**52
        return option.weight / -math.log(chance), found

    return rank


def escape_prompt(text: str) -> str:
    """Return how to write a text in a prompt so that it means itself; unchanged if it already does."""
    try:
        template = parse_template(text)
        if "".join(part for part in template if isinstance(part, str)) == text and not has_choices(template):
            return text
    except PromptError:
        pass
    return re.sub(r"[{|}#]|__|\$\$|::", r"\\\g<0>", text)
