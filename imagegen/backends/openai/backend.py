"""The backend `openai`: each image is one call of /v1/images/generations.

What contacts the server is imported where it is used: a run with nothing to do needs none of it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from threading import Semaphore
from typing import TYPE_CHECKING, Any

from imagegen.backends.base import (
    Backend,
    Diagnosis,
    GeneratedImage,
    GenerationError,
    Progress,
    Resolved,
    ServerSlot,
)
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
from imagegen.backends.text import one_line
from imagegen.errors import Problem
from imagegen.plan.request import Request

if TYPE_CHECKING:
    from imagegen.backends.json_api import Refused, Unreachable
    from imagegen.backends.openai.client import Client
    from imagegen.backends.openai.detection import Server

__all__ = ["OpenAIBackend"]

_AT_ONCE = 4
"""Images that a hosted API generates at a time for us. It says itself if they are too many."""


class OpenAIBackend(Backend):
    """One object serves a whole run."""

    name = "openai"
    parameters = PARAMETERS | {
        *("prompt", "negative", "width", "height", "steps", "cfg", "sampler", "scheduler", "seed")
    }
    options: Mapping[str, Any] = OPTIONS
    model_option = "model"

    def __init__(self) -> None:
        self._clients: dict[str, Client] = {}
        self._servers: dict[tuple[str, bool], Server | Refused | Unreachable] = {}
        self._room: dict[Hashable, Semaphore] = {}

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
        extra = {key: value for key, value in request.extra.items() if key not in LOCAL_OPTIONS}
        return replace(request, extra=extra)

    def price(self, request: Request) -> Decimal | None:
        """Return what the settings say that it costs; nothing at a server of the user's own."""
        return find_price(self.context.settings.openai_prices, request) if self.is_hosted(request) else Decimal(0)

    def choose_model(self, request: Request) -> str:
        """Return the only model of the server that makes images."""
        from imagegen.backends.json_api import Refused, Unreachable

        try:
            models = self.inspect(request).models
        except (Refused, Unreachable) as error:
            problem = self.explain_silence(request, error)
            raise GenerationError(problem.what, problem.hint) from None
        if len(models) == 1:
            return models[0]
        what = f"the job names no model, and {self.url(request)} has {len(models) or 'no list of them'}"
        some = [name for name in models if "image" in name] or models
        listed = f": {', '.join(some[:10])}" if some else ""
        raise GenerationError(what, f"name one: openai.model, or model in [tool.imagegen.openai]{listed}")

    def preflight(self, requests: Sequence[Request]) -> Sequence[Problem]:
        """Find out which program the server is, and compare what the job asks for with that and with its models."""
        from imagegen.backends.openai.checks import group_problems

        return group_problems(requests, self._check)

    def _check(self, request: Request) -> Iterable[Problem]:
        from imagegen.backends.json_api import Refused, Unreachable
        from imagegen.backends.openai.checks import check_dialect, check_request

        url, named = self.url(request), find_dialect(request.extra, self.context)
        try:
            server = self.inspect(request)
        except (Refused, Unreachable) as error:
            return [self.explain_silence(request, error)]
        if wrong := check_dialect(named, server, url):
            return [wrong]
        return check_request(request, DIALECTS[named or server.dialect], server, url, is_named=bool(named))

    def batch_key(self, request: Request) -> tuple[str, str, bool]:
        """Return server and model, and whether the server is hosted."""
        return self.url(request), request.model, self.is_hosted(request)

    def pick_server(self, waiting: Mapping[Any, int]) -> tuple[Hashable, ServerSlot] | None:
        """Choose the first image whose server has room."""
        for key in waiting:
            url, _, is_hosted = key
            room = self._room.setdefault(url, Semaphore(_AT_ONCE if is_hosted else 1))
            if room.acquire(blocking=False):
                return key, _Slot(self.generate, room)
        return None

    def generate(self, request: Request, progress: Progress) -> GeneratedImage:
        """Generate the image at its server."""
        from imagegen.backends.json_api import Refused, Unreachable
        from imagegen.backends.openai.checks import check_dialect
        from imagegen.backends.openai.image import generate

        url, named = self.url(request), find_dialect(request.extra, self.context)
        try:
            server = self.inspect(request)
        except (Refused, Unreachable) as error:
            problem: Problem | None = self.explain_silence(request, error)
        else:
            problem = check_dialect(named, server, url)
        if problem:
            raise GenerationError(problem.what, problem.hint)
        made = generate(self._client(url), request, DIALECTS[named or server.dialect], progress)
        engine = "OpenAI" if is_openai(url) else f"{server.program} {server.version}".strip()
        return replace(made, engine=one_line(engine, 100))

    def diagnose(self, requests: Sequence[Request]) -> Sequence[Diagnosis]:
        """Return rows for the servers, what they are and have, the key, and what images cost."""
        from imagegen.backends.openai.doctor import diagnose

        return list(diagnose(requests, self))

    def url(self, request: Request) -> str:
        """Return the address of a request's server."""
        return find_url(request.extra, self.context)

    def inspect(self, request: Request) -> Server:
        """Return what a request's server is and has. It is asked once in a run. Raises Refused and Unreachable."""
        from imagegen.backends.json_api import Refused, Unreachable
        from imagegen.backends.openai.detection import detect, inspect_hosted

        url, is_hosted = self.url(request), self.is_hosted(request)
        if (url, is_hosted) not in self._servers:
            try:
                if is_openai(url) and not find_key(url):
                    raise Refused("OPENAI_API_KEY is not set, and OpenAI makes no images without", _SET_KEY)
                self._servers[url, is_hosted] = (inspect_hosted if is_hosted else detect)(self._client(url))
            except (Refused, Unreachable) as error:
                self._servers[url, is_hosted] = error
        if isinstance(found := self._servers[url, is_hosted], Exception):
            raise found
        return found

    def explain_silence(self, request: Request, error: Refused | Unreachable) -> Problem:
        """Return why a server does not say what it is, and what to do."""
        from imagegen.backends.json_api import Refused

        if isinstance(error, Refused):
            return Problem("", error.what, error.hint or "check the address: openai.server.url")
        what = f"no server answers at {self.url(request)}: {error}"
        return Problem("", what, "start it, or correct openai.server.url")

    def is_hosted(self, request: Request) -> bool:
        """Return whether images of this request cost something."""
        return find_dialect(request.extra, self.context) == "hosted"

    def _client(self, url: str) -> Client:
        from imagegen.backends.openai.client import Client

        if url not in self._clients:
            self._clients[url] = Client(url, find_key(url))
        return self._clients[url]


_SET_KEY = "make a key at https://platform.openai.com/api-keys, and set OPENAI_API_KEY; or set openai.server.url"


class _Slot(ServerSlot):
    """Room for one image at a server."""

    def __init__(self, generate: Callable[[Request, Progress], GeneratedImage], room: Semaphore) -> None:
        super().__init__(generate)
        self._room = room

    def release(self) -> None:
        self._room.release()
