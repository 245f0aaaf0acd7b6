"""What an address says by itself: its host, its port, whether it is on this machine. Contacts nobody."""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache
from urllib.parse import urlsplit

__all__ = [
    *("get_host", "get_origin", "get_port"),
    *("is_below", "is_local", "is_private", "is_same_server", "is_startable"),
]

_PRIVATE = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")
"""Networks that no one else's server is in (RFC 1918, RFC 4193)."""


@lru_cache(256)  # asked for each image, of each of a run's servers
def is_local(url: str) -> bool:
    """Return whether the address is one of this machine alone."""
    host = get_host(url)
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_private(url: str) -> bool:
    """Return whether the address is one of this machine or of the user's own network: no one sells anything there."""
    host = get_host(url)
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        is_number = re.fullmatch(r"0x[0-9a-f]*|[0-9]+", host)  # it may be anybody's
        is_bare = host.isascii() and "." not in host and not is_number
        return bool(host) and (is_bare or (host.isascii() and host.endswith(".local")))
    return address.is_loopback or any(address in ipaddress.ip_network(one) for one in _PRIVATE)


def is_below(url: str, base: str) -> bool:
    """Return whether the address is `base` or a plain path below it, which nothing on the way reads as another one."""
    if not get_host(url) or get_origin(url) != get_origin(base):
        return False
    path, above = (urlsplit(one).path.rstrip("/") for one in (url, base))
    return bool(path.startswith(above) and re.fullmatch(r"(/[\w~-][\w.~-]*)*", path[len(above) :], re.ASCII))


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
