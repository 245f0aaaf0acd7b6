"""`doit server:start`, `server:stop`, `server:status`: the servers of this project, on this machine.

A person starts ComfyUI only; of `sd-server`, there is one only while a run needs it, or after that was killed.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imagegen.commands.build import Build
from imagegen.commands.command import Answer, command
from imagegen.errors import DONE, FAILED, ImagegenError

if TYPE_CHECKING:
    from imagegen.backends.comfyui.server import Launch, Status
    from imagegen.backends.managed_server import ServerRecord
    from imagegen.report.results.servers import ServerProcess, ServerStatus

__all__ = [
    "start",
    "status",
    "status_lines",
    "stop",
    "stop_left_over",
]


@command(
    "server:start",
    "Start ComfyUI from tools/ComfyUI and wait until it answers; it keeps running after builds.",
    {"doit server:start": ""},
    needs_jobs=False,
    result="imagegen.report.results.servers:StartedServer",
)
def start(build: Build) -> Answer:
    """Start it, and show its status."""
    from imagegen.backends.comfyui.server import start
    from imagegen.report.console import StatusLine
    from imagegen.report.results.servers import StartedServer

    with StatusLine() as line:
        started = start(_launch(build), line.show, lambda: None, "server:start")
    said = [] if started.is_new else ["ComfyUI is already running"]
    result = StartedServer(_describe(started.status), started.is_new)
    return Answer(result, [*said, *status_lines(started.status)])


@command(
    "server:stop",
    "Stop the ComfyUI and the sd-server that this project started, and no others.",
    {"doit server:stop": ""},
    needs_jobs=False,
    result="imagegen.report.results.servers:StoppedServers",
)
def stop(build: Build) -> Answer:
    """Stop them, and name a ComfyUI that is left alone."""
    from imagegen.backends.comfyui.server import get_status
    from imagegen.backends.comfyui.server import managed_server as comfyui
    from imagegen.backends.sd.server import managed_server as sd_server
    from imagegen.report.results.servers import StoppedServers

    servers = [comfyui(build.root), sd_server(build.root)]
    recorded = [(server, record) for server in servers if (record := server.read_record())]
    running = [_describe_process(record, server.log) for server, record in recorded if record.process.is_alive]
    lines = [server.stop_recorded() for server in [server for server, _ in recorded] or servers[:1]]
    launch = _launch(build)
    is_left = get_status(launch).answer.what == "comfyui"
    lines += [f"ComfyUI at {launch.url} was not started by this project and is left alone"] if is_left else []
    return Answer(StoppedServers(tuple(running), launch.url if is_left else None), lines)


@command(
    "server:status",
    "Show whether ComfyUI runs, with its versions and devices.",
    {"doit server:status": ""},
    needs_jobs=False,
    result="imagegen.report.results.servers:ServerStatuses",
)
def status(build: Build) -> Answer:
    """Show the status of each server that the settings name."""
    from imagegen.backends.comfyui.server import get_status
    from imagegen.report.results.servers import ServerStatuses

    launch = _launch(build)
    found = [get_status(replace(launch, url=url)) for url in build.settings.comfyui_server_urls]
    sd = _sd_record(build.root)
    result = ServerStatuses(
        (*map(_describe, found), *([_describe_sd(*sd)] if sd else [])),
        any(one.state == "serving" for one in found),
    )
    blocks = [*map(status_lines, found), *([_sd_lines(*sd)] if sd else [])]
    lines = "\n\n".join("\n".join(block) for block in blocks).split("\n")
    return Answer(result, lines, DONE if result.is_serving else FAILED)


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


def _sd_record(root: Path) -> tuple[ServerRecord, Path] | None:
    """Return the record and the log of an sd-server that this project started; None if none runs."""
    from imagegen.backends.sd.server import managed_server

    server = managed_server(root)
    record = server.read_record()
    return (record, server.log) if record and record.process.is_alive else None


def _sd_lines(record: ServerRecord, log: Path) -> list[str]:
    from imagegen.report.console import table

    return table([("sd-server", record.url), ("process", _process(record)), ("log", log.as_posix())])


def _describe(status: Status) -> ServerStatus:
    from imagegen.backends.comfyui.server import LOG
    from imagegen.report.results.servers import DeviceMemory, ServerStatus

    said = status.answer.said if status.state == "taken" else ""
    return ServerStatus(
        name="ComfyUI",
        url=status.url,
        state=status.state,
        process=_describe_process(status.record, LOG) if status.record else None,
        versions={name: version for name, version in _versions(status).items() if version},
        devices=tuple(
            DeviceMemory(str(device.get("name", "?")), *_read_memory(device))
            for device in status.answer.stats.get("devices", ())
        ),
        note="; ".join(filter(None, (said, status.left))),
    )


def _describe_sd(record: ServerRecord, log: Path) -> ServerStatus:
    from imagegen.report.results.servers import ServerStatus

    return ServerStatus("sd-server", record.url, "running", _describe_process(record, log), {}, (), "")


def _describe_process(record: ServerRecord, log: Path) -> ServerProcess:
    from imagegen.report.results.servers import ServerProcess

    return ServerProcess(
        pid=record.process.pid,
        url=record.url,
        since=datetime.fromtimestamp(record.process.started, timezone.utc).isoformat(timespec="seconds"),
        started_by="killed run" if record.is_left_over else record.by,
        log=log.as_posix(),
    )


def _versions(status: Status) -> dict[str, str]:
    """Return the versions of a server that serves, as far as it tells them."""
    system = status.answer.stats.get("system", {}) if status.state == "serving" else {}
    keys = {"ComfyUI": "comfyui_version", "PyTorch": "pytorch_version", "Python": "python_version"}
    return {name: str(system.get(key) or "").partition(" ")[0] for name, key in keys.items()}


def _detail(status: Status) -> str:
    if status.state == "serving":
        said = _versions(status).items()
        return ", ".join(f"{name} {version}".rstrip() for name, version in said if version or name == "ComfyUI")
    if status.state == "taken":
        return status.answer.said
    return "does not answer yet" if status.state == "starting" else "nothing answers there"


def _read_memory(device: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """Return a device's memory, and how much of it is free; None for what it does not say."""
    total, free = (device.get(key) for key in ("vram_total", "vram_free"))
    return total if isinstance(total, int) else None, free if isinstance(free, int) else None


def _memory(device: Mapping[str, Any]) -> str:
    total, free = _read_memory(device)
    if total is None or free is None:
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
