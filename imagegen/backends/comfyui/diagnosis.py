"""ComfyUI's rows for `doit doctor`: its set-up here, each server, and the checkpoint of each job."""

from __future__ import annotations

import os
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imagegen.backends.address import is_local
from imagegen.backends.base import Diagnosis, GenerationError
from imagegen.backends.comfyui.client import Refused, Unreachable
from imagegen.backends.comfyui.fleet import named
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
    fleet = backend.fleet
    fleet.look(requests)
    for url in named(requests):
        yield from _server(url, [one for one in requests if url in one.extra["urls"]], backend)
    pools: dict[tuple[str, ...], list[Request]] = defaultdict(list)
    for request in requests:
        pools[tuple(request.extra["urls"])].append(request)
    for of_pool in pools.values():
        yield from _models(of_pool, backend)
        problems = backend.preflight(of_pool)
        for problem in problems:
            yield Diagnosis(False, problem.where or "its jobs", problem.what, problem.hint or "correct it")
        if not problems:
            yield Diagnosis(True, "its jobs", "preflight finds nothing wrong")
    if here := [url for url in named(requests) if is_local(url)]:
        serves = not all(fleet.silence(url) or fleet.standing(url) for url in here)
        root = Path(requests[0].extra["root"])
        for row in diagnose_installation(root, settings):
            # a server that serves is somebody's own, and needs none of it
            yield replace(row, ok=row.ok or serves, hint="" if serves else row.hint, blocks=False)
        yield _disk(root)
    token = "set" if os.environ.get("HF_TOKEN") else "not set; only models behind a licence need it"
    yield Diagnosis(True, "HF_TOKEN", token)


def _server(url: str, requests: Sequence[Request], backend: ComfyUIBackend) -> Iterator[Diagnosis]:
    """Rows for one server. What it cannot do blocks nothing where others are: preflight says what none of them can."""
    fleet, what = backend.fleet, f"server {url}"
    has_others = any(len(request.extra["urls"]) > 1 for request in requests)
    connection = fleet.connection(requests[0], url)
    if problems := fleet.standing(url):
        if has_others:  # else preflight says so
            yield Diagnosis(False, what, problems[0].what, problems[0].hint, blocks=False)
        return
    if silence := fleet.silence(url):
        yield Diagnosis(True, what, f"nothing answers ({silence}); a run with something stale starts it")
    else:
        system = connection.stats["system"]
        versions = f"ComfyUI {system['comfyui_version']}, PyTorch {system.get('pytorch_version', 'unknown')}"
        yield Diagnosis(True, what, f"{versions}, Python {str(system.get('python_version', 'unknown')).split()[0]}")
        for device in connection.stats.get("devices", ()):
            yield Diagnosis(True, f"device {device.get('name', 'unknown')}", _memory(device))
    names, where = _checkpoints(url, requests[0], backend)
    found = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    yield Diagnosis(True, "checkpoints", f"{where} {found or 'none'}")
    if has_others:
        against = Counter(problem.what for request in requests for problem in fleet.against(request, url)[:1])
        for problem, count in against.items():
            yield Diagnosis(True, what, f"draws none of {count} images: {problem}")


def _checkpoints(url: str, request: Request, backend: ComfyUIBackend) -> tuple[list[str], str]:
    """The names, and where they are, in words."""
    try:
        return backend.fleet.connection(request, url).client.models("checkpoints"), "the server lists"
    except (Unreachable, Refused):
        return names_in(backend.folders(request)["checkpoints"]), "its folders hold"


def _memory(device: dict[str, Any]) -> str:
    free, total = device.get("vram_free"), device.get("vram_total")
    if not isinstance(free, (int, float)) or not isinstance(total, (int, float)):
        return "memory unknown"
    return f"{free / _GB:.1f} of {total / _GB:.1f} GB free"


def _models(requests: Sequence[Request], backend: ComfyUIBackend) -> Iterator[Diagnosis]:
    """Rows for the checkpoints of requests that the same servers draw."""
    urls = requests[0].extra["urls"]
    names = {name.replace("\\", "/") for url in urls for name in _checkpoints(url, requests[0], backend)[0]}
    for request in {request.model: request for request in requests}.values():
        if not request.model:
            try:
                yield Diagnosis(True, "checkpoint left open", f"{backend.choose_model(request)} will be taken")
            except GenerationError as error:
                yield Diagnosis(False, "checkpoint left open", error.problem.what, error.problem.hint)
            continue
        digest = backend.model_identity(request).digest
        known = f"sha256 {digest[:12]}…" if digest else "its file is not on this machine, so its sha256 is unknown"
        # where it is not, preflight says so, and it may be another kind of model than a checkpoint
        if request.model.replace("\\", "/") in names:
            yield Diagnosis(True, f"checkpoint {request.model}", known)


def _disk(root: Path) -> Diagnosis:
    free_gb = shutil.disk_usage(root).free / _GB
    found = f"{free_gb:.1f} GB free"
    if free_gb < _ENOUGH_GB:
        return Diagnosis(False, "disk", found, f"models are large: make room for {_ENOUGH_GB:g} GB", blocks=False)
    return Diagnosis(True, "disk", found)
