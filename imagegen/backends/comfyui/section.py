"""A job's section for ComfyUI, resolved: its workflow read and understood, its files hashed, its server named."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from imagegen.backends.base import Context, Resolved
from imagegen.backends.comfyui.graph import Graph, Place, digest, is_link, output_nodes, place_of, replaced
from imagegen.backends.comfyui.models import model_folders
from imagegen.backends.comfyui.text_to_image import text_to_image
from imagegen.backends.comfyui.workflow import FIELDS, Workflow, cannot_take, read_workflow, understand
from imagegen.config.settings import COMMAND_LINE
from imagegen.errors import ImagegenError, Problem, did_you_mean

__all__ = ["ALWAYS", "OF_SECTION", "OWN", "resolve"]

ALWAYS = frozenset({"prompt", "seed"})
"""Fields that every workflow takes from the job; of the others, those that the job gives."""
OWN = ALWAYS | {"negative", "width", "height", "steps", "cfg", "sampler", "scheduler"}
OF_SECTION = frozenset({"loras", "vae", "workflow", "bind", "set", "images"})
"""Options that decide pixels; of files, what is in them and not what they are called."""


def resolve(section: Mapping[str, Any], context: Context) -> Resolved:
    """What a checked section comes to. Contacts nothing. Raises ImagegenError, `where` the key in the section.

    Besides the options that decide pixels, `extra` holds what the backend needs to draw: url, has_auth (whether the
    secret is for that server), start, ready_timeout_s, arguments, root, folders (JSON: kind of model → folders),
    allow_flat; and of a workflow graph and bindings (JSON) and files (place → path of its image).
    """
    settings = context.settings
    server = section.get("server", {})
    url = server.get("url", settings.comfyui_server_url).rstrip("/")
    extra: dict[str, Any] = {
        "url": url,
        "has_auth": url == settings.comfyui_server_url,  # the secret is for that server, and for no other
        "start": server.get("start", settings.comfyui_server_start),
        "ready_timeout_s": server.get("ready_timeout_s", settings.comfyui_server_ready_timeout_s),
        "arguments": settings.comfyui_server_arguments,
        "root": str(context.root),
        "folders": json.dumps(_with_checkpoint_dirs(section, model_folders(context.root, settings), context.root)),
        "allow_flat": section.get("allow_flat", False),
    }
    workflow = _workflow(section, extra, context)
    own = section.get("checkpoint", "")
    if settings.sources.get("comfyui.checkpoint") == COMMAND_LINE:
        own = settings.comfyui_checkpoint
    if "workflow" not in section:
        return Resolved(extra, own or settings.comfyui_checkpoint or None)
    if section.get("checkpoint") and "checkpoint" not in workflow.places:
        problem = cannot_take(workflow, "checkpoint")
        raise ImagegenError(Problem("checkpoint", problem.what, problem.mend))
    where_given = (OWN - ALWAYS) - workflow.marked
    model = (own if "checkpoint" in workflow.places else "") or workflow.checkpoint
    if not model and "checkpoint" in workflow.marked:
        return Resolved(extra, settings.comfyui_checkpoint or None, where_given)
    return Resolved(extra, model, where_given)


def _workflow(section: Mapping[str, Any], extra: dict[str, Any], context: Context) -> Workflow:
    """The job's workflow, with all that it and its images say put into `extra`. Raises ImagegenError."""
    if "workflow" not in section:
        if wrong := [key for key in ("bind", "set", "images") if section.get(key)]:
            raise ImagegenError(*(Problem(key, "goes with a workflow, and the job names none") for key in wrong))
        loras = {name: _strengths(given) for name, given in section.get("loras", {}).items()}
        if loras:
            extra["loras"] = loras
        if section.get("vae"):
            extra["vae"] = section["vae"]
        return text_to_image(loras, section.get("vae", ""))
    if wrong := [key for key in ("loras", "vae") if section.get(key)]:
        mend = 'set it in the workflow: set: {"NODE.INPUT": …}'
        what = "is for the built-in workflow, and the job has one of its own"
        raise ImagegenError(*(Problem(key, what, mend) for key in wrong))
    name = section["workflow"]
    try:
        graph = read_workflow(name, context.read(name))
    except ImagegenError as error:
        located = [Problem("workflow", f"{p.where or name}: {p.what}", p.mend) for p in error.problems]
        raise ImagegenError(*located) from None
    bind = {field: [named] if isinstance(named, str) else named for field, named in section.get("bind", {}).items()}
    workflow = understand(graph, bind)
    problems: list[Problem] = []
    values = {}
    for key in ("set", "images"):
        for text, value in section.get(key, {}).items():
            if place := _place(graph, key, text, problems):
                values[place] = value
    images: dict[str, str] = {}
    files: dict[str, str] = {}
    for text, file in section.get("images", {}).items():
        try:
            data = context.read(file)
        except ImagegenError as error:
            problems += [Problem(f"images.{text}", f"{file}: {p.what}", p.mend) for p in error.problems]
            continue
        images[text] = hashlib.sha256(data).hexdigest()
        files[text] = str(context.root / file)
    of_fields = {place: field for field in workflow.places for place in workflow.places[field]}
    for place in values:
        if place in of_fields:
            key = "set" if str(place) in section.get("set", {}) else "images"
            problems.append(Problem(f"{key}.{place}", f"is where the {of_fields[place]} goes"))
    problems += _batches(replaced(graph, values))
    if problems:
        raise ImagegenError(*problems)
    always = {place for field in ALWAYS | workflow.marked for place in workflow.places[field]}
    prefixes = {Place(node, "filename_prefix") for node in output_nodes(graph)}
    extra["workflow"] = digest(graph, {*values, *prefixes, *(p for p in always if not _has_text_around(graph, p))})
    extra["graph"] = json.dumps(graph)
    extra["bindings"] = json.dumps(bind)
    if bind:
        extra["bind"] = {field: list(named) for field, named in bind.items()}
    if section.get("set"):
        extra["set"] = dict(section["set"])
    if images:
        extra["images"] = images
        extra["files"] = files
    return workflow


def _with_checkpoint_dirs(
    section: Mapping[str, Any], folders: Mapping[str, Sequence[str]], root: Path
) -> dict[str, list[str]]:
    own = [os.path.abspath(root / os.path.expanduser(folder)) for folder in section.get("checkpoint_dirs", ())]  # noqa: PTH100, PTH111 - it follows no link
    return {kind: [*own, *found] if kind == "checkpoints" else list(found) for kind, found in folders.items()}


def _strengths(given: float | Mapping[str, float]) -> tuple[float, float]:
    if isinstance(given, Mapping):
        model = float(given.get("model", 1.0))
        return model, float(given.get("clip", model))
    return float(given), float(given)


def _place(graph: Graph, key: str, text: str, problems: list[Problem]) -> Place | None:
    """An input that the job names; it must be there, and a value."""
    place = place_of(text)
    where = f"{key}.{text}"
    if place.node not in graph:
        what = f"there is no node '{place.node[:40]}' in the workflow{did_you_mean(place.node, graph)}"
        problems.append(Problem(where, what))
        return None
    inputs = graph[place.node]["inputs"]
    if place.input not in inputs:
        of = f"node {place.node} ({graph[place.node]['class_type']})"
        what = f"{of} has no input '{place.input[:40]}'{did_you_mean(place.input, inputs)}"
        problems.append(Problem(where, what, f"it has {', '.join(inputs) or 'none'}"))
        return None
    if is_link(inputs[place.input]):
        problems.append(Problem(where, f"is linked to node {inputs[place.input][0]}, which gives its value"))
        return None
    return place


def _batches(graph: Graph) -> Iterator[Problem]:
    """Nodes that would make several images of one prompt, none of them what a prompt of its own would make."""
    for node, body in graph.items():
        size = body["inputs"].get("batch_size")
        if isinstance(size, int) and size > 1:
            what = f"node {node} makes a batch of {size}, and one prompt makes one image"
            yield Problem("workflow", what, f'set: {{"{node}.batch_size": 1}}')


def _has_text_around(graph: Graph, place: Place) -> bool:
    """Whether the input's own text stays, around a %mark% in it."""
    value = graph[place.node]["inputs"][place.input]
    return isinstance(value, str) and any(f"%{field}%" in value and f"%{field}%" != value for field in FIELDS)
