"""What the server's own description of its nodes says of a graph: classes, values in lists, ranges."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from imagegen.backends.comfyui.graph import Graph, Place, literals
from imagegen.errors import Problem

__all__ = ["Info", "check", "choices_text", "grows", "options_of", "spec_of", "spelling", "uneven", "wrong"]

Info = Callable[[str], Mapping[str, Any] | None]
"""A node class → its entry of /object_info, None where there is no such class."""
_SHOWN = 8


def check(
    graph: Graph,
    output: str,
    info: Info,
    classes: Callable[[], Sequence[str]],
    keys: Mapping[Place, str],
    uploaded: Collection[Place],
) -> list[Problem]:
    """All that the server would refuse in the graph, or do otherwise than it says.

    output: the node whose image is taken. classes: all node classes, asked for only where one is missing. keys: the
    job's keys that decide inputs, each problem's place for the user. uploaded: inputs whose files are yet to come.
    """
    problems = []
    for node, body in graph.items():
        class_type = body["class_type"]
        if (entry := info(class_type)) is None:
            near = ", ".join(nearest(class_type, classes())[:3])
            hint = f"install the custom nodes that bring it; the nearest that the server has: {near}"
            problems.append(Problem("", f"node {node}: the server has no node class '{class_type}'", hint))
            continue
        required = entry.get("input", {}).get("required") or {}
        if missing := [name for name, spec in required.items() if name not in body["inputs"] and not grows(spec)]:
            what = f"node {node} ({class_type}) needs {', '.join(missing)}, which the workflow leaves out"
            problems.append(Problem("", what, "export the workflow again from this version of ComfyUI"))
        if node == output and entry.get("output_node") is False:
            what = f"node {node} ({class_type}) gives no image file, so it cannot be the output"
            problems.append(Problem("", what, "name a SaveImage or PreviewImage node: comfyui.bind.output"))
    for place, value in literals(graph):
        class_type = graph[place.node]["class_type"]
        if place in uploaded or info(class_type) is None:
            continue
        kind, rules = spec_of(info, class_type, place.input)
        at = keys.get(place) or f"node {place.node} ({class_type}): {place.input}"
        problems += [Problem("", f"{at}: {problem.what}", problem.hint) for problem in wrong(value, kind, rules)]
        if place.input in ("width", "height") and not at.startswith("generate."):  # those are known without a server
            problems += [Problem("", f"{at}: {problem.what}", problem.hint) for problem in uneven(value, rules)]
    return problems


def grows(spec: Any) -> bool:
    """Whether an input is none itself but stands for any number of them, as `COMFY_AUTOGROW_V3` does."""
    return isinstance(spec, list) and bool(spec) and isinstance(spec[0], str) and spec[0].startswith("COMFY_")


def uneven(size: Any, rules: Mapping[str, Any]) -> Iterator[Problem]:
    """ComfyUI takes a size that is no multiple of 8. rules: of the input; of another step, it draws no latent."""
    step = rules.get("step")
    if isinstance(size, int) and size % 8 and isinstance(step, int) and step % 8 == 0:
        less = size - size % 8
        what = f"{size} is no multiple of 8, and ComfyUI would make a smaller image"
        yield Problem("", what, f"make it {less} or {less + 8}" if less >= 16 else "make it 16")


def wrong(value: Any, kind: Any, rules: Mapping[str, Any]) -> Iterator[Problem]:
    """Why an input of this type and these rules does not take the value; nothing where it does."""
    options = options_of(kind, rules)
    if options is not None:
        if spelling(value, options) is not None or isinstance(value, (list, dict)):
            return
        if not _is_upload(rules):
            yield Problem("", f"'{value}' is not there", choices_text(str(value), options))
        elif rules.get("image_upload") and not re.search(r"[/\\[]", str(value)):
            hint = "give the image with the job, comfyui.images, or put it into the server's input folder"
            yield Problem("", f"'{value}' is not on the server", hint)
    elif kind in ("INT", "FLOAT"):
        number = _number(value)
        low, high = rules.get("min"), rules.get("max")
        if number is None:
            yield Problem("", f"expected a number, found {str(value)[:40]!r}")
        elif low is not None and number < low:
            yield Problem("", f"{value} is too small: ComfyUI takes at least {low}")
        elif high is not None and number > high:
            yield Problem("", f"{value} is too large: ComfyUI takes at most {high}")


def _number(value: Any) -> float | int | None:
    """The number that ComfyUI makes of an input; it takes `"2"` too."""
    if isinstance(value, (int, float)):
        return value
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


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
    if len(options) < 2:
        return f"there is only {options[0]}" if options else "there are none"
    names = nearest(value, [str(option) for option in options])
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"choose one of {', '.join(names[:_SHOWN])}{more}"


def nearest(value: str, names: Sequence[str]) -> list[str]:
    """The names, those most like the value first."""
    low = value.lower()
    return sorted(names, key=lambda name: -difflib.SequenceMatcher(None, low, name.lower()).ratio())


def _is_upload(rules: Mapping[str, Any]) -> bool:
    """Whether the list is of files in the server's input folder; those in folders within it are not listed."""
    return any(rules.get(key) for key in ("image_upload", "video_upload", "audio_upload", "file_upload", "remote"))
