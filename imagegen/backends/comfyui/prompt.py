"""Build the prompt that a server is given: a workflow, the built-in one or the job's own, with the request's values."""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from imagegen.backends.comfyui.graph import NodeInput, describe_node, parse_input
from imagegen.backends.comfyui.workflow import (
    FIELD_WORDS,
    FIELDS,
    JOB_KEYS,
    REQUIRED,
    Workflow,
    analyse_workflow,
    explain_missing,
    fill_marks,
    find_marks,
)
from imagegen.errors import Problem
from imagegen.plan.request import Request

__all__ = [
    "OPTIONS",
    "collect_values",
    "explain",
    "find_job_key",
    "get_workflow",
    "group_identical",
    "identity_key",
    "text_to_image",
    "unsupported_fields",
]

OPTIONS = {
    "lora_name": "comfyui.loras",
    "strength_model": "comfyui.loras",
    "strength_clip": "comfyui.loras",
    "vae_name": "comfyui.vae",
}
"""Inputs that a job's option decides → the option's key."""


def text_to_image(loras: Mapping[str, Sequence[float]], vae: str, clip_skip: int = 1) -> Workflow:
    """Return the built-in workflow. LoRAs are chained by name: the order in which a job has them means nothing.

    Args:
        loras: name → strength for the model and for CLIP.
        vae: empty for the checkpoint's own.
    """
    graph: dict[str, Any] = {
        "checkpoint": _node("CheckpointLoaderSimple", ckpt_name=""),
        "positive": _node("CLIPTextEncode", text=""),
        "negative": _node("CLIPTextEncode", text=""),
        "latent": _node("EmptyLatentImage", width=0, height=0, batch_size=1),
        "sampler": _node(
            "KSampler",
            positive=["positive", 0],
            negative=["negative", 0],
            latent_image=["latent", 0],
            seed=0,
            steps=0,
            cfg=0.0,
            sampler_name="",
            scheduler="",
            denoise=1.0,
        ),
        "decode": _node("VAEDecode", samples=["sampler", 0], vae=["checkpoint", 2]),
        "save": _node("SaveImage", images=["decode", 0], filename_prefix=""),
    }
    model = clip = "checkpoint"
    for number, (name, (of_model, of_clip)) in enumerate(sorted(loras.items()), start=1):
        graph[f"lora {number}"] = _node(
            "LoraLoader",
            model=[model, 0],
            clip=[clip, 1],
            lora_name=name,
            strength_model=of_model,
            strength_clip=of_clip,
        )
        model = clip = f"lora {number}"
    graph["sampler"]["inputs"]["model"] = [model, 0]
    encoded = [clip, 1]
    if clip_skip != 1:
        graph["clip skip"] = _node("CLIPSetLastLayer", clip=encoded, stop_at_clip_layer=-1)
        encoded = ["clip skip", 0]
    graph["positive"]["inputs"]["clip"] = graph["negative"]["inputs"]["clip"] = encoded
    if vae:
        graph["vae"] = _node("VAELoader", vae_name=vae)
        graph["decode"]["inputs"]["vae"] = ["vae", 0]
    targets = {field: taking for field, taking in _PLACES.items() if taking[0].node in graph}
    return Workflow(graph, targets, "save")


def _node(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


_PLACES = {
    "prompt": (NodeInput("positive", "text"),),
    "negative": (NodeInput("negative", "text"),),
    "seed": (NodeInput("sampler", "seed"),),
    "width": (NodeInput("latent", "width"),),
    "height": (NodeInput("latent", "height"),),
    "steps": (NodeInput("sampler", "steps"),),
    "cfg": (NodeInput("sampler", "cfg"),),
    "sampler": (NodeInput("sampler", "sampler_name"),),
    "scheduler": (NodeInput("sampler", "scheduler"),),
    "clip_skip": (NodeInput("clip skip", "stop_at_clip_layer"),),
    "checkpoint": (NodeInput("checkpoint", "ckpt_name"),),
}


def get_workflow(request: Request) -> Workflow:
    """Return the workflow that generates the request."""
    extra = request.extra
    if "graph" in extra:
        return _analyse_cached(extra["graph"], extra["bindings"])
    return text_to_image(extra.get("loras", {}), extra.get("vae", ""), request.clip_skip)


@lru_cache(maxsize=64)
def _analyse_cached(graph: str, bindings: str) -> Workflow:
    return analyse_workflow(json.loads(graph), json.loads(bindings))


def collect_values(request: Request, workflow: Workflow) -> dict[NodeInput, Any]:
    """Return the inputs that the request sets, without its reference images and the names of files."""
    values: dict[NodeInput, Any] = {parse_input(text): value for text, value in request.extra.get("set", {}).items()}
    wanted = dict(_list_fields(request, workflow))
    for field, value in wanted.items():
        for target in workflow.inputs.get(field, ()):
            held = workflow.value(target)
            values[target] = fill_marks(held, wanted) if find_marks(held) else value
    return values


def _list_fields(request: Request, workflow: Workflow) -> Iterator[tuple[str, Any]]:
    """Yield the fields that go into the workflow; a job's own workflow keeps its values for what the job leaves out."""
    is_own = "graph" in request.extra
    for field in FIELDS:
        value: Any = request.model if field == "checkpoint" else getattr(request, field)
        given = bool(request.model) if field == "checkpoint" else field in request.given
        if given or not is_own or field in REQUIRED or field in workflow.marked:
            yield field, -value if field == "clip_skip" else value  # ComfyUI counts from the end: -1 is the last layer


def find_job_key(request: Request, workflow: Workflow, target: NodeInput) -> str:
    """Return the job's key that decides this input's value; empty if the workflow's file does."""
    if str(target) in request.extra.get("set", {}):
        return f"comfyui.set.{target}"
    if "graph" not in request.extra and (key := OPTIONS.get(target.input)):
        return key
    for field, value in _list_fields(request, workflow):
        if target in workflow.inputs.get(field, ()) and (field != "checkpoint" or value != workflow.checkpoint):
            return JOB_KEYS.get(field, f"generate.{field}")
    return ""


def explain(request: Request) -> list[str]:
    """Return a line for each field of a job's own workflow: `prompt → 6.text (CLIPTextEncode "Positive")`."""
    if "graph" not in request.extra:
        return []
    workflow = get_workflow(request)
    lines = []
    for field in FIELDS:
        word = FIELD_WORDS.get(field, field)
        if targets := workflow.inputs.get(field):
            at = ", ".join(f"{target} ({describe_node(workflow.graph, target.node)})" for target in targets)
            lines.append(f"{word} → {at}")
        elif field in workflow.absent:
            lines.append(f"{word} → nowhere: bind: {{{field}: []}}")
        elif unclear := workflow.unclear(field):
            lines.append(f"{word} → not clear: {unclear}")
    return [*lines, f"image ← {workflow.output} ({describe_node(workflow.graph, workflow.output)})"]


def unsupported_fields(request: Request) -> list[Problem]:
    """Return the problems of fields that the job sets and its workflow cannot take."""
    if "graph" not in request.extra:
        return []
    workflow = get_workflow(request)
    problems = [
        Problem("", f"generate.{field}: comfyui.workflow {problem.what}", problem.hint)
        for field in FIELDS
        if field in request.given and field not in workflow.inputs
        for problem in [explain_missing(workflow, field)]
    ]
    taken: dict[NodeInput, tuple[str, Any]] = {}
    for field, value in _list_fields(request, workflow):
        for target in workflow.inputs.get(field, ()):
            other, before = taken.setdefault(target, (field, value))
            if before != value and not find_marks(workflow.value(target)):
                pairs = ((other, before), (field, value))
                both = " and ".join(f"{FIELD_WORDS.get(name, name)} {str(one)[:20]}" for name, one in pairs)
                what = f"comfyui.workflow: {both} both go to {target}"
                problems.append(Problem("", what, "make them equal, or name other inputs with comfyui.bind"))
    return problems


def group_identical(requests: Sequence[Request]) -> list[list[Request]]:
    """Group requests that are the same to a server: they differ in prompt, seed and what their images show."""
    same: dict[Hashable, list[Request]] = {}
    for request in requests:
        same.setdefault(identity_key(request), []).append(request)
    return list(same.values())


def identity_key(request: Request) -> Hashable:
    """Return the same key for requests that are identical to a server, as long as one of them is kept."""
    fields = tuple(value for name, value in vars(request).items() if name not in _IGNORED)
    # the items of a job that have no options of their own share what is in `extra`
    shared = tuple((key, id(value)) for key, value in request.extra.items() if key != "images")
    return fields, shared, tuple(sorted(request.extra.get("images", ())))


_IGNORED = frozenset({"name", "prompt", "negative", "seed", "extra"})
