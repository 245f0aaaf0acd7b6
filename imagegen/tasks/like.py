"""`doit image --like FILE`: the settings that an image carries, as a job would say them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from imagegen.backends.base import Recalling
from imagegen.config.job import GENERATE_FIELDS
from imagegen.errors import ImagegenError, Problem
from imagegen.images.errors import BadImage
from imagegen.images.parameters import comfyui_prompt, read_parameters
from imagegen.images.provenance import read
from imagegen.plan.record import OutputLine
from imagegen.project import Project

__all__ = ["Likeness", "likeness"]


@dataclass(frozen=True)
class Likeness:
    """What an image was made with.

    backend: empty where the image does not say. prompt: the text itself, with nothing to draw. fields: of `generate`,
    the seed among them. section: options for the backend, the model among them. notes: what its user should be told.
    """

    backend: str
    prompt: str
    fields: Mapping[str, Any]
    section: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def likeness(project: Project, file: str, backend: str) -> Likeness:
    """What the image `file`, a path from the project or absolute, was made with.

    Its own record counts first, then its line in one of the lock files that were read, then what another generator
    wrote. backend: that will draw, empty for the image's own; another's options are left out. Raises ImagegenError
    where nothing tells.
    """
    path = project.root / file
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ImagegenError(Problem(file, f"cannot be read: {error.strerror}", "--like names an image file")) from None
    try:
        record = read(data)
        if record and isinstance(record.get("request"), dict) and not record.get("omitted"):
            return _recalled(project, file, record["request"], backend)
        if line := _line(project, path, data):
            return _recalled(project, file, line.request, backend)
        if record and isinstance(record.get("request"), dict):
            left_out = ", ".join(map(str, record["omitted"]))
            found = _recalled(project, file, {"prompt": "", **record["request"]}, backend)
            return replace(found, notes=(f"{file} had no room for its {left_out}: not taken over",))
        if graph := comfyui_prompt(data):
            return _of_comfyui(file, graph)
        if parameters := read_parameters(data):
            others = ", ".join(f"{name} {value}" for name, value in parameters.others.items())
            notes = (f"{file}: not taken over: {others}",) if others else ()
            return Likeness("", parameters.prompt, parameters.fields, notes=notes)
    except BadImage as error:
        raise ImagegenError(Problem(file, str(error), "--like names a PNG, WebP or JPEG image")) from None
    mend = "name an image that this build made with output.metadata: full, or give --prompt and the rest yourself"
    raise ImagegenError(Problem(file, "does not say what made it, and no lock file does", mend))


def _line(project: Project, path: Path, data: bytes) -> OutputLine | None:
    """The line that counts for the file, of whichever job; of a copy of it, that of the same content."""
    sha256 = hashlib.sha256(data).hexdigest()
    found = None
    for lock in project.locks.values():
        for lines in lock.lines.values():
            for line in lines:
                if line.sha256 == sha256:
                    return line
                if (project.root / line.path).resolve() == path.resolve():
                    found = lock.line_of(line.path, sha256)
    return found


def _recalled(project: Project, file: str, request: Mapping[str, Any], backend: str) -> Likeness:
    """From the canonical fields of a request."""
    name, prompt = request.get("backend"), request.get("prompt")
    if not isinstance(name, str) or not isinstance(prompt, str):
        raise ImagegenError(
            Problem(file, "its record names no backend or prompt", "give --prompt and the rest yourself")
        )
    fields = {key: request[key] for key in GENERATE_FIELDS if key in request and request[key] not in (None, "")}
    if backend not in ("", name):
        return Likeness(name, prompt, fields)
    made_by = project.backend(name)
    others = {
        key: value
        for key, value in request.items()
        if key not in ("backend", "model", "name", "prompt", *GENERATE_FIELDS)
    }
    if isinstance(made_by, Recalling):
        try:
            section = dict(made_by.recall(others))
        except ImagegenError as error:
            raise ImagegenError(*(Problem(file, problem.what, problem.mend) for problem in error.problems)) from None
    else:
        section = {key: value for key, value in others.items() if key in made_by.options}
    if made_by.model_option and request.get("model"):
        section[made_by.model_option] = request["model"]
    return Likeness(name, prompt, fields, section)


_KINDS: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("prompt", "negative", "sampler", "scheduler", "checkpoint"), str),
    "cfg": (int, float),
}
"""Of a workflow's inputs: where a node gives the value, it is a link."""


def _of_comfyui(file: str, graph: str) -> Likeness:
    """From the workflow that ComfyUI ran: what its sampler was given, where that can be made out."""
    from imagegen.backends.comfyui.workflow import read_workflow, understand

    try:
        workflow = understand(read_workflow("workflow.json", graph.encode("utf-8", "replace")), {})
    except ImagegenError as error:
        what = f"its ComfyUI workflow cannot be made out: {error.problems[0].what}"
        raise ImagegenError(Problem(file, what, "give --prompt and the rest yourself")) from None
    held = {name: workflow.held(places[0]) for name, places in workflow.places.items()}
    known: dict[str, Any] = {
        name: value for name, value in held.items() if isinstance(value, _KINDS.get(name, int)) and value != ""
    }
    section = {"checkpoint": known["checkpoint"]} if "checkpoint" in known else {}
    fields = {name: known[name] for name in GENERATE_FIELDS if name in known}
    note = f"{file}: of its ComfyUI workflow, no more is taken over than prompts, size, sampler settings and checkpoint"
    return Likeness("comfyui", known.get("prompt", ""), fields, section, (note,))
