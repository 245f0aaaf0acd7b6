"""What Ollama's command line tells about itself, its server and its models.

Source of the facts: command lines of 0.32.5 and 0.32.15, run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from imagegen.backends.ollama.command import Command, Said
from imagegen.backends.ollama.names import tagged
from imagegen.backends.text import one_line
from imagegen.errors import ImagegenError, Problem

__all__ = ["Listed", "Shown", "Versions", "has_image_flags", "listed", "shown", "versions"]


@dataclass(frozen=True)
class Versions:
    """Of the client, and of the server that it talks to; empty where none answers."""

    client: str
    server: str


@dataclass(frozen=True)
class Listed:
    """A model that is there. id: the first 12 hex digits of its digest. size: as Ollama writes it."""

    id: str
    size: str


@dataclass(frozen=True)
class Shown:
    """What a model can do, and its licence's first lines; both empty where it does not say."""

    capabilities: tuple[str, ...] = ()
    licence: str = ""


def versions(command: Command) -> Versions:
    """The version line is the server's, though it is printed by the client. Raises ImagegenError."""
    said = command.ask("--version")
    server, client = _SERVER.search(said.out), _CLIENT.search(said.out)
    if not server and not client:
        what = f"{command.executable} is no Ollama: --version says '{one_line(said.out or said.err, 80)}'"
        raise ImagegenError(Problem("", what, "take it off PATH, or put Ollama before it"))
    known = server[1] if server else ""
    return Versions(client[1] if client else known, known)


_SERVER = re.compile(r"ollama version is (\S+)")
_CLIENT = re.compile(r"client version is (\S+)")


def has_image_flags(command: Command) -> bool:
    """Whether `run` knows images. Help needs no server."""
    return "--width" in command.ask("run", "--help").out


def listed(command: Command) -> Mapping[str, Listed]:
    """The models that are there, by name and tag. Raises ImagegenError."""
    said = command.ask("list")
    if said.code != 0:
        raise ImagegenError(Problem("", f"ollama list: {said.error or 'failed'}", "restart Ollama"))
    rows = [re.split(r"\s{2,}", line.strip()) for line in said.out.splitlines()]
    return {row[0]: Listed(row[1], row[2]) for row in rows if len(row) >= 3 and row[0] != "NAME"}


def shown(command: Command, model: str) -> Shown:
    """What `ollama show` says of a model; nothing where it fails, since newer ones refuse it for image models."""
    said = command.ask("show", tagged(model))
    if said.code != 0:
        return Shown()
    licence = one_line(" ".join(_section(said, "License")[:2]), 120)
    return Shown(tuple(_section(said, "Capabilities")), licence)


def _section(said: Said, title: str) -> list[str]:
    """The lines below a title, up to the blank one."""
    lines = [line.strip() for line in said.out.splitlines()]
    if title not in lines:
        return []
    below = lines[lines.index(title) + 1 :]
    return below[: below.index("")] if "" in below else below
