"""Where the words of a conditioning are held: in its encoders, or in what these get their texts from.

An encoder is known by what it gives, a conditioning made of texts, and by no list of classes.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from imagegen.backends.comfyui.graph import Graph, Place, is_link
from imagegen.backends.comfyui.roles import (
    Side,
    is_choice_word,
    is_display,
    is_doubtful_text,
    is_of_encoder,
    is_option,
    is_text,
    kind_of,
    shows_picture,
    side_of,
)
from imagegen.backends.comfyui.wiring import Link, Wiring

__all__ = ["Words", "words_of", "words_within"]


@dataclasses.dataclass
class Words:
    """What the text of one side is made of.

    groups: inputs that take the text, those of one encoder together. parts: inputs that decide it together with
    something else, so that none of them is the whole text. ends: the encoders' own inputs, for a hint.
    """

    groups: list[tuple[Place, ...]] = dataclasses.field(default_factory=list)
    parts: list[Place] = dataclasses.field(default_factory=list)
    ends: list[Place] = dataclasses.field(default_factory=list)

    def add(self, other: Words) -> None:
        """What another one found too; each once."""
        self.groups += [group for group in other.groups if group not in self.groups]
        self.parts += [place for place in other.parts if place not in self.parts]
        self.ends += [place for place in other.ends if place not in self.ends]


def words_of(wiring: Wiring, links: list[Link], side: Side) -> Words:
    """The words of the conditionings that these links come from."""
    found = Words()
    waiting, seen = [(link, False) for link in links], set[tuple[str, int]]()
    while waiting:
        (node, number), is_open = waiting.pop(0)  # whether it is open by now which side this is
        # of what is zeroed out, the text decides nothing
        if (node, number) in seen or wiring.graph[node]["class_type"] == "ConditioningZeroOut":
            continue
        seen.add((node, number))
        above = wiring.links(node)
        further = {name: link for name, link in above.items() if kind_of(name) in ("conditioning", "bundle")}
        has_sides = {side_of(name) for name in further} >= {"positive", "negative"}
        if has_sides:
            given = wiring.side(node, number, side)
            is_open = is_open or given is None
            further = {name: link for name, link in further.items() if is_open or side_of(name) == given}
            # its own text is a part, of which side it does not say
            own = [Place(node, name) for name in wiring.inputs(node) if _may_be_text(wiring, node, name)]
            held = [(place, _held(wiring.graph, place)) for place in own]
            words = Words(parts=[place for place, text in held if isinstance(text, str) and text])
        else:
            words = words_within(wiring, node, number, side)
            if not further and not words.ends:
                further = {name: link for name, link in above.items() if kind_of(name) == "unknown"}
        if is_open:
            words = Words(parts=[*(place for group in words.groups for place in group), *words.parts])
        found.add(words)
        waiting += [(link, is_open) for link in further.values()]
    return found


def words_within(wiring: Wiring, node: str, number: int, side: Side) -> Words:
    """The words that a node takes itself: an encoder, or one that makes the image all by itself."""
    inputs = wiring.inputs(node)
    names = _sided(wiring, node, number, side, [name for name in inputs if _may_be_text(wiring, node, name)])
    if names is None:
        names = [name for name in inputs if _may_be_text(wiring, node, name)]
        return Words(parts=[Place(node, name) for name in names], ends=[Place(node, name) for name in names])
    sure = [name for name in names if not is_doubtful_text(name)]
    found = Words(ends=[Place(node, name) for name in sure or names])
    group: list[Place] = []
    for name in sure or names:
        text = _text_in(wiring, Place(node, name), side)
        if len(text.sure) == 1 and sure:
            group += text.sure
        else:
            found.parts += text.sure or text.doubtful
    group = list(dict.fromkeys(group))
    if any(_held(wiring.graph, place) for place in group):  # another text is left empty where nobody wrote one
        group = [place for place in group if _held(wiring.graph, place) or is_of_encoder(place.input)]
    if len({held for place in group if (held := _held(wiring.graph, place))}) > 1:
        found.parts += group  # texts that say different things
    elif found.parts:
        found.parts = [*group, *found.parts]
    elif group:
        found.groups.append(tuple(group))
    return found


def _sided(wiring: Wiring, node: str, number: int, side: Side, names: list[str]) -> list[str] | None:
    """Those of a node's texts that are of this side; None where that cannot be said."""
    sides = {side_of(name) for name in names}
    if "negative" not in sides:
        return names
    given: Side | None = side
    if len(sides) > 1 and (given := wiring.side(node, number, side)) is None:
        return None
    return [name for name in names if (side_of(name) or "positive") == given]


def _may_be_text(wiring: Wiring, node: str, name: str) -> bool:
    value = wiring.graph[node]["inputs"][name]
    if is_link(value):  # `value` is what any node is called that only hands something on
        return is_text(name) and kind_of(name) != "bundle" and name != "value"
    if not isinstance(value, str) or is_choice_word(value) or wiring.is_choice(Place(node, name)):
        return False
    return is_text(name) or (is_doubtful_text(name) and " " in value.strip()) or _is_same_text(wiring, node, value)


def _is_same_text(wiring: Wiring, node: str, value: str) -> bool:
    """Whether it repeats a text of its node, under a name that says nothing."""
    inputs = wiring.graph[node]["inputs"]
    return bool(value) and any(other == value and is_text(name) for name, other in inputs.items())


@dataclasses.dataclass
class _Text:
    """The inputs that a text comes from. doubtful: those that rather say how it is written."""

    sure: list[Place] = dataclasses.field(default_factory=list)
    doubtful: list[Place] = dataclasses.field(default_factory=list)


def _text_in(wiring: Wiring, place: Place, side: Side) -> _Text:
    """What the text in an input comes from: every input that decides a part of it."""
    found = _Text()
    waiting, seen = [(place, False)], set[Place]()
    while waiting:
        place, doubtful = waiting.pop(0)
        if place in seen:
            continue
        seen.add(place)
        value = wiring.graph[place.node]["inputs"][place.input]
        if not is_link(value):
            (found.doubtful if doubtful else found.sure).append(place)
            continue
        node, number = wiring.source(value)
        if name := wiring.branch(node):  # a switch whose branch that is on holds the text itself
            waiting.append((Place(node, name), doubtful))
            continue
        # what is told about a picture is no prompt
        doubtful = doubtful or any(map(shows_picture, wiring.links(node)))
        names = _decisive(wiring, node, wiring.inputs(node))
        sided = _sided(wiring, node, number, side, names)
        names = names if sided is None else sided
        waiting += [(Place(node, name), doubtful or is_doubtful_text(name)) for name in names]
    return found


def _decisive(wiring: Wiring, node: str, inputs: Mapping[str, Any]) -> list[str]:
    """The inputs that a node makes its text of."""
    linked = [name for name, value in inputs.items() if is_link(value)]
    if linked and is_display(wiring.graph[node]["class_type"]):
        return linked
    links = [name for name in linked if _may_carry_text(name)]
    texts = [
        name
        for name, value in inputs.items()
        if isinstance(value, str)
        and value.strip()
        and not is_choice_word(value)
        and not wiring.is_choice(Place(node, name))
    ]
    named = [name for name in texts if is_text(name) or (is_doubtful_text(name) and " " in inputs[name].strip())]
    others = [
        name for name in texts if re.search(r"\w\s+\w", inputs[name]) and name not in named and not _is_setting(name)
    ]
    if not (links or named or others):  # an empty text, or one of a name that says nothing
        every = [name for name, value in inputs.items() if isinstance(value, str) and not _is_setting(name)]
        empty = sorted(filter(is_text, every), key=lambda name: is_choice_word(inputs[name]))
        return empty[:1] or (every if len(inputs) == 1 else [])
    sure_links = [name for name in links if is_text(name) and not is_doubtful_text(name)]
    return [*(named or (others if not sure_links else [])), *(sure_links or links)]


def _is_setting(name: str) -> bool:
    """Whether what an input of this name holds is an option, or a file's name."""
    return is_option(name) or kind_of(name) == "picture"


def _may_carry_text(name: str) -> bool:
    return is_text(name) or is_doubtful_text(name) or (kind_of(name) == "unknown" and not is_option(name))


def _held(graph: Graph, place: Place) -> Any:
    return graph[place.node]["inputs"][place.input]
