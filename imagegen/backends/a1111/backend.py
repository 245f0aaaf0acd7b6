"""The backend `a1111`: each image is one call of a server that the user runs.

What contacts the server is imported where it is used: a run with nothing to do needs none of it.
"""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from imagegen.backends.a1111.section import LOCAL_OPTIONS, OPTIONS, PARAMETERS, resolve
from imagegen.backends.base import Backend, Diagnosis, GeneratedImage, GenerationError, Progress, Resolved
from imagegen.backends.options import recover_options, remove_options
from imagegen.backends.text import list_first, one_line
from imagegen.errors import Problem
from imagegen.plan.request import Request

if TYPE_CHECKING:
    from imagegen.backends.a1111.server import Checkpoint, Server

__all__ = ["A1111Backend"]

_FACTS = ("sampler_name", "sd_model_name", "sd_model_hash", "version")
"""What is recorded of what a server says of an image."""


class A1111Backend(Backend):
    """One object serves a whole run."""

    name = "a1111"
    parameters = PARAMETERS | {
        *("prompt", "negative", "width", "height", "steps", "cfg", "sampler", "scheduler", "seed")
    }
    options: Mapping[str, Any] = OPTIONS
    model_option = "checkpoint"

    def __init__(self) -> None:
        self._servers: dict[str, Server | Problem] = {}
        """By its address, what each said of itself, or why it did not."""

    def resolve(self, section: Mapping[str, Any]) -> Resolved:
        """Read the reference image, and name the checkpoint."""
        return resolve(section, self.context)

    def recover_section(self, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the options that were recorded."""
        return recover_options(fields, PARAMETERS)

    def strip_local(self, request: Request) -> Request:
        """Remove what the job says of its own machine."""
        return remove_options(request, LOCAL_OPTIONS)

    def choose_model(self, request: Request) -> str:
        """Return the only checkpoint that the server has, or the one that Draw Things shows."""
        return self._find(request)[1].file

    def preflight(self, requests: Sequence[Request]) -> Sequence[Problem]:
        """Compare checkpoint, sampler, scheduler and LoRAs with the server's lists, and the rest with its program."""
        from imagegen.backends.choices import check_each

        return check_each(requests, self._check)

    def _check(self, request: Request) -> Iterable[Problem]:
        from imagegen.backends.a1111.checks import check_request

        server = self._inspect(request)
        return [server] if isinstance(server, Problem) else check_request(request, server)

    def batch_key(self, request: Request) -> Hashable:
        """Return server and checkpoint."""
        return self._url(request), request.model

    def generate(self, request: Request, progress: Progress) -> GeneratedImage:
        """Generate the image at its server."""
        from imagegen.backends.a1111.generation import Generation
        from imagegen.backends.a1111.image import build_body, find_difference

        server, checkpoint = self._find(request)
        attempt = progress.begin_attempt()
        body = build_body(request, server, checkpoint, progress.file)
        task, may_interrupt = attempt * server.program.takes_task, request.extra.get("server", {}).get("interrupt")
        image, info = Generation(server, body, progress, task, may_interrupt).run()
        if problem := find_difference(image, info, body, checkpoint, server.program.name):
            raise GenerationError(problem.what, problem.hint)
        told = {key: info[key] for key in _FACTS if isinstance(info.get(key), str)}
        engine = one_line(f"{server.program.name} {server.version or told.pop('version', '')}", 100)
        return GeneratedImage(image, {"server": server.url, "seed": body["seed"], **told}, engine=engine)

    def diagnose(self, requests: Sequence[Request]) -> Sequence[Diagnosis]:
        """Return rows for each server, and what preflight finds."""
        servers = {self._url(request): self._inspect(request) for request in requests}.values()
        rows = [row for server in servers if not isinstance(server, Problem) for row in _describe(server)]
        return [*rows, *super().diagnose(requests)]

    def _url(self, request: Request) -> str:
        url: str = request.extra.get("server", {}).get("url", self.context.settings.a1111_server_url)
        return url.rstrip("/")

    def _find(self, request: Request) -> tuple[Server, Checkpoint]:
        """Return the request's server, and the checkpoint that it means there. Raises GenerationError."""
        from imagegen.backends.a1111.checks import find_checkpoint

        server = self._inspect(request)
        if isinstance(server, Problem):
            raise GenerationError(server.what, server.hint)
        if isinstance(found := find_checkpoint(request.model, server), Problem):
            raise GenerationError(found.what, found.hint)
        return server, found

    def _inspect(self, request: Request) -> Server | Problem:
        """Return the request's server, or why it cannot be used. A1111_AUTH is for that of the settings alone."""
        from imagegen.backends.a1111.server import Server
        from imagegen.backends.json_api import Refused, Unreachable

        url = self._url(request)
        if url not in self._servers:
            auth = os.environ.get("A1111_AUTH", "") if url == self.context.settings.a1111_server_url else ""
            try:
                self._servers[url] = Server(url, auth).inspect()
            except Refused as refused:
                self._servers[url] = refused.problem
            except Unreachable as error:
                what, hint = f"no server answers at {url}: {error}", "start it, or correct a1111.server.url"
                self._servers[url] = Problem("", what, hint)
        return self._servers[url]


def _describe(server: Server) -> Iterator[Diagnosis]:
    """Yield the rows of a server: which program it is, and what it has."""
    names = [one.file for one in server.checkpoints]
    ways = ("shows" if server.stage() else "does not show", "sent" if server.auth else "not sent")
    found = "{} {}, {} progress, A1111_AUTH is {}".format(server.program.name, server.version or "", *ways)
    yield Diagnosis(True, f"server {server.url}", found.replace(" ,", ","))
    loaded = f"; loaded: {server.loaded}" if server.loaded else ""
    yield Diagnosis(True, "checkpoints", f"{len(names)}: {list_first(names)}{loaded}" if names else "not listed")
    if samplers := list(dict.fromkeys(server.samplers.values())):
        yield Diagnosis(True, "samplers", f"{len(samplers)}: {list_first(samplers)}")
