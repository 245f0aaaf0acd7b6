"""OLLAMA_HOST in all the forms that Ollama takes: which machine and port it names. Asks nobody.

Source of the facts: Ollama 0.32.5.
"""

from __future__ import annotations

import ipaddress

__all__ = ["dialled", "is_local"]

_PORT = 11434
_PORTS = {"http": 80, "https": 443}
"""Where an address names its scheme, and no port."""


def is_local(host: str) -> bool:
    """Whether it names this machine. 0.0.0.0, for Ollama and its clients alike, does; so does no name at all."""
    name, _ = _parts(host)
    if name.lower() in ("", "localhost"):
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def dialled(host: str) -> str:
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
