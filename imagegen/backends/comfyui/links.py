"""Follow a workflow's links: where a value comes from, through switches and nodes that only pass it on.

What an input is for is known by its name, as ComfyUI's own nodes and common custom ones have it; if a server's
/object_info is at hand, by that too. The graph is somebody's file: links may run in a circle.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal

from imagegen.backends.comfyui.graph import Graph, NodeInput, ObjectInfo, get_spec, get_value, is_growing, is_link

__all__ = [
    "SEEDS",
    "Link",
    "Side",
    "Wiring",
    "is_choice_word",
    "is_display",
    "is_doubtful_text",
    "is_image",
    "is_of_encoder",
    "is_option",
    "is_text",
    "kind_of",
    "shows_picture",
    "side_of",
]

Side = Literal["positive", "negative"]
"""Which of a sampler's two conditionings, or texts."""
Kind = Literal["conditioning", "bundle", "picture", "other", "unknown"]
"""What a link brings.

conditioning: what guides a sampler. bundle: several things in one, as custom "pipes" have it. picture: an image or a
latent. other: a model, a mask, a number: nothing that the picture's texts or pixels come through.
"""
SEEDS = ("seed", "noise_seed")


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_ENCODERS = re.compile(r"(^|_)clip_?[a-z]$|t5x|t5$|bert|llama|qwen|gemma|mistral|glm")
"""Inputs named after the text encoder that reads them: `clip_l`, `t5xxl`, `mt5xl`, `qwen25_7b`."""
_TEXT = _set(
    "text texts txt prompt prompts caption captions description string strings str tags positive negative "
    "value replace replacement prepend append prefix suffix before after subject wildcard wildcards pos neg"
)
_OPTION = _set(
    "encoder encoders mode type model weight strength scale delimiter separator find search pattern regex "
    "file filename path folder size length log name format normalization interpretation parser method device "
    "dtype language seed font color align max min case clean strip trim index key id save enable control "
    "generate template_name start end percent option options upsampling enhance enhancer select selection"
)
_DOUBTFUL = _set("system instruction instructions instruct template role context guideline guidelines")
"""Words in the names of texts for a language model, not for the picture."""
_POSITIVE = _set("positive pos")
_NEGATIVE = _set("negative neg uncond")
_CHOICES = _set("true false yes no on off auto none default enable enabled disable disabled fixed random randomize")
_CONDITIONING = _set("conditioning conditionings cond conds")
_PICTURE = _set(
    "image images pixels latent latents samples frames video videos img imgs picture pictures photo photos "
    "foreground background destination source"
)
_BUNDLE = _set("pipe bus embeds ctx context")
_OTHER = _set(
    "model models clip vae mask masks control controlnet noise sigmas sampler guider width height batch steps "
    "cfg seed denoise scheduler lora strength vision segs upscale bbox detector options audio length fps "
    "switch"
)


@lru_cache(maxsize=4096)
def _words(name: str) -> list[str]:
    spaced = re.sub(r"([a-z])([A-Z])", r"\1_\2", name.rpartition(".")[2])  # `model.prompt` is a prompt of a choice
    return [word for word in re.split(r"[\W_]+|\d+", spaced.lower()) if word]


def is_text(name: str) -> bool:
    """Whether an input of this name holds a text for the picture, if it holds text at all."""
    words = _words(name)
    return not is_option(name) and (not _TEXT.isdisjoint(words) or bool(_ENCODERS.search(name.lower())))


def is_of_encoder(name: str) -> bool:
    """Whether an input is the text for one of a model's text encoders, which all get the same one."""
    return bool(_ENCODERS.search(name.lower()) or re.fullmatch(r"text_[a-z]", name))


def is_option(name: str) -> bool:
    """Whether an input of this name says how something is done, or names a file."""
    return not _OPTION.isdisjoint(_words(name))


def is_doubtful_text(name: str) -> bool:
    """Whether a text of this name is rather for a language model that writes the prompt."""
    return not _DOUBTFUL.isdisjoint(_words(name))


def side_of(name: str) -> Side | None:
    """Return the side that an input's name means, if any."""
    words = _words(name)
    if not _NEGATIVE.isdisjoint(words):
        return "negative"
    return None if _POSITIVE.isdisjoint(words) else "positive"


def kind_of(name: str) -> Kind:
    """Return what a link of this name brings."""
    words = _words(name)
    if words[:1] == ["empty"]:
        return "other"
    if side_of(name) or not _CONDITIONING.isdisjoint(words):
        return "conditioning"
    if not _BUNDLE.isdisjoint(words):
        return "bundle"
    if not _OTHER.isdisjoint(words):
        return "other"
    return "unknown" if _PICTURE.isdisjoint(words) else "picture"


def shows_picture(name: str) -> bool:
    """Whether a link of this name shows a picture to its node."""
    return not {"image", "images", "pixels", "video", "frames", "img", "picture", "pictures", "photo"}.isdisjoint(
        _words(name)
    )


def is_image(name: str) -> bool:
    """Whether a link of this name brings an image, not a latent."""
    return {"latent", "latents", "samples", *_BUNDLE}.isdisjoint(_words(name))


def is_choice_word(value: str) -> bool:
    """Whether a text is the word for a setting, not a text for a picture."""
    return value.strip().lower() in _CHOICES


def is_display(class_type: str) -> bool:
    """Whether nodes of this class only show what they get; a text that they hold is the one that they showed last."""
    return bool(re.search(r"show|display|preview|inspect", class_type, re.IGNORECASE))


Link = list[Any]
"""[node ID, output's number]."""
_HOLDERS = ("value", "int", "float", "number", "string", "text", *SEEDS)
"""Inputs of nodes that only hold a value for others."""
_DEEPEST = 20
"""How many switches may decide about one another."""
_CHOOSERS = frozenset({"select", "index", "input", "selected", "choice", "selection"})
_SCALES = re.compile(r"^scale(_by)?$|factor|multiplier|percent|megapixels")
"""Inputs by which a node computes another size than the one that it gets."""
_NUMBERED = re.compile(r"(.*?)(\d+)")


class Wiring:
    """Follows a graph's links upwards. info: the server's, if there is one."""

    def __init__(self, graph: Graph, info: ObjectInfo | None = None) -> None:
        self.graph, self.info = graph, info
        self._branches: dict[str, str] = {}
        self._depth = 0
        self._takers: dict[str, list[tuple[int, NodeInput]]] = defaultdict(list)
        for node, body in graph.items():
            for name, value in body["inputs"].items():
                if is_link(value):
                    self._takers[value[0]].append((value[1], NodeInput(node, name)))

    def inputs(self, node: str) -> Mapping[str, Any]:
        """Return a node's inputs by name, without those that the server's class does not have and ignores."""
        inputs: Mapping[str, Any] = self.graph[node]["inputs"]
        class_type = self.graph[node]["class_type"]
        entry = self.info(class_type) if self.info else None
        if not entry or any(is_growing(spec) for spec in _specs(entry)):
            return inputs
        known = {name for group in entry.get("input", {}).values() if isinstance(group, dict) for name in group}
        return {name: value for name, value in inputs.items() if is_link(value) or name in known}

    def is_choice(self, target: NodeInput) -> bool:
        """Whether the server wants one of a list there, not any text."""
        if not self.info:
            return False
        kind, _ = get_spec(self.info, self.graph[target.node]["class_type"], target.input)
        return isinstance(kind, list) or kind == "COMBO"

    def links(self, node: str) -> dict[str, Link]:
        """Return a node's inputs that are links, each with where it really comes from."""
        return {name: self.follow(value) for name, value in self.inputs(node).items() if is_link(value)}

    def source_node(self, node: str, *names: str) -> str:
        """Return the node that the first of these inputs which is a link comes from; empty if none is."""
        links = self.links(node)
        return next((str(links[name][0]) for name in names if name in links), "")

    def follow(self, link: Link) -> Link:
        """Return where a link really comes from: past reroutes, and through the active branch of each switch."""
        seen = set[tuple[str, int]]()
        while (link[0], link[1]) not in seen:
            seen.add((link[0], link[1]))
            inputs = self.graph[link[0]]["inputs"]
            name = self.active_branch(link[0])
            if not name and len(inputs) == 1 and kind_of(only := next(iter(inputs))) == "unknown":
                name = only  # a reroute
            if not name or not is_link(inputs[name]):
                break
            link = inputs[name]
        return link

    def active_branch(self, node: str) -> str:
        """Return the input that a switch passes on; empty if the node is not a switch, or it is not known which."""
        if node not in self._branches:
            self._branches[node] = ""  # in case the switch depends on itself
            if self._depth < _DEEPEST:  # what a switch depends on may be a switch in turn, and so on
                self._depth += 1
                self._branches[node] = self._choose_branch(node)
                self._depth -= 1
        return self._branches[node]

    def _choose_branch(self, node: str) -> str:
        inputs: Mapping[str, Any] = self.graph[node]["inputs"]
        sides = {word: name for name in inputs if (word := _truth_word(name))}
        if len(sides) == 2:
            others = [self.literal_value(NodeInput(node, name)) for name in inputs if name not in sides.values()]
            chosen = [value for value in others if isinstance(value, bool)]
            return sides[str(chosen[0]).lower()] if len(chosen) == 1 else ""
        numbered = {int(match[2]): name for name in inputs if (match := _NUMBERED.fullmatch(name))}
        for name in inputs:
            value = self.literal_value(NodeInput(node, name)) if name.lower() in _CHOOSERS else None
            if type(value) is int and value in numbered:
                return numbered[value]
        # rgthree's "Any Switch" passes on the first that there is
        return min(inputs, default="") if all(name.startswith("any_") for name in inputs) else ""

    def literal_value(self, target: NodeInput) -> Any:
        """Return the value that an input has in the end; None if it is computed."""
        found = self.find_holder(target)
        return get_value(self.graph, found) if found else None

    def find_holder(self, target: NodeInput) -> NodeInput | None:
        """Return the input that holds the value: this one, or where its link leads; None if it is computed."""
        wanted, seen = target.input, set[NodeInput]()
        while is_link(value := get_value(self.graph, target)):
            seen.add(target)
            name = self._find_passed_on(value[0], wanted)
            if not name or (target := NodeInput(value[0], name)) in seen:
                return None
        return target

    def _find_passed_on(self, node: str, wanted: str) -> str:
        """Return the input whose value the node passes on for one called `wanted`; empty if it computes another."""
        inputs = self.graph[node]["inputs"]
        if name := self.active_branch(node):
            return name
        if wanted in inputs:
            return "" if any(_SCALES.search(name) for name in inputs if type(inputs[name]) in (int, float)) else wanted
        links = [name for name, value in inputs.items() if is_link(value)]
        numbers = [name for name, value in inputs.items() if type(value) in (int, float)]
        held = next((name for name in _HOLDERS if name in inputs), "")
        if not links:
            return held
        texts = [name for name, value in inputs.items() if isinstance(value, str) and name not in _IDLE]
        return (held or links[0]) if len(links) == 1 and not numbers and not texts and held in ("", links[0]) else ""

    def follow_chain(self, node: str, along: str) -> Iterator[str]:
        """Yield the node, and those that the links called `along` lead up to, one after the other."""
        seen = set()
        while node and node not in seen:
            seen.add(node)
            yield node
            node = self.source_node(node, along)

    def find_upwards(self, node: str, names: Sequence[str], along: str) -> tuple[NodeInput, ...]:
        """Return the nearest of the inputs `names`: the node's, or those further up the links called `along`."""
        for above in self.follow_chain(node, along):
            for name in names:
                if name in self.inputs(above):
                    return self.find_literal(NodeInput(above, name))
        return ()

    def same_source(self, target: NodeInput) -> list[NodeInput]:
        """Return the inputs that take the same output as this one."""
        value = get_value(self.graph, target)
        return [taker for output, taker in self._takers[value[0]] if output == value[1]] if is_link(value) else [target]

    def find_literal(self, target: NodeInput) -> tuple[NodeInput, ...]:
        """Return the input that holds this one's value, if that is of its type: a name, or a number."""
        found = self.find_holder(target)
        if found is None:
            return ()
        value = get_value(self.graph, found)
        is_name = target.input.endswith("_name") or target.input == "scheduler"
        fits = found == target or (isinstance(value, str) if is_name else type(value) in (int, float))
        return (found,) if fits else ()

    def ancestors(self, node: str) -> Iterator[str]:
        """Yield the node and everything it is made from, the nearest first; of a switch, its active branch."""
        waiting, seen = [node], {node}
        while waiting:
            node = waiting.pop(0)
            yield node
            on = self.active_branch(node)
            for name, value in self.graph[node]["inputs"].items():
                if is_link(value) and value[0] not in seen and (not on or name == on):
                    seen.add(value[0])
                    waiting.append(value[0])

    def side(self, node: str, number: int, arrived: Side) -> Side | None:
        """Return which side a node that has both gives at this output; None if that is not known.

        Args:
            arrived: the side that was followed until here.
        """
        if (said := self._described_side(node, number)) != "unsaid":
            return said
        takers = [(output, kind_of(target.input), side_of(target.input)) for output, target in self._takers[node]]
        if all(kind in ("bundle", "picture") for output, kind, _ in takers if output == number):
            return arrived  # both are in it
        votes = {(output, side) for output, _, side in takers if side}
        if not any(output == number for output, _ in votes):
            votes.add((number, arrived))
        pairs = [output for output, side in votes if side == "positive" and (output + 1, "negative") in votes]
        if len(pairs) > 1 and len(votes) == 2 * len(pairs):  # both sides more than once, for two samplers
            return "positive" if number in pairs else "negative"
        both = {output for output, side in votes if (output, "negative") in votes and (output, "positive") in votes}
        votes = {(output, side) for output, side in votes if output not in both or side == "positive"}
        last = max(output for output, _ in votes)
        first = [offset for offset in range(last + 1) if self._can_begin_at(node, offset, takers, number)]
        fits = [offset for offset in first if all(output == offset + (side == "negative") for output, side in votes)]
        if len(fits) != 1:
            return None
        return "positive" if number == fits[0] else "negative"

    def _described_side(self, node: str, number: int) -> Side | Literal["unsaid"] | None:
        """Return an output's side as the server describes it, None if it is neither."""
        entry = self.info(self.graph[node]["class_type"]) if self.info else None
        types, names = (entry or {}).get("output"), (entry or {}).get("output_name")
        if not isinstance(types, list) or not number < len(types):
            return "unsaid"
        sides = [side_of(str(name)) for name in names] if isinstance(names, list) else []
        if number < len(sides) and {"positive", "negative"} <= set(sides):
            return sides[number]
        same = [output for output, kind in enumerate(types) if kind == types[number]]
        if len(same) != 2:
            return "unsaid"
        return "positive" if number == same[0] else "negative"

    def _can_begin_at(self, node: str, offset: int, takers: Sequence[tuple[int, str, Any]], number: int) -> bool:
        """Whether the two sides can be the outputs `offset` and the next: nothing takes them for something else."""
        pair = (offset, offset + 1)
        if number not in pair:
            return False
        if any(
            kind in ("other", "picture") if output in pair else kind == "conditioning" for output, kind, _ in takers
        ):
            return False
        if offset > 1:  # as in a node that passes on everything; then both names must say so
            return {(offset, "positive"), (offset + 1, "negative")} <= {(output, side) for output, _, side in takers}
        # before them comes what the node passes on besides: a model, mostly
        before = any(output < offset and kind in ("other", "picture") for output, kind, _ in takers) or any(
            "model" in name for name in self.inputs(node)
        )
        return offset == 0 or before


_IDLE = frozenset({"control_after_generate", "control_before_generate"})


def _truth_word(name: str) -> str:
    words = re.split(r"[\W_]+", name.lower())
    return next((word for word in ("true", "false") if word in words), "")


def _specs(entry: Mapping[str, Any]) -> Iterator[Any]:
    for group in entry.get("input", {}).values():
        if isinstance(group, dict):
            yield from group.values()
