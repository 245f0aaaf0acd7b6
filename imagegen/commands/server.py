"""`doit server:start`, `server:stop`, `server:status`: the ComfyUI server of this project, on this machine."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from doit.exceptions import TaskFailed

from imagegen.commands.acting import command
from imagegen.commands.build import current_build
from imagegen.commands.command import define
from imagegen.errors import ImagegenError

if TYPE_CHECKING:
    from imagegen.backends.comfyui.server import Launch

__all__ = [
    "task_server",
]


_START = define(
    "server:start",
    "Start ComfyUI from tools/ComfyUI and wait until it serves; runs leave it on.",
    {"doit server:start": ""},
)
_STOP = define("server:stop", "Stop the ComfyUI that this project started, and no other.", {"doit server:stop": ""})
_STATUS = define(
    "server:status", "Show whether ComfyUI serves, with its versions and devices.", {"doit server:status": ""}
)
_SAY_S = 10
"""Elsewhere than on a terminal, a line that often (seconds)."""


def task_server() -> Iterator[dict[str, Any]]:
    """Three commands, and no group of them: each has a basename of its own."""
    yield command(_START, _start)
    yield command(_STOP, _stop)
    yield command(_STATUS, _status)


def _start() -> TaskFailed | None:
    from imagegen.backends.comfyui.server import start
    from imagegen.report.server import status_lines

    def work() -> bool:
        started = start(_launch(), _say(), lambda: None, "server:start")
        _clear()
        if not started.here:
            print("ComfyUI is there already")
        print("\n".join(status_lines(started.status)))
        return True

    return _told(work)


def _stop() -> TaskFailed | None:
    from imagegen.backends.comfyui.server import get_status, stop

    def work() -> bool:
        print(stop(current_build().root))
        launch = _launch()
        if get_status(launch).answer.what == "comfyui":
            print(f"ComfyUI at {launch.url} was not started by this project and is left alone")
        return True

    return _told(work)


def _status() -> TaskFailed | None:
    from imagegen.backends.comfyui.server import get_status
    from imagegen.report.server import status_lines

    def work() -> bool:
        launch = _launch()
        found = [get_status(replace(launch, url=url)) for url in current_build().settings.comfyui_server_urls]
        print("\n\n".join("\n".join(status_lines(one)) for one in found))
        return any(one.state == "serving" for one in found)

    return _told(work)


def _told(work: Callable[[], bool]) -> TaskFailed | None:
    """Do it, and tell what is wrong, if anything."""
    try:
        return None if work() else TaskFailed("ComfyUI does not serve", report=False)
    except ImagegenError as error:
        said = "\n".join(map(str, error.problems))
        _clear()
        print(said)
        return TaskFailed(said, report=False)


def _launch() -> Launch:
    from imagegen.backends.comfyui.server import launch_of

    build = current_build()
    if build.problems:
        raise ImagegenError(*build.problems)
    return launch_of(build.root, build.settings)


def _say() -> Callable[[str], None]:
    """What tells of progress: in place on a terminal, a line now and then elsewhere."""
    next_s = 0.0

    def say(text: str) -> None:
        nonlocal next_s
        if sys.stdout.isatty():
            print(f"\r{text}\x1b[K", end="", flush=True)
        elif time.monotonic() >= next_s:
            next_s = time.monotonic() + _SAY_S
            print(text, flush=True)

    return say


def _clear() -> None:
    if sys.stdout.isatty():
        print("\r\x1b[K", end="")
