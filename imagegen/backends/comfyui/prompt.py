"""From a request to the prompt that ComfyUI is given: the workflow with the request's values in their places."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

from imagegen.backends.comfyui.graph import Place, place_of
from imagegen.backends.comfyui.section import ALWAYS
from imagegen.backends.comfyui.text_to_image import text_to_image
from imagegen.backends.comfyui.workflow import FIELDS, Workflow, cannot_take, understand
from imagegen.errors import Problem
from imagegen.plan.request import Request

__all__ = ["alike", "asked_in_vain", "values_of", "workflow_of"]


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
    fields = {field: request.model if field == "checkpoint" else getattr(request, field) for field in FIELDS}
    for field in _wanted(request, workflow):
        for place in workflow.places.get(field, ()):
            held, mark = workflow.graph[place.node]["inputs"][place.input], f"%{field}%"
            held = values.get(place, held)
            is_part = isinstance(held, str) and mark in held and held != mark
            values[place] = held.replace(mark, str(fields[field])) if is_part else fields[field]
    return values


def _wanted(request: Request, workflow: Workflow) -> Iterator[str]:
    """The fields that go into the workflow; those of one's own are used as they are where the job gives no other."""
    if "graph" not in request.extra:
        yield from FIELDS
        return
    for field in FIELDS:
        given = bool(request.model) if field == "checkpoint" else field in request.given
        if given or field in ALWAYS or field in workflow.marked:
            yield field


def asked_in_vain(request: Request) -> list[Problem]:
    """The fields that the job gives and its workflow has no place for."""
    if "graph" not in request.extra:
        return []
    workflow = workflow_of(request)
    return [
        Problem(request.name, f"generate.{field}: {problem.what}", problem.mend)
        for field in FIELDS
        if field in request.given and field not in workflow.places
        for problem in [cannot_take(workflow, field)]
    ]


def alike(requests: Sequence[Request]) -> list[list[Request]]:
    """Requests that differ in prompt and seed only: what the server says of one holds for all of them."""
    same: dict[str, list[Request]] = {}
    for request in requests:
        but = ("name", "prompt", "negative", "seed")
        key = json.dumps({name: value for name, value in vars(request).items() if name not in but}, sort_keys=True)
        same.setdefault(key, []).append(request)
    return list(same.values())
