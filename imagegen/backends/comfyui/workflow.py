"""A workflow file that ComfyUI exported: read it, and decide which inputs take the prompt, the seed and so on.

A job names an input (`bind`), or the file marks it (`"%prompt%"`), or the links of the sampler lead to it.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from imagegen.backends.comfyui.bindings import MODELS, SEEDS, Candidates, find_bindings
from imagegen.backends.comfyui.graph import (
    Graph,
    NodeInput,
    ObjectInfo,
    describe_input,
    describe_node,
    find_output_nodes,
    find_prefixes,
    get_value,
    is_link,
    list_literals,
    parse_input,
)
from imagegen.backends.comfyui.links import is_choice_word, is_image, is_text, kind_of
from imagegen.backends.text import list_first
from imagegen.config.document import Document, read_document
from imagegen.errors import InputError, Problem, did_you_mean

__all__ = [
    "FIELDS",
    "FIELD_WORDS",
    "JOB_KEYS",
    "REQUIRED",
    "Workflow",
    "analyse_workflow",
    "check_input",
    "explain_missing",
    "fill_marks",
    "find_binding_conflicts",
    "find_marks",
    "read_workflow",
]

FIELDS = (
    *("prompt", "negative", "seed", "width", "height", "steps", "cfg", "sampler", "scheduler", "clip_skip"),
    "checkpoint",
)
REQUIRED = ("prompt", "seed")
"""Fields that every workflow takes from the job; of the others, it takes those that the job sets."""
FIELD_WORDS = {"negative": "negative prompt", "cfg": "CFG", "clip_skip": "clip skip"}
"""What a field is called in a sentence, if that is not its name."""
JOB_KEYS = {"prompt": "prompt", "checkpoint": "comfyui.checkpoint"}
"""The job's key for a field, if that is not `generate` and its name."""
_MARK = re.compile(r"%(?![0-9A-F]{2}%)([A-Za-z_][A-Za-z0-9_]+)%")
"""`%prompt%`, but not `%E3%`, which is a byte in an address."""
_ELSEWHERE = {"negative_prompt": "negative", "scale": "cfg", "cfg_scale": "cfg", "model": "checkpoint"}
"""Marks of other programs, such as SillyTavern, that mean one of ours."""


def parse_mark(word: str) -> str:
    """Return the field that a mark's word means, or else the word."""
    return _ELSEWHERE.get(word.lower(), word.lower())


def find_marks(value: object) -> list[str]:
    """Return the words between percent signs in an input's value, whether or not there is such a field."""
    return _MARK.findall(value) if isinstance(value, str) else []


def fill_marks(text: str, values: Mapping[str, Any]) -> Any:
    """Put the values in place of a text's marks. A text that is one mark becomes the value itself, be it a number."""
    if (whole := _MARK.fullmatch(text)) and parse_mark(whole[1]) in values:
        return values[parse_mark(whole[1])]
    return _MARK.sub(lambda mark: str(values.get(parse_mark(mark[1]), mark[0])), text)


@dataclasses.dataclass(frozen=True)
class Workflow:
    """A workflow, and which of its inputs take which field.

    Attributes:
        inputs: field → the inputs that take it. A field that is not there cannot be set.
        output: the node whose image is taken.
        marked: fields that the file asks for with a %mark%, so that they always need a value.
        absent: fields that the workflow does not take, says the job.
        bound: fields whose inputs the job or a mark names.
        candidates: field → its candidate inputs, if there are several or only doubtful ones.
        ends: field → inputs that a link leads to, and that could take the field in place of the link.
    """

    graph: Graph
    inputs: Mapping[str, tuple[NodeInput, ...]]
    output: str
    marked: frozenset[str] = frozenset()
    absent: frozenset[str] = frozenset()
    bound: frozenset[str] = frozenset()
    candidates: Mapping[str, Sequence[tuple[NodeInput, ...]]] = dataclasses.field(default_factory=dict)
    ends: Mapping[str, Sequence[NodeInput]] = dataclasses.field(default_factory=dict)

    def unclear(self, field: str) -> str:
        """Describe the candidate inputs of a field for a person; empty if there are none."""
        return _describe_groups(self.graph, self.candidates.get(field, ()))

    def value(self, target: NodeInput) -> Any:
        """Return the input's value in the file."""
        return get_value(self.graph, target)

    def value_of(self, field: str) -> Any:
        """Return what the file holds for a field, as a job gives it."""
        value = self.value(self.inputs[field][0])
        return -value if field == "clip_skip" and isinstance(value, int) else value

    @property
    def checkpoint(self) -> str:
        """The checkpoint that the file itself names; empty if it names none."""
        held = [self.value(target) for target in self.inputs.get("checkpoint", ())]
        return next((value for value in held if isinstance(value, str) and not find_marks(value)), "")


@lru_cache(maxsize=32)  # each item with options of its own asks again
def read_workflow(name: str, data: bytes) -> Graph:
    """Return the graph in the file `name`. Raises ImagegenError, located, if it is not a workflow in API format."""
    if not name.lower().endswith(".json"):
        raise InputError(Problem(name, "is not a .json file, as a workflow is", _EXPORT))
    document = read_document(name, data)
    values, above = document.values, tuple[str, ...]()
    if isinstance(values, dict) and isinstance(values.get("prompt"), dict) and "class_type" not in values["prompt"]:
        values, above = values["prompt"], ("prompt",)  # as POST /prompt takes it
    if isinstance(values, dict) and isinstance(values.get("nodes"), list):
        raise InputError(Problem(name, "is a workflow for ComfyUI's editor, which its API does not accept", _EXPORT))
    if not isinstance(values, dict) or not values:
        raise InputError(Problem(document.where(above), "is not a workflow: it has no nodes", _EXPORT))
    problems = []
    for node, body in values.items():
        if not (isinstance(body, dict) and isinstance(body.get("class_type"), str)):
            problems.append(Problem(document.where((*above, node)), f"node '{node[:40]}' has no class_type", _EXPORT))
        elif not isinstance(body.get("inputs", {}), dict):
            what = f"node '{node[:40]}': its inputs are not a mapping"
            problems.append(Problem(document.where((*above, node, "inputs")), what, _EXPORT))
        elif "." in node:
            what = f"node '{node[:40]}': an ID must not have a dot in it, which separates a node from its input"
            problems.append(Problem(document.where((*above, node)), what, "rename it"))
    problems = problems or [*_find_dangling_links(document, above, values)]
    if problems:
        raise InputError(*problems)
    return {node: _body(body) for node, body in values.items()}


def _body(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return what ComfyUI reads of a node. The server replaces nodes that are gone by what `_meta` says about them."""
    kept = {"class_type": body["class_type"], "inputs": body.get("inputs", {})}
    return {**kept, "_meta": body["_meta"]} if isinstance(body.get("_meta"), dict) else kept


_EXPORT = (
    "open it in ComfyUI and choose Workflow → Export (API); "
    "in older versions, turn on the dev mode options in the settings, then Save (API Format)"
)


def _find_dangling_links(document: Document, above: tuple[str, ...], values: Mapping[str, Any]) -> Iterator[Problem]:
    for node, body in values.items():
        for name, value in body.get("inputs", {}).items():
            if is_link(value) and value[0] not in values:
                what = f"{node}.{name} is linked to node '{value[0][:40]}', which does not exist"
                yield Problem(document.where((*above, node, "inputs", name)), what, "export it again")


def analyse_workflow(graph: Graph, bind: Mapping[str, Sequence[str]]) -> Workflow:
    """Find the inputs that take what a job can set.

    Args:
        bind: field, or `output` → the inputs that the job names; none if it says that there is none.

    Raises:
        ImagegenError: each problem's `where` is the key in the job's section.
    """
    problems: list[Problem] = []
    output = _find_output(graph, bind, problems)
    marked = _find_marked(graph, problems)
    found = find_bindings(graph, output) if output else {}
    targets: dict[str, tuple[NodeInput, ...]] = {}
    open_fields: dict[str, Candidates] = {}
    for field in FIELDS:
        named = [
            parse_input(text) for text in bind.get(field, ()) if check_input(graph, f"bind.{field}", text, problems)
        ]
        known = found.get(field, Candidates())
        if asked := [*named, *marked.get(field, ())]:
            targets[field] = tuple(dict.fromkeys(asked))
        elif field in bind:
            continue
        elif len(known.groups) == 1 and not known.parts:
            targets[field] = known.groups[0]
        else:
            open_fields[field] = known
    workflow = Workflow(
        graph,
        targets,
        output,
        marked=frozenset(marked),
        absent=frozenset(field for field, named in bind.items() if not named) - {*marked, "output"},
        bound=frozenset((*marked, *bind)),
        candidates={field: known.candidates for field, known in open_fields.items()},
        ends={field: known.ends for field, known in open_fields.items()},
    )
    if not problems:
        needed = [field for field in REQUIRED if field not in targets and field not in workflow.absent]
        problems += [explain_missing(workflow, field) for field in needed]
    if problems:
        raise InputError(*problems)
    return workflow


def _describe_groups(graph: Graph, groups: Sequence[tuple[NodeInput, ...]]) -> str:
    """Describe candidate inputs for a person, each with its value."""
    return " or ".join(" with ".join(describe_input(graph, target) for target in group) for group in groups)


def explain_missing(workflow: Workflow, field: str) -> Problem:
    """Return the problem that no input takes a field, with the ways to name one."""
    word = FIELD_WORDS.get(field, field)
    if field in workflow.absent:
        return Problem("workflow", f"takes no {word}, as bind: {{{field}: []}} says", "leave out one of the two")
    none = f", or bind: {{{field}: []}} if it takes none"
    if where := workflow.unclear(field):
        lines = [format_binding(field, group) for group in workflow.candidates[field]]
        several = len(lines) > 1
        said = f"has several inputs for the {word}" if several else f"may have an input for the {word}, or none"
        return Problem(
            "workflow", f"{said}: {where}", f"say which: {' or '.join(lines[:4])}" + ("" if several else none)
        )
    if ends := workflow.ends.get(field):
        at = " with ".join(describe_input(workflow.graph, target) for target in ends)
        what = f"has no input for the {word}: what {at} gets is computed by other nodes"
        return Problem("workflow", what, f"put it there instead: {format_binding(field, ends)}{none}")
    similar = [
        format_binding(field, [target]) + f" ({describe_input(workflow.graph, target)})"
        for target in _find_similar(workflow, field)
    ]
    mark = f'or write "%{field}%" into the file'
    if similar:
        hint = f"name one, such as {' or '.join(similar[:4])}, {mark}{none}"
    else:
        hint = (
            f"if it takes none: bind: {{{field}: []}}; else name one: {format_binding(field, ['NODE.INPUT'])}, {mark}"
        )
    return Problem("workflow", f"has no input for the {word}: the sampler's links lead to none", hint)


def find_binding_conflicts(workflow: Workflow, fields: Iterable[str], info: ObjectInfo) -> Iterator[Problem]:
    """Yield a problem for each field that goes to other inputs if the server's description of its nodes is known."""
    found = find_bindings(workflow.graph, workflow.output, info)
    for field in fields:
        here, known = workflow.inputs.get(field, ()), found.get(field, Candidates())
        if field in workflow.bound or not here or (known.candidates == [here] and not known.parts):
            continue
        word = FIELD_WORDS.get(field, field)
        there = _describe_groups(workflow.graph, known.candidates) or "no input that it knows"
        at = _describe_groups(workflow.graph, [here])
        what = f"the {word} goes to {at}, but by the server's description of its nodes to {there}"
        lines = [format_binding(field, group) for group in dict.fromkeys((*known.candidates, here))]
        without = format_binding(field, []) if field in REQUIRED else f"leave the {word} out of the job"
        hint = f"say which: {' or '.join(lines[:4])}" if known.candidates else f"{without}; if it is right: {lines[0]}"
        yield Problem("", f"comfyui.workflow: {what}", hint)


def format_binding(field: str, targets: Sequence[object]) -> str:
    """Return what a job writes to name the inputs of a field."""
    quoted = ", ".join(f'"{target}"' for target in targets)
    return f"bind: {{{field}: [{quoted}]}}" if len(targets) != 1 else f"bind: {{{field}: {quoted}}}"


def _find_similar(workflow: Workflow, field: str) -> list[NodeInput]:
    """Return inputs whose names fit the field; none that takes another field."""
    names = {"seed": SEEDS, "sampler": ("sampler_name",), "checkpoint": MODELS}
    taken = {target for targets in workflow.inputs.values() for target in targets}
    return [
        target
        for target, value in list_literals(workflow.graph)
        if target not in taken
        and (
            isinstance(value, str) and is_text(target.input) and not is_choice_word(value)
            if field in ("prompt", "negative")
            else target.input in names.get(field, (field,))
        )
    ]


def check_input(graph: Graph, key: str, text: str, problems: list[Problem]) -> bool:
    """Whether the workflow has the input that the job names as `6.text` under this key; else a problem is added."""
    target = parse_input(text)
    if target.node not in graph:
        what = f"'{text[:60]}': the workflow has no node '{target.node[:40]}'{did_you_mean(target.node, graph)}"
        problems.append(Problem(key, what, f"it has {_list_names(graph)}"))
    elif target.input not in (inputs := graph[target.node]["inputs"]):
        node = f"node {target.node} ({graph[target.node]['class_type']})"
        what = f"'{text[:60]}': {node} has no input '{target.input[:40]}'{did_you_mean(target.input, inputs)}"
        problems.append(Problem(key, what, f"it has {_list_names(inputs)}"))
    else:
        return True
    return False


def _list_names(names: Iterable[str]) -> str:
    return list_first([*names], 12) or "none"


def _find_marked(graph: Graph, problems: list[Problem]) -> dict[str, list[NodeInput]]:
    marked: dict[str, list[NodeInput]] = {}
    unknown: dict[str, list[NodeInput]] = {}
    for target, value in list_literals(graph):
        for word in find_marks(value) if not _is_file_name(target) else ():
            if (field := parse_mark(word)) in FIELDS:
                marked.setdefault(field, []).append(target)
            elif (
                word.lower() not in graph[target.node]["inputs"]
            ):  # else it is a node's own mark for another of its inputs
                unknown.setdefault(word, []).append(target)
    for word, targets in unknown.items():
        has = "have" if len(targets) > 1 else "has"
        what = f"{_list_names(map(str, dict.fromkeys(targets)))} {has} the mark %{word}%, which does not exist"
        hint = f"write the value in its place, or one of {', '.join(f'%{field}%' for field in FIELDS)}"
        problems.append(Problem("workflow", what + did_you_mean(word, FIELDS), hint))
    return marked


def _is_file_name(target: NodeInput) -> bool:
    """Whether the input names a file: there, ComfyUI and nodes that save have marks of their own."""
    words = target.input.lower().split("_")
    return not {"filename", "prefix", "path", "file", "folder", "subfolder", "dir", "format"}.isdisjoint(words)


def _find_output(graph: Graph, bind: Mapping[str, Sequence[str]], problems: list[Problem]) -> str:
    nodes = find_output_nodes(graph)
    if nodes and not find_prefixes(graph):  # beside nodes that only show an image, one of another name may save it
        savers = [node for node in _find_possible_savers(graph) if "save" in graph[node]["class_type"].lower()]
        nodes = [*savers, *(node for node in nodes if node not in savers)]
    if named := bind.get("output"):
        if named[0] in graph:
            return named[0]
        what = f"the workflow has no node '{named[0][:40]}'{did_you_mean(named[0], graph)}"
        problems.append(Problem("bind.output", what, f"images are saved by {_list_names(nodes)}"))
    elif len(nodes) == 1:
        return nodes[0]
    elif nodes:
        listed = _list_names([f"{node} ({describe_node(graph, node)})" for node in nodes])
        what = f"saves images in {len(nodes)} nodes: {listed}"
        lines = " or ".join(format_binding("output", [node]) for node in nodes[:4])
        problems.append(Problem("workflow", what, f"say which to take: {lines}"))
    elif likely := _find_possible_savers(graph):
        listed = ", ".join(f"{node} ({describe_node(graph, node)})" for node in likely)
        what = f"may save no image: it has no SaveImage node, and ends in {listed}"
        lines = " or ".join(format_binding("output", [node]) for node in likely[:4])
        hint = f"if one of them saves the image on the server: {lines}; else end it in a SaveImage node"
        problems.append(Problem("workflow", what, hint))
    else:
        problems.append(Problem("workflow", "saves no image: it has no SaveImage node", "add one, and export it again"))
    return ""


def _list_links(graph: Graph) -> Iterator[NodeInput]:
    for node, body in graph.items():
        yield from (NodeInput(node, name) for name, value in body["inputs"].items() if is_link(value))


def _find_possible_savers(graph: Graph) -> list[str]:
    """Return nodes that take an image and give nothing that another node takes."""
    taken = {value[0] for body in graph.values() for value in body["inputs"].values() if is_link(value)}
    ends = {
        target.node for target in _list_links(graph) if kind_of(target.input) == "picture" and is_image(target.input)
    }
    last = [node for node in graph if node in ends - taken]
    return [node for node in last if "save" in graph[node]["class_type"].lower()] or last
