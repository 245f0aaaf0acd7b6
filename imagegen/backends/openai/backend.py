"""The backend `openai`: each image is one call of /v1/images/generations.

What contacts the server is imported where it is used: a run with nothing to do needs none of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from threading import Semaphore
from typing import TYPE_CHECKING, Any

from imagegen.backends.base import Backend, Diagnosis, GeneratedImage, GenerationError, Progress, Resolved, ServerSlot
from imagegen.backends.openai.dialects import DIALECTS
from imagegen.backends.openai.section import (
    LOCAL_OPTIONS,
    OPTIONS,
    PARAMETERS,
    find_dialect,
    find_key,
    find_price,
    find_url,
    is_openai,
    resolve,
)
from imagegen.errors import Problem
from imagegen.plan.request import Request

if TYPE_CHECKING:
    from decimal import Decimal

    from imagegen.backends.openai.client import Client
    from imagegen.backends.openai.detection import Server

__all__ = ["OpenAIBackend"]

_AT_ONCE = 4
"""Images that a hosted API generates at a time for us. It says itself if they are too many."""
_FIELDS = ("prompt", "negative", "width", "height", "steps", "cfg", "sampler", "scheduler", "seed")


class OpenAIBackend(Backend):
    """One object serves a whole run."""

    name = "openai"
    parameters = PARAMETERS | {*_FIELDS}
    options: Mapping[str, Any] = OPTIONS
    model_option = "model"

    def __init__(self) -> None:
        self._clients: dict[str, Client] = {}
        self._servers: dict[tuple[str, bool], Server | Problem] = {}
        self._rooms: dict[str, Semaphore] = {}

    @property
    def in_flight(self) -> int:
        """A few if preflight was asked about a hosted API; one's own server generates one after another."""
        return _AT_ONCE if any(is_hosted for _, is_hosted in self._servers) else 1

    def concurrency(self, request: Request) -> int:
        """Return how many there are at a time at its server."""
        return _AT_ONCE if self.is_hosted(request) else 1

    def resolve(self, section: Mapping[str, Any]) -> Resolved:
        """Name the model, and what the dialect does not honour."""
        return resolve(section, self.context)

    def recover_section(self, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the options that were recorded."""
        return {key: fields[key] for key in PARAMETERS if key in fields}

    def strip_local(self, request: Request) -> Request:
        """Remove what the job says of its own machine."""
        return replace(request, extra={key: value for key, value in request.extra.items() if key not in LOCAL_OPTIONS})

    def price(self, request: Request) -> Decimal | None:
        """Return what the settings say that it costs; nothing at a server of the user's own."""
        if self.is_hosted(request):
            return find_price(self.context.settings.openai_prices, request)
        return super().price(request)

    def choose_model(self, request: Request) -> str:
        """Return the only model of the server that makes images."""
        models = self._require_server(request).models
        if len(models) == 1:
            return models[0]
        what = f"the job names no model, and {self.url(request)} has {len(models) or 'no list of them'}"
        some = [name for name in models if "image" in name] or models
        listed = f": {', '.join(some[:10])}" if some else ""
        raise GenerationError(what, f"name one: openai.model, or model in [tool.imagegen.openai]{listed}")

    def preflight(self, requests: Sequence[Request]) -> Sequence[Problem]:
        """Find out which program the server is, and compare what the job asks for with that and with its models."""
        from imagegen.backends.choices import check_each
        from imagegen.backends.openai.checks import check_request

        def check(request: Request) -> Iterable[Problem]:
            if isinstance(server := self.find_server(request), Problem):
                return [server]
            return check_request(request, find_dialect(request.extra, self.context), server, self.url(request))

        return check_each(requests, check)

    def batch_key(self, request: Request) -> tuple[str, str, bool]:
        """Return server and model, and whether the server is hosted."""
        return self.url(request), request.model, self.is_hosted(request)

    def pick_server(self, waiting: Mapping[Any, int]) -> tuple[Any, ServerSlot] | None:
        """Choose the first image whose server has room."""
        for key in waiting:
            url, _, is_hosted = key
            room = self._rooms.setdefault(url, Semaphore(_AT_ONCE if is_hosted else 1))
            if room.acquire(blocking=False):
                return key, ServerSlot(self.generate, room.release)
        return None

    def generate(self, request: Request, progress: Progress) -> GeneratedImage:
        """Generate the image at its server."""
        from imagegen.backends.openai.image import generate
        from imagegen.backends.text import one_line

        server, url = self._require_server(request), self.url(request)
        dialect = DIALECTS[find_dialect(request.extra, self.context) or server.dialect]
        made = generate(self._client(url), request, dialect, progress)
        engine = "OpenAI" if is_openai(url) else f"{server.program} {server.version}"
        return replace(made, engine=one_line(engine, 100))

    def diagnose(self, requests: Sequence[Request]) -> Sequence[Diagnosis]:
        """Return rows for the servers, what they are and have, the key, and what images cost."""
        from imagegen.backends.openai.doctor import describe

        return [*describe(requests, self), *super().diagnose(requests)]

    def url(self, request: Request) -> str:
        """Return the address of a request's server."""
        return find_url(request.extra, self.context)

    def is_hosted(self, request: Request) -> bool:
        """Return whether images of this request cost something."""
        return find_dialect(request.extra, self.context) == "hosted"

    def find_server(self, request: Request) -> Server | Problem:
        """Return what a request's server is and has, or why it cannot be used. It is asked once in a run."""
        from imagegen.backends.json_api import Refused, Unreachable
        from imagegen.backends.openai.checks import check_dialect
        from imagegen.backends.openai.detection import inspect_server

        url, is_hosted = self.url(request), self.is_hosted(request)
        if (url, is_hosted) not in self._servers:
            found: Server | Problem
            try:
                if is_openai(url) and not find_key(url):
                    raise Refused("OPENAI_API_KEY is not set, and OpenAI makes no images without", _SET_KEY)
                found = inspect_server(self._client(url), is_hosted=is_hosted)
            except Refused as refused:
                found = Problem("", refused.what, refused.hint or "correct openai.server.url")
            except Unreachable as error:
                hint = "start it, or correct openai.server.url"
                found = Problem("", f"no server answers at {url}: {error}", hint)
            self._servers[url, is_hosted] = found
        found = self._servers[url, is_hosted]
        wrong = (
            None if isinstance(found, Problem) else check_dialect(find_dialect(request.extra, self.context), found, url)
        )
        return wrong or found

    def _require_server(self, request: Request) -> Server:
        """Return the same. Raises GenerationError."""
        if isinstance(server := self.find_server(request), Problem):
            raise GenerationError(server.what, server.hint)
        return server

    def _client(self, url: str) -> Client:
        from imagegen.backends.openai.client import Client

        return self._clients.setdefault(url, Client(url, find_key(url)))


_SET_KEY = "make a key at https://platform.openai.com/api-keys and set OPENAI_API_KEY; or set openai.server.url"
