"""Its rows of `doit doctor`: which program each server is, and what it has; then what preflight finds."""

from __future__ import annotations

from collections.abc import Iterator

from imagegen.backends.a1111.server import Server
from imagegen.backends.base import Diagnosis
from imagegen.backends.text import list_first

__all__ = ["describe_server"]


def describe_server(server: Server) -> Iterator[Diagnosis]:
    """Yield the rows of a server that answers."""
    client, what = server.client, f"server {server.client.url}"
    ways = [
        "shows progress" if client.stage() else "shows no progress",
        "A1111_AUTH is sent" if client.has_auth else "no authorization",
    ]
    yield Diagnosis(True, what, ", ".join([server.title, *ways]))
    if server.checkpoints:
        loaded = f"; loaded: {server.loaded}" if server.loaded else ""
        names = list_first([one.file for one in server.checkpoints])
        yield Diagnosis(True, "checkpoints", f"{len(server.checkpoints)}: {names}{loaded}")
    if names := list_first(list(dict.fromkeys(server.samplers.values()))):
        yield Diagnosis(True, "samplers", names)
