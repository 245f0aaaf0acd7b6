"""Start and stop the ComfyUI server of this project, and look at what is at its address.

It stops nothing that this project did not start, and starts no second server beside one that runs.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from imagegen.backends.address import get_host, get_port, is_local, is_startable
from imagegen.backends.comfyui import swarmui
from imagegen.backends.comfyui.client import Client
from imagegen.backends.comfyui.environment import VENV, read_torch_build
from imagegen.backends.http import check_while_reading, deadline
from imagegen.backends.json_api import Refused, Unreachable
from imagegen.backends.managed_server import (
    GRACE_S,
    ManagedServer,
    ServerRecord,
    StartedBy,
    environment_without_secrets,
)
from imagegen.backends.models import FOLDER
from imagegen.config.settings import Settings
from imagegen.errors import ImagegenError, InputError, NotBegunError, Problem
from imagegen.plan.request import Request

__all__ = [
    "LOG",
    "Launch",
    "Started",
    "Status",
    "build_command",
    "find_run_start_problem",
    "find_start_problem",
    "get_status",
    "launch_for",
    "launch_of",
    "managed_server",
    "probe",
    "start",
    "stop",
]

_DECIDED = ("--listen", "--port")
_LISTEN = "127.0.0.1"


@dataclass(frozen=True)
class Launch:
    """How this project's server is started.

    Attributes:
        root: the project's folder, absolute.
        url: the address at which it will serve.
        arguments: more arguments of main.py.
        ready_timeout_s: seconds from its start until it must serve.
        has_auth: whether COMFYUI_AUTH is for it.
    """

    root: Path
    url: str
    arguments: tuple[str, ...] = ()
    ready_timeout_s: float = 180.0
    has_auth: bool = False


def launch_of(root: Path, settings: Settings) -> Launch:
    """Return what the settings of the project say: of several servers, the first one that can be started."""
    urls = settings.comfyui_server_urls
    return Launch(
        root,
        next(filter(is_startable, urls), urls[0]),
        settings.comfyui_server_arguments,
        settings.comfyui_server_ready_timeout_s,
        has_auth=True,
    )


def launch_for(request: Request, url: str) -> Launch:
    """Return what a request says about one of its servers."""
    extra = request.extra
    has_auth = url in extra["trusted"]
    return Launch(Path(extra["root"]), url, tuple(extra["arguments"]), extra["ready_timeout_s"], has_auth)


def find_run_start_problem(request: Request, url: str) -> Problem | None:
    """Return why a run cannot start the server if none answers; None if it can."""
    if request.extra["start"] == "never" and is_startable(url):
        return Problem("", "runs do not start it", "start it: doit server:start")
    return find_start_problem(launch_for(request, url))


def find_start_problem(launch: Launch) -> Problem | None:
    """Return why no server can be started for this address; None if ComfyUI and its venv are there for it."""
    return _find_wrong_setting(launch) or _find_missing_program(launch)


def _find_wrong_setting(launch: Launch) -> Problem | None:
    url = f"comfyui.server.url: {launch.url}"
    if not is_local(launch.url):
        return Problem("", f"{url} is not on this machine, so it cannot be started from here", "start it where it is")
    port = get_port(launch.url)
    if swarmui.is_swarmui(launch.url):
        return Problem("", f"{url} is SwarmUI's, so it cannot be started from here", swarmui.START)
    if not is_startable(launch.url):
        what = f"{url} has a path, so it cannot be started from here"
        return Problem("", what, f"start what serves it, or make it http://{_LISTEN}:{port or 8188}")
    if urlsplit(launch.url).scheme != "http" or get_host(launch.url) not in (_LISTEN, "localhost") or not port:
        what = f"{url}: ComfyUI cannot be started at this address: it listens on {_LISTEN}, with plain http"
        return Problem("", what, f"make it http://{_LISTEN}:{port or 8188}")
    if decided := [word for word in launch.arguments if word.startswith(_DECIDED)]:
        what = f"comfyui.server.arguments: {decided[0]} is set by comfyui.server.url"
        return Problem("", what, "remove it; start a server that others can reach by hand")
    return None


def _find_missing_program(launch: Launch) -> Problem | None:
    for needed in (FOLDER / "main.py", _PYTHON):
        if not (launch.root / needed).exists():
            what = f"ComfyUI is not installed: there is no {needed.as_posix()}"
            return Problem("", what, f"start yours at {launch.url}, or install one here: doit comfyui:setup")
    return None


def build_command(launch: Launch) -> list[str]:
    """Return the command line, to be run in ComfyUI's folder."""
    words = [str(launch.root / _PYTHON), "main.py", *launch.arguments]
    if read_torch_build(launch.root) == "cpu" and "--cpu" not in launch.arguments:
        words.append("--cpu")
    return [*words, "--listen", _LISTEN, "--port", str(get_port(launch.url))]


_PYTHON = VENV / "bin" / "python"


LOG = Path(".imagegen/comfyui/server.log")
"""The server's log; its record and lock are beside it."""


@dataclass(frozen=True)
class Answer:
    """What is at an address.

    Attributes:
        said: what answers, if it is not ComfyUI.
        hint: what to do about it, if its answer says that.
        stats: ComfyUI's answer to /system_stats.
    """

    what: Literal["comfyui", "nothing", "other"]
    said: str = ""
    hint: str = ""
    stats: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Status:
    """What is known of the server.

    Attributes:
        state: starting: our process is alive, but does not answer yet; stopped: nothing answers; taken: something
            answers that is not ComfyUI.
        answer: what is at the address.
        record: of the server that this project started and that is alive, at whatever address.
        left: what became of one that is not alive; empty if there was none.
    """

    state: Literal["serving", "starting", "stopped", "taken"]
    url: str
    answer: Answer
    record: ServerRecord | None = None
    left: str = ""

    @property
    def ours(self) -> ServerRecord | None:
        """The record, if the server at this address is ours."""
        return self.record if self.record and _is_same_address(self.record.url, self.url) else None


@dataclass(frozen=True)
class Started:
    """A server that serves. is_new: it was started now. is_of_this_run: this run is to stop it at its end."""

    status: Status
    is_new: bool
    is_of_this_run: bool


def managed_server(root: Path) -> ManagedServer:
    """Return the server of the project at `root`, whether it runs or not."""
    return ManagedServer("ComfyUI", root, LOG, "fix its permissions, or doit comfyui:setup", _TOO_SLOW, _HINTS)


def probe(url: str, timeout_s: float = 5.0, auth: str = "") -> Answer:
    """Ask what is at the address. It never raises for what it finds there.

    Args:
        timeout_s: seconds for the answer.
        auth: the value of the Authorization header.
    """
    late = deadline(timeout_s, lambda: Unreachable(f"it says nothing within {timeout_s:g} s"))
    try:
        with check_while_reading(late):
            return Answer("comfyui", stats=Client(url, auth).system_stats())
    except Refused as refused:
        said, hint = refused.what, refused.hint if refused.status else ""
    except Unreachable as error:
        said, hint = f"what answers at {url} is not ComfyUI: {error}", ""
    return Answer("other", said, hint) if _accepts(url, timeout_s) else Answer("nothing")


def _auth(launch: Launch) -> str:
    return os.environ.get("COMFYUI_AUTH", "") if launch.has_auth else ""


def get_status(launch: Launch) -> Status:
    """Return what is known of the server. Changes nothing."""
    record, left = managed_server(launch.root).read_record(), ""
    if record and (state := record.process.get_state()) != "alive":
        ended = "is gone" if state == "gone" else "is gone, and another program has its number now"
        left = f"process {record.process.pid}, which this project started, {ended}"
        record = None
    answer = probe(launch.url, auth=_auth(launch))
    found = Status("serving", launch.url, answer, record, left)
    if answer.what == "comfyui":
        return found
    if found.ours:
        return replace(found, state="starting")
    return replace(found, state="stopped" if answer.what == "nothing" else "taken")


def start(launch: Launch, say: Callable[[str], None], check: Callable[[], None], by: StartedBy) -> Started:
    """Start a server at this address; one that serves there already is left as it is.

    Args:
        say: called with a few words about once a second while it waits.
        check: called at least every few seconds then; it raises to cancel.
        by: "run" for a run that releases it at its end, and takes over what a killed run left; "server:start" for
            a person, to whom runs leave the server from then on.

    Raises:
        ImagegenError: no server can be started. What was started is stopped then, and when `check` raises.
    """
    own = managed_server(launch.root)
    with own.lock():
        now = get_status(launch)
        if now.state == "stopped":
            _check_can_start(launch, now)
            environment = {**environment_without_secrets(), "PYTHONUNBUFFERED": "1"}
            record, is_new = own.start(build_command(launch), launch.root / FOLDER, environment, launch.url, by), True
        elif now.state == "taken":
            raise ImagegenError(_taken(now))
        elif now.ours is None:
            return Started(now, is_new=False, is_of_this_run=False)
        else:
            record, is_new = own.take_over(now.ours, by), False
    if now.state != "serving":
        try:
            own.wait_until_ready(record, lambda: _serves(launch), launch.ready_timeout_s, say, check)
        except BaseException:
            if is_new or record.is_of_this_run:
                with own.lock():
                    own.stop(record)
            raise
        now = get_status(launch)
    return Started(replace(now, record=record), is_new, record.is_of_this_run)


def stop(root: Path, grace_s: float = GRACE_S) -> str:
    """Stop the server that this project started, and no other; return words for what was done.

    Args:
        grace_s: seconds that it gets to end by itself.

    Raises:
        ImagegenError: it cannot be stopped.
    """
    return managed_server(root).stop_recorded(grace_s)


def _check_can_start(launch: Launch, now: Status) -> None:
    if now.record:
        what = f"this project's ComfyUI serves at {now.record.url}, and comfyui.server.url is {launch.url}"
        raise ImagegenError(Problem("", what, "doit server:stop, or set the address back"))
    if problem := _find_wrong_setting(launch):
        raise InputError(problem)
    if problem := _find_missing_program(launch):
        raise NotBegunError(problem)


def _taken(now: Status) -> Problem:
    hint = "end that program, or use another port: comfyui.server.url in [tool.imagegen], or COMFYUI_URL"
    if not is_startable(now.url):
        hint = "check comfyui.server.url in [tool.imagegen], or COMFYUI_URL"
    if swarmui.is_swarmui(now.url):
        hint = swarmui.START
    return Problem("", now.answer.said, now.answer.hint or hint)


def _serves(launch: Launch) -> bool:
    return probe(launch.url, timeout_s=2, auth=_auth(launch)).what == "comfyui"


_TOO_SLOW = "comfyui.server.ready_timeout_s in [tool.imagegen] gives it longer"
_HINTS = {
    "is already in use on address": "end the program that has the port, or use another: comfyui.server.url",
    "main.py: error: ": "fix comfyui.server.arguments in [tool.imagegen]",
    "ModuleNotFoundError: ": "doit comfyui:setup",
    "Torch not compiled with CUDA": 'to do without a GPU: comfyui.server.arguments = ["--cpu"]',
    "Found no NVIDIA driver": 'install the driver, or do without a GPU: comfyui.server.arguments = ["--cpu"]',
}
"""What ComfyUI or PyTorch writes before it ends → what to do."""


def _is_same_address(one: str, other: str) -> bool:
    return is_startable(one) and is_startable(other) and get_port(one) == get_port(other)


def _accepts(url: str, timeout_s: float) -> bool:
    """Whether anything at all listens there."""
    try:
        socket.create_connection((urlsplit(url).hostname or "", get_port(url) or 0), timeout_s).close()
    except (OSError, ValueError):
        return False
    return True
