"""Where a workflow takes what, found by following the links up from the node that gives the image.

Node classes are told by the names of their inputs, so that custom ones are found as well. The graph is somebody's
file: links may run in a circle.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from imagegen.backends.comfyui.graph import Graph, Place, is_link

__all__ = ["MODELS", "SEEDS", "TEXTS", "Found", "find"]

Found = dict[str, list[tuple[Place, ...]]]
"""Field → the groups of inputs that could take it; the inputs of one group take it together."""
TEXTS = ("text", "text_g", "text_l", "clip_l", "clip_g", "t5xxl", "llama", "prompt", "string", "value")
"""Inputs that hold a prompt's text, in the nodes that encode one and in those that only hold a text."""
SEEDS = ("seed", "noise_seed")
MODELS = ("ckpt_name", "unet_name")
_HOLDERS = ("value", "int", "float", "number", "string", "text", *SEEDS)
"""Inputs of nodes that only hold a value for others."""


def find(graph: Graph, output: str) -> Found:
    """What the samplers above the node `output` lead to; what they agree on is one group."""
    found: Found = {}
    for node in _above(graph, output):
        if not _is_sampler(graph[node]["inputs"]):
            continue
        guider = _linked(graph, node, "guider") or node
        for field, groups in {
            "prompt": _texts(graph, guider, ("positive", "conditioning")),
            "negative": _texts(graph, guider, ("negative",)),
            "seed": [_upwards(graph, node, SEEDS, "noise")],
            "steps": [_upwards(graph, node, ("steps",), "sigmas")],
            "scheduler": [_upwards(graph, node, ("scheduler",), "sigmas")],
            "sampler": [_upwards(graph, node, ("sampler_name",), "sampler")],
            "cfg": [_upwards(graph, guider, ("cfg",), "")],
            "checkpoint": [_upwards(graph, guider, MODELS, "model")],
            **{name: [places] for name, places in _size(graph, node).items()},
        }.items():
            known = found.setdefault(field, [])
            known += [group for group in groups if group and group not in known]
    # a text that is prompt and negative prompt in one is the prompt
    found["negative"] = [group for group in found.get("negative", ()) if group not in found.get("prompt", ())]
    return {field: _joined(graph, field, groups) for field, groups in found.items()}


def _joined(graph: Graph, field: str, groups: list[tuple[Place, ...]]) -> list[tuple[Place, ...]]:
    """One group where all hold the same value, as base and refiner do; of seeds, whatever they hold."""
    held = [{repr(graph[place.node]["inputs"][place.input]) for place in group} for group in groups]
    if len(groups) > 1 and (field == "seed" or all(values == held[0] for values in held)):
        return [tuple(dict.fromkeys(place for group in groups for place in group))]
    return groups


def _is_sampler(inputs: Mapping[str, Any]) -> bool:
    """KSampler, KSamplerAdvanced, SamplerCustom, SamplerCustomAdvanced, and custom ones of their shape."""
    draws = any(name in inputs for name in (*SEEDS, "noise"))
    return draws and any(is_link(inputs.get(name)) for name in ("latent_image", "positive", "guider"))


def _above(graph: Graph, node: str) -> Iterator[str]:
    """The node and all that it is made from, the nearest first."""
    waiting, seen = [node], {node}
    while waiting:
        node = waiting.pop(0)
        yield node
        for value in graph[node]["inputs"].values():
            if is_link(value) and value[0] not in seen:
                seen.add(value[0])
                waiting.append(value[0])


def _linked(graph: Graph, node: str, *names: str) -> str:
    """The node that the first of these inputs which is a link comes from; empty where none is."""
    inputs = graph[node]["inputs"]
    return next((inputs[name][0] for name in names if is_link(inputs.get(name))), "")


def _upwards(graph: Graph, node: str, names: Sequence[str], along: str) -> tuple[Place, ...]:
    """The nearest of the inputs `names`: of the node, or of those that the links called `along` lead up to."""
    seen = set()
    while node and node not in seen:
        seen.add(node)
        for name in names:
            if name in graph[node]["inputs"]:
                return _holder(graph, Place(node, name))
        node = _linked(graph, node, along)
    return ()


def _holder(graph: Graph, place: Place) -> tuple[Place, ...]:
    """The input that really holds the value: this one, or where its link leads to; nothing where it is computed."""
    wanted, seen = place.input, set[Place]()
    while is_link(value := graph[place.node]["inputs"][place.input]):
        seen.add(place)
        inputs = graph[value[0]]["inputs"]
        links = [name for name, above in inputs.items() if is_link(above)]
        names = [name for name in (wanted, *_HOLDERS) if name in inputs] or (links if len(links) == 1 else [])
        if not names or (place := Place(value[0], names[0])) in seen:
            return ()
    is_text = wanted in (*MODELS, "sampler_name", "scheduler")
    fits = not seen or (isinstance(value, str) if is_text else type(value) in (int, float))
    return (place,) if fits else ()


def _texts(graph: Graph, node: str, names: Sequence[str]) -> list[tuple[Place, ...]]:
    """The inputs that hold the text of this conditioning: of each encoder up the links, those of one together."""
    inputs = graph[node]["inputs"]
    waiting = [inputs[name] for name in names if is_link(inputs.get(name))]
    seen = set()
    groups = []
    while waiting:
        above, number = waiting.pop(0)
        if (above, number) in seen or graph[above]["class_type"] == "ConditioningZeroOut":  # its text decides nothing
            continue
        seen.add((above, number))
        inputs = graph[above]["inputs"]
        if held := tuple(Place(above, name) for name in TEXTS if isinstance(inputs.get(name), str)):
            groups.append(held)
        further = [inputs[name] for name in TEXTS if is_link(inputs.get(name))]
        waiting += further if held or further else _handed_on(inputs, number)
    return groups


def _handed_on(inputs: Mapping[str, Any], number: int) -> list[Any]:
    """The links that the output `number` of a node without a text takes its conditioning from."""
    links = {name: value for name, value in inputs.items() if is_link(value)}
    if links.keys() >= {"positive", "negative"}:  # ControlNet and others hand on both, in this order
        return [links[name] for name in ("positive", "negative")[number : number + 1]]
    return [link for name, link in links.items() if name.startswith("cond")] or [*links.values()]


def _size(graph: Graph, sampler: str) -> dict[str, tuple[Place, ...]]:
    """Width and height of the latent that the sampler begins with; nothing where it begins with a picture's."""
    node = _linked(graph, sampler, "latent_image")
    seen = set()
    while node and node not in seen:
        seen.add(node)
        if graph[node]["inputs"].keys() >= {"width", "height"}:
            return {name: _holder(graph, Place(node, name)) for name in ("width", "height")}
        node = _linked(graph, node, "samples", "latent", "latent_image", "pixels", "image")
    return {}
