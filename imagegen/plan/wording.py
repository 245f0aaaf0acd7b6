"""Picking from prompts: the text of one image, by its seed. `grammar` reads them, into a `template`."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Mapping, Sequence

from imagegen.plan.grammar import parse, refuse_comment, weight_of
from imagegen.plan.template import (
    MAX_DEPTH,
    Axis,
    Choice,
    Option,
    Several,
    Template,
    Wildcard,
    WordingError,
    is_open,
    options_of,
    parts_of,
)

__all__ = [
    "MAX_DEPTH",
    "Axis",
    "Choice",
    "Option",
    "Several",
    "Template",
    "Wildcard",
    "WordingError",
    "escaped",
    "is_open",
    "options_of",
    "parse",
    "parts_of",
    "refuse_comment",
    "resolve",
    "weight_of",
]


def resolve(
    template: Template, seed: int, place: str, lines: Mapping[str, Sequence[Option]], axes: Mapping[str, str]
) -> str:
    """The text, everything picked. lines: of each wildcard. axes: each axis's text.

    place: what the text is, `prompt` for example. A pick follows from the seed, the place, and its own text alone: of
    the options that one wins for which the SHA-256 of `SEED:PLACE/LABEL:KEY` is greatest. So a line that is added to
    a file is picked where it wins, and changes no other image.
    """
    texts = []
    for part in template:
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, Axis):
            texts.append(axes[part.name])
        elif isinstance(part, Several):
            texts.append(_resolve_several(part, seed, place, lines, axes))
        else:
            options, within = (part.options, place) if isinstance(part, Choice) else (lines[part.name], "")
            picked = max(options, key=_rank(options, f"{seed}:{place}/{part.label}:"))
            texts.append(resolve(picked.template, seed, within or f"{place}/{part.label}", lines, axes))
    return "".join(texts)


def _resolve_several(
    part: Several, seed: int, place: str, lines: Mapping[str, Sequence[Option]], axes: Mapping[str, str]
) -> str:
    """The texts of its picks: those that rank highest. How many is a pick of its own, among the numbers."""
    head = f"{seed}:{place}/{part.label}:"
    options = lines[part.wildcard.name] if part.wildcard else part.options
    ranked = sorted(options, key=_rank(options, head))
    picks = list({option.template: option for option in ranked}.values())[::-1]  # of one text, the first
    numbers = range(min(part.least, len(picks)), min(part.most, len(picks)) + 1)
    counts = [Option(str(number), ()) for number in numbers]
    count = int(max(counts, key=_rank(counts, f"{head}$$:")).key)
    texts = []
    for option in picks[:count]:
        within = f"{place}/{part.label}:{option.key}" if part.wildcard else place
        texts.append(resolve(option.template, seed, within, lines, axes).strip())
    return part.separator.join(filter(None, texts))


def _rank(options: Sequence[Option], head: str) -> Callable[[Option], tuple[float, bytes]]:
    """What the options are compared by: the greatest is the first pick.

    That is their hash; where they have weights, w / -ln(hash as a number from 0 to 1), which makes each the first as
    often as its weight says, and leaves their order alone when another one comes or goes.
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


def escaped(text: str) -> str:
    """How a prompt says this very text; as it is where nothing in it would be read otherwise."""
    try:
        template = parse(text)
        if "".join(part for part in template if isinstance(part, str)) == text and not is_open(template):
            return text
    except WordingError:
        pass
    return re.sub(r"[{|}#]|__|\$\$|::", r"\\\g<0>", text)
