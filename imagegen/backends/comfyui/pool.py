"""Which server takes the next image: one that is free, has what it needs, and has its model loaded.

It asks nobody and knows servers by their address alone. What it knows of their speed, it saw in this run.
"""

from __future__ import annotations

import heapq
import statistics
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

__all__ = ["AT_A_TIME", "Group", "Hold", "Pool"]

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


class Group(NamedTuple):
    """Images that are the same to the servers. urls: of those that can draw them."""

    model: str
    urls: tuple[str, ...]


@dataclass(eq=False)
class Hold:
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
    held: list[Hold] = field(default_factory=list)
    loaded: str = ""
    done_s: float = 0.0
    took: deque[float] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))
    first: float | None = None
    doubts: int = 0

    def end_s(self, group: Group, now_s: float) -> float:
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

    def is_done(self, hold: Hold, now_s: float) -> None:
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

    def place(self, waiting: Mapping[Group, int]) -> tuple[Group, Hold] | None:
        """The group of which an image is next, and where; None where nothing is free for any, or will be sooner.

        waiting: how many images wait of each group, those groups first that came first. An image that no server is
        left for has a place nowhere.
        """
        now_s = self._now_s()
        with self._mutex:
            able = {group: self._able(group) for group in waiting}
            for group, urls in able.items():
                if not urls:
                    return group, Hold("", now_s)
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
                    lane.held.append(Hold(lane.url, now_s, loads=best[lane].model != lane.loaded))
                    lane.loaded = best[lane].model
                    return best[lane], lane.held[-1]
        return None

    def move(self, hold: Hold, url: str) -> None:
        """The image is with another server already."""
        with self._mutex:
            self.leave(hold, drew=False)
            hold.url = url
            if url in self._lanes:
                self._lanes[url].held.append(hold)

    def leave(self, hold: Hold, *, drew: bool) -> None:
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

    def _able(self, group: Group) -> frozenset[str]:
        """Those that may draw it; not those that are in doubt, where there are others."""
        left = self.left(group.urls)
        return frozenset(url for url in left if self._lanes[url].doubts < _DOUBTS) or frozenset(left)

    def _most(self, lane: _Lane, waiting: Mapping[Group, int]) -> int:
        """Of several servers, one has its first image by itself: it may be the slow one, where few images wait."""
        is_known = lane.first is not None or lane.took
        do_many_wait = sum(waiting.values()) >= _MANY * len(self._lanes)
        return AT_A_TIME if is_known or do_many_wait or len(self._lanes) == 1 else 1

    @staticmethod
    def _best(
        lane: _Lane, wanted: Mapping[str, int], able: Mapping[Group, Collection[str]], loaded: Mapping[str, int]
    ) -> Group | None:
        """What is next there: of what the fewest servers can draw, the model that most images wait for at each server.

        wanted: images that wait for each model. able: the servers that may draw each group. loaded: at how many servers
        each model is. The one that is loaded there stays unless other servers have it too, and another is wanted a good
        deal more.
        """

        def rank(group: Group) -> tuple[int, bool, float]:
            is_loaded = group.model == lane.loaded
            others = loaded[group.model] - is_loaded
            share = wanted[group.model] / (1 + others) * (_GOOD_DEAL if is_loaded else 1)
            return len(able[group]), not (is_loaded and not others), -share

        return min((group for group, urls in able.items() if lane.url in urls), key=rank, default=None)

    def _is_sooner_elsewhere(self, lane: _Lane, done_s: float, waiting: Mapping[Group, int]) -> bool:
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
