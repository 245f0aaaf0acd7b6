"""What is wrong with requests before any is queued: by themselves, by the folders of models, and by a server's word."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from imagegen.backends.comfyui.checks import Info, check, choices_text, spec_of, uneven, wrong
from imagegen.backends.comfyui.graph import literals, place_of, replaced
from imagegen.backends.comfyui.models import KINDS, file_of, names_in
from imagegen.backends.comfyui.prompt import alike, asked_in_vain, key_of, values_of, workflow_of
from imagegen.backends.comfyui.workflow import Workflow, misread
from imagegen.errors import Problem
from imagegen.plan.request import Request

__all__ = ["in_folders", "in_themselves", "on_server", "shared"]


def in_themselves(requests: Sequence[Request]) -> list[Problem]:
    """What no server need be asked about: fields that the workflow cannot take, sizes."""
    found: dict[Problem, list[str]] = defaultdict(list)
    for request in requests:
        for problem in (*asked_in_vain(request), *_sizes(request)):
            found[problem].append(request.name)
    return shared(found, requests)


def _sizes(request: Request) -> Iterator[Problem]:
    for field in ("width", "height"):
        if "graph" not in request.extra or field in request.given:
            for problem in uneven(getattr(request, field), {"step": 8}):
                yield Problem("", f"generate.{field}: {problem.what}", problem.hint)


def in_folders(requests: Sequence[Request]) -> list[Problem]:
    """While no server runs: the models that are in no folder where the one to be started will look."""
    found: dict[Problem, list[str]] = defaultdict(list)
    for same in alike(requests):
        workflow = workflow_of(same[0])
        folders: Mapping[str, Sequence[str]] = json.loads(same[0].extra["folders"])
        for place, value in literals(replaced(workflow.graph, values_of(same[0], workflow))):
            kinds = KINDS.get(place.input, ())
            inside = [folder for kind in kinds for folder in folders.get(kind, ())]
            if kinds and isinstance(value, str) and not file_of(value, inside):
                at = key_of(same[0], workflow, place)
                at = at or f"node {place.node} ({workflow.graph[place.node]['class_type']}): {place.input}"
                problem = Problem("", f"{at}: '{value}' is not there", choices_text(value, names_in(inside)))
                found[problem] += [request.name for request in same]
    return shared(found, requests)


def on_server(requests: Sequence[Request], info: Info, classes: Callable[[], Sequence[str]]) -> list[Problem]:
    """What the server says of the requests' graphs, asked with `info` and `classes`, as for `checks.check`."""
    found: dict[Problem, list[str]] = defaultdict(list)
    for same in alike(requests):
        request, workflow = replace(same[0], seed=1), workflow_of(same[0])  # each one's seed is looked at by itself
        values = values_of(request, workflow)
        keys = {place: key for place in values if (key := key_of(request, workflow, place))}
        if "graph" in request.extra:
            fields = [field for field, places in workflow.places.items() if any(place in values for place in places)]
            for problem in misread(workflow, fields, info):
                found[problem] += [request.name for request in same]
        else:  # all of its inputs are the job's
            keys = {place: key for place, _ in literals(workflow.graph) if (key := key_of(request, workflow, place))}
        uploaded = {place_of(text) for text in request.extra.get("images", ())}
        for problem in check(replaced(workflow.graph, values), workflow.output, info, classes, keys, uploaded):
            found[problem] += [request.name for request in same]
        for request in same:
            for problem in _seeds(request, workflow, info):
                found[problem].append(request.name)
    return shared(found, requests)


def _seeds(request: Request, workflow: Workflow, info: Info) -> Iterator[Problem]:
    """A seed that a node does not take, as partner nodes take no large ones. A random one is picked later."""
    for place in workflow.places.get("seed", ()):
        class_type = workflow.graph[place.node]["class_type"]
        if request.seed is not None:
            for problem in wrong(request.seed, *spec_of(info, class_type, place.input)):
                hint = "give smaller ones, with generate: {seed: {mode: sequence, base: 1}} for example"
                yield Problem("", f"generate.seed: {problem.what}", problem.hint or hint)


def _pull(problem: Problem, pulls: Mapping[str, str]) -> str:
    """The command that downloads what is missing, where the project lists it."""
    return next((command for name, command in pulls.items() if f"'{name}' is not there" in problem.what), "")


def shared(problems: Mapping[Problem, Sequence[str]], requests: Sequence[Request]) -> list[Problem]:
    """Each problem once where it is that of all the requests, else for each item that has it."""
    pulls: Mapping[str, str] = requests[0].extra.get("pulls", {})
    return [
        Problem(where, problem.what, _pull(problem, pulls) or problem.hint)
        for problem, names in problems.items()
        for where in ([""] if len(names) == len(requests) else dict.fromkeys(names))
    ]
