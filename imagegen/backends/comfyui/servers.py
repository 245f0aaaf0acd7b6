"""Choose which of a run's servers takes the next image.

`Pool` is the scheduler: it knows servers by their address and by the times seen in this run. `Fleet` knows what keeps
each server from generating a request. `ServerPlace` takes one image to its server, or leaves it to another one.
"""

from __future__ import annotations

import heapq
import os
import statistics
import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from imagegen.asking import asked
from imagegen.backends.address import is_local
from imagegen.backends.base import (
    GeneratedImage,
    GenerationError,
    MayBeRunningError,
    Progress,
    ServerSlot,
    TryAnotherServer,
)
from imagegen.backends.comfyui.checks import check_folders, check_on_server, merge_problems
from imagegen.backends.comfyui.client import Client, Refused, Unreachable
from imagegen.backends.comfyui.connection import Connection, generate_image
from imagegen.backends.comfyui.errors import RetryElsewhereError, UnfitServerError
from imagegen.backends.comfyui.prompt import group_identical, identity_key
from imagegen.backends.comfyui.server import check_run_can_start
from imagegen.errors import Problem
from imagegen.plan.request import Request

__all__ = [
    "AT_A_TIME",
    "BatchKey",
    "Fleet",
    "Pool",
    "Reservation",
    "ServerPlace",
    "find_absence",
    "list_servers",
    "refusal_problem",
]


AT_A_TIME = 2
"""Images with a server, so that it is never idle, and little is lost with it: measured in docs/comfyui.md."""
_REMEMBERED = 5
"""Images whose time is remembered of a server; the median of so few is soon rid of an odd one."""
_DOUBTS = 2
"""Images that may fail at a server and be tried elsewhere, until it gets no more before one of them is done."""
_MANY = 40
"""Images that wait for each server: with so many, one that takes some 20 times as long as others has time for two."""
_GOOD_DEAL = 1.5
_LEAST_S, _UNKNOWN_S = 1e-6, float("inf")


class BatchKey(NamedTuple):
    """Images that are the same to the servers. urls: of those that can draw them."""

    model: str
    urls: tuple[str, ...]


@dataclass(eq=False)
class Reservation:
    """A place for one image. url: of its server, empty where none is left that can draw it. loads: a model first."""

    url: str
    since_s: float
    loads: bool = False


@dataclass(eq=False)
class _Lane:
    """One server.

    loaded: the model of the image that it was given last. done_s: when its last one was done. took: seconds of the last
    ones; first: of the last one that loaded a model, None before there is one. doubts: images that failed there, and
    that another server tries.
    """

    url: str
    held: list[Reservation] = field(default_factory=list)
    loaded: str = ""
    done_s: float = 0.0
    took: deque[float] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))
    first: float | None = None
    doubts: int = 0

    def end_s(self, group: BatchKey, now_s: float) -> float:
        """Seconds until it would have drawn one of these too, at the most."""
        each_s = statistics.median(self.took) if self.took else self.first
        if each_s is None:
            return _UNKNOWN_S
        return self.busy_s(each_s, now_s) + each_s + self.load_s(each_s) * (group.model != self.loaded)

    def each_s(self, typical_s: float, now_s: float) -> float:
        """What an image takes there, probably. typical_s: at others. Before one is done, as long again as by now."""
        if self.took:
            return statistics.median(self.took)
        return typical_s if self.first is not None else max(typical_s, 2 * self._elapsed_s(now_s))

    def load_s(self, each_s: float) -> float:
        """What it takes longer with a model to load, as far as known."""
        return max(0.0, (self.first or 0.0) - each_s)

    def busy_s(self, each_s: float, now_s: float) -> float:
        """Seconds until it has drawn what it holds. An image that is late may be as late again."""
        expected = [each_s + self.load_s(each_s) * hold.loads for hold in self.held]
        return abs(expected[0] - self._elapsed_s(now_s)) + sum(expected[1:]) if expected else 0.0

    def is_done(self, hold: Reservation, now_s: float) -> None:
        """It has drawn the image: remember how long that took."""
        seconds = now_s - max(self.done_s, hold.since_s)
        self.done_s = now_s
        if hold.loads:
            self.first = seconds
        else:
            self.took.append(seconds)

    def _elapsed_s(self, now_s: float) -> float:
        """How long it is at the image that it draws now."""
        return now_s - max(self.done_s, self.held[0].since_s) if self.held else 0.0


class Pool:
    """The servers of a run that take images. For several threads. now_s: a clock in seconds."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._lanes: dict[str, _Lane] = {}
        self._mutex = threading.RLock()

    def add(self, url: str) -> None:
        """It takes images from now on."""
        with self._mutex:
            self._lanes.setdefault(url, _Lane(url))

    def take_out(self, url: str) -> bool:
        """It takes no more of them; whether it did until now."""
        with self._mutex:
            return self._lanes.pop(url, None) is not None

    def left(self, urls: Iterable[str]) -> list[str]:
        """Those of them that take images."""
        with self._mutex:
            return [url for url in urls if url in self._lanes]

    def place(self, waiting: Mapping[BatchKey, int]) -> tuple[BatchKey, Reservation] | None:
        """The group of which an image is next, and where; None where nothing is free for any, or will be sooner.

        waiting: how many images wait of each group, those groups first that came first. An image that no server is
        left for has a place nowhere.
        """
        now_s = self._now_s()
        with self._mutex:
            able = {group: self._able(group) for group in waiting}
            for group, urls in able.items():
                if not urls:
                    return group, Reservation("", now_s)
            loaded = Counter(lane.loaded for lane in self._lanes.values())
            wanted: Counter[str] = Counter()
            for group, count in waiting.items():
                wanted[group.model] += count
            ranked = {lane: self._best(lane, wanted, able, loaded) for lane in self._lanes.values()}
            best = {lane: group for lane, group in ranked.items() if group}
            ends = {lane: lane.end_s(best[lane], now_s) for lane in best}
            soonest_s = min(ends.values(), default=_UNKNOWN_S)
            for lane in sorted(best, key=lambda lane: ends[lane]):
                if len(lane.held) >= self._most(lane, waiting):
                    continue
                if ends[lane] in (soonest_s, _UNKNOWN_S) or not self._is_sooner_elsewhere(lane, ends[lane], waiting):
                    lane.held.append(Reservation(lane.url, now_s, loads=best[lane].model != lane.loaded))
                    lane.loaded = best[lane].model
                    return best[lane], lane.held[-1]
        return None

    def move(self, hold: Reservation, url: str) -> None:
        """The image is with another server already."""
        with self._mutex:
            self.leave(hold, drew=False)
            hold.url = url
            if url in self._lanes:
                self._lanes[url].held.append(hold)

    def leave(self, hold: Reservation, *, drew: bool) -> None:
        """The image is with its server no more. drew: the server has drawn it now, from start to end."""
        with self._mutex:
            lane = self._lanes.get(hold.url)
            if lane and hold in lane.held:
                lane.held.remove(hold)
                if drew:
                    lane.is_done(hold, self._now_s())

    def doubt(self, url: str, images: int) -> None:
        """So many images more, or less, failed there that another server tries, which tells whose fault that is."""
        with self._mutex:
            if url in self._lanes:
                self._lanes[url].doubts += images

    def _able(self, group: BatchKey) -> frozenset[str]:
        """Those that may draw it; not those that are in doubt, where there are others."""
        left = self.left(group.urls)
        return frozenset(url for url in left if self._lanes[url].doubts < _DOUBTS) or frozenset(left)

    def _most(self, lane: _Lane, waiting: Mapping[BatchKey, int]) -> int:
        """Of several servers, one has its first image by itself: it may be the slow one, where few images wait."""
        is_known = lane.first is not None or lane.took
        do_many_wait = sum(waiting.values()) >= _MANY * len(self._lanes)
        return AT_A_TIME if is_known or do_many_wait or len(self._lanes) == 1 else 1

    @staticmethod
    def _best(
        lane: _Lane, wanted: Mapping[str, int], able: Mapping[BatchKey, Collection[str]], loaded: Mapping[str, int]
    ) -> BatchKey | None:
        """What is next there: of what the fewest servers can draw, the model that most images wait for at each server.

        wanted: images that wait for each model. able: the servers that may draw each group. loaded: at how many servers
        each model is. The one that is loaded there stays unless other servers have it too, and another is wanted a good
        deal more.
        """

        def rank(group: BatchKey) -> tuple[int, bool, float]:
            is_loaded = group.model == lane.loaded
            others = loaded[group.model] - is_loaded
            share = wanted[group.model] / (1 + others) * (_GOOD_DEAL if is_loaded else 1)
            return len(able[group]), not (is_loaded and not others), -share

        return min((group for group, urls in able.items() if lane.url in urls), key=rank, default=None)

    def _is_sooner_elsewhere(self, lane: _Lane, done_s: float, waiting: Mapping[BatchKey, int]) -> bool:
        """Whether the others will have drawn all that waits before this one has drawn one more of it, in done_s."""
        now_s = self._now_s()
        others = [other for other in self._lanes.values() if other is not lane]
        typical_s = self._typical_s()
        each_s = {other.url: max(_LEAST_S, other.each_s(typical_s, now_s)) for other in others}
        theirs = sum(count for group, count in waiting.items() if any(url in each_s for url in group.urls))
        if theirs < sum(waiting.values()) or theirs >= done_s * sum(1 / each for each in each_s.values()):
            return False
        ends = []
        for other in others:
            loads = not any(group.model == other.loaded for group in waiting if other.url in group.urls)
            own_s = each_s[other.url]
            ends.append((other.busy_s(own_s, now_s) + own_s + other.load_s(own_s) * loads, other.url))
        heapq.heapify(ends)
        end_s = 0.0
        for _ in range(theirs):
            end_s, url = ends[0]
            heapq.heapreplace(ends, (end_s + each_s[url], url))
        return end_s < done_s

    def _typical_s(self) -> float:
        """What an image takes at a server, where that is known without loading a model. At least one is done."""
        took = [statistics.median(lane.took) for lane in self._lanes.values() if lane.took]
        return statistics.median(took or [lane.first for lane in self._lanes.values() if lane.first is not None])


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
        kinds = [same[0] for same in group_identical(requests)]

        def ask(url: str) -> None:
            request = next(request for request in kinds if url in request.extra["urls"])
            if url not in self._standing:
                self._standing[url] = self._asked(request, url)
            for request in kinds:
                if url in request.extra["urls"]:
                    self.against(request, url)

        for answer in [asked(partial(ask, url)) for url in list_servers(kinds)]:
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
                progress.event("note", text=_disabled_note(url, problems[0]))

    def against(self, request: Request, url: str) -> list[Problem]:
        """What keeps the server from drawing the request, by the server's own word; asked once for all alike."""
        if problems := self._standing.get(url):
            return problems
        key = url, identity_key(request)
        if key not in self._against:
            self._against[key] = request, self._said(request, url)
        return self._against[key][1]

    def problems(self, requests: Sequence[Request]) -> list[Problem]:
        """What keeps requests from being drawn: those of which each server has something against it."""
        found: dict[Problem, list[str]] = defaultdict(list)
        for same in group_identical(requests):
            against = {url: self.against(same[0], url) for url in same[0].extra["urls"]}
            if all(against.values()):
                for problem in _merge_by_server(against):
                    found[problem] += [request.name for request in same]
        return merge_problems(found, requests)

    def group(self, request: Request) -> BatchKey:
        """The servers that can draw it; without the one at which it failed, where there is another."""
        able = tuple(url for url in request.extra["urls"] if not self.against(request, url))
        others = tuple(url for url in able if url != self._avoided.get((request.name, request.seed)))
        return BatchKey(request.model, others if self.pool.left(others) else able)

    def take_out(self, url: str, problem: Problem, progress: Progress) -> None:
        """It gets no more images in this run, which is told once."""
        with self._mutex:
            self._standing[url] = [problem]
            self._out.add(url)
        if self.pool.take_out(url) and self.pool.left(self.connections):
            progress.event("note", text=_disabled_note(url, problem))

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
            if problem := find_absence(request, url, error):
                return [problem]
            self._silent[url] = str(error) or "no answer"
        except Refused as refused:
            return [refusal_problem(refused)]
        return []

    def _said(self, request: Request, url: str) -> list[Problem]:
        if url in self._silent:
            return check_folders([request])
        connection = self.connection(request, url)
        try:
            return check_on_server([request], connection.info, connection.client.class_names)
        except Unreachable as error:
            return [Problem("", f"ComfyUI at {url} does not answer: {error}", _CHECK)]
        except Refused as refused:
            return [refusal_problem(refused)]


_CHECK = "start it where it is, or correct its address: COMFYUI_URL, or comfyui.server.url"


def list_servers(requests: Sequence[Request]) -> dict[str, Request]:
    """Each server that the requests name, in order, with the first request that does."""
    found: dict[str, Request] = {}
    for request in requests:
        for url in request.extra["urls"]:
            found.setdefault(url, request)
    return found


def find_absence(request: Request, url: str, error: Exception) -> Problem | None:
    """That no server answers, where a run cannot start it; its models are not to be found out then."""
    problem = check_run_can_start(request, url)
    hint = problem.hint if problem and is_local(url) else _CHECK
    return problem and Problem("", f"no ComfyUI answers at {url} ({error})", hint)


def refusal_problem(refused: Refused) -> Problem:
    """That the server answers with something else than a success."""
    return Problem("", refused.what, refused.hint)


def _merge_by_server(against: Mapping[str, Sequence[Problem]]) -> Iterator[Problem]:
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


def _disabled_note(url: str, problem: Problem) -> str:
    return f"{url} is taken out, its images go to the other servers: {problem.what}"


class ServerPlace(ServerSlot):
    """Where the attempt was begun is on disk before a server hears of it."""

    def __init__(self, fleet: Fleet, hold: Reservation) -> None:
        self._fleet, self._hold = fleet, hold

    def release(self) -> None:
        """The server has a place for another image."""
        self._fleet.pool.leave(self._hold, drew=False)

    def generate(self, request: Request, progress: Progress) -> GeneratedImage:
        """Have the image drawn there, or where it was begun before."""
        if not self._hold.url:
            raise self._fleet.none_left(request)
        begun = progress.last_server
        if begun not in ("", self._hold.url):
            self._go_back(begun, request, progress)
        url = self._hold.url
        connection = self._fleet.connection(request, url)
        attempt = progress.begin_attempt(url)
        drew = False
        try:
            made = generate_image(connection, request, attempt, progress)
            drew = begun != url  # else it was drawn before, who knows when
        except GenerationError as error:
            raise self._failed(error, connection, attempt, request, progress) from None
        finally:
            self._fleet.pool.leave(self._hold, drew=drew)
        self._fleet.done(attempt, request, url, progress, made=True)
        return made

    def _go_back(self, begun: str, request: Request, progress: Progress) -> None:
        """Move to where the attempt was begun, if that has it; else what was begun there may be made twice: tell so."""
        fleet = self._fleet
        attempt = progress.begin_attempt()
        if fleet.failed_before(attempt) == begun:
            return
        if fleet.pool.left([begun]):
            connection = fleet.connection(request, begun)
            try:
                if connection.has_prompt(attempt, progress):
                    fleet.pool.move(self._hold, begun)
                return  # it never came there, or is forgotten
            except GenerationError as error:
                if not connection.is_gone:
                    raise
                fleet.take_out(begun, error.problem, progress)
            except Refused as refused:
                fleet.take_out(begun, Problem("", refused.what, refused.hint), progress)
        text = f"{begun} may have it, and cannot be asked: it is made again, at {self._hold.url}"
        progress.event("note", text=text)

    def _failed(
        self, error: GenerationError, connection: Connection, attempt: str, request: Request, progress: Progress
    ) -> Exception:
        """What is raised for it: that another server is to make the image, where one may; else what is wrong."""
        fleet, url = self._fleet, connection.url
        if len(request.extra["urls"]) == 1:
            return error
        others = [other for other in fleet.pool.left(fleet.group(request).urls) if other != url]
        if connection.is_gone or (isinstance(error, UnfitServerError) and others):
            fleet.take_out(url, error.problem, progress)
            return TryAnotherServer() if others else fleet.none_left(request)
        what = f"{error.problem.what}, at {url}"
        if isinstance(error, RetryElsewhereError) and others and not fleet.failed_before(attempt):
            fleet.failed(attempt, request, url)
            progress.restart_clock()  # its time may be over, and begins anew there
            progress.event("note", text=f"{what}; another server tries it")
            return TryAnotherServer()
        fleet.done(attempt, request, url, progress, made=False)
        error.problem = Problem(error.problem.where, what, error.problem.hint)
        return error
