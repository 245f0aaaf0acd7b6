"""Where a workflow takes what, found by following the links up from the node that gives the image.

Nodes are known by the names of their inputs, so that custom ones are found as well, and by what they give.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from imagegen.backends.comfyui.checks import Info
from imagegen.backends.comfyui.graph import Graph, Place
from imagegen.backends.comfyui.roles import SEEDS, Side, is_image, kind_of, side_of
from imagegen.backends.comfyui.texts import Words, words_of, words_within
from imagegen.backends.comfyui.wiring import Link, Wiring

__all__ = ["MODELS", "SEEDS", "Found", "find"]

MODELS = ("ckpt_name", "unet_name")


class Found(Words):
    """What could take a field, a text or another: `ends` are then inputs that could take it in place of a link."""

    @property
    def candidates(self) -> list[tuple[Place, ...]]:
        """All that could take it, one by one."""
        taken = {place for group in self.groups for place in group}
        return [*self.groups, *((place,) for place in dict.fromkeys(self.parts) if place not in taken)]


def find(graph: Graph, output: str, info: Info | None = None) -> dict[str, Found]:
    """What the nodes that draw the image of `output` lead to, field by field; what they agree on is one group.

    info: the server's /object_info, where it is there; without it nodes are known by the names of their inputs.
    """
    wiring = Wiring(graph, info)
    found: dict[str, Found] = {}
    makers = list(_makers(wiring, output))
    makers = [node for node in makers if not _only_estimates(wiring, node)] or makers
    for node in makers:
        guider = wiring.linked(node, "guider") or node
        positive, negative = _words(wiring, node, guider)
        for field, words in (("prompt", positive), ("negative", negative)):
            found.setdefault(field, Found()).add(words)
        for field, places in {
            "seed": wiring.upwards(node, SEEDS, "noise"),
            "steps": wiring.upwards(node, ("steps",), "sigmas"),
            "scheduler": wiring.upwards(node, ("scheduler",), "sigmas"),
            "sampler": wiring.upwards(node, ("sampler_name",), "sampler"),
            "cfg": wiring.upwards(guider, ("cfg",), ""),
            "checkpoint": wiring.upwards(guider, MODELS, "model"),
        }.items():
            known = found.setdefault(field, Found())
            known.groups += [places] if places and places not in known.groups else []
        _add_size(wiring, node, found)
        for beside in _drawn_beside(wiring, node):
            places = wiring.upwards(beside, SEEDS, "noise")
            found["seed"].groups += [places] if places and places not in found["seed"].groups else []
    if "prompt" in found:
        # a text that is prompt and negative prompt in one is the prompt
        negatives = found["negative"]
        negatives.groups = [group for group in negatives.groups if group not in found["prompt"].groups]
    for field, known in found.items():
        known.groups = _joined(graph, field, known.groups)
    if all(len(found[field].groups) == 1 for field in ("width", "height") if field in found) and "width" in found:
        _join_sizes(wiring, output, makers, found)
    return found


def _joined(graph: Graph, field: str, groups: list[tuple[Place, ...]]) -> list[tuple[Place, ...]]:
    """One group where all hold the same value, as base and refiner do; of seeds, whatever they hold."""
    held = [{_comparable(graph[place.node]["inputs"][place.input]) for place in group} for group in groups]
    if len(groups) > 1 and (field == "seed" or all(values == held[0] for values in held)):
        return [tuple(dict.fromkeys(place for group in groups for place in group))]
    return groups


def _comparable(value: object) -> str:
    """The same for 7 and 7.0, which ComfyUI takes alike."""
    return repr(float(value)) if type(value) is int and abs(value) < 2**53 else repr(value)


def _makers(wiring: Wiring, output: str) -> Iterator[str]:
    """The nodes that draw the picture, the last first: samplers on its own way, and nodes that make an image at once.

    What a sampler is given besides, a reference image through a ControlNet for example, may come from another sampler,
    which is none of these.
    """
    waiting, seen = [(output, True)], {output}
    while waiting:
        node, as_image = waiting.pop(0)
        links = wiring.links(node)
        pictures = {name: link for name, link in links.items() if kind_of(name) in ("picture", "bundle")}
        if is_maker := node != output and _is_maker(wiring, node, links, as_image):
            yield node
        if is_maker and not _words(wiring, node, wiring.linked(node, "guider") or node)[0].ends:
            # without words of its own, it goes by what comes with its conditioning, as Stable Cascade's second stage
            pictures |= {name: link for name, link in links.items() if kind_of(name) == "conditioning"}
        if not pictures and not is_maker:
            pictures = {name: link for name, link in links.items() if kind_of(name) == "unknown" or node == output}
        for name, (above, _) in pictures.items():
            if above not in seen:
                seen.add(above)
                waiting.append((above, is_image(name)))


def _drawn_beside(wiring: Wiring, maker: str) -> Iterator[str]:
    """Samplers whose picture or latent comes with the conditioning, where they draw from the very same words.

    They are an earlier stage of the picture; one with words of its own draws a reference.
    """

    def words(node: str) -> list[tuple[Place, ...]]:
        return _words(wiring, node, wiring.linked(node, "guider") or node)[0].groups

    known = words(maker)
    waiting, seen = [wiring.linked(maker, "guider") or maker], {maker}
    while waiting:
        node = waiting.pop()
        links = wiring.links(node)
        if node not in seen and any(kind_of(name) == "picture" for name in links):
            yield from (
                other for other in _makers(wiring, node) if (own := words(other)) and all(w in known for w in own)
            )
        seen.add(node)
        waiting += [link[0] for name, link in links.items() if kind_of(name) == "conditioning" and link[0] not in seen]


def _is_maker(wiring: Wiring, node: str, links: Mapping[str, Link], as_image: bool) -> bool:
    """Whether a node on the picture's way draws: KSampler and its kin, or one that makes an image of a prompt.

    as_image: whether an image is taken from it, and no latent, which is one to begin with.
    """
    inputs = wiring.graph[node]["inputs"]
    kinds = {kind_of(name) for name in links if name != "noise"}
    draws = any(name in inputs for name in (*SEEDS, "noise"))
    if draws and ("guider" in links or "latent_image" in links or not kinds.isdisjoint(("conditioning", "bundle"))):
        return True
    if not as_image or "conditioning" in kinds or "bundle" in kinds:
        return False
    ends = words_within(wiring, node, 0, "positive").ends
    if "picture" not in kinds:
        return bool(ends)
    # one that edits a picture by a prompt, and not one that looks for what the prompt names with models of its own
    return (draws or "other" not in kinds) and any("prompt" in place.input for place in ends)


def _only_estimates(wiring: Wiring, node: str) -> bool:
    """Whether a sampler has neither noise nor words, as one that estimates the depth of a picture."""
    noise = wiring.linked(node, "noise")
    guider = wiring.linked(node, "guider") or node
    return bool(noise and not wiring.graph[noise]["inputs"] and not _words(wiring, node, guider)[0].ends)


def _words(wiring: Wiring, node: str, guider: str) -> tuple[Words, Words]:
    """The texts of both sides that a sampler draws from."""
    links = {name: link for name, link in wiring.links(guider).items() if kind_of(name) in ("conditioning", "bundle")}
    sides: dict[Side, Words] = {}
    for side in ("positive", "negative"):
        of_side = {name: link for name, link in links.items() if side_of(name) == side}
        neutral = {name: link for name, link in links.items() if side_of(name) is None}
        bundles = [link for name, link in neutral.items() if kind_of(name) == "bundle"]
        if side == "positive" and not of_side:
            of_side = {name: link for name, link in neutral.items() if kind_of(name) == "conditioning"}
        sides[side] = Words()
        for link in [*of_side.values(), *(bundles if not of_side else [])]:
            sides[side].add(words_of(wiring, [link], side))
        if not links:
            sides[side] = words_within(wiring, node, 0, side)
    positive, negative = sides["positive"], sides["negative"]
    own = [group for group in positive.groups if group not in negative.groups]
    if len(links) > 2 and own:  # DualCFGGuider: its second conditioning is mostly the negative one once more
        positive.groups = own
    return positive, negative


_WIDTH = re.compile(r"(empty_)?(latent_|image_)?width")
"""How the width of a picture is called: `width`, `empty_latent_width`."""
_PRESETS = ("resolution", "aspect_ratio", "ratio", "dimensions", "size", "preset")
_KEEPS = re.compile(r"keep[ _](proportion|aspect|ratio)|if (bigger|smaller)")
"""How a node that sizes a picture says that it goes by the picture too."""
_CUT_WIDTH = re.compile(r"(?!tile|scale|proportional).*_width")
"""How one may be called besides: `crop_width`."""


def _pairs(inputs: Mapping[str, object]) -> list[tuple[str, str]]:
    """The names of width and height of the picture, in all forms that a node has them."""
    named = [name for name in inputs if _WIDTH.fullmatch(name) or name == "target_width"]
    return [(name, _height(name)) for name in named if _height(name) in inputs]


def _height(width: str) -> str:
    """The name of the height beside this width."""
    return width[: -len("width")] + "height"


def _add_size(wiring: Wiring, sampler: str, found: dict[str, Found]) -> None:
    """Width and height of the latent that the sampler begins with; nothing where it begins with a picture's."""
    node, seen = sampler, set[str]()
    while node and node not in seen:
        seen.add(node)
        inputs = wiring.graph[node]["inputs"]
        if pairs := _pairs(inputs):
            for field, name in zip(("width", "height"), pairs[0], strict=True):
                known = found.setdefault(field, Found())
                known.ends += wiring.like(Place(node, name))
                places = wiring.typed(Place(node, name))
                if not places:
                    continue
                if _has_preset(inputs) or _has_preset(
                    wiring.graph[places[0].node]["inputs"]
                ):  # which of the two counts, only the node knows
                    known.parts += places
                elif places not in known.groups:
                    known.groups.append(places)
            return
        if others := [name for name in inputs if _CUT_WIDTH.fullmatch(name) and _height(name) in inputs]:
            for name in others:  # it cuts, or scales, by rules of its own
                found.setdefault("width", Found()).parts.append(Place(node, name))
                found.setdefault("height", Found()).parts.append(Place(node, _height(name)))
            return
        pictures = [link for name, link in wiring.links(node).items() if kind_of(name) in ("picture", "bundle")]
        node = pictures[0][0] if pictures else ""


def _has_preset(inputs: Mapping[str, object]) -> bool:
    """Whether a node has more than width and height to go by."""
    return any(name in inputs for name in _PRESETS) or any(
        (_KEEPS.search(name) and value not in (False, "false", "disabled", "stretch"))
        or (isinstance(value, str) and _KEEPS.search(value))
        or (name in ("width", "height") and type(value) is int and value == 0)
        for name, value in inputs.items()
    )


def _join_sizes(wiring: Wiring, output: str, makers: Sequence[str], found: dict[str, Found]) -> None:
    """The size is set wherever the picture's nodes hold the same one: in a scheduler, a model's sampling, a text's.

    Where a scheduler or a model's sampling, which need the picture's size, holds another one, it is not said which.
    """
    held = {field: _value(wiring, found[field].groups[0][0]) for field in ("width", "height")}
    needing = {
        above
        for node in makers
        for along, first in (("sigmas", node), ("model", wiring.linked(node, "guider") or node))
        for above in wiring.chain(first, along)
        if above not in makers
    }
    for node in wiring.above(output):
        for pair in _pairs(wiring.graph[node]["inputs"]):
            fields = [*zip(("width", "height"), (Place(node, name) for name in pair), strict=True)]
            if all(wiring.literal(place) == held[field] for field, place in fields):
                for field, place in fields:
                    group = found[field].groups[0]
                    found[field].groups = [tuple(dict.fromkeys([*group, *wiring.typed(place)]))]
            elif node in needing:
                for field, place in fields:
                    found[field].parts.append(place)


def _value(wiring: Wiring, place: Place) -> object:
    return wiring.graph[place.node]["inputs"][place.input]
