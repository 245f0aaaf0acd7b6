"""ComfyUI's rows for `doit doctor`: its installation here, each server, and the checkpoint of each job."""

from __future__ import annotations

import os
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imagegen.backends.address import is_startable
from imagegen.backends.base import Diagnosis, GenerationError
from imagegen.backends.comfyui.environment import VENV, Environment, find_python, query
from imagegen.backends.comfyui.install import Checkout, check_folder, get_checkout
from imagegen.backends.comfyui.servers import list_servers
from imagegen.backends.json_api import Refused, Unreachable
from imagegen.backends.models import FOLDER, list_names
from imagegen.backends.text import list_first
from imagegen.config.settings import Settings
from imagegen.errors import ImagegenError
from imagegen.plan.request import Request

if TYPE_CHECKING:
    from imagegen.backends.comfyui.backend import ComfyUIBackend

__all__ = ["diagnose", "diagnose_installation"]

_SETUP = "doit comfyui:setup"
_SHORT = 12


def diagnose_installation(root: Path, settings: Settings) -> list[Diagnosis]:
    """Return rows on git, Python, the clone and the venv. Contacts nothing.

    A row that is not ok blocks, except git's if ComfyUI is there already.
    """
    checkout, environment = get_checkout(root, settings), Environment(root)
    return [
        _check_git(root, checkout),
        _check_python(root, settings, environment),
        _check_clone(checkout),
        *_check_venv(checkout, environment),
    ]


def _check_git(root: Path, checkout: Checkout) -> Diagnosis:
    said = query(["git", "--version"], root) if shutil.which("git") else None
    if said is None:
        is_needed = not (checkout.folder / "main.py").exists()
        return Diagnosis(False, "git", "not installed", "install git: https://git-scm.com/downloads", is_needed)
    return Diagnosis(True, "git", said.removeprefix("git version "))


def _check_python(root: Path, settings: Settings, environment: Environment) -> Diagnosis:
    what = "Python for ComfyUI"
    if environment.version:
        return Diagnosis(True, what, f"Python {environment.version}, in {VENV}")
    try:
        return Diagnosis(True, what, str(find_python(root, settings.comfyui_python)))
    except ImagegenError as error:
        return Diagnosis(False, what, error.problems[0].what, error.problems[0].hint)


def _check_clone(checkout: Checkout) -> Diagnosis:
    what, pinned = "ComfyUI", checkout.revision
    try:
        check_folder(checkout)
    except ImagegenError as error:
        return Diagnosis(False, what, f"{FOLDER} {error.problems[0].what}", error.problems[0].hint)
    commit = checkout.commit
    if commit is None:
        there = "half there: an installation was stopped" if (checkout.folder / ".git").exists() else "not installed"
        return Diagnosis(False, what, f"{there}, in {FOLDER}", _SETUP)
    if commit != checkout.pinned:
        found = f"{FOLDER} is at {commit[:_SHORT]}, not at the pinned {pinned}"
        return Diagnosis(True, what, found, "doit comfyui:update")
    changes = ", with local changes" if checkout.query("status", "--porcelain", "--untracked-files=no") else ""
    return Diagnosis(True, what, f"{FOLDER} is at {pinned} ({commit[:_SHORT]}), as pinned{changes}")


def _check_venv(checkout: Checkout, environment: Environment) -> Iterator[Diagnosis]:
    if checkout.commit is None and not environment.version:
        return  # the clone's row says so already
    what = "ComfyUI's venv"
    if not environment.version:
        found = f"{VENV} is half made, or its Python is gone" if environment.folder.exists() else "not there"
        yield Diagnosis(False, what, found, _SETUP)
    elif environment.torch is None or not environment.has_torch(environment.torch):
        yield Diagnosis(False, what, "has no complete PyTorch", _SETUP)
    elif not environment.has_requirements():
        yield Diagnosis(False, what, "lacks packages of the current requirements.txt", _SETUP)
    else:
        yield Diagnosis(True, what, f"complete, with PyTorch: {environment.torch.build}")


_GB = 1e9
_ENOUGH_GB = 20.0
"""Free disk space that ComfyUI with PyTorch and one model need, roughly."""


def diagnose(requests: Sequence[Request], backend: ComfyUIBackend, settings: Settings) -> Iterator[Diagnosis]:
    """Yield rows for the servers of these requests; what keeps a request from being generated is a row that is not ok.

    The installation here matters if one of the servers can be started here, and blocks none that serves already.
    """
    fleet = backend.fleet
    fleet.ask_servers(requests)
    for url in list_servers(requests):
        yield from _check_server(url, [one for one in requests if url in one.extra["urls"]], backend)
    pools: dict[tuple[str, ...], list[Request]] = defaultdict(list)
    for request in requests:
        pools[tuple(request.extra["urls"])].append(request)
    for of_pool in pools.values():
        yield from _check_models(of_pool, backend)
        problems = backend.preflight(of_pool)
        for problem in problems:
            yield Diagnosis(False, problem.where or "its jobs", problem.what, problem.hint or "correct it")
        if not problems:
            yield Diagnosis(True, "its jobs", "preflight finds nothing wrong")
    if here := list(filter(is_startable, list_servers(requests))):
        serves = not all(fleet.silence(url) or fleet.server_problems(url) for url in here)
        root = Path(requests[0].extra["root"])
        for row in diagnose_installation(root, settings):
            # a server that serves already needs none of it
            yield replace(row, ok=row.ok or serves, hint="" if serves else row.hint, blocks=False)
        yield _check_disk(root)
    token = "set" if os.environ.get("HF_TOKEN") else "not set; only models behind a licence need it"
    yield Diagnosis(True, "HF_TOKEN", token)


def _check_server(url: str, requests: Sequence[Request], backend: ComfyUIBackend) -> Iterator[Diagnosis]:
    """Yield rows for one server. If there are others, nothing blocks: preflight says what none of them can do."""
    fleet, what = backend.fleet, f"server {url}"
    has_others = any(len(request.extra["urls"]) > 1 for request in requests)
    connection = fleet.connection(requests[0], url)
    if problems := fleet.server_problems(url):
        if has_others:  # else preflight says so
            yield Diagnosis(False, what, problems[0].what, problems[0].hint, blocks=False)
        return
    if silence := fleet.silence(url):
        yield Diagnosis(True, what, f"nothing answers ({silence}); a run with stale images starts it")
    else:
        system = connection.stats["system"]
        versions = f"ComfyUI {system['comfyui_version']}, PyTorch {system.get('pytorch_version', 'unknown')}"
        yield Diagnosis(True, what, f"{versions}, Python {str(system.get('python_version', 'unknown')).split()[0]}")
        for device in connection.stats.get("devices", ()):
            yield Diagnosis(True, f"device {device.get('name', 'unknown')}", _describe_memory(device))
    names, where = _list_checkpoints(url, requests[0], backend)
    yield Diagnosis(True, "checkpoints", f"{where} {list_first(names, 5) or 'none'}")
    if has_others:
        problems_found = Counter(
            problem.what for request in requests for problem in fleet.problems_for(request, url)[:1]
        )
        for problem, count in problems_found.items():
            yield Diagnosis(True, what, f"cannot generate {count} images: {problem}")


def _list_checkpoints(url: str, request: Request, backend: ComfyUIBackend) -> tuple[list[str], str]:
    """Return the names, and where they are, in words."""
    try:
        return backend.fleet.connection(request, url).client.models("checkpoints"), "the server lists"
    except (Unreachable, Refused):
        return list_names(backend.folders(request)["checkpoints"]), "its folders hold"


def _describe_memory(device: dict[str, Any]) -> str:
    free, total = device.get("vram_free"), device.get("vram_total")
    if not isinstance(free, (int, float)) or not isinstance(total, (int, float)):
        return "memory unknown"
    return f"{free / _GB:.1f} of {total / _GB:.1f} GB free"


def _check_models(requests: Sequence[Request], backend: ComfyUIBackend) -> Iterator[Diagnosis]:
    """Yield rows for the checkpoints of requests that name the same servers."""
    urls = requests[0].extra["urls"]
    names = {name.replace("\\", "/") for url in urls for name in _list_checkpoints(url, requests[0], backend)[0]}
    for request in {request.model: request for request in requests}.values():
        if not request.model:
            try:
                yield Diagnosis(True, "checkpoint left open", f"{backend.choose_model(request)} will be used")
            except GenerationError as error:
                yield Diagnosis(False, "checkpoint left open", error.problem.what, error.problem.hint)
            continue
        digest = backend.model_identity(request).digest
        known = f"sha256 {digest[:12]}…" if digest else "its file is not on this machine, so its sha256 is unknown"
        # if it is not there, preflight says so; and it may be another kind of model than a checkpoint
        if request.model.replace("\\", "/") in names:
            yield Diagnosis(True, f"checkpoint {request.model}", known)


def _check_disk(root: Path) -> Diagnosis:
    free_gb = shutil.disk_usage(root).free / _GB
    found = f"{free_gb:.1f} GB free"
    if free_gb < _ENOUGH_GB:
        return Diagnosis(False, "disk", found, f"models are large: make room for {_ENOUGH_GB:g} GB", blocks=False)
    return Diagnosis(True, "disk", found)
