"""The servers of a project, as data: `doit server:start`, `server:stop` and `server:status`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

__all__ = ["DeviceMemory", "ServerProcess", "ServerStatus", "ServerStatuses", "StartedServer", "StoppedServers"]


@dataclass(frozen=True)
class DeviceMemory:
    """What a server generates on.

    Attributes:
        name: of the device.
        memory: of it, in bytes; null if it does not say.
        free: of that; null if it does not say.
    """

    name: str
    memory: int | None
    free: int | None


@dataclass(frozen=True)
class ServerProcess:
    """A process that this project started.

    Attributes:
        pid: its number.
        url: the address that it was started for.
        since: when it was started, in UTC.
        started_by: run: a run, which stops it at its end; killed run: one that cannot, so the next one does;
            server:start: a person.
        log: the file with its output, in the project.
    """

    pid: int
    url: str
    since: str
    started_by: Literal["run", "killed run", "server:start"]
    log: str


@dataclass(frozen=True)
class ServerStatus:
    """What is known of a server.

    Attributes:
        name: the program: ComfyUI or sd-server.
        url: its address.
        state: serving; starting: it does not answer yet; stopped: nothing answers; taken: something else answers;
            running: its process runs, and it was not asked for more.
        process: of the server that this project started, if it runs, at whatever address; else null.
        versions: of the programs that are known, by name.
        devices: that it generates on.
        note: what answers in its place, or what became of an earlier process; empty for nothing.
    """

    name: str
    url: str
    state: Literal["serving", "starting", "stopped", "taken", "running"]
    process: ServerProcess | None
    versions: Mapping[str, str]
    devices: tuple[DeviceMemory, ...]
    note: str


@dataclass(frozen=True)
class StartedServer:
    """A server that serves.

    Attributes:
        server: what is known of it.
        is_new: whether it was started now.
    """

    server: ServerStatus
    is_new: bool


@dataclass(frozen=True)
class StoppedServers:
    """The servers that this project had started.

    Attributes:
        stopped: the processes that ran until now, and were stopped.
        left_alone: the address of a ComfyUI that somebody else started; null if there is none.
    """

    stopped: tuple[ServerProcess, ...]
    left_alone: str | None


@dataclass(frozen=True)
class ServerStatuses:
    """The servers of this project.

    Attributes:
        servers: those that the settings name, and an sd-server that runs.
        is_serving: whether any ComfyUI serves.
    """

    servers: tuple[ServerStatus, ...]
    is_serving: bool
