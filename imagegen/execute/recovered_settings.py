"""`doit image --like FILE`: the settings that an image carries, as a job would say them."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from imagegen.config.document import find_hidden_character
from imagegen.config.schema import FIELD_TYPES, GENERATE_FIELDS
from imagegen.errors import ImagegenError, Problem
from imagegen.images.foreign_settings import (
    ForeignSettings,
    UnreadableRecord,
    read_comfyui_prompt,
    read_foreign_settings,
    to_comfyui_names,
)
from imagegen.images.formats import BadImage
from imagegen.images.image_file import ImageFile, read_image
from imagegen.images.provenance import read_provenance
from imagegen.plan.record import OutputLine
from imagegen.project import Project
from imagegen.state.hashes import pointer_sha256

__all__ = [
    "RecoveredSettings",
    "recover_settings",
]


@dataclass(frozen=True)
class RecoveredSettings:
    """What an image was made with.

    backend: empty where the image does not say. prompt: the text itself, with nothing to draw. fields: of `generate`,
    the seed among them. section: options for the backend, the model among them. notes: what its user should be told.
    """

    backend: str
    prompt: str
    fields: Mapping[str, Any]
    section: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def recover_settings(project: Project, file: str, backend: str) -> RecoveredSettings:
    """What the image `file`, a path from the project or absolute, was made with.

    Its own record counts first, then its line in one of the lock files that were read, then what another generator
    wrote. backend: that will draw, empty for the image's own; another's options are left out. Raises ImagegenError
    where nothing tells.
    """
    found = _found(project, file, backend)
    texts = [found.backend, found.prompt, *map(str, found.fields.values()), *_texts(found.section)]
    if wrong := next(filter(None, map(find_hidden_character, texts)), ""):
        raise ImagegenError(Problem(file, f"its record {wrong}", "give --prompt and the rest yourself"))
    return found


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from _texts([*value, *value.values()])
    elif isinstance(value, Sequence):
        for inner in value:
            yield from _texts(inner)


def _found(project: Project, file: str, backend: str) -> RecoveredSettings:
    path = project.root / file
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ImagegenError(Problem(file, f"cannot be read: {error.strerror}", "--like names an image file")) from None
    pointer = pointer_sha256(data)
    sha256 = pointer or hashlib.sha256(data).hexdigest()
    try:
        image = read_image(data)
        record = read_provenance(image)
        request = (record or {}).get("request")
        omitted = (record or {}).get("omitted")
        if isinstance(request, dict) and not omitted:
            return _recalled(project, file, request, backend)
        if line := _line(project, path, sha256):
            return _recalled(project, file, line.request, backend)
        if isinstance(request, dict):
            left_out = ", ".join(_texts(omitted))
            found = _recalled(project, file, {"prompt": "", **request}, backend)
            return replace(found, notes=(f"{file} had no room for its {left_out}: not taken over",))
        if foreign := _foreign(file, image):
            return foreign
    except BadImage as error:
        if line := _line(project, path, sha256):
            return _recalled(project, file, line.request, backend)
        if pointer:
            what = "is a Git LFS pointer in place of the image, and no lock file has its line"
            raise ImagegenError(Problem(file, what, "git lfs pull")) from None
        raise ImagegenError(Problem(file, str(error), "--like names a PNG, WebP or JPEG image")) from None
    hint = "name an image that this build made with output.metadata: full, or give --prompt and the rest yourself"
    raise ImagegenError(Problem(file, "does not say what made it, and no lock file does", hint))


def _foreign(file: str, image: ImageFile) -> RecoveredSettings | None:
    """From what another generator wrote; None where none did. Raises ImagegenError."""
    graph = read_comfyui_prompt(image)
    try:
        if graph:
            return _of_comfyui(file, graph)
        found = read_foreign_settings(image)
    except UnreadableRecord as error:
        raise ImagegenError(Problem(file, str(error), "give --prompt and the rest yourself")) from None
    except ImagegenError:  # its nodes are beyond us; some of those that save images write the web UI's text too
        with contextlib.suppress(UnreadableRecord):
            if found := read_foreign_settings(image):
                return _of_parameters(file, found)
        raise
    return _of_parameters(file, found) if found else None


_SAMPLERS = {"sampler": "Sampler", "scheduler": "Schedule type"}
_LONGEST_SHOWN = 80


def _of_parameters(file: str, found: ForeignSettings) -> RecoveredSettings:
    """Its sampler in ComfyUI's words, where they are known; what is not taken over is said."""
    others = dict(found.others)
    given = [others.get(name, "").strip('"') for name in _SAMPLERS.values()]
    names = {key: name for key, name in zip(_SAMPLERS, to_comfyui_names(*given), strict=True) if name}
    for key in names:
        others.pop(_SAMPLERS[key], None)
    shown = (f"{name} {' '.join(value.split())}" for name, value in others.items())
    told = ", ".join(text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…" for text in shown)
    notes = (f"{file}: not taken over: {told}",) if told else ()
    return RecoveredSettings("", found.prompt, {**found.fields, **names}, notes=notes)


def _line(project: Project, path: Path, sha256: str) -> OutputLine | None:
    """The line that counts for the file, of whichever job; of a copy of it, that of the same content."""
    found = None
    for lock in project.locks.values():
        for lines in lock.lines.values():
            for line in lines:
                if line.sha256 == sha256:
                    return line
                if (project.root / line.path).resolve() == path.resolve():
                    found = lock.line_of(line.path, sha256)
    return found


def _recalled(project: Project, file: str, request: Mapping[str, Any], backend: str) -> RecoveredSettings:
    """From the canonical fields of a request."""
    name, prompt = request.get("backend"), request.get("prompt")
    if not isinstance(name, str) or not isinstance(prompt, str):
        raise ImagegenError(
            Problem(file, "its record names no backend or prompt", "give --prompt and the rest yourself")
        )
    fields = {key: request[key] for key in GENERATE_FIELDS if isinstance(request.get(key), FIELD_TYPES[key])}
    fields = {key: value for key, value in fields.items() if value != ""}
    if backend not in ("", name):
        return RecoveredSettings(name, prompt, fields)
    made_by = project.backends[name]
    others = {
        key: value
        for key, value in request.items()
        if key not in ("backend", "model", "name", "prompt", *GENERATE_FIELDS)
    }
    try:
        section = dict(made_by.recover_section(others))
    except (AttributeError, TypeError, ValueError):
        raise ImagegenError(
            Problem(file, f"its record is none of the backend {name}", "give --prompt yourself")
        ) from None
    except ImagegenError as error:
        raise ImagegenError(*(Problem(file, problem.what, problem.hint) for problem in error.problems)) from None
    if made_by.model_option and request.get("model"):
        section[made_by.model_option] = request["model"]
    return RecoveredSettings(name, prompt, fields, section)


def _of_comfyui(file: str, graph: str) -> RecoveredSettings:
    """From the workflow that ComfyUI ran: what its sampler was given, where that can be made out."""
    from imagegen.backends.comfyui.workflow import read_workflow, understand

    try:
        workflow = understand(read_workflow("workflow.json", graph.encode("utf-8", "replace")), {})
    except ImagegenError as error:
        what = f"its ComfyUI workflow cannot be made out: {error.problems[0].what}"
        raise ImagegenError(Problem(file, what, "give --prompt and the rest yourself")) from None
    held = {name: workflow.value_of(name) for name in workflow.inputs}
    # where another node gives the value, there is a link in its place
    types = {**FIELD_TYPES, "prompt": (str,), "checkpoint": (str,)}
    known: dict[str, Any] = {
        name: value for name, value in held.items() if isinstance(value, types[name]) and value != ""
    }
    section = {"checkpoint": known["checkpoint"]} if "checkpoint" in known else {}
    fields = {name: known[name] for name in GENERATE_FIELDS if name in known}
    note = f"{file}: of its ComfyUI workflow, no more is taken over than prompts, size, sampler settings and checkpoint"
    return RecoveredSettings("comfyui", known.get("prompt", ""), fields, section, (note,))
