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
from imagegen.backends.comfyui.client import Client
from imagegen.backends.comfyui.connection import Connection, generate_image
from imagegen.backends.comfyui.errors import RetryElsewhereError, UnfitServerError
from imagegen.backends.comfyui.prompt import group_identical, identity_key
from imagegen.backends.comfyui.server import find_run_start_problem
from imagegen.backends.json_api import Refused, Unreachable
from imagegen.backends.text import list_first
from imagegen.calls import run_in_daemon_thread
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
]

AT_A_TIME = 2
"""Images with a server, so that it is never idle, and little is lost with it: measured in docs/comfyui.md."""
_REMEMBERED = 5
"""Images whose time is remembered of a server; the median of so few is soon rid of an odd one."""
_PENDING_FAILURES = 2
"""Images that may fail at a server and be tried elsewhere before it gets no more until one of them is done."""
_MANY = 40
"""Images that wait for each server: with so many, one that takes some 20 times as long as others has time for two."""
_LOADED_BONUS = 1.5
"""How much more another model must be wanted before a server gives up the one that it has loaded."""
_LEAST_S, _UNKNOWN_S = 1e-6, float("inf")
_STRIKES = 2
"""Images that fail at a server and that another one generates, with none in between, until it is disabled."""
_SHOWN = 3


class BatchKey(NamedTuple):
    """Identifies images that are alike to the servers: their model, and the servers that can generate them."""

    model: str
    urls: tuple[str, ...]


@dataclass(eq=False)
class Reservation:
    """Room for one image at a server. url: empty if no server is left for it. loads: it loads a model first."""

    url: str
    since_s: float
    loads: bool = False


@dataclass(eq=False)
class _Lane:
    """One server's images.

    Attributes:
        loaded: the model of the image that it was given last.
        done_s: when its last image was done.
        took: seconds of the last images.
        first: seconds of the last image that loaded a model; None before there is one.
        pending_failures: images that failed there, and that another server is trying.
    """

    url: str
    reserved: list[Reservation] = field(default_factory=list)
    loaded: str = ""
    done_s: float = 0.0
    took: deque[float] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))
    first: float | None = None
    pending_failures: int = 0

    def estimate_finish_s(self, key: BatchKey, now_s: float) -> float:
        """Estimate the seconds until it would have generated one more of these images."""
        each_s = statistics.median(self.took) if self.took else self.first
        if each_s is None:
            return _UNKNOWN_S
        return self.estimate_busy_s(each_s, now_s) + each_s + self.estimate_load_s(each_s) * (key.model != self.loaded)

    def estimate_image_s(self, typical_s: float, now_s: float) -> float:
        """Estimate the seconds of an image there; before one is done, twice what it has taken so far.

        Args:
            typical_s: what an image takes at other servers.
        """
        if self.took:
            return statistics.median(self.took)
        return typical_s if self.first is not None else max(typical_s, 2 * self._elapsed_s(now_s))

    def estimate_load_s(self, each_s: float) -> float:
        """Estimate the seconds that loading a model adds."""
        return max(0.0, (self.first or 0.0) - each_s)

    def estimate_busy_s(self, each_s: float, now_s: float) -> float:
        """Estimate the seconds until it has finished its images. One that is late may be as late again."""
        expected = [each_s + self.estimate_load_s(each_s) * reservation.loads for reservation in self.reserved]
        return abs(expected[0] - self._elapsed_s(now_s)) + sum(expected[1:]) if expected else 0.0

    def note_done(self, reservation: Reservation, now_s: float) -> None:
        """Remember how long the image took."""
        seconds = now_s - max(self.done_s, reservation.since_s)
        self.done_s = now_s
        if reservation.loads:
            self.first = seconds
        else:
            self.took.append(seconds)

    def _elapsed_s(self, now_s: float) -> float:
        """Return how long its current image has taken so far."""
        return now_s - max(self.done_s, self.reserved[0].since_s) if self.reserved else 0.0


class Pool:
    """The servers of a run that take images, for several threads. It contacts none of them.

    Args:
        now_s: a clock in seconds.
    """

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._lanes: dict[str, _Lane] = {}
        self._mutex = threading.RLock()

    def add(self, url: str) -> None:
        """Give the server images from now on."""
        with self._mutex:
            self._lanes.setdefault(url, _Lane(url))

    def disable(self, url: str) -> bool:
        """Give the server no more images; return whether it got any until now."""
        with self._mutex:
            return self._lanes.pop(url, None) is not None

    def available(self, urls: Iterable[str]) -> list[str]:
        """Return those of the servers that take images."""
        with self._mutex:
            return [url for url in urls if url in self._lanes]

    def pick(self, waiting: Mapping[BatchKey, int]) -> tuple[BatchKey, Reservation] | None:
        """Choose the next image and its server.

        Args:
            waiting: how many images wait, by batch key; that of the first image comes first.

        Returns:
            A key, and room at a server, or at none if no server is left for such images; None if it is better to wait.
        """
        now_s = self._now_s()
        with self._mutex:
            able = {key: self._able(key) for key in waiting}
            for key, urls in able.items():
                if not urls:
                    return key, Reservation("", now_s)
            loaded = Counter(lane.loaded for lane in self._lanes.values())
            wanted: Counter[str] = Counter()
            for key, count in waiting.items():
                wanted[key.model] += count
            ranked = {lane: self._best(lane, wanted, able, loaded) for lane in self._lanes.values()}
            best = {lane: key for lane, key in ranked.items() if key}
            ends = {lane: lane.estimate_finish_s(best[lane], now_s) for lane in best}
            soonest_s = min(ends.values(), default=_UNKNOWN_S)
            for lane in sorted(best, key=lambda lane: ends[lane]):
                if len(lane.reserved) >= self._most(lane, waiting):
                    continue
                if ends[lane] in (soonest_s, _UNKNOWN_S) or not self._is_sooner_elsewhere(lane, ends[lane], waiting):
                    lane.reserved.append(Reservation(lane.url, now_s, loads=best[lane].model != lane.loaded))
                    lane.loaded = best[lane].model
                    return best[lane], lane.reserved[-1]
        return None

    def move(self, reservation: Reservation, url: str) -> None:
        """Move the reservation to another server, which has the image already."""
        with self._mutex:
            self.release(reservation, is_done=False)
            reservation.url = url
            if url in self._lanes:
                self._lanes[url].reserved.append(reservation)

    def release(self, reservation: Reservation, *, is_done: bool) -> None:
        """Free the room of an image that has left its server. is_done: the server has just generated it as a whole."""
        with self._mutex:
            lane = self._lanes.get(reservation.url)
            if lane and reservation in lane.reserved:
                lane.reserved.remove(reservation)
                if is_done:
                    lane.note_done(reservation, self._now_s())

    def count_failures(self, url: str, images: int) -> None:
        """Adjust the number of images that failed there and that other servers are trying. images: may be negative."""
        with self._mutex:
            if url in self._lanes:
                self._lanes[url].pending_failures += images

    def _able(self, key: BatchKey) -> frozenset[str]:
        """Return the servers that may generate it; those with too many pending failures only if there are no others."""
        urls = self.available(key.urls)
        sound = frozenset(url for url in urls if self._lanes[url].pending_failures < _PENDING_FAILURES)
        return sound or frozenset(urls)

    def _most(self, lane: _Lane, waiting: Mapping[BatchKey, int]) -> int:
        """Return how many images the server may have: if few wait, one until its first is done, as it may be slow."""
        is_known = lane.first is not None or lane.took
        do_many_wait = sum(waiting.values()) >= _MANY * len(self._lanes)
        return AT_A_TIME if is_known or do_many_wait or len(self._lanes) == 1 else 1

    @staticmethod
    def _best(
        lane: _Lane, wanted: Mapping[str, int], able: Mapping[BatchKey, Collection[str]], loaded: Mapping[str, int]
    ) -> BatchKey | None:
        """Choose what is next at a server.

        Of the images that the fewest servers can generate, it is the model that most of them wait for at each server.
        The loaded one stays unless other servers have it too, and another is wanted a good deal more.

        Args:
            wanted: how many images wait for each model.
            able: the servers that may generate the images of each key.
            loaded: at how many servers each model is loaded.
        """

        def rank(key: BatchKey) -> tuple[int, bool, float]:
            is_loaded = key.model == lane.loaded
            others = loaded[key.model] - is_loaded
            share = wanted[key.model] / (1 + others) * (_LOADED_BONUS if is_loaded else 1)
            return len(able[key]), not (is_loaded and not others), -share

        return min((key for key, urls in able.items() if lane.url in urls), key=rank, default=None)

    def _is_sooner_elsewhere(self, lane: _Lane, done_s: float, waiting: Mapping[BatchKey, int]) -> bool:
        """Whether the others will have generated all that waits before this one has done one more, in done_s."""
        now_s = self._now_s()
        others = [other for other in self._lanes.values() if other is not lane]
        typical_s = self._typical_s()
        each_s = {other.url: max(_LEAST_S, other.estimate_image_s(typical_s, now_s)) for other in others}
        theirs = sum(count for key, count in waiting.items() if any(url in each_s for url in key.urls))
        if theirs < sum(waiting.values()) or theirs >= done_s * sum(1 / each for each in each_s.values()):
            return False
        ends = []
        for other in others:
            loads = not any(key.model == other.loaded for key in waiting if other.url in key.urls)
            own_s = each_s[other.url]
            ends.append((other.estimate_busy_s(own_s, now_s) + own_s + other.estimate_load_s(own_s) * loads, other.url))
        heapq.heapify(ends)
        end_s = 0.0
        for _ in range(theirs):
            end_s, url = ends[0]
            heapq.heapreplace(ends, (end_s + each_s[url], url))
        return end_s < done_s

    def _typical_s(self) -> float:
        """Return what an image takes at a server, without loading a model if that is known. At least one is done."""
        took = [statistics.median(lane.took) for lane in self._lanes.values() if lane.took]
        return statistics.median(took or [lane.first for lane in self._lanes.values() if lane.first is not None])


class Fleet:
    """The servers that a run's requests name, and what keeps each from generating them. For all threads of the run."""

    def __init__(self) -> None:
        self.pool = Pool()
        """The servers that take images."""
        self.connections: dict[str, Connection] = {}
        self._mutex = threading.RLock()
        self._states: dict[str, list[Problem]] = {}
        """What keeps each server that was asked from generating anything, by URL."""
        self._silent: dict[str, str] = {}
        """Why servers that a run can start do not answer, by URL: their folders are checked instead."""
        self._problems: dict[tuple[str, Hashable], tuple[Request, list[Problem]]] = {}
        self._reported: set[str] = set()
        """Servers that were reported to generate nothing more."""
        self._failed: dict[str, str] = {}
        """By attempt, the server at which it failed, while another one may try it."""
        self._avoided: dict[tuple[str, int | None], str] = {}
        """That server by the request's name and seed, and by the name alone, as the job may leave the seed open."""
        self._strikes: Counter[str] = Counter()

    def connection(self, request: Request, url: str) -> Connection:
        """Return this run's connection to one of the request's servers."""
        with self._mutex:
            if url not in self.connections:
                is_trusted = url in request.extra["trusted"]
                auth, key = (
                    os.environ.get(name, "") if is_trusted else "" for name in ("COMFYUI_AUTH", "COMFY_API_KEY")
                )
                self.connections[url] = Connection(Client(url, auth, key), auth)
            return self.connections[url]

    def ask_servers(self, requests: Sequence[Request]) -> None:
        """Ask the servers, all at once, whether they are there (once a run) and what they say about the requests."""
        kinds = [same[0] for same in group_identical(requests)]

        def ask(url: str) -> None:
            of_server = [request for request in kinds if url in request.extra["urls"]]
            if url not in self._states:
                self._states[url] = self._find_state(of_server[0], url)
            for request in of_server:
                self.problems_for(request, url)

        for answer in [run_in_daemon_thread(partial(ask, url)) for url in list_servers(kinds)]:
            answer.result()

    def set_prepared(self, url: str, problems: list[Problem]) -> None:
        """Note what keeps a server from generating anything, now that it is prepared. With nothing, it takes images."""
        with self._mutex:
            self._states[url] = problems
            if self._silent.pop(url, ""):
                for key in [key for key in self._problems if key[0] == url]:
                    del self._problems[key]
        if not problems:
            self.pool.add(url)

    def server_problems(self, url: str) -> list[Problem]:
        """Return what keeps a server, which was asked, from generating anything."""
        return self._states.get(url, [])

    def silence(self, url: str) -> str:
        """Return why a server that a run can start does not answer; else an empty text."""
        return self._silent.get(url, "")

    def report_absent(self, urls: Iterable[str], progress: Progress) -> None:
        """Report the servers that take no part, each once; others do."""
        for url in urls:
            if url not in self._reported and (problems := self.server_problems(url)):
                self._reported.add(url)
                progress.event("note", text=_disabled_note(url, problems[0]))

    def problems_for(self, request: Request, url: str, identity: Hashable = None) -> list[Problem]:
        """Return what keeps the server from generating the request; it is asked once for all identical ones.

        identity: the request's `identity_key`, if that is known.
        """
        if problems := self._states.get(url):
            return problems
        key = url, identity or identity_key(request)
        if key not in self._problems:
            self._problems[key] = request, self._check(request, url)
        return self._problems[key][1]

    def find_problems(self, requests: Sequence[Request]) -> list[Problem]:
        """Return what keeps requests from being generated: those that no server can generate."""
        found: dict[Problem, list[str]] = defaultdict(list)
        for same in group_identical(requests):
            by_server = {url: self.problems_for(same[0], url) for url in same[0].extra["urls"]}
            if all(by_server.values()):
                for problem in _merge_by_server(by_server):
                    found[problem] += [request.name for request in same]
        return merge_problems(found, requests)

    def batch_key(self, request: Request) -> BatchKey:
        """Return the model and the servers that can generate it; if one failed at it, only the others, if any."""
        identity = identity_key(request)  # which takes most of the time of asking about many servers
        able = tuple(url for url in request.extra["urls"] if not self.problems_for(request, url, identity))
        others = tuple(url for url in able if url != self._avoided.get((request.name, request.seed)))
        return BatchKey(request.model, others if self.pool.available(others) else able)

    def disable(self, url: str, problem: Problem, progress: Progress) -> None:
        """Give the server no more images in this run, and report it once."""
        with self._mutex:
            self._states[url] = [problem]
            self._reported.add(url)
        if self.pool.disable(url) and self.pool.available(self.connections):
            progress.event("note", text=_disabled_note(url, problem))

    def no_server_left(self, request: Request) -> MayBeRunningError:
        """Return the error for a request that no server can generate any more."""
        problems = [problem for url in request.extra["urls"] for problem in self.problems_for(request, url)[:1]]
        if len(problems) == 1:
            return MayBeRunningError(problems[0].what, problems[0].hint)
        what = "; ".join(problem.what for problem in problems)
        return MayBeRunningError(f"no server is left: {what}", problems[-1].hint if problems else "")

    def failed_at(self, attempt: str) -> str:
        """Return the server at which the attempt failed in this run, and another one is to try it; empty if none."""
        return self._failed.get(attempt, "")

    def note_failure(self, attempt: str, request: Request, url: str) -> None:
        """Note that the attempt failed at this server, and is tried at another one."""
        self._failed[attempt] = url
        self._avoided |= {(request.name, request.seed): url, (request.name, None): url}
        self.pool.count_failures(url, 1)

    def note_end(self, attempt: str, request: Request, url: str, progress: Progress, *, is_done: bool) -> None:
        """Note that the attempt ended. If it failed at another server and is done now, that one was at fault."""
        before = self._failed.pop(attempt, "")
        for seed in (request.seed, None):
            self._avoided.pop((request.name, seed), None)
        with self._mutex:
            if is_done:
                self._strikes[url] = 0
            if before:
                self.pool.count_failures(before, -1)
                self._strikes[before] += is_done
        if before and self._strikes[before] >= _STRIKES:
            what = f"{_STRIKES} images failed there that other servers generated"
            self.disable(before, Problem("", what, "look at that server's own log"), progress)

    def close(self) -> None:
        """End the run."""
        for connection in self.connections.values():
            connection.close()

    def _find_state(self, request: Request, url: str) -> list[Problem]:
        connection = self.connection(request, url)
        try:
            connection.stats = connection.client.system_stats()  # what answers may not be ComfyUI
        except Unreachable as error:
            if problem := find_absence(request, url, error):
                return [problem]
            self._silent[url] = str(error) or "no answer"
        except Refused as refused:
            return [refused.problem]
        return []

    def _check(self, request: Request, url: str) -> list[Problem]:
        if url in self._silent:
            return check_folders([request])
        connection = self.connection(request, url)
        try:
            return check_on_server([request], connection.info, connection.client.class_names)
        except Unreachable as error:
            return [Problem("", f"ComfyUI at {url} does not answer: {error}", _START_IT)]
        except Refused as refused:
            return [refused.problem]


_START_IT = "start it where it is, or correct its address: COMFYUI_URL, or comfyui.server.url"


def list_servers(requests: Sequence[Request]) -> dict[str, Request]:
    """Return each server that the requests name, in order, with the first request that does."""
    found: dict[str, Request] = {}
    for request in requests:
        for url in request.extra["urls"]:
            found.setdefault(url, request)
    return found


def find_absence(request: Request, url: str, error: Exception) -> Problem | None:
    """Return the problem that no server answers; None if a run can start it."""
    problem = find_run_start_problem(request, url)
    hint = problem.hint if problem and is_local(url) else _START_IT
    return problem and Problem("", f"no ComfyUI answers at {url} ({error})", hint)


def _merge_by_server(by_server: Mapping[str, Sequence[Problem]]) -> Iterator[Problem]:
    """Yield each problem once; if there are several servers, with those that have it."""
    if len(by_server) == 1:
        (problems,) = by_server.values()
        yield from problems
        return
    having: dict[Problem, list[str]] = defaultdict(list)
    for url, problems in by_server.items():
        for problem in problems:
            having[problem].append(url)
    for problem, urls in having.items():
        where = list_first(urls, _SHOWN)
        yield Problem("", problem.what if where in problem.what else f"{problem.what}, at {where}", problem.hint)


def _disabled_note(url: str, problem: Problem) -> str:
    return f"{url} gets no more images, they go to the other servers: {problem.what}"


class ServerPlace(ServerSlot):
    """Room for one image at a server. The attempt's server is on disk before the server hears of it."""

    def __init__(self, fleet: Fleet, reservation: Reservation, localize: Callable[[Request], Request]) -> None:
        self._fleet, self._reservation, self._localize = fleet, reservation, localize

    def release(self) -> None:
        """Give the server room for another image."""
        self._fleet.pool.release(self._reservation, is_done=False)

    def generate(self, request: Request, progress: Progress) -> GeneratedImage:
        """Generate the image there, or where it was begun before."""
        request = self._localize(request)
        if not self._reservation.url:
            raise self._fleet.no_server_left(request)
        last = progress.last_server
        if last not in ("", self._reservation.url):
            self._go_back(last, request, progress)
        url = self._reservation.url
        connection = self._fleet.connection(request, url)
        attempt = progress.begin_attempt(url)
        is_done = False
        try:
            image = generate_image(connection, request, attempt, progress)
            is_done = last != url  # else it may have been done long before
        except GenerationError as error:
            raise self._handle_failure(error, connection, attempt, request, progress) from None
        finally:
            self._fleet.pool.release(self._reservation, is_done=is_done)
        self._fleet.note_end(attempt, request, url, progress, is_done=True)
        return image

    def _go_back(self, last: str, request: Request, progress: Progress) -> None:
        """Move to the server where the attempt was begun, if that has it; report it if the image may be made twice."""
        fleet = self._fleet
        attempt = progress.begin_attempt()
        if fleet.failed_at(attempt) == last:
            return
        if fleet.pool.available([last]):
            connection = fleet.connection(request, last)
            try:
                if connection.has_prompt(attempt, progress):
                    fleet.pool.move(self._reservation, last)
                return  # it never came there, or is forgotten
            except GenerationError as error:
                if not connection.is_gone:
                    raise
                fleet.disable(last, error.problem, progress)
            except Refused as refused:
                fleet.disable(last, refused.problem, progress)
        text = f"{last} may have it, but cannot be asked: it is generated again, at {self._reservation.url}"
        progress.event("note", text=text)

    def _handle_failure(
        self, error: GenerationError, connection: Connection, attempt: str, request: Request, progress: Progress
    ) -> Exception:
        """Return what to raise: that another server is to generate the image, if one may; else what is wrong."""
        fleet, url = self._fleet, connection.url
        if len(request.extra["urls"]) == 1:
            return error
        others = [other for other in fleet.pool.available(fleet.batch_key(request).urls) if other != url]
        if connection.is_gone or (isinstance(error, UnfitServerError) and others):
            fleet.disable(url, error.problem, progress)
            return TryAnotherServer() if others else fleet.no_server_left(request)
        what = f"{error.problem.what}, at {url}"
        if isinstance(error, RetryElsewhereError) and others and not fleet.failed_at(attempt):
            fleet.note_failure(attempt, request, url)
            progress.restart_clock()  # its time may be over, and starts again there
            progress.event("note", text=f"{what}; another server tries it")
            return TryAnotherServer()
        fleet.note_end(attempt, request, url, progress, is_done=False)
        error.problem = Problem(error.problem.where, what, error.problem.hint)
        return error
