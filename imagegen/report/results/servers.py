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
        name: name of the device.
        memory: memory of the device in bytes; null if it is not known.
        free: free memory in bytes; null if it is not known.
    """

    name: str
    memory: int | None
    free: int | None


@dataclass(frozen=True)
class ServerProcess:
    """A process that this project started.

    Attributes:
        pid: process ID.
        url: address that the server was started for.
        since: time at which the server was started, in UTC.
        started_by: who started it; `run`: a run, which stops it at its end; `killed run`: a run that cannot stop it any
            more, so the next one does; `server:start`: a person.
        log: path of the file with its output, relative to the project.
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
        name: name of the program: ComfyUI or sd-server.
        url: address of the server.
        state: state of the server; `starting`: it does not answer yet; `stopped`: nothing answers; `taken`: another
            program answers; `running`: its process runs, and was not asked for more.
        process: process of the server, whatever its address, if this project started it and it runs; null otherwise.
        versions: versions of the programs, by name.
        devices: devices that it generates on.
        note: what answers instead, or what became of an earlier process; empty if there is nothing to say.
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
        server: the server.
        is_new: whether the server was started now.
    """

    server: ServerStatus
    is_new: bool


@dataclass(frozen=True)
class StoppedServers:
    """The servers that this project had started.

    Attributes:
        stopped: processes that were stopped.
        left_alone: address of a ComfyUI that somebody else started; null if there is none.
    """

    stopped: tuple[ServerProcess, ...]
    left_alone: str | None


@dataclass(frozen=True)
class ServerStatuses:
    """The servers of this project.

    Attributes:
        servers: servers that the settings name, and a running sd-server.
        is_serving: whether any ComfyUI serves.
    """

    servers: tuple[ServerStatus, ...]
    is_serving: bool
