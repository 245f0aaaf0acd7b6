"""What a server is and has: its program, checkpoints, samplers, schedulers and LoRAs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

from imagegen.backends.a1111.client import Client
from imagegen.backends.a1111.programs import DRAW_THINGS, Program, identify
from imagegen.backends.json_api import Refused

__all__ = ["Checkpoint", "Server", "inspect_server"]


@dataclass(frozen=True)
class Checkpoint:
    """One of the server's. title: what a request names; it gets the hash only once it was loaded."""

    title: str
    name: str = ""
    path: str = ""
    hash: str = ""

    @property
    def file(self) -> str:
        """Return its title without its hash: it stays the same."""
        return _slashes(self.title.partition(" [")[0])

    @property
    def names(self) -> Sequence[str]:
        """Return what a job may call it: as listed, by its file with its folder and ending or without, by its hash."""
        files = (self.file, _base(self.file), _base(self.path))
        return [self.title, self.name, *files, *(one.rpartition(".")[0] for one in files), self.hash]


@dataclass(frozen=True)
class Server:
    """A server, as it was when it was first asked in this run."""

    client: Client
    program: Program
    version: str
    options: Mapping[str, Any]
    checkpoints: Sequence[Checkpoint]
    samplers: Mapping[str, str]
    """Its own name for each, by that name and its aliases in lower case; empty if it has no list."""
    schedulers: Mapping[str, str]

    @property
    def loaded(self) -> str:
        """Return the checkpoint that it has loaded now; empty if it does not say."""
        return _text(self.options, "sd_model_checkpoint") or _text(self.options, "model")

    @cached_property
    def loras(self) -> Mapping[str, str] | None:
        """What a request calls each LoRA, by each name that a job may give it; None if there is no list."""
        found = None if self.program is DRAW_THINGS else _list(self.client.get, "loras")
        if found is None:
            return None
        names: dict[str, str] = {}
        for one in found:
            by_path = self.program.loras == "lora"
            sent, path = _text(one, "path" if by_path else "name"), _slashes(_text(one, "path"))
            for name in (_text(one, "name"), _text(one, "alias"), path if by_path else _base(path)):
                names.setdefault(name, sent)
        return {name: sent for name, sent in names.items() if name and sent}


def inspect_server(client: Client) -> Server:
    """Ask a server what it is and has. Raises Refused, if what answers has no such API too, and Unreachable."""
    get = cache(client.get)
    found = identify(get)
    if found is None:
        raise _explain_other(client)
    program, version = found
    options = get("/sdapi/v1/options")
    checkpoints = [
        Checkpoint(_text(one, "title") or _text(one, "model_name"), *(_text(one, key) for key in _NAMES))
        for one in _list(get, "sd-models") or ()
    ]
    return Server(
        client,
        program,
        version,
        options if isinstance(options, dict) else {},
        [one for one in checkpoints if one.title],
        _index(_list(get, "samplers") or (), "aliases"),
        _index(_list(get, "schedulers") or (), "label") if program.takes_scheduler else {},
    )


_NAMES = ("model_name", "filename", "hash")


def _explain_other(client: Client) -> Refused:
    """Return what is wrong with a server that does not have the API."""
    system = client.get("/system_stats")
    if isinstance(system, dict) and "system" in system:
        hint = f"write backend: comfyui, and comfyui.server.url: {client.url}"
        return Refused(f"what answers at {client.url} is ComfyUI", hint)
    if client.get("/internal/ping") is not None:
        return Refused(f"A1111 or Forge at {client.url} was started without its API", "start it with --api")
    hint = f"start A1111 or Forge with --api, or correct {client.url_setting}"
    return Refused(f"what answers at {client.url} does not have A1111's API", hint)


def _index(found: Sequence[Mapping[str, Any]], more: str) -> Mapping[str, str]:
    """Return the names, by themselves and by what `more` holds, in lower case; a name counts more than an alias."""
    index = {}
    for one in found:
        others = one.get(more)
        for other in others if isinstance(others, list) else [others]:
            index[str(other).lower()] = _text(one, "name")
    return index | {_text(one, "name").lower(): _text(one, "name") for one in found}


def _list(get: Callable[[str], Any], name: str) -> list[Mapping[str, Any]] | None:
    found = get(f"/sdapi/v1/{name}")
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else None


def _text(found: Mapping[str, Any], key: str) -> str:
    value = found.get(key)
    return value if isinstance(value, str) else ""


def _slashes(path: str) -> str:
    return path.replace("\\", "/")


def _base(path: str) -> str:
    return _slashes(path).rpartition("/")[2]
