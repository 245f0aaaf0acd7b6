"""Ollama's server: the addresses that OLLAMA_HOST can name, and the life of `ollama serve` from tools/ollama.

Only a server that this project started is ever stopped. Source of the facts: Ollama 0.32.5.
"""

from __future__ import annotations

import ipaddress
import json
import socket
from collections.abc import Callable
from pathlib import Path

import requests

from imagegen.backends.address import get_host, get_port, is_local
from imagegen.backends.http import Session, check_while_reading, deadline, read_available
from imagegen.backends.managed_server import ManagedServer, environment_without_secrets, find_free_port
from imagegen.backends.text import one_line
from imagegen.errors import ImagegenError, Problem

__all__ = ["LOG", "connect_address", "fetch_version", "is_this_machine", "managed_server", "start"]

LOG = Path(".imagegen/ollama/server.log")
_READY_S = 60.0
"""Seconds that it may take to answer; a real one takes less than one."""
_LONGEST = 65536
"""Bytes of an answer that are read."""
_PORT = 11434
_PORTS = {"http": 80, "https": 443}
"""If an address names its scheme, and no port."""


def is_this_machine(host: str) -> bool:
    """Return whether OLLAMA_HOST names this machine. For Ollama, 0.0.0.0 and no name at all do."""
    name, _ = _split(host)
    if name.lower() in ("", "localhost"):
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def connect_address(host: str) -> str:
    """Return HOST:PORT, by which a server on this machine is reached from this machine, and from nowhere else."""
    name, port = _split(host)
    if name in ("", "0.0.0.0"):  # noqa: S104 - nothing is to listen there
        name = "127.0.0.1"
    elif name == "::":
        name = "::1"
    return f"[{name}]:{port}" if ":" in name else f"{name}:{port}"


def _split(host: str) -> tuple[str, int]:
    """Return the name, an IPv6 address without brackets, and the port, in all the forms that Ollama takes."""
    text = host.strip().strip("'\"").strip()
    scheme, separator, rest = text.partition("://")
    rest = (rest if separator else text).partition("/")[0]
    standard = _PORTS.get(scheme, _PORT) if separator else _PORT
    if not rest:
        return "127.0.0.1", standard
    name, colon, port = rest.rpartition(":")
    if not colon or rest.endswith("]") or (":" in name and not name.endswith("]")):  # ::1 and [::1] have no port
        return rest.strip("[]"), standard
    is_port = port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= 65535
    return name.strip("[]"), int(port) if is_port else standard


def managed_server(root: Path) -> ManagedServer:
    """Return the server of the project at `root` (absolute), whether it runs or not."""
    return ManagedServer("Ollama", root, LOG, "fix its permissions, or doit ollama:setup", f"see {LOG.as_posix()}")


def start(
    root: Path,
    executable: Path,
    host: str,
    on_wait: Callable[[str], None],
    check: Callable[[], None],
    timeout_s: float = _READY_S,
) -> str:
    """Start the project's own server, or take over the one that a killed run left, wherever that answers.

    The caller calls `managed_server(root).release()` at the end.

    Args:
        root: the project's folder (absolute).
        host: HOST:PORT of this machine; if something listens there, a free port is used.
        on_wait: gets a few words about once a second while it waits.
        check: called often then; may raise. The server is stopped again then.
        timeout_s: seconds that it may take to answer.

    Returns:
        Where it answers, such as `127.0.0.1:11434`.

    Raises:
        ImagegenError: it cannot be started, or does not answer in time, and was stopped again.
    """
    if not is_local(f"http://{host}"):
        what = f"{host} is not an address of this machine, so no Ollama is started for it"
        raise ImagegenError(Problem("", what, "start it on that machine"))
    own = managed_server(root)
    with own.lock():
        record = own.read_record()
        if record and record.process.is_alive:
            record = own.take_over(record, "run")
        else:
            address = host if _is_free(host) else f"127.0.0.1:{find_free_port()}"
            # it shares its models with the user's own Ollama, perhaps a later one: it must not remove any
            environment = {**environment_without_secrets(), "OLLAMA_HOST": address, "OLLAMA_NOPRUNE": "1"}
            record = own.start([str(executable), "serve"], root, environment, f"http://{address}", "run")
    address = record.url.removeprefix("http://")
    try:
        own.wait_until_ready(record, lambda: fetch_version(address) is not None, timeout_s, on_wait, check)
    except BaseException:
        own.release()
        raise
    return address


def fetch_version(host: str, timeout_s: float = 2.0) -> str | None:
    """Return the version of the Ollama that answers there, such as `0.32.5`; None if none does within `timeout_s`."""
    url = f"http://{host}"
    try:
        with Session(url) as session, check_while_reading(deadline(timeout_s, TimeoutError)):
            with session.get(f"{url}/api/version", timeout=timeout_s, allow_redirects=False, stream=True) as answer:
                if answer.status_code != 200:
                    return None
                found = json.loads(read_available(answer, _LONGEST))
            return one_line(str(found["version"]), 40)
    except (requests.RequestException, OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _is_free(host: str) -> bool:
    url = f"http://{host}"
    try:
        socket.create_connection((get_host(url), get_port(url) or 0), 2).close()
    except OSError:
        return True
    return False
