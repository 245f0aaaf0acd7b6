"""A workflow in API format as data, and what a server says about the classes of its nodes.

Source of the format: what ComfyUI's "Export (API)" writes, POST /prompt takes and /object_info answers.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

__all__ = [
    "Graph",
    "NodeInput",
    "ObjectInfo",
    "describe_input",
    "describe_node",
    "find_output_nodes",
    "find_prefixes",
    "get_choices",
    "get_spec",
    "get_value",
    "hash_graph",
    "is_growing",
    "is_link",
    "list_literals",
    "parse_input",
    "replace_inputs",
]

Graph = Mapping[str, Mapping[str, Any]]
"""Node ID → {"class_type": text, "inputs": {name: value or link}}, and "_meta" if the file has it.

A link is [node ID, output's number].
"""
_WORDS_SHOWN = 40


class NodeInput(NamedTuple):
    """An input of a node, which a job writes as `6.text`. A node's ID has no dot in it, an input's name may have."""

    node: str
    input: str

    def __str__(self) -> str:
        """Return it as a job file has it."""
        return f"{self.node}.{self.input}"


def parse_input(text: str) -> NodeInput:
    """Return the input that a job writes as `6.text`."""
    node, _, name = text.partition(".")
    return NodeInput(node, name)


def is_link(value: object) -> bool:
    """Whether an input's value is the output of another node."""
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], int)


def get_value(graph: Graph, target: NodeInput) -> Any:
    """Return an input's value, or its link."""
    return graph[target.node]["inputs"][target.input]


def list_literals(graph: Graph) -> Iterator[tuple[NodeInput, Any]]:
    """Yield each input that is not a link, with its value."""
    for node, body in graph.items():
        for name, value in body["inputs"].items():
            if not is_link(value):
                yield NodeInput(node, name), value


def describe_node(graph: Graph, node: str) -> str:
    """Return a node's class, and its title if that is another: `CLIPTextEncode "Negative Prompt"`."""
    body = graph[node]
    meta = body.get("_meta")
    title = meta.get("title") if isinstance(meta, dict) else None
    is_own = isinstance(title, str) and title.strip() and title != body["class_type"]
    return f'{body["class_type"]} "{str(title)[:_WORDS_SHOWN]}"' if is_own else str(body["class_type"])


def describe_input(graph: Graph, target: NodeInput) -> str:
    """Describe an input for a person: `6.text (CLIPTextEncode "Positive": "a raven on a …")`."""
    held = graph[target.node]["inputs"].get(target.input)
    text = " ".join(held.split()) if isinstance(held, str) else "" if is_link(held) else repr(held)
    text = f"{text[:_WORDS_SHOWN]}…" if len(text) > _WORDS_SHOWN else text
    value = f': "{text}"' if isinstance(held, str) else f": {text}" if text else ""
    return f"{target} ({describe_node(graph, target.node)}{value})"


def find_output_nodes(graph: Graph) -> list[str]:
    """Return the nodes that save an image, known by their `filename_prefix`; or those that only show one.

    Some nodes save something else under such a prefix: a latent, a sound. They count only if no image is saved.
    """
    saving = [target.node for target in find_prefixes(graph)]
    pictures = [node for node in saving if any(name.startswith("image") for name in graph[node]["inputs"])]
    return pictures or saving or [node for node, body in graph.items() if body["class_type"] == "PreviewImage"]


def find_prefixes(graph: Graph) -> list[NodeInput]:
    """Return the inputs that the names of saved files begin with."""
    return [NodeInput(node, "filename_prefix") for node, body in graph.items() if "filename_prefix" in body["inputs"]]


def replace_inputs(graph: Graph, values: Mapping[NodeInput, Any]) -> dict[str, Any]:
    """Return a copy of the graph with these inputs."""
    made = copy.deepcopy({node: dict(body) for node, body in graph.items()})
    for target, value in values.items():
        made[target.node]["inputs"][target.input] = value
    return made


def hash_graph(graph: Graph, output: str, taken: Mapping[NodeInput, str]) -> str:
    """Return the SHA-256 (hex) of the graph's classes and inputs, and of the node that gives the image.

    Titles and positions do not count, nor does the order of nodes and inputs.

    Args:
        taken: inputs whose own values do not count, because they are replaced → a word for what is put there.
    """
    content = {node: [body["class_type"], body["inputs"]] for node, body in replace_inputs(graph, taken).items()}
    text = json.dumps([output, content], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()


ObjectInfo = Callable[[str], Mapping[str, Any] | None]
"""Returns a node class's entry of /object_info; None if there is no such class."""


def is_growing(spec: Any) -> bool:
    """Whether an input stands for any number of inputs, as `COMFY_AUTOGROW_V3` does."""
    return isinstance(spec, list) and bool(spec) and isinstance(spec[0], str) and spec[0].startswith("COMFY_")


def get_spec(info: ObjectInfo, class_type: str, name: str) -> tuple[Any, Mapping[str, Any]]:
    """Return an input's type (a name, or a list of choices) and its rules, as /object_info has them."""
    inputs = (info(class_type) or {}).get("input", {})
    for group in ("required", "optional"):
        spec = (inputs.get(group) or {}).get(name)
        if isinstance(spec, list) and spec:
            return spec[0], spec[1] if len(spec) > 1 and isinstance(spec[1], dict) else {}
    return None, {}


def get_choices(kind: Any, rules: Mapping[str, Any]) -> list[Any] | None:
    """Return an input's choices, in the older form of /object_info or the newer; None if it has none."""
    if isinstance(kind, list):
        return kind
    options = rules.get("options") if kind == "COMBO" else None
    return options if isinstance(options, list) else None
