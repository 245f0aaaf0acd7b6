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
    """One of the server's."""

    title: str
    """What a request names."""
    name: str = ""
    path: str = ""
    hash: str = ""

    @property
    def file(self) -> str:
        """Return its name without its hash, which it may get only once it was loaded: it stays the same."""
        return self.title.partition(" [")[0].replace("\\", "/")

    @property
    def names(self) -> Sequence[str]:
        """Return what a job may call it: as listed, by its file with its folder and ending or without, by its hash."""
        files = (self.file, self.file.rpartition("/")[2], self.path.replace("\\", "/").rpartition("/")[2])
        found = (self.title, self.name, *files, *(one.rpartition(".")[0] for one in files), self.hash)
        return list(dict.fromkeys(filter(None, found)))

    @property
    def base(self) -> str:
        """Return its file's name without its folder and its ending, as A1111 reports it."""
        file = (self.path or self.file).replace("\\", "/").rpartition("/")[2]
        return file.rpartition(".")[0] or file


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
    def title(self) -> str:
        """Return the program and its version, for a person."""
        return f"{self.program.name} {self.version}".rstrip()

    @property
    def loaded(self) -> str:
        """Return the checkpoint that it has loaded now; empty if it does not say."""
        return _text(self.options, "sd_model_checkpoint") or _text(self.options, "model")

    def find(self, name: str) -> Sequence[Checkpoint]:
        """Return the checkpoints that a job may mean by this name: the one of this title alone, if there is one.

        Without a name, that is all.
        """
        if not name:
            return self.checkpoints
        exact = [one for one in self.checkpoints if name in (one.title, one.file)]
        return exact or [one for one in self.checkpoints if name in one.names]

    @cached_property
    def loras(self) -> Mapping[str, str] | None:
        """What a request calls each LoRA, by each name that a job may give it; None if there is no list."""
        if self.program is DRAW_THINGS:
            return None
        found: dict[str, str] = {}
        for one in _list(self.client.get, "loras"):
            path = _text(one, "path").replace("\\", "/")
            sent = _text(one, "name") if self.program.loras == "prompt" else _text(one, "path")
            file = path if self.program.loras == "lora" else path.rpartition("/")[2]
            for name in (_text(one, "name"), _text(one, "alias"), file):
                found.setdefault(name, sent)
        return {name: sent for name, sent in found.items() if name and sent}


def inspect_server(client: Client) -> Server:
    """Ask a server what it is and has. Raises Refused, if what answers has no such API too, and Unreachable."""
    get = cache(client.get)
    found = identify(get)
    if found is None:
        raise _explain_other(client)
    program, version = found
    options = get("/sdapi/v1/options")
    checkpoints = [
        Checkpoint(_text(one, "title") or _text(one, "model_name"), *(_text(one, key) for key in _OTHER_NAMES))
        for one in _list(get, "sd-models")
    ]
    samplers = _list(get, "samplers")
    schedulers = _list(get, "schedulers") if program.takes_scheduler else []
    return Server(
        client,
        program,
        version,
        options if isinstance(options, dict) else {},
        [one for one in checkpoints if one.title],
        {alias.lower(): _text(one, "name") for one in reversed(samplers) for alias in _aliases(one)}
        | {_text(one, "name").lower(): _text(one, "name") for one in samplers},
        {_text(one, key).lower(): _text(one, "name") for one in reversed(schedulers) for key in ("label", "name")},
    )


_OTHER_NAMES = ("model_name", "filename", "hash")


def _aliases(sampler: Mapping[str, Any]) -> Sequence[str]:
    found = sampler.get("aliases")
    return [one for one in found if isinstance(one, str)] if isinstance(found, list) else []


def _explain_other(client: Client) -> Refused:
    """Return what is wrong with a server that does not have the API."""
    system = client.get("/system_stats")
    if isinstance(system, dict) and "system" in system:
        hint = f"write backend: comfyui, and its address as comfyui.server.url: {client.url}"
        return Refused(f"what answers at {client.url} is ComfyUI", hint)
    if client.get("/internal/ping") is not None:
        return Refused(f"A1111 or Forge at {client.url} has no API", "start it with --api")
    hint = f"start A1111 or Forge with --api, or correct {client.url_setting}"
    return Refused(f"what answers at {client.url} does not have A1111's API", hint)


def _list(get: Callable[[str], Any], name: str) -> list[Mapping[str, Any]]:
    found = get(f"/sdapi/v1/{name}")
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _text(found: Mapping[str, Any], key: str) -> str:
    value = found.get(key)
    return value if isinstance(value, str) else ""
