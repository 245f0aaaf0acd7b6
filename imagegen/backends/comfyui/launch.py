"""How this project's own ComfyUI is started: from where, at which address, with which arguments. Starts nothing."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from imagegen.backends.address import host_of, is_local, port_of
from imagegen.config.settings import Settings
from imagegen.errors import Problem
from imagegen.plan.request import Request

__all__ = [
    "STATE",
    "TREE",
    "VENV",
    "Launch",
    "can_start",
    "cannot_start",
    "command",
    "launch_for",
    "launch_of",
    "torch_choice",
]

TREE = Path("tools/ComfyUI")
VENV = TREE / ".venv"
STATE = Path(".imagegen/comfyui")
"""The folder of the server's record, log and lock."""
_DECIDED = ("--listen", "--port")
_LISTEN = "127.0.0.1"


@dataclass(frozen=True)
class Launch:
    """How this project's server is started.

    root: the project, absolute. url: where it will serve. arguments: more of them for main.py.
    ready_timeout_s: seconds from its start until it must serve. has_auth: whether COMFYUI_AUTH is for it.
    """

    root: Path
    url: str
    arguments: tuple[str, ...] = ()
    ready_timeout_s: float = 180.0
    has_auth: bool = False


def launch_of(root: Path, settings: Settings) -> Launch:
    """As the settings of the project at `root` have it: of several servers, the first that is on this machine."""
    urls = settings.comfyui_server_urls
    return Launch(
        root,
        next(filter(is_local, urls), urls[0]),
        settings.comfyui_server_arguments,
        settings.comfyui_server_ready_timeout_s,
        has_auth=True,
    )


def launch_for(request: Request, url: str) -> Launch:
    """As a request has it, for one of its servers."""
    extra = request.extra
    has_auth = url in extra["trusted"]
    return Launch(Path(extra["root"]), url, tuple(extra["arguments"]), extra["ready_timeout_s"], has_auth)


def cannot_start(request: Request, url: str) -> Problem | None:
    """Why a run cannot start the server where none answers; None where it can."""
    if request.extra["start"] == "never":
        return Problem("", "it is not started by a run", "start it: doit server:start")
    return can_start(launch_for(request, url))


def can_start(launch: Launch) -> Problem | None:
    """Why no server can be started for this address; None where ComfyUI and its venv are there for it."""
    url = f"comfyui.server.url: {launch.url}"
    if not is_local(launch.url):
        return Problem("", f"{url} is not on this machine, so it is not started from here", "start it where it is")
    parts, port = urlsplit(launch.url), port_of(launch.url)
    if parts.scheme != "http" or host_of(launch.url) not in (_LISTEN, "localhost") or parts.path.strip("/") or not port:
        what = f"{url} is no address at which ComfyUI can be started: it listens on {_LISTEN}, with plain http"
        return Problem("", what, f"make it http://{_LISTEN}:{port or 8188}")
    if decided := [word for word in launch.arguments if word.startswith(_DECIDED)]:
        what = f"comfyui.server.arguments: {decided[0]} follows from comfyui.server.url"
        return Problem("", what, "take it out; a server that others can reach is started by hand")
    for needed in (TREE / "main.py", _PYTHON):
        if not (launch.root / needed).exists():
            what = f"ComfyUI is not set up: there is no {needed.as_posix()}"
            return Problem("", what, "start yours at this address, or have one set up here: doit comfyui:setup")
    return None


def command(launch: Launch) -> list[str]:
    """The command line, to be run in the folder of ComfyUI."""
    words = [str(launch.root / _PYTHON), "main.py", *launch.arguments]
    if torch_choice(launch.root) == "cpu" and "--cpu" not in launch.arguments:
        words.append("--cpu")
    return [*words, "--listen", _LISTEN, "--port", str(port_of(launch.url))]


def torch_choice(root: Path) -> str:
    """The PyTorch build in ComfyUI's venv, as set-up noted it, or `cpu` where it says so itself; empty if unknown."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        return str(json.loads((root / VENV / "imagegen.json").read_bytes())["torch"]["build"])
    for version in (root / VENV).glob("lib/python3*/site-packages/torch/version.py"):
        with suppress(OSError):
            return "cpu" if b"+cpu" in version.read_bytes() else ""
    return ""


_PYTHON = VENV / "bin" / "python"
