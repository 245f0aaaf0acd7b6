"""What backends have in common whose images come from servers of the user's own, or of somebody who sells them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from threading import Semaphore
from typing import Any, Generic, TypeVar

from imagegen.backends.base import Backend, Diagnosis, GenerationError, ServerSlot
from imagegen.backends.options import find_url, recover_options, remove_options
from imagegen.errors import Problem
from imagegen.plan.request import Request

__all__ = ["ServerBackend"]

_Server = TypeVar("_Server")
"""What a server says of itself."""


class ServerBackend(Backend, Generic[_Server]):
    """Each server is asked once in a run. Needed too: `inspect`, `find_model`, `check`, `describe`.

    `concurrency` says how many images a request's server generates at a time for us: one, unless overridden.
    """

    local_options: frozenset[str] = frozenset({"server"})
    """The options that are about the machine of the job's author."""

    def __init__(self) -> None:
        self._servers: dict[tuple[str, int], _Server | Problem] = {}
        self._rooms: dict[tuple[str, int], Semaphore] = {}

    def url(self, request: Request) -> str:
        """Return the address of a request's server: the job's, or the setting NAME.server.url. Contacts nothing."""
        return find_url(request.extra, getattr(self.context.settings, f"{self.name}_server_url"))

    def strip_local(self, request: Request) -> Request:
        """Remove what the job says of its own machine."""
        return remove_options(request, self.local_options)

    def recover_section(self, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the options that were recorded. Raises ImagegenError for reference images."""
        return recover_options(fields, self.options.keys() - {self.model_option, *self.local_options})

    def inspect(self, request: Request) -> _Server:
        """Ask a request's server what it is and has. Raises Refused and Unreachable."""
        raise NotImplementedError

    def find_model(self, request: Request, server: _Server) -> str | Problem:
        """Return the model that a request means there, the server's only one if it names none; or why there is none."""
        raise NotImplementedError

    def choose_model(self, request: Request) -> str:
        """Return the only model of the request's server."""
        if isinstance(found := self.find_model(request, self.require_server(request)), Problem):
            raise GenerationError(found.what, found.hint)
        return found

    def check(self, request: Request, server: _Server) -> Iterable[Problem]:
        """Return the problems of a request at its server; their `where` is empty."""
        raise NotImplementedError

    def describe(self, request: Request, server: _Server | Problem) -> Iterable[Diagnosis]:
        """Return rows for `doit doctor` about a request's server, but not what is wrong."""
        raise NotImplementedError

    def find_server(self, request: Request) -> _Server | Problem:
        """Return what a request's server is and has, or why it cannot be used."""
        from imagegen.backends.json_api import Refused, Unreachable

        url = self.url(request)
        key = url, self.concurrency(request)
        if key not in self._servers:
            hint = f"correct {self.name}.server.url"
            try:
                self._servers[key] = self.inspect(request)
            except Refused as refused:
                self._servers[key] = Problem("", refused.what, refused.hint or hint)
            except Unreachable as error:
                self._servers[key] = Problem("", f"no server answers at {url}: {error}", f"start it, or {hint}")
        return self._servers[key]

    def require_server(self, request: Request) -> _Server:
        """Return what a request's server is and has. Raises GenerationError."""
        if isinstance(server := self.find_server(request), Problem):
            raise GenerationError(server.what, server.hint)
        return server

    @property
    def in_flight(self) -> int:
        """As many as all servers take together that preflight was asked about: none waits for another one."""
        return sum(at_once for _, at_once in self._servers) or 1

    def concurrency(self, request: Request) -> int:
        """Return how many images its server generates at a time for us."""
        del request
        return 1

    def preflight(self, requests: Sequence[Request]) -> Sequence[Problem]:
        """Ask the servers what they are and have, and check the requests against that."""
        from imagegen.backends.choices import check_each

        def check(request: Request) -> Iterable[Problem]:
            server = self.find_server(request)
            return [server] if isinstance(server, Problem) else self.check(request, server)

        return check_each(requests, check)

    def batch_key(self, request: Request) -> tuple[str, int, str]:
        """Return the server, how many images it takes at a time, and the model."""
        return self.url(request), self.concurrency(request), request.model

    def pick_server(self, waiting: Mapping[Any, int]) -> tuple[Any, ServerSlot] | None:
        """Choose the first image whose server has room."""
        for key in waiting:
            room = self._rooms.setdefault(key[:2], Semaphore(key[1]))
            if room.acquire(blocking=False):
                return key, ServerSlot(self.generate, room.release)
        return None

    def diagnose(self, requests: Sequence[Request]) -> Sequence[Diagnosis]:
        """Return rows for each server and price, and what preflight finds. None generates or pays for anything."""
        first: dict[tuple[str, int], Request] = {}
        for request in requests:
            first.setdefault((self.url(request), self.concurrency(request)), request)
        rows = [row for one in first.values() for row in self.describe(one, self.find_server(one))]
        return [*rows, *self._describe_prices(requests), *super().diagnose(requests)]

    def _describe_prices(self, requests: Sequence[Request]) -> Iterator[Diagnosis]:
        """Yield a row for each price that is not 0."""
        from imagegen.config.money import dollars, name_entry

        budget = self.context.settings.budget
        limit = "no budget" if budget is None else f"a budget of {dollars(budget)} for a run"
        named = [
            (name_entry(one.model, str(one.extra.get("quality", "")), f"{one.width}x{one.height}"), self.price(one))
            for one in requests
        ]
        for entry, price in dict.fromkeys(named):
            if price != 0:
                cost = "unknown" if price is None else f"{dollars(price)} an image"
                add = f'below [tool.imagegen] in pyproject.toml: {self.name}.prices."{entry}" = DOLLARS'
                hint = f"add its price {add}; and set 'budget'" if price is None and budget is None else ""
                yield Diagnosis(True, f"price of {entry}", f"{cost}; {limit}", hint)
