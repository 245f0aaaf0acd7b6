"""The backend `openai`: each image is one call of /v1/images/generations.

What contacts the server is imported where it is used: a run with nothing to do needs none of it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import imagegen.backends.openai.section as of_section
from imagegen.backends.base import Diagnosis, GeneratedImage, Progress, Resolved
from imagegen.backends.openai.dialects import DIALECTS
from imagegen.backends.options import ALL_FIELDS
from imagegen.backends.server_backend import ServerBackend
from imagegen.backends.text import list_first
from imagegen.errors import Problem
from imagegen.plan.request import Request

if TYPE_CHECKING:
    from decimal import Decimal

    from imagegen.backends.openai.server import Client, Server

__all__ = ["OpenAIBackend"]

_AT_ONCE = 4
"""Images that a hosted API generates at a time for us. It says itself if they are too many."""
_SET_KEY = "make a key at https://platform.openai.com/api-keys and set OPENAI_API_KEY; or set openai.server.url"


class OpenAIBackend(ServerBackend["Server"]):
    """One object serves a whole run."""

    name = "openai"
    parameters = of_section.PARAMETERS | ALL_FIELDS
    options: Mapping[str, Any] = of_section.OPTIONS
    local_options = frozenset(of_section.LOCAL_OPTIONS)
    model_option = "model"

    def resolve(self, section: Mapping[str, Any]) -> Resolved:
        """Name the model, and what the dialect does not honour."""
        return of_section.resolve(section, self.context)

    def dialect(self, request: Request) -> str:
        """Return the dialect of a request's server as far as planning knows it; empty if the server is to be asked."""
        return of_section.find_dialect(request.extra, self.context)

    def concurrency(self, request: Request) -> int:
        """Return how many images its server generates at a time for us."""
        return _AT_ONCE if self.dialect(request) == "hosted" else 1

    def price(self, request: Request) -> Decimal | None:
        """Return what the settings say that it costs; nothing at a server of the user's own."""
        from imagegen.config.money import find_price

        if not of_section.is_paid(self.url(request), self.dialect(request)):
            return super().price(request)
        quality, size = request.extra.get("quality", "auto"), f"{request.width}x{request.height}"  # its default
        return find_price(self.context.settings.openai_prices, request.model, quality, size)

    def find_model(self, request: Request, server: Server) -> str | Problem:
        """Return the model, or the only one that makes images."""
        from imagegen.backends.openai.checks import find_model

        return find_model(request, server, self.url(request))

    def inspect(self, request: Request) -> Server:
        """Find out which program the server is."""
        from imagegen.backends.json_api import Refused
        from imagegen.backends.openai.server import inspect_server

        url = self.url(request)
        if of_section.is_openai(url) and not of_section.find_key(url):
            raise Refused("OPENAI_API_KEY is not set, and OpenAI makes no images without", _SET_KEY)
        return inspect_server(self._client(request), is_hosted=self.dialect(request) == "hosted")

    def find_server(self, request: Request) -> Server | Problem:
        """Return what a request's server is, or why it cannot be used: it may have no dialect, or another one."""
        from imagegen.backends.openai.checks import check_dialect

        server = super().find_server(request)
        if isinstance(server, Problem):
            return server
        return check_dialect(self.dialect(request), server, self.url(request)) or server

    def check(self, request: Request, server: Server) -> Iterable[Problem]:
        """Compare what the job asks for with the dialect, and with the server's models."""
        from imagegen.backends.openai.checks import check_request

        return check_request(request, self.dialect(request), server, self.url(request))

    def generate(self, request: Request, progress: Progress) -> GeneratedImage:
        """Generate the image at its server."""
        from imagegen.backends.openai.image import generate

        server = self.require_server(request)
        dialect = DIALECTS[self.dialect(request) or server.dialect]
        made = generate(self._client(request), request, dialect, progress, is_paid=self.price(request) != 0)
        engine = "OpenAI" if of_section.is_openai(self.url(request)) else f"{server.program} {server.version}"
        return replace(made, engine=engine.rstrip())

    def describe(self, request: Request, server: Server | Problem) -> Iterator[Diagnosis]:
        """Yield rows for the key and the server."""
        url, named, is_set = self.url(request), self.dialect(request), "OPENAI_API_KEY" in os.environ
        key = f"set, {'' if of_section.find_key(url) else 'not '}for {url}" if is_set else "not set"
        if is_set or not isinstance(server, Problem):  # else it may be what the problem is
            yield Diagnosis(True, "OPENAI_API_KEY", key)
        if not isinstance(server, Problem):
            how = "by its address" if of_section.is_openai(url) else "as job or settings say" if named else "as it says"
            program = f"{server.program or DIALECTS[named].program} {server.version}".rstrip()
            models = f"; models: {list_first(server.models, 5)}" if server.models else ""
            yield Diagnosis(True, f"server {url}", f"{program}, dialect {named or server.dialect}, {how}{models}")

    def _client(self, request: Request) -> Client:
        from imagegen.backends.openai.server import Client

        return Client(self.url(request), of_section.find_key(self.url(request)))
