"""What the server's own description of its nodes says of a graph: classes, values in lists, ranges."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from imagegen.backends.comfyui.graph import Graph, Place, literals
from imagegen.errors import Problem

__all__ = ["Info", "check", "choices_text", "options_of", "spelling"]

Info = Callable[[str], Mapping[str, Any] | None]
"""A node class → its entry of /object_info, None where there is no such class."""
_SHOWN = 8


def check(graph: Graph, info: Info, classes: Callable[[], Sequence[str]], uploaded: Collection[Place]) -> list[Problem]:
    """All that the server would refuse in the graph, or do otherwise than it says.

    classes: all node classes, asked for only where one is missing. uploaded: inputs whose files are yet to come.
    """
    problems = []
    for node, body in graph.items():
        if info(body["class_type"]) is None:
            what = f"node {node}: the server has no node class '{body['class_type']}'"
            near = ", ".join(nearest(body["class_type"], classes())[:3])
            mend = f"install the custom nodes that bring it; the nearest that it has: {near}"
            problems.append(Problem("", what, mend))
            continue
        given = body["inputs"]
        for name in (info(body["class_type"]) or {}).get("input", {}).get("required") or {}:
            if name not in given:
                what = f"node {node} ({body['class_type']}) needs the input '{name}', which the workflow leaves out"
                problems.append(Problem("", what, "export the workflow again from this version of ComfyUI"))
    for place, value in literals(graph):
        if place in uploaded or info(graph[place.node]["class_type"]) is None:
            continue
        problems += _wrong(graph, place, value, info)
    return problems


def _wrong(graph: Graph, place: Place, value: Any, info: Info) -> Iterator[Problem]:
    class_type = graph[place.node]["class_type"]
    kind, rules = spec_of(info, class_type, place.input)
    options = options_of(kind, rules)
    at = f"node {place.node} ({class_type}): {place.input}"
    if options is not None:
        if value not in options and spelling(value, options) is None and not _is_upload(rules):
            yield Problem("", f"{at}: '{value}' is not there", choices_text(str(value), options))
    elif kind in ("INT", "FLOAT") and isinstance(value, (int, float)) and not isinstance(value, bool):
        low, high, step = rules.get("min"), rules.get("max"), rules.get("step")
        if low is not None and value < low:
            yield Problem("", f"{at}: {value} is less than {low}, the least that ComfyUI takes")
        elif high is not None and value > high:
            yield Problem("", f"{at}: {value} is more than {high}, the most that ComfyUI takes")
        elif place.input in ("width", "height") and isinstance(step, int) and step > 1 and value % step:
            near = round(value / step) * step
            yield Problem("", f"{at}: {value} is no multiple of {step}", f"make it {max(low or step, near)}")


def spec_of(info: Info, class_type: str, name: str) -> tuple[Any, Mapping[str, Any]]:
    """The type of an input and its rules, as /object_info has them: a type's name, or a list of choices."""
    inputs = (info(class_type) or {}).get("input", {})
    for group in ("required", "optional"):
        spec = (inputs.get(group) or {}).get(name)
        if isinstance(spec, list) and spec:
            return spec[0], spec[1] if len(spec) > 1 and isinstance(spec[1], dict) else {}
    return None, {}


def options_of(kind: Any, rules: Mapping[str, Any]) -> list[Any] | None:
    """The choices of an input, in the older form of /object_info or the newer; None where it is no choice."""
    if isinstance(kind, list):
        return kind
    options = rules.get("options") if kind == "COMBO" else None
    return options if isinstance(options, list) else None


def spelling(value: Any, options: Sequence[Any]) -> Any:
    """The server's own spelling of a choice: on Windows its names have backslashes; None where it is not there."""
    if value in options:
        return value
    plain = str(value).replace("\\", "/")
    return next((option for option in options if str(option).replace("\\", "/") == plain), None)


def choices_text(value: str, options: Sequence[Any]) -> str:
    """What there is to choose from, the nearest names first."""
    if not options:
        return "there are none"
    names = nearest(value, [str(option) for option in options])
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"choose one of {', '.join(names[:_SHOWN])}{more}"


def nearest(value: str, names: Sequence[str]) -> list[str]:
    """The names, those most like the value first."""
    low = value.lower()
    return sorted(names, key=lambda name: -difflib.SequenceMatcher(None, low, name.lower()).ratio())


def _is_upload(rules: Mapping[str, Any]) -> bool:
    """Whether the list is of files in the server's input folder, which it does not always list in full."""
    return any(rules.get(key) for key in ("image_upload", "video_upload", "audio_upload", "file_upload", "remote"))
