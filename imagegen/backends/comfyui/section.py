"""A job's section `comfyui`: its schema, and what it resolves to (workflow read, files hashed, servers named)."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from imagegen.backends.address import is_startable
from imagegen.backends.base import Context, Resolved
from imagegen.backends.comfyui.graph import (
    Graph,
    NodeInput,
    find_prefixes,
    get_value,
    hash_graph,
    is_link,
    parse_input,
    replace_inputs,
)
from imagegen.backends.comfyui.links import Wiring
from imagegen.backends.comfyui.workflow import (
    FIELD_WORDS,
    FIELDS,
    JOB_KEYS,
    REQUIRED,
    Workflow,
    analyse_workflow,
    check_input,
    explain_missing,
    find_marks,
    read_workflow,
)
from imagegen.backends.models import EXTRA_PATHS, find_missing_models, list_model_folders
from imagegen.backends.options import NAME, STRENGTH, address, option
from imagegen.backends.reference_image import read_images
from imagegen.errors import ImagegenError, InputError, Problem
from imagegen.plan.naming import is_output_name
from imagegen.plan.request import ADDED_FIELDS

__all__ = ["FIELD_PARAMETERS", "OPTIONS", "SECTION_PARAMETERS", "recover_section", "resolve", "resolve_machine"]

_INPUT = {"type": "text", "regex": r"[^.]+\..+", "meta": {"expected": "input: node ID, dot, input's name, as 6.text"}}
_NODE = {"type": "text", "minlength": 1, "maxlength": 100}


_ADDRESS = address("http://127.0.0.1:8188")


def _option_to_bind(field: str) -> dict[str, Any]:
    value = "negative prompt" if field == "negative" else field
    described = f"The input that takes the {value}, or a list of them: node ID, dot, input's name; [] if none does."
    return option(described, anyof=[_INPUT, {"type": "list", "schema": _INPUT}])


_STRENGTHS = {
    "model": option("Its strength in the model.", **STRENGTH),
    "clip": option("Its strength in CLIP; without it, that in the model.", **STRENGTH),
}
_BIND = {
    **{field: _option_to_bind(field) for field in FIELDS},
    "output": option("The node whose image is taken.", **_NODE),
}
_SERVER = {
    "url": option(
        "The server's address, or a list of several.",
        anyof=[_ADDRESS, {"type": "list", "minlength": 1, "schema": _ADDRESS}],
    ),
    "start": option(
        "Whether a run starts a server on this machine if none answers.", type="text", allowed=["auto", "never"]
    ),
    "ready_timeout_s": option("Time limit for the server's start, in seconds.", type="number", min=1, max=86_400),
}
OPTIONS: Mapping[str, Any] = {
    "checkpoint": option("The checkpoint's file name, as ComfyUI lists it.", **NAME),
    "loras": option(
        "LoRAs: each file name with its strength, or with one for the model and one for CLIP.",
        type="mapping",
        keysrules=NAME,
        valuesrules={"anyof": [STRENGTH, {"type": "mapping", "schema": _STRENGTHS}]},
    ),
    "vae": option("A VAE's file name; without it, the checkpoint's own is used.", **NAME),
    "workflow": option("A workflow that ComfyUI exported in API format, its path from the project's folder.", **NAME),
    "bind": option(
        "Which inputs take what, and which node gives the image, if imagegen can't find them by following the links.",
        type="mapping",
        schema=_BIND,
    ),
    "set": option(
        "Values for any other inputs of the workflow: node ID, dot, input's name.",
        type="mapping",
        keysrules=_INPUT,
        valuesrules={"type": ["text", "whole", "number", "boolean"]},
    ),
    "images": option(
        "Reference images for inputs of the workflow: each a file, or another output as JOB:ITEM.",
        type="mapping",
        keysrules=_INPUT,
        valuesrules=NAME,
    ),
    "allow_flat": option("Whether an image of one flat colour is accepted.", type="boolean"),
    "checkpoint_dirs": option(
        "More folders with checkpoints, for while no server runs.", type="list", minlength=1, schema=NAME
    ),
    "server": option("The ComfyUI server of this job's images, or several.", type="mapping", schema=_SERVER),
}

FIELD_PARAMETERS = frozenset(FIELDS) - {"checkpoint"}
LOCAL_OPTIONS = ("server", "checkpoint_dirs")
"""Options that are about the machine of whoever wrote the job."""
SECTION_PARAMETERS = frozenset({"loras", "vae", "workflow", "bind", "set", "images"})
"""Options that decide the pixels; of files it is their content that counts, not their names."""


def resolve(section: Mapping[str, Any], context: Context) -> Resolved:
    """Resolve a checked section. Contacts nothing.

    Besides the options that decide the pixels, `extra` holds `allow_flat`, for a job's own workflow `graph` and
    `bindings` (JSON), and what the job says of its machine (LOCAL_OPTIONS).

    Raises:
        ImagegenError: each problem's `where` is the key in the section.
    """
    settings = context.settings
    with contextlib.suppress(ImagegenError):
        context.read(EXTRA_PATHS)  # so that a change is noticed: it may decide which file a name means
    extra = {"allow_flat": section.get("allow_flat", False)}
    extra |= {key: section[key] for key in LOCAL_OPTIONS if key in section}
    _check_kind_of_options(section)
    asked = settings.forced_checkpoint or section.get("checkpoint", "")
    if "workflow" not in section:
        if section.get("loras"):
            extra["loras"] = {name: _parse_strengths(given) for name, given in section["loras"].items()}
        if section.get("vae"):
            extra["vae"] = section["vae"]
        return Resolved(extra, asked or settings.comfyui_checkpoint or None)
    images = section.get("images", {})
    origins = {target: named for target, named in images.items() if is_output_name(named)}
    workflow, of_workflow, files = _read_own_workflow(section, context)
    if asked and "checkpoint" not in workflow.inputs:
        problem = explain_missing(workflow, "checkpoint")
        raise InputError(Problem("workflow", f"checkpoint '{asked[:60]}': {problem.what}", problem.hint))
    model: str | None = asked or workflow.checkpoint
    if not model and "checkpoint" in workflow.marked:
        model = settings.comfyui_checkpoint or None
    needed = workflow.marked | ({*REQUIRED} - workflow.absent)
    return Resolved({**extra, **of_workflow}, model, FIELD_PARAMETERS - needed, origins, files)


def resolve_machine(section: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """Return what a request needs of this machine, beside what it holds. No pixels follow from it.

    urls: of the servers that may generate the image; trusted: those of them that the secret is for; folders: JSON,
    kind of model → folders; pulls: missing models → the commands that download them.

    Args:
        section: may have LOCAL_OPTIONS, such as other servers.
    """
    settings = context.settings
    server = section.get("server", {})
    named = server.get("url", settings.comfyui_server_urls)
    urls = list(dict.fromkeys(url.rstrip("/") for url in ([named] if isinstance(named, str) else named)))
    return {
        "urls": urls,
        "trusted": [url for url in urls if url in settings.comfyui_server_urls],  # the secret is for these alone
        "start": server.get("start", settings.comfyui_server_start),
        "ready_timeout_s": server.get("ready_timeout_s", settings.comfyui_server_ready_timeout_s),
        "arguments": settings.comfyui_server_arguments,
        "root": str(context.root),
        "folders": json.dumps(_add_checkpoint_dirs(section, list_model_folders(context.root, settings), context.root)),
        "pulls": find_missing_models(context.root, settings) if any(map(is_startable, urls)) else {},
    }


def recover_section(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the section that gives these recorded fields. Raises ImagegenError for a job's own workflow."""
    if "workflow" in fields:
        what = "was generated with a workflow of its own, of which only the digest is recorded"
        raise InputError(Problem("", what, "add an item to the job that has the workflow, or give --backend"))
    section: dict[str, Any] = {}
    if loras := fields.get("loras"):
        section["loras"] = {name: {"model": model, "clip": clip} for name, (model, clip) in loras.items()}
    if vae := fields.get("vae"):
        section["vae"] = vae
    return section


def _check_kind_of_options(section: Mapping[str, Any]) -> None:
    """Raise ImagegenError for options of the built-in workflow beside the job's own, and the reverse."""
    if "workflow" in section:
        what = "is for the built-in workflow, but the job has its own"
        hint = 'set: {"NODE.INPUT": …} sets it there'
        keys = [key for key in ("loras", "vae") if section.get(key)]
    else:
        what, hint = "needs a workflow, but the job names none", "add one: workflow: jobs/workflows/NAME.json"
        keys = [key for key in ("bind", "set", "images") if section.get(key)]
    if keys:
        raise InputError(*(Problem(key, what, hint) for key in keys))


def _read_own_workflow(section: Mapping[str, Any], context: Context) -> tuple[Workflow, dict[str, Any], dict[str, str]]:
    """Read the job's own workflow and images. Raises ImagegenError.

    Returns:
        The workflow, what they add to `extra`, and the images' paths by their sha256.
    """
    name = section["workflow"]
    try:
        graph = read_workflow(name, context.read(name))
    except ImagegenError as error:
        located = [Problem("workflow", f"{p.where or name}: {p.what}", p.hint) for p in error.problems]
        raise InputError(*located) from None
    bind = {field: [named] if isinstance(named, str) else named for field, named in section.get("bind", {}).items()}
    workflow = analyse_workflow(graph, bind)
    problems: list[Problem] = []
    values = dict(_list_values(section, workflow, problems))
    images, files = read_images(section.get("images", {}), context, problems)
    problems += _check_batches(replace_inputs(graph, values))
    if problems:
        raise InputError(*problems)
    always = {target: f"%{field}%" for field in REQUIRED for target in workflow.inputs.get(field, ())}
    taken = {target: mark for target, mark in always.items() if not find_marks(workflow.value(target))}
    taken |= dict.fromkeys([*values, *find_prefixes(graph)], "")
    options = {
        "set": section.get("set"),
        "images": images,
        "bind": {field: named for field, named in bind.items() if field not in (*REQUIRED, "output")},  # in the digest
    }
    return (
        workflow,
        {
            "workflow": hash_graph(graph, workflow.output, taken),
            "graph": json.dumps(graph),
            "bindings": json.dumps({**bind, **{field: [] for field in _find_fields_set(workflow, bind, values)}}),
            **{key: dict(value) for key, value in options.items() if value},
        },
        files,
    )


def _find_fields_set(workflow: Workflow, bind: Mapping[str, Any], values: Mapping[NodeInput, Any]) -> Iterator[str]:
    """Yield the fields whose inputs `set` names: jobs of earlier releases set them so, and they take no field then."""
    for field in ADDED_FIELDS:
        if field not in bind and any(target in values for target in workflow.inputs.get(field, ())):
            yield field


def _list_values(
    section: Mapping[str, Any], workflow: Workflow, problems: list[Problem]
) -> Iterator[tuple[NodeInput, Any]]:
    """Yield the inputs that `set` and `images` name, with their values."""
    of_fields = {target: field for field, targets in workflow.inputs.items() for target in targets}
    for key in ("set", "images"):
        for text, value in section.get(key, {}).items():
            target = parse_input(text)
            if not check_input(workflow.graph, f"{key}.{text}", text, problems):
                continue
            if is_link(held := workflow.value(target)):
                hint = "name an input of that node, or of one further up"
                problems.append(Problem(f"{key}.{text}", f"it comes from node {held[0]} by a link", hint))
            elif target in of_fields and not (key == "set" and of_fields[target] in ADDED_FIELDS):
                field = of_fields[target]
                word = FIELD_WORDS.get(field, field)
                other = (
                    "leave this out" if field in REQUIRED else f"give it as {JOB_KEYS.get(field, f'generate.{field}')}"
                )
                hint = f"{other}, or bind the {word} to other inputs"
                problems.append(Problem(f"{key}.{text}", f"the {word} goes there", hint))
            elif key == "images" and text in section.get("set", {}):
                problems.append(Problem(f"images.{text}", "it is given in set too", "keep one of the two"))
            yield target, value


def _add_checkpoint_dirs(
    section: Mapping[str, Any], folders: Mapping[str, Sequence[str]], root: Path
) -> dict[str, list[str]]:
    own = [os.path.abspath(root / os.path.expanduser(folder)) for folder in section.get("checkpoint_dirs", ())]  # noqa: PTH100, PTH111 - it follows no link
    return {kind: [*own, *found] if kind == "checkpoints" else list(found) for kind, found in folders.items()}


def _parse_strengths(given: float | Mapping[str, float]) -> list[float]:
    """Return the strengths for the model and for CLIP. A list, as a lock file gives it back."""
    if isinstance(given, Mapping):
        model = float(given.get("model", 1.0))
        return [model, float(given.get("clip", model))]
    return [float(given), float(given)]


def _check_batches(graph: Graph) -> Iterator[Problem]:
    """Yield the problems of nodes that would make several images from one prompt."""
    wiring = Wiring(graph)
    for node, body in graph.items():
        target = NodeInput(node, "amount" if "samples" in body["inputs"] else "batch_size")
        held = wiring.find_holder(target) if target.input in body["inputs"] else None
        size = get_value(graph, held) if held else 1
        if isinstance(size, int) and size > 1:
            what = f"node {node} makes a batch of {size}, but one prompt makes one image"
            yield Problem("workflow", what, f'set: {{"{held}": 1}}')
