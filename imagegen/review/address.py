"""Where the server listens: the socket, the names that it is asked under, and who can reach it."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
from dataclasses import dataclass

from imagegen.errors import ImagegenError, InputError, Problem

__all__ = ["Address", "listen"]

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Address:
    """A socket that listens.

    Attributes:
        names: that a browser may ask for, each with the port.
        shown: those of them to print.
        is_any: it is reached at every address of this machine.
        is_loopback: it is reached from this machine alone.

    """

    socket: socket.socket
    names: frozenset[str]
    shown: tuple[str, ...]
    is_any: bool
    is_loopback: bool


def listen(host: str, port: int) -> Address:
    """Return a socket that listens there. Raises ImagegenError.

    Args:
        host: an IP address of this machine, or a name that leads to it.
        port: 0 for any that is free.

    """
    if not 0 <= port <= 65535:
        raise InputError(Problem("doit review", f"--port={port} is not a port", "they are from 1 to 65535"))
    family, sockaddr = _resolve(host, port)
    try:
        listening = socket.create_server(sockaddr[:2], family=family)
    except OSError as error:
        raise ImagegenError(_explain(error, host, port)) from None
    ip = ipaddress.ip_address(sockaddr[0].partition("%")[0])
    own = [host, str(ip)] if not ip.is_unspecified else [*_own_addresses(ip.version), _host_name()]
    local = [LOOPBACK, "localhost", "::1"] if ip.is_loopback or ip.is_unspecified else []
    number = listening.getsockname()[1]
    shown = [LOOPBACK if ip.version == 4 else "::1", *own[:-1]] if ip.is_unspecified else [host]
    return Address(
        listening,
        frozenset(one for name in (*own, *local) for one in _with_port(name.lower(), number)),
        tuple(dict.fromkeys(_with_port(name, number)[0] for name in shown)),
        ip.is_unspecified,
        ip.is_loopback,
    )


def _resolve(host: str, port: int) -> tuple[socket.AddressFamily, tuple[str, int]]:
    where = host.strip().removeprefix("[").removesuffix("]")
    try:
        family, _, _, _, sockaddr = socket.getaddrinfo(where, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError):  # a name of more than 63 letters cannot be encoded
        hint = "leave --host out for this machine alone, or give one of its own addresses"
        raise InputError(Problem("doit review", f"--host={host:.80} is not an address", hint)) from None
    return family, sockaddr  # type: ignore[return-value]


def _explain(error: OSError, host: str, port: int) -> Problem:
    reasons = {
        errno.EADDRINUSE: (f"port {port} is in use", "leave --port out for any that is free, or end what has it"),
        errno.EACCES: (f"port {port} is not open to you", "leave --port out, or give one above 1023"),
        errno.EADDRNOTAVAIL: (f"{host} is not an address of this machine", "0.0.0.0 stands for all that it has"),
    }
    known = {getattr(errno, f"WSA{errno.errorcode[number][1:]}", number): number for number in reasons}
    found = reasons.get(error.errno or 0) or reasons.get(known.get(error.errno or 0, 0))
    what, hint = found or (f"it cannot listen at {host}: {error.strerror or error}", "")
    return Problem("doit review", what, hint)


def _with_port(name: str, port: int) -> tuple[str, ...]:
    """Return how a browser writes it: without the port if that is HTTP's own."""
    bracketed = f"[{name}]" if ":" in name and not name.startswith("[") else name
    return (bracketed, f"{bracketed}:80") if port == 80 else (f"{bracketed}:{port}",)


def _own_addresses(version: int) -> list[str]:
    """Return the IP addresses by which other machines reach this one."""
    import psutil

    family = socket.AF_INET if version == 4 else socket.AF_INET6
    found = [one.address for some in psutil.net_if_addrs().values() for one in some if one.family == family]
    return [name for name in found if not ipaddress.ip_address(name.partition("%")[0]).is_loopback and "%" not in name]


def _host_name() -> str:
    return os.uname().nodename if hasattr(os, "uname") else socket.gethostname()
