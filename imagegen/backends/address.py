"""What an address says by itself: its host, its port, whether it is on this machine. Contacts nobody."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

__all__ = ["get_host", "get_origin", "get_port", "is_local", "is_same_server", "is_startable"]


def is_local(url: str) -> bool:
    """Return whether the address is one of this machine alone."""
    host = get_host(url)
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_same_server(one: str, other: str) -> bool:
    """Return whether both are the same address, or the same port and path of this machine, which has several names."""
    if not (is_local(one) and is_local(other)):
        return one == other
    return (get_port(one), urlsplit(one).path) == (get_port(other), urlsplit(other).path)


def is_startable(url: str) -> bool:
    """Return whether a server may be started for the address: behind a path, another program passes calls on."""
    return is_local(url) and not urlsplit(url).path.strip("/")


def get_port(url: str) -> int | None:
    """Return the port of the address, by its scheme if it names none; None if it is not a valid port."""
    try:
        parts = urlsplit(url)
        return parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        return None


def get_origin(url: str) -> tuple[str, str, int | None]:
    """Return scheme, host and port: who is asked, whatever the path."""
    return url.partition(":")[0].lower(), get_host(url).lower(), get_port(url)


def get_host(url: str) -> str:
    """Return the host of the address; empty if there is none."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:  # [::1 without its end
        return ""
