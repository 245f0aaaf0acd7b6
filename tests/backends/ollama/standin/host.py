"""Which host and port OLLAMA_HOST means."""

from __future__ import annotations

import os

__all__ = ["address", "url"]


def address() -> tuple[str, int]:
    """Host and port. The host is empty in `:1234`, which is any to a server and the loopback to a client."""
    text = os.environ.get("OLLAMA_HOST", "").strip().strip("\"'")
    scheme, separator, rest = text.partition("://")
    default = {"http": 80, "https": 443}.get(scheme, 11434) if separator else 11434
    place = (rest if separator else text).partition("/")[0]
    host, colon, port = place.rpartition(":")
    if not colon or (place.count(":") > 1 and not place.startswith("[")) or place.endswith("]"):
        host, port = place or "127.0.0.1", str(default)
    good = port.isdecimal() and int(port) <= 65535
    return host.strip("[]"), int(port) if good else default


def url() -> str:
    host, port = address()
    return f"http://{host}:{port}"
