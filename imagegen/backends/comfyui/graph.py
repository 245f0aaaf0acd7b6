"""A workflow in API format as data: nodes by ID, each with a class and inputs; and where it takes which value.

Source of the format: what ComfyUI's "Export (API)" writes and POST /prompt takes.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

__all__ = ["Graph", "Place", "digest", "is_link", "literals", "output_nodes", "place_of", "replaced"]

Graph = Mapping[str, Mapping[str, Any]]
"""Node ID → {"class_type": text, "inputs": {name: value or link}}. A link is [node ID, output's number]."""


class Place(NamedTuple):
    """An input of a node, written `6.text` by its users. A node's ID has no dot in it, an input's name may have."""

    node: str
    input: str

    def __str__(self) -> str:
        """As a job file has it."""
        return f"{self.node}.{self.input}"


def place_of(text: str) -> Place:
    """The input that a job writes as `6.text`."""
    node, _, name = text.partition(".")
    return Place(node, name)


def is_link(value: object) -> bool:
    """Whether an input's value is the output of another node."""
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], int)


def literals(graph: Graph) -> Iterator[tuple[Place, Any]]:
    """Each input that is no link, with its value."""
    for node, body in graph.items():
        for name, value in body["inputs"].items():
            if not is_link(value):
                yield Place(node, name), value


def output_nodes(graph: Graph) -> list[str]:
    """The nodes that save or show an image: those with a `filename_prefix`; without one, PreviewImage."""
    saving = [node for node, body in graph.items() if "filename_prefix" in body["inputs"]]
    return saving or [node for node, body in graph.items() if body["class_type"] == "PreviewImage"]


def replaced(graph: Graph, values: Mapping[Place, Any]) -> dict[str, Any]:
    """A copy of the graph with these inputs."""
    made = copy.deepcopy({node: dict(body) for node, body in graph.items()})
    for place, value in values.items():
        made[place.node]["inputs"][place.input] = value
    return made


def digest(graph: Graph, without: Collection[Place]) -> str:
    """SHA-256 (hex) of what the graph says: classes and inputs, but for the inputs in `without`, which are replaced.

    Titles, positions and `_meta` say nothing, nor does the order of nodes and inputs.
    """
    content = {
        node: {
            "class_type": body["class_type"],
            "inputs": {name: value for name, value in body["inputs"].items() if Place(node, name) not in without},
        }
        for node, body in graph.items()
    }
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
