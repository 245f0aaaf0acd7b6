"""Preflight: check requests by themselves, against the model folders, and against a server's list of nodes."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from imagegen.backends.choices import describe_choices, sort_by_likeness
from imagegen.backends.comfyui.graph import (
    Graph,
    NodeInput,
    ObjectInfo,
    get_choices,
    get_spec,
    is_growing,
    list_literals,
    parse_input,
    replace_inputs,
)
from imagegen.backends.comfyui.prompt import (
    collect_values,
    find_job_key,
    get_workflow,
    group_identical,
    unsupported_fields,
)
from imagegen.backends.comfyui.workflow import Workflow, find_binding_conflicts
from imagegen.backends.models import KINDS, find_file, list_names
from imagegen.errors import Problem
from imagegen.plan.request import Request

__all__ = [
    "check_folders",
    "check_graph",
    "check_on_server",
    "check_requests",
    "find_spelling",
    "merge_problems",
]


def check_graph(
    graph: Graph,
    output: str,
    info: ObjectInfo,
    classes: Callable[[], Sequence[str]],
    keys: Mapping[NodeInput, str],
    uploaded: Collection[NodeInput],
) -> list[Problem]:
    """Return everything in the graph that the server would refuse, or silently change.

    Args:
        output: the node whose image is taken.
        classes: gives all node classes; called only if one is missing.
        keys: inputs that the job decides → its keys, by which problems are reported.
        uploaded: inputs whose files are uploaded later.
    """
    problems = []
    for node, body in graph.items():
        class_type = body["class_type"]
        if (entry := info(class_type)) is None:
            near = ", ".join(sort_by_likeness(class_type, classes())[:3])
            hint = f"install the custom nodes that have it; the nearest that the server has: {near}"
            problems.append(Problem("", f"node {node}: the server has no node class '{class_type}'", hint))
            continue
        required = entry.get("input", {}).get("required") or {}
        if missing := [name for name, spec in required.items() if name not in body["inputs"] and not is_growing(spec)]:
            what = f"node {node} ({class_type}) needs {', '.join(missing)}, which the workflow does not have"
            problems.append(Problem("", what, "export the workflow again from this version of ComfyUI"))
        if node == output and entry.get("output_node") is False:
            what = f"node {node} ({class_type}) saves no image, so it cannot be the output"
            problems.append(Problem("", what, "name a SaveImage or PreviewImage node: comfyui.bind.output"))
    for target, value in list_literals(graph):
        class_type = graph[target.node]["class_type"]
        if target in uploaded or info(class_type) is None:
            continue
        kind, rules = get_spec(info, class_type, target.input)
        at = keys.get(target) or f"node {target.node} ({class_type}): {target.input}"
        problems += [Problem("", f"{at}: {problem.what}", problem.hint) for problem in check_value(value, kind, rules)]
        if target.input in ("width", "height") and not at.startswith("generate."):  # those are checked without a server
            problems += [Problem("", f"{at}: {problem.what}", problem.hint) for problem in check_size(value, rules)]
    return problems


def check_size(size: Any, rules: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield the problem of a size that ComfyUI would round down. rules: of the input; only a latent's step is 8."""
    step = rules.get("step")
    if isinstance(size, int) and size % 8 and isinstance(step, int) and step % 8 == 0:
        less = size - size % 8
        what = f"{size} is not a multiple of 8: ComfyUI would make the image smaller"
        yield Problem("", what, f"make it {less} or {less + 8}" if less >= 16 else "make it 16")


def check_value(value: Any, kind: Any, rules: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield why an input of this type and these rules does not accept the value; nothing if it does."""
    options = get_choices(kind, rules)
    if options is not None:
        if find_spelling(value, options) is not None or isinstance(value, (list, dict)):
            return
        if not _is_upload(rules):
            yield Problem("", f"'{value}' is not there", describe_choices(str(value), options))
        elif rules.get("image_upload") and not re.search(r"[/\\[]", str(value)):
            hint = "give the image with the job, comfyui.images, or put it into the server's input folder"
            yield Problem("", f"'{value}' is not on the server", hint)
    elif kind in ("INT", "FLOAT"):
        number = _number(value)
        low, high = rules.get("min"), rules.get("max")
        if number is None:
            yield Problem("", f"expected a number, found {str(value)[:40]!r}")
        elif low is not None and number < low:
            yield Problem("", f"{value} is too small: ComfyUI accepts at least {low}")
        elif high is not None and number > high:
            yield Problem("", f"{value} is too large: ComfyUI accepts at most {high}")


def _number(value: Any) -> float | int | None:
    """Return the number that ComfyUI reads from an input; it accepts `"2"` too."""
    if isinstance(value, (int, float)):
        return value
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def find_spelling(value: Any, options: Sequence[Any]) -> Any:
    """Return the server's own spelling of a choice, with backslashes on Windows; None if there is no such choice."""
    if value in options:
        return value
    plain = str(value).replace("\\", "/")
    return next((option for option in options if str(option).replace("\\", "/") == plain), None)


def _is_upload(rules: Mapping[str, Any]) -> bool:
    """Whether the choices are files in the server's input folder; those in folders within it are not listed."""
    return any(rules.get(key) for key in ("image_upload", "video_upload", "audio_upload", "file_upload", "remote"))


def check_requests(requests: Sequence[Request]) -> list[Problem]:
    """Check requests without a server: fields that the workflow cannot take, and sizes."""
    found: dict[Problem, list[str]] = defaultdict(list)
    for request in requests:
        for problem in (*unsupported_fields(request), *_check_sizes(request)):
            found[problem].append(request.name)
    return merge_problems(found, requests)


def _check_sizes(request: Request) -> Iterator[Problem]:
    for field in ("width", "height"):
        if "graph" not in request.extra or field in request.given:
            for problem in check_size(getattr(request, field), {"step": 8}):
                yield Problem("", f"generate.{field}: {problem.what}", problem.hint)


def check_folders(requests: Sequence[Request]) -> list[Problem]:
    """While no server runs, check that the models are in the folders where the one to be started will look."""
    found: dict[Problem, list[str]] = defaultdict(list)
    for same in group_identical(requests):
        workflow = get_workflow(same[0])
        folders: Mapping[str, Sequence[str]] = json.loads(same[0].extra["folders"])
        for target, value in list_literals(replace_inputs(workflow.graph, collect_values(same[0], workflow))):
            kinds = KINDS.get(target.input, ())
            inside = [folder for kind in kinds for folder in folders.get(kind, ())]
            if kinds and isinstance(value, str) and not find_file(value, inside):
                at = find_job_key(same[0], workflow, target)
                at = at or f"node {target.node} ({workflow.graph[target.node]['class_type']}): {target.input}"
                problem = Problem("", f"{at}: '{value}' is not there", describe_choices(value, list_names(inside)))
                found[problem] += [request.name for request in same]
    return merge_problems(found, requests)


def check_on_server(
    requests: Sequence[Request], info: ObjectInfo, classes: Callable[[], Sequence[str]]
) -> list[Problem]:
    """Check requests against a server, which `info` and `classes` ask, as for `check_graph`."""
    found: dict[Problem, list[str]] = defaultdict(list)
    for same in group_identical(requests):
        request, workflow = replace(same[0], seed=1), get_workflow(same[0])  # the seed of each is checked by itself
        values = collect_values(request, workflow)
        keys = {target: key for target in values if (key := find_job_key(request, workflow, target))}
        if "graph" in request.extra:
            fields = [
                field for field, targets in workflow.inputs.items() if any(target in values for target in targets)
            ]
            for problem in find_binding_conflicts(workflow, fields, info):
                found[problem] += [request.name for request in same]
        else:  # all of its inputs are the job's
            keys = {
                target: key
                for target, _ in list_literals(workflow.graph)
                if (key := find_job_key(request, workflow, target))
            }
        uploaded = {parse_input(text) for text in request.extra.get("images", ())}
        for problem in check_graph(
            replace_inputs(workflow.graph, values), workflow.output, info, classes, keys, uploaded
        ):
            found[problem] += [request.name for request in same]
        for request in same:
            for problem in _check_seeds(request, workflow, info):
                found[problem].append(request.name)
    return merge_problems(found, requests)


def _check_seeds(request: Request, workflow: Workflow, info: ObjectInfo) -> Iterator[Problem]:
    """Yield the problem of a seed that a node does not accept, as partner nodes accept no large ones."""
    for target in workflow.inputs.get("seed", ()):
        class_type = workflow.graph[target.node]["class_type"]
        if request.seed is not None:
            for problem in check_value(request.seed, *get_spec(info, class_type, target.input)):
                hint = "give smaller ones, with generate: {seed: {mode: sequence, base: 1}} for example"
                yield Problem("", f"generate.seed: {problem.what}", problem.hint or hint)


def _find_pull_command(problem: Problem, pulls: Mapping[str, str]) -> str:
    """Return the command that downloads what is missing, if the project lists it."""
    return next((command for name, command in pulls.items() if f"'{name}' is not there" in problem.what), "")


def merge_problems(problems: Mapping[Problem, Sequence[str]], requests: Sequence[Request]) -> list[Problem]:
    """Return each problem once if all the requests have it, else for each item that has it."""
    pulls: Mapping[str, str] = requests[0].extra.get("pulls", {})
    return [
        Problem(where, problem.what, _find_pull_command(problem, pulls) or problem.hint)
        for problem, names in problems.items()
        for where in ([""] if len(names) == len(requests) else dict.fromkeys(names))
    ]
