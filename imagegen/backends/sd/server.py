"""Start, recognise and stop the `sd-server` of this project: one at a time, with one model."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from imagegen.backends.json_api import Refused, Unreachable
from imagegen.backends.managed_server import ManagedServer, ServerRecord, environment_without_secrets
from imagegen.backends.sd.client import Client

__all__ = ["LOG", "Launch", "ServerLog", "managed_server", "start", "stop"]

LOG = Path(".imagegen/sd/server.log")
"""The server's log; its record and lock are beside it."""
_LISTEN = "127.0.0.1"
_GRACE_S = 2.0
"""It ends at once unless it generates, and then not until the image is done: nothing is lost by killing it."""


@dataclass(frozen=True)
class Launch:
    """How this project's server is started.

    Attributes:
        root: the project's folder, absolute.
        command: the program and its arguments, without the port.
        ready_timeout_s: seconds from its start until it must serve, its model loaded.
    """

    root: Path
    command: tuple[str, ...]
    ready_timeout_s: float


def managed_server(root: Path) -> ManagedServer:
    """Return the server of the project at `root`, whether it runs or not."""
    return ManagedServer("sd-server", root, LOG, "fix its permissions, or doit sd:setup", _TOO_SLOW, _SIGNS)


def start(launch: Launch, on_wait: Callable[[str], None], check: Callable[[], None]) -> ServerRecord:
    """Return this run's server with that command: the one that runs, or that a killed run left, or a new one.

    Args:
        on_wait: gets a few words about once a second while the model is loaded.
        check: called often then; may raise.

    Raises:
        ImagegenError: it cannot be started. What was started is stopped then, and when `check` raises.
    """
    own = managed_server(launch.root)
    with own.lock():
        record = own.read_record()
        if record and record.process.is_alive and _get_command(record) == launch.command:
            record = own.take_over(record, "run")
        else:
            if record:
                own.stop(record, _GRACE_S)
            port = _find_free_port()
            command = [*launch.command, "--listen-ip", _LISTEN, "--listen-port", str(port)]
            url = f"http://{_LISTEN}:{port}"
            record = own.start(command, launch.root, environment_without_secrets(), url, "run")
    log = ServerLog(launch.root)

    def show(text: str) -> None:
        percent = log.read_loading()
        on_wait(text if percent is None else f"loading the model … {percent} %")

    try:
        own.wait_until_ready(record, lambda: _serves(record.url), launch.ready_timeout_s, show, check)
    except BaseException:
        stop(launch.root)
        raise
    return record


def stop(root: Path) -> None:
    """Stop this project's server, if one runs; no other program. Raises ImagegenError if it cannot be stopped."""
    own = managed_server(root)
    with own.lock():
        if record := own.read_record():
            own.stop(record, _GRACE_S)


def _get_command(record: ServerRecord) -> tuple[str, ...]:
    """Return the command line of a running server without its address; empty if it cannot be read."""
    with suppress(psutil.Error, OSError):
        return tuple(psutil.Process(record.process.pid).cmdline()[:-4])
    return ()


def _serves(url: str) -> bool:
    with suppress(Refused, Unreachable):
        Client(url).capabilities()
        return True
    return False


def _find_free_port() -> int:
    with socket.socket() as found:
        found.bind((_LISTEN, 0))
        return int(found.getsockname()[1])


class ServerLog:
    """What the server writes: the bars of the model's loading and of the steps, and its last words.

    A bar is written again and again in one line, each time after a carriage return.
    """

    def __init__(self, root: Path) -> None:
        self._path = root / LOG
        self._begin = 0

    def mark(self) -> None:
        """Look from now on only at what is written from now on."""
        with suppress(OSError):
            self._begin = self._path.stat().st_size

    def read_loading(self) -> int | None:
        """Return how much of the model is loaded, in per cent; None if that is not written."""
        found = re.findall(_LOADING, self._read())
        return 100 * int(found[-1][0]) // max(1, int(found[-1][1])) if found else None

    def read_steps(self) -> tuple[int, int] | None:
        """Return the last step that is done, and how many there are; None if there is none yet."""
        found = re.findall(_STEP, self._read())
        return (int(found[-1][0]), int(found[-1][1])) if found else None

    def read_errors(self) -> list[str]:
        """Return the lines that say what went wrong, without the place in the engine's code."""
        return [match[1].strip() for match in re.finditer(_ERROR, self._read())]

    def read_header(self) -> str:
        """Return the beginning of the log, where the build and the devices are."""
        with suppress(OSError), self._path.open("rb") as log:
            return log.read(_MOST).decode("utf-8", "replace")
        return ""

    def _read(self) -> str:
        with suppress(OSError), self._path.open("rb") as log:
            size = log.seek(0, 2)
            log.seek(max(self._begin, size - _MOST) if size >= self._begin else 0)
            return log.read(_MOST).decode("utf-8", "replace")
        return ""


_MOST = 256 * 1024
"""Bytes of the log that are looked at: an image writes some 10 KB."""
_LOADING = r"\| (\d+)/(\d+) - [\d.]+(?:[KMG]?B/s)"
_STEP = r"\| (\d+)/(\d+) - [\d.]+(?:s/it|it/s)"
_ERROR = r"(?m)^\[ERROR\] (?:\S+:\d+ +- )?(.+)$"
_TOO_SLOW = "sd.server.ready_timeout_s in [tool.imagegen] gives it longer"
_SIGNS = {
    "error while loading shared libraries": "install what is missing, or another build: doit sd:setup --device=cpu",
    "GLIBC_": "this system is too old for that build: name one of your own: program in [tool.imagegen.sd]",
    "unknown argument": "fix sd.arguments in [tool.imagegen]",
    "new_sd_ctx_t failed": "see the lines before: the files may not fit together, or one may be incomplete",
}
"""What it writes before it ends → what to do."""
