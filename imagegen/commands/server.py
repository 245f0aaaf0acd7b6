"""`doit server:start`, `server:stop`, `server:status`: the servers of this project, on this machine.

A person starts ComfyUI only; of `sd-server`, there is one only while a run needs it, or after that was killed.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imagegen.commands.build import Build
from imagegen.commands.command import command
from imagegen.errors import ImagegenError

if TYPE_CHECKING:
    from imagegen.backends.comfyui.server import Launch, Status
    from imagegen.backends.managed_server import ServerRecord

__all__ = ["start", "status", "status_lines", "stop", "stop_left_over"]


@command(
    "server:start",
    "Start ComfyUI from tools/ComfyUI and wait until it answers; it keeps running after builds.",
    {"doit server:start": ""},
    needs_jobs=False,
)
def start(build: Build) -> None:
    """Start it, and print its status."""
    from imagegen.backends.comfyui.server import start
    from imagegen.report.console import StatusLine

    with StatusLine() as line:
        started = start(_launch(build), line.show, lambda: None, "server:start")
    if not started.is_new:
        print("ComfyUI is already running")
    print("\n".join(status_lines(started.status)))


@command(
    "server:stop",
    "Stop the ComfyUI and the sd-server that this project started, and no others.",
    {"doit server:stop": ""},
    needs_jobs=False,
)
def stop(build: Build) -> None:
    """Stop them, and name a ComfyUI that is left alone."""
    from imagegen.backends.comfyui.server import get_status
    from imagegen.backends.comfyui.server import managed_server as comfyui
    from imagegen.backends.sd.server import managed_server as sd_server

    servers = [comfyui(build.root), sd_server(build.root)]
    recorded = [server for server in servers if server.read_record()]
    print("\n".join(server.stop_recorded() for server in recorded or servers[:1]))
    launch = _launch(build)
    if get_status(launch).answer.what == "comfyui":
        print(f"ComfyUI at {launch.url} was not started by this project and is left alone")


@command(
    "server:status",
    "Show whether ComfyUI runs, with its versions and devices.",
    {"doit server:status": ""},
    needs_jobs=False,
)
def status(build: Build) -> int:
    """Print the status of each server that the settings name."""
    from imagegen.backends.comfyui.server import get_status

    launch = _launch(build)
    found = [get_status(replace(launch, url=url)) for url in build.settings.comfyui_server_urls]
    print("\n\n".join(["\n".join(status_lines(one)) for one in found] + _sd_lines(build.root)))
    return int(not any(one.state == "serving" for one in found))


def stop_left_over(root: Path) -> list[str]:
    """Stop the servers that a killed run left; return a line for each, or for what is in the way."""
    from imagegen.backends.comfyui.server import managed_server as comfyui
    from imagegen.backends.ollama.server import managed_server as ollama
    from imagegen.backends.sd.server import managed_server as sd_server

    lines = []
    for server in (comfyui(root), ollama(root), sd_server(root)):
        try:
            with server.lock():
                record = server.read_record()
                if record and record.is_left_over and server.stop(record):
                    lines.append(f"stopped {server.name}, which a killed run had left (process {record.process.pid})")
        except ImagegenError as error:  # it costs no image
            lines += [str(problem) for problem in error.problems]
    return lines


def _launch(build: Build) -> Launch:
    from imagegen.backends.comfyui.server import launch_of

    return launch_of(build.root, build.settings)


def status_lines(status: Status) -> Sequence[str]:
    """Return the state, what is known of the server, and what to do if none serves."""
    from imagegen.backends.comfyui.server import LOG
    from imagegen.report.console import table

    rows: list[tuple[str, str]] = [(status.state, f"{status.url}  {_detail(status)}".rstrip())]
    for device in status.answer.stats.get("devices", ()):
        rows.append(("device", f"{device.get('name', '?')}{_memory(device)}"))
    if status.record:
        rows += [
            ("process", _process(status.record, "" if status.ours else f" at {status.record.url}")),
            ("log", LOG.as_posix()),
        ]
    elif status.state == "serving":
        rows.append(("process", "not started by this project, which leaves it alone"))
    if status.left:
        rows += [("before", status.left), ("log", LOG.as_posix())]
    return table(rows)


def _sd_lines(root: Path) -> list[str]:
    """Return what is known of an sd-server that this project started; nothing if none runs."""
    from imagegen.backends.sd.server import managed_server
    from imagegen.report.console import table

    server = managed_server(root)
    record = server.read_record()
    if record is None or not record.process.is_alive:
        return []
    rows = [("sd-server", record.url), ("process", _process(record)), ("log", server.log.as_posix())]
    return ["\n".join(table(rows))]


def _detail(status: Status) -> str:
    if status.state == "serving":
        system = status.answer.stats["system"]
        versions = {"ComfyUI": "comfyui_version", "PyTorch": "pytorch_version", "Python": "python_version"}
        said = {name: str(system.get(key) or "").partition(" ")[0] for name, key in versions.items()}
        return ", ".join(f"{name} {version}".rstrip() for name, version in said.items() if version or name == "ComfyUI")
    if status.state == "taken":
        return status.answer.said
    return "does not answer yet" if status.state == "starting" else "nothing answers there"


def _memory(device: dict[str, Any]) -> str:
    free, total = device.get("vram_free"), device.get("vram_total")
    if not isinstance(free, int) or not isinstance(total, int):
        return ""
    return f": {free / 1024**3:.1f} of {total / 1024**3:.1f} GB free"


def _process(record: ServerRecord, where: str = "") -> str:
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record.process.started))
    who = "doit server:start"
    if record.by == "run":
        who = "a run, which stops it at its end"
        if not record.owner.is_alive:
            who = "a run that was killed; the next one stops it at its end, as does doit server:stop"
    return f"{record.process.pid}{where}, since {since}, started by {who}"
