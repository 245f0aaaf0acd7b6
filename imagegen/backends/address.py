"""What an address says by itself: its host, its port, whether it is this machine. Contacts nobody."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

__all__ = ["get_host", "get_port", "is_local"]


def is_local(url: str) -> bool:
    """Return whether the address is one of this machine alone, so that a server may be started for it."""
    host = get_host(url)
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def get_port(url: str) -> int | None:
    """Return the port of the address, by its scheme if it names none; None if it is not a valid port."""
    try:
        parts = urlsplit(url)
        return parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        return None


def get_host(url: str) -> str:
    """Return the host of the address; empty if there is none."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:  # [::1 without its end
        return ""
