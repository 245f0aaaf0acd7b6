"""Find the inputs of a workflow that take a job's prompt, seed, size and so on.

The links are followed up from the node that gives the image. Nodes are recognised by the names of their inputs and by
what they give, never by a list of classes, so that custom nodes are found as well.
"""

from __future__ import annotations

import dataclasses
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from imagegen.backends.comfyui.graph import Graph, NodeInput, ObjectInfo, get_value, is_link
from imagegen.backends.comfyui.links import (
    SEEDS,
    Link,
    Side,
    Wiring,
    is_choice_word,
    is_display,
    is_doubtful_text,
    is_image,
    is_of_encoder,
    is_option,
    is_text,
    kind_of,
    shows_picture,
    side_of,
)

__all__ = ["MODELS", "SEEDS", "Candidates", "find_bindings"]


@dataclasses.dataclass
class TextInputs:
    """The inputs that the text of one side is made of.

    Attributes:
        groups: inputs that take the text, those of one encoder together.
        parts: inputs that decide it together with something else, so that none of them is the whole text.
        ends: the encoders' own inputs, for a hint.
    """

    groups: list[tuple[NodeInput, ...]] = dataclasses.field(default_factory=list)
    parts: list[NodeInput] = dataclasses.field(default_factory=list)
    ends: list[NodeInput] = dataclasses.field(default_factory=list)

    @property
    def all_inputs(self) -> list[NodeInput]:
        """Every input among these."""
        return [*self.ends, *(target for group in self.groups for target in group), *self.parts]

    def add(self, other: TextInputs) -> None:
        """Add what another one has, each once."""
        self.groups += [group for group in other.groups if group not in self.groups]
        self.parts += [target for target in other.parts if target not in self.parts]
        self.ends += [target for target in other.ends if target not in self.ends]


def find_texts(wiring: Wiring, links: list[Link], side: Side) -> TextInputs:
    """Find the texts of the conditionings that these links come from."""
    found = TextInputs()
    waiting, seen = [(link, False) for link in links], set[tuple[str, int]]()
    while waiting:
        (node, number), is_open = waiting.pop(0)  # is_open: it is not known any more which side this is
        # the text of what is zeroed out decides nothing
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
            # its own text is a part of it, for a side that it does not name
            own = [NodeInput(node, name) for name in wiring.inputs(node) if _may_be_text(wiring, node, name)]
            held = [(target, get_value(wiring.graph, target)) for target in own]
            words = TextInputs(parts=[target for target, text in held if isinstance(text, str) and text])
        else:
            words = find_own_texts(wiring, node, number, side)
            if not further and not words.ends:
                further = {name: link for name, link in above.items() if kind_of(name) == "unknown"}
        if is_open:
            words = TextInputs(parts=[*(target for group in words.groups for target in group), *words.parts])
        found.add(words)
        waiting += [(link, is_open) for link in further.values()]
    return found


def find_own_texts(wiring: Wiring, node: str, number: int, side: Side) -> TextInputs:
    """Find the texts that a node itself takes: an encoder, or a node that makes the image all by itself."""
    inputs = wiring.inputs(node)
    names = _keep_side(wiring, node, number, side, [name for name in inputs if _may_be_text(wiring, node, name)])
    if names is None:
        names = [name for name in inputs if _may_be_text(wiring, node, name)]
        return TextInputs(
            parts=[NodeInput(node, name) for name in names], ends=[NodeInput(node, name) for name in names]
        )
    sure = [name for name in names if not is_doubtful_text(name)]
    found = TextInputs(ends=[NodeInput(node, name) for name in sure or names])
    group: list[NodeInput] = []
    for name in sure or names:
        text = _trace_text(wiring, NodeInput(node, name), side)
        if len(text.sure) == 1 and sure:
            group += text.sure
        else:
            found.parts += text.sure or text.doubtful
    group = list(dict.fromkeys(group))
    if any(get_value(wiring.graph, target) for target in group):  # a text is left empty if nobody wrote one
        group = [target for target in group if get_value(wiring.graph, target) or is_of_encoder(target.input)]
    if len({held for target in group if (held := get_value(wiring.graph, target))}) > 1:
        found.parts += group  # texts that differ
    elif found.parts:
        found.parts = [*group, *found.parts]
    elif group:
        found.groups.append(tuple(group))
    return found


def _keep_side(wiring: Wiring, node: str, number: int, side: Side, names: list[str]) -> list[str] | None:
    """Return those of a node's texts that belong to this side; None if that is not known."""
    sides = {side_of(name) for name in names}
    if "negative" not in sides:
        return names
    given: Side | None = side
    if len(sides) > 1 and (given := wiring.side(node, number, side)) is None:
        return None
    return [name for name in names if (side_of(name) or "positive") == given]


def _may_be_text(wiring: Wiring, node: str, name: str) -> bool:
    value = wiring.graph[node]["inputs"][name]
    if is_link(value):  # `value` is the input of any node that only passes something on
        return is_text(name) and kind_of(name) != "bundle" and name != "value"
    if not isinstance(value, str) or is_choice_word(value) or wiring.is_choice(NodeInput(node, name)):
        return False
    return is_text(name) or (is_doubtful_text(name) and " " in value.strip()) or _is_same_text(wiring, node, value)


def _is_same_text(wiring: Wiring, node: str, value: str) -> bool:
    """Whether it repeats a text of its node, under a name that says nothing."""
    inputs = wiring.graph[node]["inputs"]
    return bool(value) and any(other == value and is_text(name) for name, other in inputs.items())


@dataclasses.dataclass
class _Text:
    """The inputs that a text comes from. doubtful: those that rather say how it is to be written."""

    sure: list[NodeInput] = dataclasses.field(default_factory=list)
    doubtful: list[NodeInput] = dataclasses.field(default_factory=list)


def _trace_text(wiring: Wiring, target: NodeInput, side: Side) -> _Text:
    """Find every input that decides a part of the text in an input."""
    found = _Text()
    waiting, seen = [(target, False)], set[NodeInput]()
    while waiting:
        target, doubtful = waiting.pop(0)
        if target in seen:
            continue
        seen.add(target)
        value = get_value(wiring.graph, target)
        if not is_link(value):
            (found.doubtful if doubtful else found.sure).append(target)
            continue
        node, number = wiring.follow(value)
        if name := wiring.active_branch(node):  # a switch whose active branch holds the text itself
            waiting.append((NodeInput(node, name), doubtful))
            continue
        # a text about a picture is not a prompt
        doubtful = doubtful or any(map(shows_picture, wiring.links(node)))
        names = _find_decisive(wiring, node, wiring.inputs(node))
        sided = _keep_side(wiring, node, number, side, names)
        names = names if sided is None else sided
        waiting += [(NodeInput(node, name), doubtful or is_doubtful_text(name)) for name in names]
    return found


def _find_decisive(wiring: Wiring, node: str, inputs: Mapping[str, Any]) -> list[str]:
    """Return the inputs that a node makes its text from."""
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
        and not wiring.is_choice(NodeInput(node, name))
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
    """Whether an input of this name holds an option, or a file's name."""
    return is_option(name) or kind_of(name) == "picture"


def _may_carry_text(name: str) -> bool:
    return is_text(name) or is_doubtful_text(name) or (kind_of(name) == "unknown" and not is_option(name))


MODELS = ("ckpt_name", "unet_name")
_CLIP_LAYERS = ("stop_at_clip_layer",)


class Candidates(TextInputs):
    """The inputs that could take a field. ends: inputs that could take it in place of a link."""

    def add_group(self, group: tuple[NodeInput, ...]) -> None:
        """Add inputs that take it together, unless there are none."""
        self.groups += [group] if group and group not in self.groups else []

    @property
    def candidates(self) -> list[tuple[NodeInput, ...]]:
        """Everything that could take it, one by one."""
        taken = {target for group in self.groups for target in group}
        return [*self.groups, *((target,) for target in dict.fromkeys(self.parts) if target not in taken)]


def find_bindings(graph: Graph, output: str, info: ObjectInfo | None = None) -> dict[str, Candidates]:
    """Find the inputs that could take each field, from the nodes that generate the image of `output`.

    Args:
        info: the server's /object_info, if it is known; without it nodes are recognised by the names of their inputs.

    Returns:
        The candidates by field. What the nodes agree on is one group.
    """
    wiring = Wiring(graph, info)
    found: defaultdict[str, Candidates] = defaultdict(Candidates)
    makers = list(_find_samplers(wiring, output))
    makers = [node for node in makers if not _only_estimates(wiring, node)] or makers
    for node in makers:
        guider = wiring.source_node(node, "guider") or node
        positive, negative = _find_words(wiring, node, guider)
        found["prompt"].add(positive)
        found["negative"].add(negative)
        # fields of the sampler, its noise and its sigmas
        found["seed"].add_group(wiring.find_upwards(node, SEEDS, "noise"))
        for stage in _find_earlier_stages(wiring, node):
            found["seed"].add_group(wiring.find_upwards(stage, SEEDS, "noise"))
        found["steps"].add_group(wiring.find_upwards(node, ("steps",), "sigmas"))
        found["scheduler"].add_group(wiring.find_upwards(node, ("scheduler",), "sigmas"))
        found["sampler"].add_group(wiring.find_upwards(node, ("sampler_name",), "sampler"))
        # fields of the guider, and of the model
        found["cfg"].add_group(wiring.find_upwards(guider, ("cfg",), ""))
        found["checkpoint"].add_group(wiring.find_upwards(guider, MODELS, "model"))
        # a field of the text encoders
        for encoder in dict.fromkeys(target.node for words in (positive, negative) for target in words.all_inputs):
            found["clip_skip"].add_group(wiring.find_upwards(encoder, _CLIP_LAYERS, "clip"))
        _add_size(wiring, node, found)
    # a text that is prompt and negative prompt in one is the prompt
    negatives = found["negative"]
    negatives.groups = [group for group in negatives.groups if group not in found["prompt"].groups]
    for field, known in found.items():
        known.groups = _join_groups(graph, field, known.groups)
    if len(found["width"].groups) == len(found["height"].groups) == 1:
        _join_sizes(wiring, output, makers, found)
    return found


def _join_groups(graph: Graph, field: str, groups: list[tuple[NodeInput, ...]]) -> list[tuple[NodeInput, ...]]:
    """Join groups that hold the same value, as base and refiner do; those of the seed, whatever they hold."""
    held = [{_comparison_key(get_value(graph, target)) for target in group} for group in groups]
    if len(groups) > 1 and (field == "seed" or all(values == held[0] for values in held)):
        return [tuple(dict.fromkeys(target for group in groups for target in group))]
    return groups


def _comparison_key(value: object) -> str:
    """Return a key by which values are equal to ComfyUI: one for both 7 and 7.0."""
    return repr(float(value)) if type(value) is int and abs(value) < 2**53 else repr(value)


def _find_samplers(wiring: Wiring, output: str) -> Iterator[str]:
    """Yield the nodes that generate the picture, the last first: samplers, and nodes that make an image at once.

    A sampler's other inputs, such as a ControlNet's reference image, may come from another sampler, which is not
    among them.
    """
    waiting, seen = [(output, True)], {output}
    while waiting:
        node, as_image = waiting.pop(0)
        links = wiring.links(node)
        pictures = {name: link for name, link in links.items() if kind_of(name) in ("picture", "bundle")}
        if is_maker := node != output and _is_sampler(wiring, node, links, as_image):
            yield node
        if is_maker and not _find_words(wiring, node, wiring.source_node(node, "guider") or node)[0].ends:
            # without texts of its own, it follows what comes with its conditioning, as Stable Cascade's second stage
            pictures |= {name: link for name, link in links.items() if kind_of(name) == "conditioning"}
        if not pictures and not is_maker:
            pictures = {name: link for name, link in links.items() if kind_of(name) == "unknown" or node == output}
        for name, (above, _) in pictures.items():
            if above not in seen:
                seen.add(above)
                waiting.append((above, is_image(name)))


def _find_earlier_stages(wiring: Wiring, maker: str) -> Iterator[str]:
    """Yield samplers whose picture or latent comes with the conditioning, if they use the very same texts.

    They are an earlier stage of the picture; one with texts of its own generates a reference.
    """

    def words(node: str) -> list[tuple[NodeInput, ...]]:
        return _find_words(wiring, node, wiring.source_node(node, "guider") or node)[0].groups

    known = words(maker)
    waiting, seen = [wiring.source_node(maker, "guider") or maker], {maker}
    while waiting:
        node = waiting.pop()
        links = wiring.links(node)
        if node not in seen and any(kind_of(name) == "picture" for name in links):
            yield from (
                other
                for other in _find_samplers(wiring, node)
                if (own := words(other)) and all(w in known for w in own)
            )
        seen.add(node)
        waiting += [link[0] for name, link in links.items() if kind_of(name) == "conditioning" and link[0] not in seen]


def _is_sampler(wiring: Wiring, node: str, links: Mapping[str, Link], as_image: bool) -> bool:
    """Whether a node generates the picture: KSampler and its kin, or one that makes an image from a prompt.

    Args:
        as_image: whether an image is taken from it, not a latent, which may be the one to begin with.
    """
    inputs = wiring.graph[node]["inputs"]
    kinds = {kind_of(name) for name in links if name != "noise"}
    draws = any(name in inputs for name in (*SEEDS, "noise"))
    if draws and ("guider" in links or "latent_image" in links or not kinds.isdisjoint(("conditioning", "bundle"))):
        return True
    if not as_image or "conditioning" in kinds or "bundle" in kinds:
        return False
    ends = find_own_texts(wiring, node, 0, "positive").ends
    if "picture" not in kinds:
        return bool(ends)
    # one that edits a picture by a prompt, not one that looks for what the prompt names with models of its own
    return (draws or "other" not in kinds) and any("prompt" in target.input for target in ends)


def _only_estimates(wiring: Wiring, node: str) -> bool:
    """Whether a sampler has neither noise nor texts, like one that estimates the depth of a picture."""
    noise = wiring.source_node(node, "noise")
    guider = wiring.source_node(node, "guider") or node
    return bool(noise and not wiring.graph[noise]["inputs"] and not _find_words(wiring, node, guider)[0].ends)


def _find_words(wiring: Wiring, node: str, guider: str) -> tuple[TextInputs, TextInputs]:
    """Find the texts of both sides that a sampler uses."""
    links = {name: link for name, link in wiring.links(guider).items() if kind_of(name) in ("conditioning", "bundle")}
    sides: dict[Side, TextInputs] = {}
    for side in ("positive", "negative"):
        of_side = {name: link for name, link in links.items() if side_of(name) == side}
        neutral = {name: link for name, link in links.items() if side_of(name) is None}
        bundles = [link for name, link in neutral.items() if kind_of(name) == "bundle"]
        if side == "positive" and not of_side:
            of_side = {name: link for name, link in neutral.items() if kind_of(name) == "conditioning"}
        sides[side] = TextInputs()
        for link in [*of_side.values(), *(bundles if not of_side else [])]:
            sides[side].add(find_texts(wiring, [link], side))
        if not links:
            sides[side] = find_own_texts(wiring, node, 0, side)
    positive, negative = sides["positive"], sides["negative"]
    own = [group for group in positive.groups if group not in negative.groups]
    if len(links) > 2 and own:  # DualCFGGuider: its second conditioning is mostly the negative one again
        positive.groups = own
    return positive, negative


_WIDTH = re.compile(r"(empty_)?(latent_|image_)?width")
"""Names of a picture's width: `width`, `empty_latent_width`."""
_PRESETS = ("resolution", "aspect_ratio", "ratio", "dimensions", "size", "preset")
_KEEPS = re.compile(r"keep[ _](proportion|aspect|ratio)|if (bigger|smaller)")
"""How a node that sizes a picture says that the picture's own size matters too."""
_CUT_WIDTH = re.compile(r"(?!tile|scale|proportional).*_width")
"""Other names of a width: `crop_width`."""


def _pairs(inputs: Mapping[str, object]) -> list[tuple[str, str]]:
    """Return the names of the picture's width and height, in all forms that a node has them."""
    named = [name for name in inputs if _WIDTH.fullmatch(name) or name == "target_width"]
    return [(name, _height(name)) for name in named if _height(name) in inputs]


def _height(width: str) -> str:
    """Return the name of the height that goes with this width."""
    return width[: -len("width")] + "height"


def _add_size(wiring: Wiring, sampler: str, found: defaultdict[str, Candidates]) -> None:
    """Add width and height of the latent that the sampler begins with; nothing if that is a picture's."""
    node, seen = sampler, set[str]()
    while node and node not in seen:
        seen.add(node)
        inputs = wiring.graph[node]["inputs"]
        if pairs := _pairs(inputs):
            for field, name in zip(("width", "height"), pairs[0], strict=True):
                known = found[field]
                known.ends += wiring.same_source(NodeInput(node, name))
                targets = wiring.find_literal(NodeInput(node, name))
                if not targets:
                    continue
                if _has_preset(inputs) or _has_preset(
                    wiring.graph[targets[0].node]["inputs"]
                ):  # only the node knows which of the two counts
                    known.parts += targets
                else:
                    known.add_group(targets)
            return
        if others := [name for name in inputs if _CUT_WIDTH.fullmatch(name) and _height(name) in inputs]:
            for name in others:  # it crops, or scales, by rules of its own
                found["width"].parts.append(NodeInput(node, name))
                found["height"].parts.append(NodeInput(node, _height(name)))
            return
        pictures = [link for name, link in wiring.links(node).items() if kind_of(name) in ("picture", "bundle")]
        node = pictures[0][0] if pictures else ""


def _has_preset(inputs: Mapping[str, object]) -> bool:
    """Whether more than width and height decides the size that a node gives."""
    return any(name in inputs for name in _PRESETS) or any(
        (_KEEPS.search(name) and value not in (False, "false", "disabled", "stretch"))
        or (isinstance(value, str) and _KEEPS.search(value))
        or (name in ("width", "height") and type(value) is int and value == 0)
        for name, value in inputs.items()
    )


def _join_sizes(wiring: Wiring, output: str, makers: Sequence[str], found: dict[str, Candidates]) -> None:
    """Set the size wherever the picture's nodes hold the same one, as a scheduler or a text encoder may.

    If a scheduler or a model's sampling, which need the picture's size, holds another one, it is not clear which.
    """
    held = {field: get_value(wiring.graph, found[field].groups[0][0]) for field in ("width", "height")}
    needing = {
        above
        for node in makers
        for along, first in (("sigmas", node), ("model", wiring.source_node(node, "guider") or node))
        for above in wiring.follow_chain(first, along)
        if above not in makers
    }
    for node in wiring.ancestors(output):
        for pair in _pairs(wiring.graph[node]["inputs"]):
            fields = [*zip(("width", "height"), (NodeInput(node, name) for name in pair), strict=True)]
            if all(wiring.literal_value(target) == held[field] for field, target in fields):
                for field, target in fields:
                    group = found[field].groups[0]
                    found[field].groups = [tuple(dict.fromkeys([*group, *wiring.find_literal(target)]))]
            elif node in needing:
                for field, target in fields:
                    found[field].parts.append(target)
