"""The server of a run: which command an image needs, one server at a time, and what becomes of it."""

from __future__ import annotations

import os
import re
from collections.abc import Hashable, Mapping
from functools import cached_property
from pathlib import Path

from imagegen.backends.base import (
    Cancelled,
    Context,
    GeneratedImage,
    GenerationError,
    MayBeRunningError,
    OverdueError,
    Progress,
)
from imagegen.backends.models import Folders, list_model_folders
from imagegen.backends.sd.client import Capabilities, Client
from imagegen.backends.sd.files import find_lora_folder, find_model_file
from imagegen.backends.sd.image import build_body, forget_job, generate
from imagegen.backends.sd.program import Program, inspect_program
from imagegen.backends.sd.section import PARTS
from imagegen.backends.sd.server import Launch, ServerLog, managed_server, start, stop
from imagegen.errors import ImagegenError
from imagegen.plan.request import Request

__all__ = ["Engine"]

_MOST_CRASHES = 3
"""So many times in a row a server may end while it generates; then no other is started in this run."""


class Engine:
    """One object serves a whole run, one image at a time."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self._is_used = False
        self._crashes = 0

    @property
    def root(self) -> Path:
        """The project's folder, absolute."""
        return self.context.root.absolute()

    @cached_property
    def program(self) -> Program:
        """The program. Raises ImagegenError if there is none that can be used."""
        return inspect_program(self.root, self.context.settings)

    @cached_property
    def folders(self) -> Folders:
        """Where model files are looked for."""
        return list_model_folders(self.root, self.context.settings)

    def server_url(self, request: Request) -> str:
        """Return the address of a server of the user's own; empty if this project starts one."""
        url: str = request.extra.get("server", {}).get("url", self.context.settings.sd_server_url)
        return url.rstrip("/")

    def find_file(self, part: str, name: str) -> str:
        """Return the path of a model file; empty if it isn't there."""
        return find_model_file(self.root, self.folders, part, name)

    def find_lora_folder(self, request: Request) -> tuple[str, Mapping[str, str]]:
        """Return the folder that has all LoRAs of a request, and each one's path in it. Raises ImagegenError."""
        return find_lora_folder(self.root, self.folders, request.extra["loras"])

    def launch_key(self, request: Request) -> Hashable:
        """Return what decides how a server is started for this request."""
        if url := self.server_url(request):
            return url
        return self._launch(request).command

    def generate(self, request: Request, progress: Progress) -> GeneratedImage:
        """Generate an image. Raises GenerationError, and what `progress` does."""
        if url := self.server_url(request):
            client = Client(url)
            body = build_body(request, self._name_loras(request), progress.file)
            data = generate(client, body, self.root, progress, lambda: None, lambda: False)
            return self._finish(data, {"server": url})
        try:
            return self._generate_here(request, progress)
        except ImagegenError as error:
            raise GenerationError(error.problems[0].what, error.problems[0].hint) from None

    def _generate_here(self, request: Request, progress: Progress) -> GeneratedImage:
        if self._crashes >= _MOST_CRASHES:
            what = f"not started: sd-server ended {_MOST_CRASHES} times in a row while it generated"
            raise GenerationError(what, "see the images before; a smaller size or model may help")
        launch = self._launch(request)
        self._is_used = True
        loads = not managed_server(self.root).is_running()
        record = start(launch, lambda text: progress.event("waiting", text=text), progress.check)
        if loads:
            progress.event("waiting", text="")
            progress.restart_clock()
        body = build_body(request, self._name_loras(request), progress.file)
        log, server = ServerLog(self.root), managed_server(self.root)
        log.mark()
        try:
            data = generate(
                Client(record.url), body, self.root, progress, log.read_steps, lambda: not record.process.is_alive
            )
        except (Cancelled, OverdueError):
            self._stop()  # in no other way can it be made to stop
            raise
        except MayBeRunningError:
            raise
        except GenerationError as error:
            said = server.describe_end()
            raise self._explain(error, log, said) from None
        self._crashes = 0
        return self._finish(data, self._describe_engine(log))

    def _explain(self, error: GenerationError, log: ServerLog, ended: str) -> GenerationError:
        """Return the error with the engine's last words; after some of them it needs another server."""
        from imagegen.backends.sd.errors import explain

        found = explain(log.read_errors(), ended)
        if ended or (found and found.needs_restart):
            self._crashes += 1
            self._stop()
        if found:
            return GenerationError(found.what, found.hint)
        return GenerationError(ended, "run doit again") if ended else error

    def _launch(self, request: Request) -> Launch:
        settings, extra = self.context.settings, request.extra
        words = [str(self.program.path)]
        for part, argument in PARTS.items():
            if name := extra["files"].get(part):
                words += [argument, self.find_file(part, name) or name]
        if extra.get("loras"):
            words += ["--lora-model-dir", self.find_lora_folder(request)[0]]
        if rng := extra.get("rng"):
            words += ["--rng", rng]
        if extra.get("offload", settings.sd_offload):
            words.append("--offload-to-cpu")
        return Launch(self.root, (*words, *settings.sd_arguments), settings.sd_server_ready_timeout_s)

    def _name_loras(self, request: Request) -> Mapping[str, str]:
        if not request.extra.get("loras"):
            return {}
        if self.server_url(request):
            return {name: name for name in request.extra["loras"]}
        return self.find_lora_folder(request)[1]

    def _describe_engine(self, log: ServerLog) -> dict[str, str]:
        facts = {"build": self.program.build, "device": describe_device(log.read_header(), self.program.device)}
        return {name: fact for name, fact in facts.items() if fact}

    def _finish(self, data: bytes, facts: Mapping[str, str]) -> GeneratedImage:
        return GeneratedImage(data, facts, on_stored=lambda: forget_job(self.root))

    def capabilities(self, url: str) -> Capabilities:
        """Return what a server of the user's own says of itself. Raises Refused and Unreachable."""
        return Client(url).capabilities()

    def _stop(self) -> None:
        forget_job(self.root)
        stop(self.root)

    def close(self) -> None:
        """Stop the server that this run started or took over."""
        if self._is_used:
            stop(self.root)


def describe_device(header: str, built_for: str) -> str:
    """Return the device that the log names, such as `NVIDIA GeForce RTX 4070 (vulkan)`; else what it is for."""
    match = re.search(_DEVICE, header)
    if match:
        return f"{match[1].strip()} ({built_for})" if built_for else match[1].strip()
    return built_for or ("cpu" if os.name else "")


_DEVICE = r"(?m)^(?:\[\w+ *\] .*- +)?(?:ggml_vulkan: \d+ = |  Device \d+: |.*GPU name: +)([^|(,\n]+)"
