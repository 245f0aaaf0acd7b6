"""One image at one server: the request becomes a prompt, which runs there, and what it made is downloaded."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from imagegen.backends.base import GeneratedImage, GenerationError, Progress
from imagegen.backends.comfyui import failures
from imagegen.backends.comfyui.checks import options_of, spec_of, spelling
from imagegen.backends.comfyui.client import Refused, Unreachable
from imagegen.backends.comfyui.connection import Connection
from imagegen.backends.comfyui.graph import place_of, prefixes, replaced
from imagegen.backends.comfyui.prompt import values_of, workflow_of
from imagegen.backends.comfyui.workflow import Workflow
from imagegen.backends.text import one_line
from imagegen.plan.request import Request

__all__ = ["draw"]


def draw(connection: Connection, request: Request, prompt_id: str, progress: Progress) -> GeneratedImage:
    """Have the server draw the request, and download what it made. Raises GenerationError."""
    workflow = workflow_of(request)
    with failures.stage("queue"):
        graph = _filled(connection, request, workflow, prompt_id, progress)
    entry = connection.run(prompt_id, graph, progress)
    with failures.stage("wait"):
        if failures.is_out_of_memory(entry):
            with contextlib.suppress(Unreachable, Refused):
                connection.client.free()  # its queue can hang for want of memory until it lets go of its models
        image = failures.image_of(entry, workflow.output)
    with failures.stage("download"):
        data = connection.view(image, progress)
    system = connection.stats.get("system", {})
    devices = [str(device.get("name", "")) for device in connection.stats.get("devices", ())]
    # kept with the image, so no longer than they are where they are right
    facts = {
        "comfyui": one_line(str(system.get("comfyui_version", "")), 40),
        "device": one_line(", ".join(devices)),
    }
    may_be_flat, has_own = bool(request.extra.get("allow_flat")), "graph" in request.extra
    server = connection.url if len(request.extra["urls"]) > 1 else ""
    # a workflow of one's own may scale what it drew
    return GeneratedImage(data, facts, may_be_flat=may_be_flat, any_size=has_own, server=server)


def _filled(
    connection: Connection, request: Request, workflow: Workflow, prompt_id: str, progress: Progress
) -> dict[str, Any]:
    """The graph to be queued, names as the server spells them, files under a prefix that no other prompt has."""
    values = values_of(request, workflow)
    for text, sha256 in request.extra.get("images", {}).items():
        file = Path(request.extra["files"][text])
        name = f"{sha256[:32]}{file.suffix.lower()}"
        values[place_of(text)] = connection.uploaded(sha256, name, _reader(file, sha256), progress)
    values |= dict.fromkeys(prefixes(workflow.graph), f"imagegen/{prompt_id}")
    graph = replaced(workflow.graph, values)
    for body in graph.values():
        for name, value in body["inputs"].items():
            if isinstance(value, str) and ("/" in value or "\\" in value):
                options = options_of(*spec_of(connection.info, body["class_type"], name))
                body["inputs"][name] = (spelling(value, options) if options else None) or value
    return graph


def _reader(file: Path, sha256: str) -> Callable[[], bytes]:
    def read() -> bytes:
        try:
            data = file.read_bytes()
        except OSError as error:
            raise GenerationError(
                f"{file} cannot be read: {error.strerror}", "put it back, then run doit again"
            ) from None
        if hashlib.sha256(data).hexdigest() != sha256:
            raise GenerationError(f"{file} was changed in the middle of the run", "run doit again")
        return data

    return read
