"""Which server takes the next image: one that is free, has what it needs, and has its model loaded.

It asks nobody and knows servers by their address alone. What it knows of their speed, it saw in this run.
"""

from __future__ import annotations

import heapq
import statistics
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

__all__ = ["AT_A_TIME", "Group", "Hold", "Pool"]

AT_A_TIME = 2
"""Images with a server, so that it is never idle, and little is lost with it: measured in docs/comfyui.md."""
_REMEMBERED = 5
"""Images whose time is remembered of a server; the median of so few is soon rid of the one that loaded a model."""


class Group(NamedTuple):
    """Images that are the same to the servers. urls: of those that can draw them."""

    model: str
    urls: tuple[str, ...]


@dataclass(eq=False)
class Hold:
    """A place for one image. url: of its server, empty where none is left that can draw it."""

    url: str
    model: str
    since_s: float


@dataclass(eq=False)
class _Lane:
    """One server. loaded: the model that it loads for the last image it was given. done_s: when its last was done."""

    url: str
    held: list[Hold] = field(default_factory=list)
    loaded: str = ""
    done_s: float = 0.0
    took: deque[float] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))

    def elapsed_s(self, now_s: float) -> float:
        """How long it is at the image that it draws now."""
        return now_s - max(self.done_s, self.held[0].since_s) if self.held else 0.0

    def seconds(self, now_s: float, others: float = 0.0) -> float:
        """What an image takes there; as long as none is done, what it takes others, or twice what it has taken."""
        return statistics.median(self.took) if self.took else max(others, 2 * self.elapsed_s(now_s))

    def busy_s(self, now_s: float, each_s: float) -> float:
        """Seconds until it has drawn what it holds. Of an image that is overdue nobody knows: as much again."""
        return abs(each_s - self.elapsed_s(now_s)) + each_s * (len(self.held) - 1) if self.held else 0.0


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
            for group in waiting:
                if not self.left(group.urls):
                    return group, Hold("", group.model, now_s)
            free = [lane for lane in self._lanes.values() if len(lane.held) < self._most(lane)]
            for lane in sorted(free, key=lambda lane: (len(lane.held), lane.seconds(now_s) if lane.took else 1e9)):
                able = [group for group in waiting if lane.url in group.urls]
                if able and not self._is_sooner_elsewhere(lane, waiting, now_s):
                    return self._given(lane, self._best(lane, able, waiting), now_s)
        return None

    def move(self, hold: Hold, url: str) -> None:
        """The image is with another server already."""
        with self._mutex:
            self._drop(hold)
            hold.url = url
            if url in self._lanes:
                self._lanes[url].held.append(hold)

    def leave(self, hold: Hold, *, drew: bool) -> None:
        """The image is with its server no more. drew: the server has drawn it now, from start to end."""
        now_s = self._now_s()
        with self._mutex:
            lane = self._lanes.get(hold.url)
            if lane and hold in lane.held and drew:
                lane.took.append(now_s - max(lane.done_s, hold.since_s))
                lane.done_s = now_s
            self._drop(hold)

    def _drop(self, hold: Hold) -> None:
        lane = self._lanes.get(hold.url)
        if lane and hold in lane.held:
            lane.held.remove(hold)

    def _given(self, lane: _Lane, group: Group, now_s: float) -> tuple[Group, Hold]:
        hold = Hold(lane.url, group.model, now_s)
        lane.held.append(hold)
        lane.loaded = group.model
        return group, hold

    def _most(self, lane: _Lane) -> int:
        """Of several servers, one has its first image by itself: it may be the slow one."""
        return AT_A_TIME if lane.took or len(self._lanes) == 1 else 1

    def _best(self, lane: _Lane, able: Sequence[Group], waiting: Mapping[Group, int]) -> Group:
        """What few servers can draw, then what needs no other model, then the model most wait for at each server."""
        loaded = Counter(other.loaded for other in self._lanes.values() if other is not lane)
        wanted: Counter[str] = Counter()
        for group, count in waiting.items():
            wanted[group.model] += count

        def rank(group: Group) -> tuple[int, bool, float]:
            share = wanted[group.model] / (1 + loaded[group.model])
            return len(self.left(group.urls)), group.model != lane.loaded, -share

        return min(able, key=rank)

    def _is_sooner_elsewhere(self, lane: _Lane, waiting: Mapping[Group, int], now_s: float) -> bool:
        """Whether the others will have drawn all that waits, as far as they can, before this one has drawn one more."""
        others = [other for other in self._lanes.values() if other is not lane]
        known = [statistics.median(other.took) for other in self._lanes.values() if other.took]
        if not others or not lane.took:
            return False
        typical_s = statistics.median(known)
        own_s = lane.seconds(now_s)
        done_s = lane.busy_s(now_s, own_s) + own_s
        each_s = {other.url: other.seconds(now_s, typical_s) for other in others}
        theirs = sum(count for group, count in waiting.items() if any(url in each_s for url in group.urls))
        if theirs < sum(waiting.values()) or theirs >= done_s * sum(1 / max(each, 1e-6) for each in each_s.values()):
            return False
        heap = [(other.busy_s(now_s, each_s[other.url]) + each_s[other.url], other.url) for other in others]
        heapq.heapify(heap)
        end_s = 0.0
        for _ in range(theirs):
            end_s, url = heap[0]
            heapq.heapreplace(heap, (end_s + each_s[url], url))
        return end_s < done_s
