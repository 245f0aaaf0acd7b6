"""The backend `a1111`: each image is one call of a server that the user runs.

What contacts the server is imported where it is used: a run with nothing to do needs none of it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from imagegen.backends.a1111.section import OPTIONS, PARAMETERS, resolve
from imagegen.backends.base import Diagnosis, GeneratedImage, GenerationError, Progress, Resolved
from imagegen.backends.options import ALL_FIELDS
from imagegen.backends.server_backend import ServerBackend
from imagegen.backends.text import list_first, one_line
from imagegen.errors import Problem
from imagegen.plan.request import Request

if TYPE_CHECKING:
    from imagegen.backends.a1111.server import Server

__all__ = ["A1111Backend"]

_FACTS = ("sampler_name", "sd_model_name", "sd_model_hash", "version")
"""What is recorded of what a server says of an image."""


class A1111Backend(ServerBackend["Server"]):
    """One object serves a whole run."""

    name = "a1111"
    parameters = PARAMETERS | ALL_FIELDS
    options: Mapping[str, Any] = OPTIONS
    model_option = "checkpoint"

    def __init__(self) -> None:
        super().__init__()
        self._noted: set[str] = set()

    def resolve(self, section: Mapping[str, Any]) -> Resolved:
        """Read the reference image, and name the checkpoint."""
        return resolve(section, self.context)

    def inspect(self, request: Request) -> Server:
        """Ask the server what it is and has. A1111_AUTH is for that of the settings alone."""
        from imagegen.backends.a1111.server import Server

        url = self.url(request)
        return Server(url, os.environ.get("A1111_AUTH", "") if url == self.context.settings.a1111_server_url else "")

    def find_model(self, request: Request, server: Server) -> str | Problem:
        """Return the checkpoint's file, or the one that Draw Things shows."""
        from imagegen.backends.a1111.checks import find_checkpoint

        return find_checkpoint(request, server)

    def check(self, request: Request, server: Server) -> Iterable[Problem]:
        """Compare checkpoint, sampler, scheduler and LoRAs with the server's lists, and the rest with its program."""
        from imagegen.backends.a1111.checks import check_request

        return check_request(request, server)

    def prepare(self, requests: Sequence[Request], progress: Progress) -> Sequence[Problem]:
        """Say once for each server what it does not say of itself, and these images need."""
        from imagegen.backends.a1111.programs import SD_SERVER

        for request in requests:
            if not request.extra.get("loras") or (url := self.url(request)) in self._noted:
                continue
            self._noted.add(url)
            server = self.find_server(request)
            if not isinstance(server, Problem) and server.program.name == SD_SERVER.name:
                what = f"the server at {url} does not say whether it was started with --lora-apply-mode at_runtime"
                progress.event("note", text=f"{what}; if not, a LoRA stays in the images after it")
        return []

    def generate(self, request: Request, progress: Progress) -> GeneratedImage:
        """Generate the image at its server."""
        from imagegen.backends.a1111.generation import Generation
        from imagegen.backends.a1111.image import build_body, find_difference

        server, checkpoint = self.require_server(request), self.choose_model(request)
        body = build_body(request, server, checkpoint, progress.file)
        if not (problem := find_difference(body, server, checkpoint)):
            task = progress.begin_attempt() if server.program.takes_task else ""
            may_interrupt = request.extra.get("server", {}).get("interrupt")
            image, info = Generation(server, body, progress, task, may_interrupt).run()
            if not (problem := find_difference(body, server, checkpoint, image, info)):
                said = {key: one_line(info[key], 100) for key in _FACTS if isinstance(info.get(key), str)}
                engine = one_line(f"{server.program.name} {server.version or said.pop('version', '')}", 100)
                return GeneratedImage(image, {"server": server.url, "seed": body["seed"], **said}, engine=engine)
        raise GenerationError(problem.what, problem.hint)

    def describe(self, request: Request, server: Server | Problem) -> Iterable[Diagnosis]:
        """Yield rows for the server: which program it is, and what it has."""
        del request
        if isinstance(server, Problem):
            return
        ways = "shows progress" if server.stage() else "does not show progress"
        ways += ", A1111_AUTH is sent" if server.auth else ""
        yield Diagnosis(True, f"server {server.url}", f"{server.program.name} {server.version}".rstrip() + f", {ways}")
        names = server.checkpoints
        loaded = f"; loaded: {server.loaded}" if server.loaded else ""
        yield Diagnosis(True, "checkpoints", (f"{len(names)}: {list_first(names)}" if names else "not listed") + loaded)
        if samplers := list(dict.fromkeys(server.samplers.values())):
            yield Diagnosis(True, "samplers", f"{len(samplers)}: {list_first(samplers)}")
