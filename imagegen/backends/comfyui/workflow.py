"""A workflow file that ComfyUI exported: read, and where it takes the prompt, the seed and so on, made out.

A field's place is named in the job (`bind`), or marked in the file (`"%prompt%"`), or found by following the links of
the sampler. Nothing here knows the server.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from imagegen.backends.comfyui.fields import ALWAYS, FIELDS, WORDS, marks_in
from imagegen.backends.comfyui.graph import Graph, Place, is_link, literals, output_nodes, place_of
from imagegen.backends.comfyui.links import MODELS, SEEDS, TEXTS, find
from imagegen.config.document import Document, read_document
from imagegen.errors import ImagegenError, Problem, did_you_mean

__all__ = ["Workflow", "cannot_take", "is_input", "read_workflow", "understand"]


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

    def held(self, place: Place) -> Any:
        """The input's value in the file."""
        return self.graph[place.node]["inputs"][place.input]

    @property
    def checkpoint(self) -> str:
        """The checkpoint that the file itself names, empty where it names none."""
        held = [self.held(place) for place in self.places.get("checkpoint", ())]
        return next((value for value in held if isinstance(value, str) and not marks_in(value)), "")


@lru_cache(maxsize=32)  # each item with options of its own asks again
def read_workflow(name: str, data: bytes) -> Graph:
    """The graph in the file `name`. Raises ImagegenError, located, for what is no workflow in API format."""
    if not name.lower().endswith(".json"):
        raise ImagegenError(Problem(name, "is no .json file, which a workflow is", _EXPORT))
    document = read_document(name, data)
    values, above = document.values, tuple[str, ...]()
    if isinstance(values, dict) and isinstance(values.get("prompt"), dict) and "class_type" not in values["prompt"]:
        values, above = values["prompt"], ("prompt",)  # as POST /prompt takes it
    if isinstance(values, dict) and isinstance(values.get("nodes"), list):
        raise ImagegenError(Problem(name, "is a workflow for ComfyUI's editor, which its API does not take", _EXPORT))
    if not isinstance(values, dict) or not values:
        raise ImagegenError(Problem(document.where(above), "is no workflow: it has no nodes", _EXPORT))
    problems = []
    for node, body in values.items():
        if not (isinstance(body, dict) and isinstance(body.get("class_type"), str)):
            problems.append(Problem(document.where((*above, node)), f"node '{node[:40]}' has no class_type", _EXPORT))
        elif not isinstance(body.get("inputs", {}), dict):
            what = f"node '{node[:40]}': its inputs are no mapping"
            problems.append(Problem(document.where((*above, node, "inputs")), what, _EXPORT))
        elif "." in node:
            what = f"node '{node[:40]}': an ID with a dot in it could not be told from an input"
            problems.append(Problem(document.where((*above, node)), what, "call it otherwise"))
    problems = problems or [*_dangling(document, above, values)]
    if problems:
        raise ImagegenError(*problems)
    return {node: {"class_type": body["class_type"], "inputs": body.get("inputs", {})} for node, body in values.items()}


_EXPORT = (
    "open it in ComfyUI and choose Workflow → Export (API); "
    "in older versions, turn on the dev mode options in the settings, then Save (API Format)"
)


def _dangling(document: Document, above: tuple[str, ...], values: Mapping[str, Any]) -> Iterator[Problem]:
    for node, body in values.items():
        for name, value in body.get("inputs", {}).items():
            if is_link(value) and value[0] not in values:
                what = f"{node}.{name} is linked to node '{value[0][:40]}', which is not there"
                yield Problem(document.where((*above, node, "inputs", name)), what, "export it again")


def understand(graph: Graph, bind: Mapping[str, Sequence[str]]) -> Workflow:
    """Make out what a job can set. bind: field, or `output`, → the places that the job names.

    Raises ImagegenError, each problem's `where` the key in the job's section.
    """
    problems: list[Problem] = []
    output = _output(graph, bind, problems)
    marked = _marked(graph, problems)
    found = find(graph, output) if output else {}
    places: dict[str, tuple[Place, ...]] = {}
    unclear = {}
    for field in FIELDS:
        named = [place_of(text) for text in bind.get(field, ()) if is_input(graph, f"bind.{field}", text, problems)]
        groups = found.get(field, [])
        if asked := [*named, *marked.get(field, ())]:
            places[field] = tuple(dict.fromkeys(asked))
        elif len(groups) == 1:
            places[field] = groups[0]
        elif groups:
            unclear[field] = " or ".join(" with ".join(map(str, group)) for group in groups)
    workflow = Workflow(graph, places, output, frozenset(marked), unclear)
    if not problems:
        problems += [cannot_take(workflow, field) for field in ALWAYS if field not in places]
    if problems:
        raise ImagegenError(*problems)
    return workflow


def cannot_take(workflow: Workflow, field: str) -> Problem:
    """Why a workflow has no place for a field, and how to name it one."""
    word = WORDS.get(field, field)
    if where := workflow.unclear.get(field):
        mend = f"say which: bind: {{{field}: NODE.INPUT}}, or a list of them"
        return Problem("workflow", f"has several places for the {word}: {where}", mend)
    names = {"prompt": TEXTS, "negative": TEXTS, "seed": SEEDS, "sampler": ("sampler_name",), "checkpoint": MODELS}
    taken = {place for places in workflow.places.values() for place in places}
    alike = [place for place, _ in literals(workflow.graph) if place.input in names.get(field, (field,))]
    example = next((place for place in alike if place not in taken), "NODE.INPUT")
    return Problem(
        "workflow",
        f"has no place for the {word}: the sampler's links lead to none",
        f'name one, such as bind: {{{field}: "{example}"}}, or write "%{field}%" into the file',
    )


def is_input(graph: Graph, key: str, text: str, problems: list[Problem]) -> bool:
    """Whether the workflow has the input that the job names as `6.text` under this key; if not, that is a problem."""
    place = place_of(text)
    if place.node not in graph:
        what = f"'{text[:60]}': the workflow has no node '{place.node[:40]}'{did_you_mean(place.node, graph)}"
        problems.append(Problem(key, what, f"it has {_listed(graph)}"))
    elif place.input not in (inputs := graph[place.node]["inputs"]):
        node = f"node {place.node} ({graph[place.node]['class_type']})"
        what = f"'{text[:60]}': {node} has no input '{place.input[:40]}'{did_you_mean(place.input, inputs)}"
        problems.append(Problem(key, what, f"it has {_listed(inputs)}"))
    else:
        return True
    return False


def _listed(names: Iterable[str]) -> str:
    known = list(names)
    more = f" and {len(known) - 30} more" if len(known) > 30 else ""
    return ", ".join(known[:30]) + more or "none"


def _marked(graph: Graph, problems: list[Problem]) -> dict[str, list[Place]]:
    marked: dict[str, list[Place]] = {}
    for place, value in literals(graph):
        for word in marks_in(value) if place.input != "filename_prefix" else ():  # ComfyUI has marks of its own there
            if word in FIELDS:
                marked.setdefault(word, []).append(place)
            else:
                what = f"{place} has the mark %{word}%, which is none{did_you_mean(word, FIELDS)}"
                problems.append(Problem("workflow", what, f"there are {', '.join(f'%{field}%' for field in FIELDS)}"))
    return marked


def _output(graph: Graph, bind: Mapping[str, Sequence[str]], problems: list[Problem]) -> str:
    nodes = output_nodes(graph)
    if named := bind.get("output"):
        if named[0] in graph:
            return named[0]
        what = f"the workflow has no node '{named[0][:40]}'{did_you_mean(named[0], graph)}"
        problems.append(Problem("bind.output", what, f"images are saved by {_listed(nodes)}"))
    elif len(nodes) == 1:
        return nodes[0]
    elif nodes:
        listed = ", ".join(f"{node} ({graph[node]['class_type']})" for node in nodes)
        what = f"saves images in {len(nodes)} nodes: {listed}"
        problems.append(Problem("workflow", what, f'say which to take: bind: {{output: "{nodes[0]}"}}'))
    else:
        problems.append(Problem("workflow", "saves no image: it has no SaveImage node", "add one, and export it again"))
    return ""
