"""The life of `ollama serve` from tools/ollama: started for a run, stopped at its end.

It touches no server that this project did not start.
"""

from __future__ import annotations

import ipaddress
import json
import socket
from collections.abc import Callable
from pathlib import Path

import requests

from imagegen.backends.address import host_of, is_local, port_of
from imagegen.backends.http import Session, check_while_reading, deadline, read_available
from imagegen.backends.managed_server import GRACE_S, ManagedServer, environment_without_secrets
from imagegen.backends.text import one_line
from imagegen.errors import ImagegenError, Problem

__all__ = [
    "LOG",
    "connect_address",
    "describe_end",
    "fetch_version",
    "is_running",
    "is_this_machine",
    "release",
    "start",
    "stop_left_over",
]


LOG = Path(".imagegen/ollama/server.log")
_READY_S = 60.0
"""Seconds that it may take to answer; a real one takes less than one."""
_LONGEST = 65536
"""Bytes of an answer that are read."""


def start(
    root: Path,
    executable: Path,
    host: str,
    say: Callable[[str], None],
    check: Callable[[], None],
    timeout_s: float = _READY_S,
) -> str:
    """Have the project at `root` (absolute) a server of its own; where it answers, such as `127.0.0.1:11434`.

    That is `host`, HOST:PORT of this machine, or, where something listens there, a free port. One that a killed run
    left is taken over, wherever it answers. say: gets a few words about once a second while it waits. check: is called
    often then, and raises to cancel. Whoever calls this calls `release` at the end.

    Raises ImagegenError where it does not answer after `timeout_s` seconds. It is stopped again then, and when `check`
    raises.
    """
    if not is_local(f"http://{host}"):
        what = f"{host} is no address of this machine, so that no Ollama is started for it"
        raise ImagegenError(Problem("", what, "start it where it is"))
    own = _own_server(root)
    with own.lock():
        record = own.record()
        if record and record.process.is_alive:
            record = own.take_over(record, "run")
        else:
            at = host if _is_free(host) else _free_host()
            # what it shares with the user's own Ollama, perhaps a later one, are the models: it must not tidy those up
            environment = {**environment_without_secrets(), "OLLAMA_HOST": at, "OLLAMA_NOPRUNE": "1"}
            record = own.start([str(executable), "serve"], root, environment, f"http://{at}", "run")
    at = record.url.removeprefix("http://")
    try:
        own.wait_until_ready(record, lambda: fetch_version(at) is not None, timeout_s, say, check)
    except BaseException:
        release(root)
        raise
    return at


def release(root: Path, grace_s: float = GRACE_S) -> bool:
    """A run's end: stop the server, and all that it started, if this run started it or took it over.

    Whether it was stopped. grace_s: seconds that it gets to end by itself. Raises ImagegenError where it cannot be.
    """
    return _own_server(root).release(grace_s)


def describe_end(root: Path) -> str:
    """How the project's own server ended, with the end of its log; empty while it is alive."""
    return _own_server(root).describe_end()


def is_running(root: Path) -> bool:
    """Whether a server of the project's own is alive: this run's, another's, or what a killed one left."""
    record = _own_server(root).record()
    return record is not None and record.process.is_alive


def stop_left_over(root: Path) -> None:
    """Stop the server that a killed run left, if there is one. Raises ImagegenError where a run at work has one."""
    own = _own_server(root)
    with own.lock():
        record = own.record()
        if record is None:
            return
        if record.process.is_alive and record.owner.is_alive:
            what = f"a run draws with Ollama from tools/ollama (process {record.owner.pid})"
            raise ImagegenError(Problem("", what, "wait for its end"))
        own.stop(record)


def fetch_version(host: str, timeout_s: float = 2.0) -> str | None:
    """The version of the Ollama that answers there, such as `0.32.5`; None where none does. timeout_s: in seconds."""
    url = f"http://{host}"
    try:
        late = deadline(timeout_s, TimeoutError)
        with Session(url) as session, check_while_reading(late):
            with session.get(f"{url}/api/version", timeout=timeout_s, allow_redirects=False, stream=True) as got:
                if got.status_code != 200:
                    return None
                found = json.loads(read_available(got, _LONGEST))
            return one_line(str(found["version"]), 40)
    except (requests.RequestException, OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _own_server(root: Path) -> ManagedServer:
    return ManagedServer("Ollama", root, LOG, "fix its permissions, or doit ollama:setup", f"see {LOG.as_posix()}")


def _is_free(host: str) -> bool:
    url = f"http://{host}"
    try:
        socket.create_connection((host_of(url), port_of(url) or 0), 2).close()
    except OSError:
        return True
    return False


def _free_host() -> str:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{found.getsockname()[1]}"


_PORT = 11434
_PORTS = {"http": 80, "https": 443}
"""Where an address names its scheme, and no port."""


def is_this_machine(host: str) -> bool:
    """Whether it names this machine. 0.0.0.0, for Ollama and its clients alike, does; so does no name at all."""
    name, _ = _parts(host)
    if name.lower() in ("", "localhost"):
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def connect_address(host: str) -> str:
    """NAME:PORT, by which a server on this machine is reached from it, and from nowhere else."""
    name, port = _parts(host)
    if name in ("", "0.0.0.0"):  # noqa: S104 - nothing is to listen there
        name = "127.0.0.1"
    elif name == "::":
        name = "::1"
    return f"[{name}]:{port}" if ":" in name else f"{name}:{port}"


def _parts(host: str) -> tuple[str, int]:
    """Its name, an IPv6 address without brackets, and its port."""
    text = host.strip().strip("'\"").strip()
    scheme, separator, rest = text.partition("://")
    rest = (rest if separator else text).partition("/")[0]
    standard = _PORTS.get(scheme, _PORT) if separator else _PORT
    if not rest:
        return "127.0.0.1", standard
    name, colon, port = rest.rpartition(":")
    if not colon or rest.endswith("]") or (":" in name and not name.endswith("]")):  # ::1 and [::1] have no port
        return rest.strip("[]"), standard
    good = port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= 65535
    return name.strip("[]"), int(port) if good else standard
