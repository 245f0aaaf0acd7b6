"""The servers that a run's requests name: which of them can draw what, and which are left."""

from __future__ import annotations

import os
import threading
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from functools import partial

from imagegen.asking import asked
from imagegen.backends.address import is_local
from imagegen.backends.base import MayBeRunningError, Progress
from imagegen.backends.comfyui.client import Client, Refused, Unreachable
from imagegen.backends.comfyui.connection import Connection
from imagegen.backends.comfyui.launch import cannot_start
from imagegen.backends.comfyui.pool import Group, Pool
from imagegen.backends.comfyui.preflight import in_folders, on_server, shared
from imagegen.backends.comfyui.prompt import alike, kind_of
from imagegen.errors import Problem
from imagegen.plan.request import Request

__all__ = ["Fleet", "absence", "named", "of_refusal"]

_STRIKES = 2
"""Images that fail at a server and another one makes, with none that it makes itself, until it is taken out."""
_SHOWN = 3


class Fleet:
    """For all threads of a run."""

    def __init__(self) -> None:
        self.pool = Pool()
        """Those that take images."""
        self.connections: dict[str, Connection] = {}
        self._mutex = threading.RLock()
        self._standing: dict[str, list[Problem]] = {}
        """By URL of those that were asked: what keeps it from drawing anything."""
        self._silent: dict[str, str] = {}
        """Those that do not answer (why), and that a run can start: their folders are asked in their place."""
        self._against: dict[tuple[str, Hashable], tuple[Request, list[Problem]]] = {}
        self._out: set[str] = set()
        """Those of which it was told that they draw nothing more."""
        self._failed: dict[str, str] = {}
        """By attempt, the server at which it failed and another one may do."""
        self._avoided: dict[tuple[str, int | None], str] = {}
        """The same by its request's name and seed, and by none, as it waits whose seed the job leaves open."""
        self._strikes: Counter[str] = Counter()

    def connection(self, request: Request, url: str) -> Connection:
        """The one of this run to one of the request's servers."""
        with self._mutex:
            if url not in self.connections:
                is_trusted = url in request.extra["trusted"]
                auth, key = (
                    os.environ.get(name, "") if is_trusted else "" for name in ("COMFYUI_AUTH", "COMFY_API_KEY")
                )
                self.connections[url] = Connection(Client(url, auth, key), auth)
            return self.connections[url]

    def look(self, requests: Sequence[Request]) -> None:
        """Ask the servers whether they are there, once a run, and what they say of the requests."""
        kinds = [same[0] for same in alike(requests)]

        def ask(url: str) -> None:
            request = next(request for request in kinds if url in request.extra["urls"])
            if url not in self._standing:
                self._standing[url] = self._asked(request, url)
            for request in kinds:
                if url in request.extra["urls"]:
                    self.against(request, url)

        for answer in [asked(partial(ask, url)) for url in named(kinds)]:
            answer.result()

    def stands(self, url: str, problems: list[Problem]) -> None:
        """What keeps the server from drawing anything, now that it is prepared. With nothing, it takes images."""
        with self._mutex:
            self._standing[url] = problems
            if self._silent.pop(url, ""):
                for key in [key for key in self._against if key[0] == url]:
                    del self._against[key]
        if not problems:
            self.pool.add(url)

    def standing(self, url: str) -> list[Problem]:
        """What keeps the server from drawing anything; asked for with `look`."""
        return self._standing.get(url, [])

    def silence(self, url: str) -> str:
        """Why it does not answer, where a run can start it; else empty."""
        return self._silent.get(url, "")

    def tell_absent(self, urls: Iterable[str], progress: Progress) -> None:
        """That servers do not take part, each once; others do."""
        for url in urls:
            if url not in self._out and (problems := self.standing(url)):
                self._out.add(url)
                progress.event("note", text=_out(url, problems[0]))

    def against(self, request: Request, url: str) -> list[Problem]:
        """What keeps the server from drawing the request, by the server's own word; asked once for all alike."""
        if problems := self._standing.get(url):
            return problems
        key = url, kind_of(request)
        if key not in self._against:
            self._against[key] = request, self._said(request, url)
        return self._against[key][1]

    def problems(self, requests: Sequence[Request]) -> list[Problem]:
        """What keeps requests from being drawn: those of which each server has something against it."""
        found: dict[Problem, list[str]] = defaultdict(list)
        for same in alike(requests):
            against = {url: self.against(same[0], url) for url in same[0].extra["urls"]}
            if all(against.values()):
                for problem in _merged(against):
                    found[problem] += [request.name for request in same]
        return shared(found, requests)

    def group(self, request: Request) -> Group:
        """The servers that can draw it; without the one at which it failed, where there is another."""
        able = tuple(url for url in request.extra["urls"] if not self.against(request, url))
        others = tuple(url for url in able if url != self._avoided.get((request.name, request.seed)))
        return Group(request.model, others if self.pool.left(others) else able)

    def take_out(self, url: str, problem: Problem, progress: Progress) -> None:
        """It gets no more images in this run, which is told once."""
        with self._mutex:
            self._standing[url] = [problem]
            self._out.add(url)
        if self.pool.take_out(url) and self.pool.left(self.connections):
            progress.event("note", text=_out(url, problem))

    def none_left(self, request: Request) -> MayBeRunningError:
        """That there is no server for a request any more."""
        problems = [problem for url in request.extra["urls"] for problem in self.against(request, url)[:1]]
        if len(problems) == 1:
            return MayBeRunningError(problems[0].what, problems[0].hint)
        what = "; ".join(problem.what for problem in problems)
        return MayBeRunningError(f"no server is left: {what}", problems[-1].hint if problems else "")

    def failed_before(self, attempt: str) -> str:
        """The server at which the attempt failed in this run, and another one is to try it; empty where none did."""
        return self._failed.get(attempt, "")

    def failed(self, attempt: str, request: Request, url: str) -> None:
        """The attempt failed there, and is to be tried elsewhere."""
        self._failed[attempt] = url
        self._avoided |= {(request.name, request.seed): url, (request.name, None): url}
        self.pool.doubt(url, 1)

    def done(self, attempt: str, request: Request, url: str, progress: Progress, *, made: bool) -> None:
        """The attempt is over. Where it failed at another server before, and was made, the fault is that one's."""
        before = self._failed.pop(attempt, "")
        for seed in (request.seed, None):
            self._avoided.pop((request.name, seed), None)
        with self._mutex:
            if made:
                self._strikes[url] = 0
            if before:
                self.pool.doubt(before, -1)
                self._strikes[before] += made
        if before and self._strikes[before] >= _STRIKES:
            what = f"{_STRIKES} images failed there that other servers made"
            self.take_out(before, Problem("", what, "look at that server's own log"), progress)

    def close(self) -> None:
        """The run is over."""
        for connection in self.connections.values():
            connection.close()

    def _asked(self, request: Request, url: str) -> list[Problem]:
        connection = self.connection(request, url)
        try:
            connection.stats = connection.client.system_stats()  # whoever answers may be no ComfyUI
        except Unreachable as error:
            if problem := absence(request, url, error):
                return [problem]
            self._silent[url] = str(error) or "no answer"
        except Refused as refused:
            return [of_refusal(refused)]
        return []

    def _said(self, request: Request, url: str) -> list[Problem]:
        if url in self._silent:
            return in_folders([request])
        connection = self.connection(request, url)
        try:
            return on_server([request], connection.info, connection.client.class_names)
        except Unreachable as error:
            return [Problem("", f"ComfyUI at {url} does not answer: {error}", _CHECK)]
        except Refused as refused:
            return [of_refusal(refused)]


_CHECK = "start it where it is, or correct its address: COMFYUI_URL, or comfyui.server.url"


def named(requests: Sequence[Request]) -> dict[str, Request]:
    """Each server that the requests name, in order, with the first request that does."""
    found: dict[str, Request] = {}
    for request in requests:
        for url in request.extra["urls"]:
            found.setdefault(url, request)
    return found


def absence(request: Request, url: str, error: Exception) -> Problem | None:
    """That no server answers, where a run cannot start it; its models are not to be found out then."""
    problem = cannot_start(request, url)
    hint = problem.hint if problem and is_local(url) else _CHECK
    return problem and Problem("", f"no ComfyUI answers at {url} ({error})", hint)


def of_refusal(refused: Refused) -> Problem:
    """That the server answers with something else than a success."""
    return Problem("", refused.what, refused.hint)


def _merged(against: Mapping[str, Sequence[Problem]]) -> Iterator[Problem]:
    """Each problem once; where there are several servers, with those that have it."""
    if len(against) == 1:
        (problems,) = against.values()
        yield from problems
        return
    having: dict[Problem, list[str]] = defaultdict(list)
    for url, problems in against.items():
        for problem in problems:
            having[problem].append(url)
    for problem, urls in having.items():
        more = f" and {len(urls) - _SHOWN} more" if len(urls) > _SHOWN else ""
        where = f"{', '.join(urls[:_SHOWN])}{more}"
        yield Problem("", problem.what if where in problem.what else f"{problem.what}, at {where}", problem.hint)


def _out(url: str, problem: Problem) -> str:
    return f"{url} is taken out, its images go to the other servers: {problem.what}"
