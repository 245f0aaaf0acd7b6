"""From a request to the prompt that ComfyUI is given: the workflow with the request's values in their places."""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterator, Sequence
from functools import lru_cache
from typing import Any

from imagegen.backends.comfyui.fields import ALWAYS, FIELDS, KEYS, WORDS, filled, marks_in
from imagegen.backends.comfyui.graph import Place, called, place_of
from imagegen.backends.comfyui.text_to_image import OPTIONS, text_to_image
from imagegen.backends.comfyui.workflow import Workflow, cannot_take, understand
from imagegen.errors import Problem
from imagegen.plan.request import Request

__all__ = ["alike", "asked_in_vain", "explain", "key_of", "kind_of", "values_of", "workflow_of"]


def workflow_of(request: Request) -> Workflow:
    """The workflow that draws the request."""
    extra = request.extra
    if "graph" in extra:
        return _understood(extra["graph"], extra["bindings"])
    return text_to_image(extra.get("loras", {}), extra.get("vae", ""))


@lru_cache(maxsize=64)
def _understood(graph: str, bindings: str) -> Workflow:
    return understand(json.loads(graph), json.loads(bindings))


def values_of(request: Request, workflow: Workflow) -> dict[Place, Any]:
    """The inputs that the request sets, but for its images and the files' names."""
    values: dict[Place, Any] = {place_of(text): value for text, value in request.extra.get("set", {}).items()}
    wanted = dict(_wanted(request, workflow))
    for field, value in wanted.items():
        for place in workflow.places.get(field, ()):
            held = workflow.held(place)
            values[place] = filled(held, wanted) if marks_in(held) else value
    return values


def _wanted(request: Request, workflow: Workflow) -> Iterator[tuple[str, Any]]:
    """The fields that go into the workflow; where the job gives none, a workflow of its own has one already."""
    is_own = "graph" in request.extra
    for field in FIELDS:
        value = request.model if field == "checkpoint" else getattr(request, field)
        given = bool(request.model) if field == "checkpoint" else field in request.given
        if given or not is_own or field in ALWAYS or field in workflow.marked:
            yield field, value


def key_of(request: Request, workflow: Workflow, place: Place) -> str:
    """The job's key that decides what is in this input; empty where the workflow's file does."""
    if str(place) in request.extra.get("set", {}):
        return f"comfyui.set.{place}"
    if "graph" not in request.extra and (key := OPTIONS.get(place.input)):
        return key
    for field, value in _wanted(request, workflow):
        if place in workflow.places.get(field, ()) and (field != "checkpoint" or value != workflow.checkpoint):
            return KEYS.get(field, f"generate.{field}")
    return ""


def explain(request: Request) -> list[str]:
    """A line for each field that a workflow of one's own can take: `prompt → 6.text (CLIPTextEncode "Positive")`."""
    if "graph" not in request.extra:
        return []
    workflow = workflow_of(request)
    lines = []
    for field in FIELDS:
        word = WORDS.get(field, field)
        if places := workflow.places.get(field):
            at = ", ".join(f"{place} ({called(workflow.graph, place.node)})" for place in places)
            lines.append(f"{word} → {at}")
        elif field in workflow.absent:
            lines.append(f"{word} → nowhere: bind: {{{field}: []}}")
        elif unclear := workflow.unclear.get(field):
            lines.append(f"{word} → not clear: {unclear}")
    return [*lines, f"image ← {workflow.output} ({called(workflow.graph, workflow.output)})"]


def asked_in_vain(request: Request) -> list[Problem]:
    """What the job gives and its workflow cannot take."""
    if "graph" not in request.extra:
        return []
    workflow = workflow_of(request)
    problems = [
        Problem("", f"generate.{field}: comfyui.workflow {problem.what}", problem.hint)
        for field in FIELDS
        if field in request.given and field not in workflow.places
        for problem in [cannot_take(workflow, field)]
    ]
    taken: dict[Place, tuple[str, Any]] = {}
    for field, value in _wanted(request, workflow):
        for place in workflow.places.get(field, ()):
            other, before = taken.setdefault(place, (field, value))
            if before != value and not marks_in(workflow.held(place)):
                what = f"comfyui.workflow: {_said(other, before)} and {_said(field, value)} would both go to {place}"
                problems.append(Problem("", what, "make them equal, or name other inputs with comfyui.bind"))
    return problems


def _said(field: str, value: Any) -> str:
    return f"{WORDS.get(field, field)} {str(value)[:20]}"


def alike(requests: Sequence[Request]) -> list[list[Request]]:
    """Requests that differ in prompt, seed and what their images show: what the server says of one holds for all."""
    same: dict[Hashable, list[Request]] = {}
    for request in requests:
        same.setdefault(kind_of(request), []).append(request)
    return list(same.values())


def kind_of(request: Request) -> Hashable:
    """The same for requests that are alike, as long as one of them is kept."""
    fields = tuple(value for name, value in vars(request).items() if name not in _OWN_OF_EACH)
    # the items of a job that have no options of their own share what is in `extra`
    shared = tuple((key, id(value)) for key, value in request.extra.items() if key not in ("images", "files"))
    return fields, shared, tuple(sorted(request.extra.get("images", ())))


_OWN_OF_EACH = frozenset({"name", "prompt", "negative", "seed", "extra"})
