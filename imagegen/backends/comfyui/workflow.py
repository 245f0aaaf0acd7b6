"""A workflow file that ComfyUI exported: read, and where it takes the prompt, the seed and so on, found.

A field's place is named in the job (`bind`), or marked in the file (`"%prompt%"`), or found by following the links of
the sampler. Nothing here knows the server: node classes are told by the names of their inputs, so that custom ones
are found as well.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from imagegen.backends.comfyui.graph import Graph, Place, is_link, literals, output_nodes
from imagegen.config.document import read_document
from imagegen.errors import ImagegenError, Problem, did_you_mean

__all__ = ["FIELDS", "Workflow", "cannot_take", "read_workflow", "understand"]

FIELDS = ("prompt", "negative", "seed", "width", "height", "steps", "cfg", "sampler", "scheduler", "checkpoint")
"""What a workflow can take from a job."""
_MARK = re.compile(r"%([a-z]+)%")
_TEXTS = ("text", "text_g", "text_l", "clip_l", "clip_g", "t5xxl", "llama", "prompt", "string", "value")
"""Inputs that hold a prompt's text, in the nodes that encode one and in those that only hold a text."""
_NUMBERS = ("value", "int", "float", "number")
_MODELS = ("ckpt_name", "unet_name")
_SEEDS = ("seed", "noise_seed")


@dataclasses.dataclass(frozen=True)
class Workflow:
    """A workflow, understood.

    places: field → the inputs that take it; a field that is not there cannot be set, and `unclear` may say why.
    marked: fields that the file asks for with a %mark%, and that so always need a value. output: the node whose
    image is taken.
    """

    graph: Graph
    places: Mapping[str, tuple[Place, ...]]
    output: str
    marked: frozenset[str] = frozenset()
    unclear: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def checkpoint(self) -> str:
        """The checkpoint that the file itself names, empty where it names none."""
        for place in self.places.get("checkpoint", ()):
            value = self.graph[place.node]["inputs"][place.input]
            if "%checkpoint%" not in value:
                return str(value)
        return ""


def read_workflow(name: str, data: bytes) -> Graph:
    """The graph in the file `name`. Raises ImagegenError, located, for what is no workflow in API format."""
    if not name.lower().endswith(".json"):
        raise ImagegenError(Problem(name, "a workflow is a .json file"))
    document = read_document(name, data)
    values = document.values
    if isinstance(values, dict) and {"nodes", "links"} <= values.keys():
        raise ImagegenError(
            Problem(
                name,
                "is a workflow in the format of ComfyUI's editor, which the API does not take",
                "open it in ComfyUI and choose Workflow → Export (API); "
                "in older versions, turn on the dev mode options in the settings, then Save (API Format)",
            )
        )
    if not isinstance(values, dict) or not values:
        raise ImagegenError(Problem(document.where(()), "is no workflow: expected nodes by their IDs"))
    problems = []
    graph: dict[str, Any] = {}
    for node, body in values.items():
        if not (isinstance(body, dict) and isinstance(body.get("class_type"), str)):
            problems.append(Problem(document.where((node,)), f"node {node!r:.40} has no class_type"))
        elif not isinstance(body.get("inputs", {}), dict):
            problems.append(Problem(document.where((node, "inputs")), f"node {node!r:.40}: inputs is no mapping"))
        else:
            graph[node] = {"class_type": body["class_type"], "inputs": body.get("inputs", {})}
    for node, body in graph.items():
        for input_name, value in body["inputs"].items():
            if is_link(value) and value[0] not in values:
                what = f"{node}.{input_name} is linked to node {value[0]!r:.40}, which is not there"
                problems.append(Problem(document.where((node, "inputs", input_name)), what))
    if problems:
        raise ImagegenError(*problems)
    return graph


def understand(graph: Graph, bind: Mapping[str, Sequence[str]]) -> Workflow:
    """Find what a job can set. bind: field, or `output`, → the places that the job names.

    Raises ImagegenError, each problem's `where` the key in the job's section.
    """
    problems: list[Problem] = []
    output = _output(graph, bind, problems)
    places: dict[str, tuple[Place, ...]] = {}
    marked: dict[str, list[Place]] = {}
    for place, value in literals(graph):
        for word in _MARK.findall(value) if isinstance(value, str) and place.input != "filename_prefix" else ():
            if word in FIELDS:
                marked.setdefault(word, []).append(place)
            else:
                what = f"{place} has the mark %{word}%, which is none{did_you_mean(word, FIELDS)}"
                problems.append(Problem("workflow", what, f"there are {', '.join(f'%{field}%' for field in FIELDS)}"))
    found = _found(graph, output) if output else {}
    unclear = {}
    for field in FIELDS:
        if field in bind:
            places[field] = tuple(_named(graph, field, bind[field], problems))
        elif field in marked:
            places[field] = tuple(marked[field])
        elif len(found.get(field, ())) > 1:
            unclear[field] = " or ".join(map(" with ".join, ([*map(str, group)] for group in found[field])))
        elif found.get(field):
            places[field] = found[field][0]
    workflow = Workflow(graph, places, output, frozenset(marked) - bind.keys(), unclear)
    if not problems:
        problems += [cannot_take(workflow, field) for field in ("prompt", "seed") if field not in places]
    if problems:
        raise ImagegenError(*problems)
    return workflow


def cannot_take(workflow: Workflow, field: str) -> Problem:
    """Why a workflow has no place for a field, and how to name it one."""
    example = {"prompt": "6.text", "negative": "7.text", "seed": "31.noise_seed"}.get(field, f"3.{field}")
    if where := workflow.unclear.get(field):
        mend = f"name what is meant: bind: {{{field}: …}}, one input or a list of them"
        return Problem("workflow", f"the {field} could go to {where}", mend)
    what = f"no input for the {field} was found by following the sampler's links"
    return Problem(
        "workflow", what, f'name it, such as bind: {{{field}: "{example}"}}, or write "%{field}%" into the file'
    )


def _output(graph: Graph, bind: Mapping[str, Sequence[str]], problems: list[Problem]) -> str:
    nodes = output_nodes(graph)
    if named := bind.get("output"):
        if named[0] in graph:
            return named[0]
        what = f"there is no node {named[0]!r:.40}{did_you_mean(named[0], graph)}"
        problems.append(Problem("bind.output", what))
    elif len(nodes) == 1:
        return nodes[0]
    elif nodes:
        all_of_them = ", ".join(f"{node} ({graph[node]['class_type']})" for node in nodes)
        what = f"saves images in {len(nodes)} nodes: {all_of_them}"
        problems.append(Problem("workflow", what, f'name the one to take: bind: {{output: "{nodes[0]}"}}'))
    else:
        problems.append(Problem("workflow", "saves no image: it has no SaveImage node", "add one, and export it again"))
    return ""


def _named(graph: Graph, field: str, named: Sequence[str], problems: list[Problem]) -> Iterator[Place]:
    for text in named:
        place = Place(*text.partition(".")[::2])
        if place.node not in graph:
            what = f"'{text[:60]}': there is no node '{place.node[:40]}'{did_you_mean(place.node, graph)}"
            problems.append(Problem(f"bind.{field}", what))
        elif place.input not in (inputs := graph[place.node]["inputs"]):
            of = f"node {place.node} ({graph[place.node]['class_type']})"
            what = f"'{text[:60]}': {of} has no input '{place.input[:40]}'{did_you_mean(place.input, inputs)}"
            problems.append(Problem(f"bind.{field}", what, f"it has {', '.join(inputs) or 'none'}"))
        else:
            yield place


Found = dict[str, list[tuple[Place, ...]]]
"""Field → the groups of inputs that could take it; the inputs of one group take it together."""


def _found(graph: Graph, output: str) -> Found:
    """What the samplers above the output node lead to."""
    found: Found = {}
    for node in _above(graph, output):
        inputs = graph[node]["inputs"]
        if not _is_sampler(inputs):
            continue
        guider = inputs["guider"][0] if is_link(inputs.get("guider")) else node
        for field, places in {
            "seed": _held(graph, node, _SEEDS, "noise"),
            "steps": _held(graph, node, ("steps",), "sigmas"),
            "scheduler": _held(graph, node, ("scheduler",), "sigmas"),
            "sampler": _held(graph, node, ("sampler_name",), "sampler"),
            "cfg": _held(graph, guider, ("cfg",), ""),
            "checkpoint": _upwards(graph, guider, ("model",), _MODELS, "model"),
        }.items():
            if places and places not in found.setdefault(field, []):
                found[field].append(places)
        several = {
            "prompt": _texts(graph, guider, ("positive", "conditioning")),
            "negative": _texts(graph, guider, ("negative",)),
            **{field: [place] for field, place in zip(("width", "height"), _size(graph, node), strict=False)},
        }
        for field, groups in several.items():
            found.setdefault(field, []).extend(group for group in groups if group and group not in found[field])
    if found.get("negative") == found.get("prompt"):  # one text for both is the prompt
        found.pop("negative", None)
    return found


def _is_sampler(inputs: Mapping[str, Any]) -> bool:
    """KSampler, KSamplerAdvanced, SamplerCustom, SamplerCustomAdvanced, and custom ones of their shape."""
    return is_link(inputs.get("latent_image")) and any(key in inputs for key in (*_SEEDS, "noise"))


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


def _held(graph: Graph, node: str, names: Sequence[str], link: str) -> tuple[Place, ...]:
    """An input of the node, or of the node that it is linked to by `link`: its own value, or that of a value's node."""
    inputs = graph[node]["inputs"]
    for name in names:
        if name in inputs:
            return _value(graph, Place(node, name))
    if is_link(inputs.get(link)):
        linked = inputs[link][0]
        for name in names:
            if name in graph[linked]["inputs"]:
                return _value(graph, Place(linked, name))
    return ()


def _value(graph: Graph, place: Place) -> tuple[Place, ...]:
    value = graph[place.node]["inputs"][place.input]
    if not is_link(value):
        return (place,)
    for name in (*_NUMBERS, *_SEEDS):
        held = graph[value[0]]["inputs"].get(name)
        if held is not None and not is_link(held):
            return (Place(value[0], name),)
    return ()


def _texts(graph: Graph, node: str, names: Sequence[str]) -> list[tuple[Place, ...]]:
    """The inputs that hold the text of this conditioning: of each encoder up the links, those of one together."""
    links = [graph[node]["inputs"][name] for name in names if is_link(graph[node]["inputs"].get(name))]
    waiting = [(link[0], link[1]) for link in links]
    seen = set(waiting)
    groups = []
    while waiting:
        above, number = waiting.pop(0)
        inputs = graph[above]["inputs"]
        if graph[above]["class_type"] == "ConditioningZeroOut":
            continue  # its text decides nothing
        if held := [name for name in _TEXTS if isinstance(inputs.get(name), str)]:
            groups.append(tuple(Place(above, name) for name in held))
            continue
        if "positive" in inputs and "negative" in inputs:  # ControlNet and others hand on both, in this order
            further = [inputs[("positive", "negative")[number]]] if number < 2 else []
        else:
            further = [value for value in inputs.values() if is_link(value)]
        for link in further:
            if is_link(link) and (link[0], link[1]) not in seen:
                seen.add((link[0], link[1]))
                waiting.append((link[0], link[1]))
    return groups


def _upwards(graph: Graph, node: str, first: Sequence[str], wanted: Sequence[str], along: str) -> tuple[Place, ...]:
    """The nearest node with one of the inputs `wanted`, up the links called `along`."""
    seen = set()
    link = next((graph[node]["inputs"][name] for name in first if is_link(graph[node]["inputs"].get(name))), None)
    while link and link[0] not in seen:
        seen.add(link[0])
        inputs = graph[link[0]]["inputs"]
        for name in wanted:
            if isinstance(inputs.get(name), str):
                return (Place(link[0], name),)
        link = inputs[along] if is_link(inputs.get(along)) else None
    return ()


def _size(graph: Graph, sampler: str) -> tuple[tuple[Place, ...], ...]:
    """Width and height of the latent that the sampler begins with; nothing where it begins with a picture's."""
    link = graph[sampler]["inputs"]["latent_image"]
    seen = set()
    while is_link(link) and link[0] not in seen:
        seen.add(link[0])
        inputs = graph[link[0]]["inputs"]
        if "width" in inputs and "height" in inputs:
            return _value(graph, Place(link[0], "width")), _value(graph, Place(link[0], "height"))
        link = next(
            (inputs[name] for name in ("samples", "latent", "pixels", "image") if is_link(inputs.get(name))), None
        )
    return ()
