"""ComfyUI's rows for `doit doctor`: its set-up here, each server, and the checkpoint of each job."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imagegen.backends.address import is_local
from imagegen.backends.base import Diagnosis, GenerationError
from imagegen.backends.comfyui.client import Refused, Unreachable
from imagegen.backends.comfyui.installation import diagnose_installation
from imagegen.backends.comfyui.models import names_in
from imagegen.config.settings import Settings
from imagegen.plan.request import Request

if TYPE_CHECKING:
    from imagegen.backends.comfyui.backend import ComfyUIBackend

__all__ = ["diagnose"]

_GB = 1e9
_ENOUGH_GB = 20.0
"""Free disk that ComfyUI with PyTorch and one model need at the least, roughly."""


def diagnose(requests: Sequence[Request], backend: ComfyUIBackend, settings: Settings) -> Iterator[Diagnosis]:
    """Rows for the servers of these requests; what keeps a request from being drawn is a row that is not ok.

    The set-up here matters where a server of these requests is on this machine, and blocks none that serves already.
    """
    for request in {request.extra["url"]: request for request in requests}.values():
        of_server = [one for one in requests if one.extra["url"] == request.extra["url"]]
        yield from _server(request, backend)
        yield from _checkpoints(of_server, backend)
        problems = backend.preflight(of_server)
        for problem in problems:
            yield Diagnosis(False, problem.where or "its jobs", problem.what, problem.mend or "correct it")
        if not problems:
            yield Diagnosis(True, "its jobs", "preflight finds nothing wrong")
        if is_local(request.extra["url"]):
            serves = backend.serves(request)
            for row in diagnose_installation(Path(request.extra["root"]), settings):
                # a server that serves is somebody's own, and needs none of it
                yield replace(row, ok=row.ok or serves, mend="" if serves else row.mend, blocks=False)
            yield _disk(Path(request.extra["root"]))
    token = "set" if os.environ.get("HF_TOKEN") else "not set; only models behind a licence need it"
    yield Diagnosis(True, "HF_TOKEN", token)


def _server(request: Request, backend: ComfyUIBackend) -> Iterator[Diagnosis]:
    connection = backend.connection(request)
    what = f"server {connection.url}"
    try:
        stats = connection.client.system_stats()
    except Refused as refused:
        yield Diagnosis(False, what, refused.what, refused.mend)
        return
    except Unreachable as error:
        if backend.cannot_start(request) is None:  # else preflight says so
            yield Diagnosis(True, what, f"nothing answers ({error}); a run with something stale starts it")
        return
    system = stats["system"]
    versions = f"ComfyUI {system['comfyui_version']}, PyTorch {system.get('pytorch_version', 'unknown')}"
    yield Diagnosis(True, what, f"{versions}, Python {str(system.get('python_version', 'unknown')).split()[0]}")
    for device in stats.get("devices", ()):
        yield Diagnosis(True, f"device {device.get('name', 'unknown')}", _memory(device))


def _memory(device: dict[str, Any]) -> str:
    free, total = device.get("vram_free"), device.get("vram_total")
    if not isinstance(free, (int, float)) or not isinstance(total, (int, float)):
        return "memory unknown"
    return f"{free / _GB:.1f} of {total / _GB:.1f} GB free"


def _checkpoints(requests: Sequence[Request], backend: ComfyUIBackend) -> Iterator[Diagnosis]:
    connection = backend.connection(requests[0])
    try:
        names, where = connection.client.models("checkpoints"), "the server lists"
    except (Unreachable, Refused):
        names, where = names_in(backend.folders(requests[0])["checkpoints"]), "its folders hold"
    found = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    yield Diagnosis(True, "checkpoints", f"{where} {found or 'none'}")
    for request in {request.model: request for request in requests}.values():
        if not request.model:
            try:
                yield Diagnosis(True, "checkpoint left open", f"{backend.only_model(request)} will be taken")
            except GenerationError as error:
                yield Diagnosis(False, "checkpoint left open", error.problem.what, error.problem.mend)
            continue
        digest = backend.model_identity(request).digest
        known = f"sha256 {digest[:12]}…" if digest else "its file is not on this machine, so its sha256 is unknown"
        is_there = request.model.replace("\\", "/") in {name.replace("\\", "/") for name in names}
        if is_there:  # where it is not, preflight says so, and it may be another kind of model than a checkpoint
            yield Diagnosis(True, f"checkpoint {request.model}", known)


def _disk(root: Path) -> Diagnosis:
    free_gb = shutil.disk_usage(root).free / _GB
    found = f"{free_gb:.1f} GB free"
    if free_gb < _ENOUGH_GB:
        return Diagnosis(False, "disk", found, f"models are large: make room for {_ENOUGH_GB:g} GB", blocks=False)
    return Diagnosis(True, "disk", found)
