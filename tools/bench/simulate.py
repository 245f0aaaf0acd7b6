"""Simulate a build on many servers, and compare how well the images are spread with perfect packing.

    python tools/bench/simulate.py [--images 100000] [--servers 64] [--models 8] [--mtbf 5] [--seed 1]

A discrete-event simulation with a clock of its own and the real `Pool`, which chooses a server for each image. Each
server generates one image after another, at its own speed; the first image of another model waits until that is loaded.
A server dies after `--mtbf` hours on average. When it has been waited for as long as a real one is, its images go back,
and it does not return. Perfect packing: all the time that the servers had, without a gap, each model loaded once, and
one at each server; further loads where they cost the fewest images.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import random
import time
from collections import deque
from dataclasses import dataclass, field

from imagegen.backends.comfyui.connection import PATIENCE_S
from imagegen.backends.comfyui.servers import BatchKey, Pool, Reservation


@dataclass
class Server:
    """each_s: seconds an image takes. dies_s: when it does. queue: what it holds, the first being drawn.

    begun: seconds that this one loads and is drawn. drew_s, loaded_s: in all, of images that it finished.
    """

    url: str
    each_s: float
    dies_s: float
    queue: deque[tuple[BatchKey, Reservation]] = field(default_factory=deque)
    model: str = ""
    begun: tuple[float, float] = (0.0, 0.0)
    drew_s: float = 0.0
    loaded_s: float = 0.0
    loads: int = 0

    def is_dead(self, now_s: float) -> bool:
        """Whether it has died by now."""
        return now_s >= self.dies_s


@dataclass(frozen=True)
class Result:
    """Seconds but for the counts and shares. left: images that no server was left for.

    bound_s: perfect packing. drawing, loading: of the time that the servers lived. again: images that were lost in the
    middle. deciding_s: what the pool took for all, of real time.
    """

    makespan_s: float
    left: int
    bound_s: float
    drawing: float
    loading: float
    loads: int
    dead: int
    again: int
    deciding_s: float


def simulate(options: argparse.Namespace) -> Result:
    """One build."""
    chance = random.Random(options.seed)  # noqa: S311 - no secret
    servers = {
        f"http://{number}": Server(
            f"http://{number}",
            options.each * chance.choice([0.5, 1.0, 1.0, 2.0]),
            chance.expovariate(1 / (options.mtbf * 3600)) if options.mtbf else float("inf"),
        )
        for number in range(options.servers)
    }
    shares = [chance.paretovariate(1.2) for _ in range(options.models)]
    counts = [round(options.images * share / sum(shares)) for share in shares]
    groups = [BatchKey(f"model {number}", tuple(servers)) for number in range(options.models)]
    waiting = {group: count for group, count in zip(groups, counts, strict=True) if count}
    total, models = sum(waiting.values()), len(waiting)
    now = 0.0
    pool = Pool(lambda: now)
    for url in servers:
        pool.add(url)
    order = itertools.count()
    events: list[tuple[float, int, str, str]] = []
    for server in servers.values():
        if server.dies_s < float("inf"):
            heapq.heappush(events, (server.dies_s + PATIENCE_S, next(order), "is given up", server.url))
    done, again, deciding_s = 0, 0, 0.0

    def begin(server: Server) -> None:
        group, _ = server.queue[0]
        drawing_s = server.each_s * chance.uniform(0.9, 1.1)
        loading_s = 0.0 if group.model == server.model else options.load
        server.model = group.model
        server.begun = loading_s, drawing_s
        if now + loading_s + drawing_s < server.dies_s:
            heapq.heappush(events, (now + loading_s + drawing_s, next(order), "drawn", server.url))

    def hand_out() -> bool:
        """Give the servers what they take now; whether any server is left."""
        nonlocal deciding_s
        while waiting:
            start = time.perf_counter()
            found = pool.pick(waiting)
            deciding_s += time.perf_counter() - start
            if not found:
                break
            group, hold = found
            if not hold.url:
                return False
            waiting[group] -= 1
            if not waiting[group]:
                del waiting[group]
            server = servers[hold.url]
            server.queue.append((group, hold))
            if len(server.queue) == 1:
                begin(server)
        return True

    while done < total and hand_out():
        now, _, kind, url = heapq.heappop(events)
        server = servers[url]
        if kind == "is given up":
            pool.disable(url)
            again += bool(server.queue)
            for group, hold in server.queue:
                pool.release(hold, is_done=False)
                waiting[group] = waiting.get(group, 0) + 1
            server.queue.clear()
        else:
            _, hold = server.queue.popleft()
            pool.release(hold, is_done=True)
            done += 1
            loading_s, drawing_s = server.begun
            server.loaded_s += loading_s
            server.drew_s += drawing_s
            server.loads += loading_s > 0
            if server.queue:
                begin(server)
    every = list(servers.values())
    lived_s = sum(min(now, server.dies_s) for server in every)
    return Result(
        now,
        total - done,
        0.0 if done < total else bound(every, total, models, options.load, now),
        sum(server.drew_s for server in every) / lived_s,
        sum(server.loaded_s for server in every) / lived_s,
        sum(server.loads for server in every),
        sum(server.is_dead(now) for server in every),
        again,
        deciding_s,
    )


def bound(servers: list[Server], images: int, models: int, load_s: float, known_s: float) -> float:
    """Seconds in which servers without a gap could have drawn so many. known_s: in which they have."""
    low, high = 0.0, 2 * known_s  # what an image takes varies a little, and may have been less than it does on average
    while high - low > 0.01:
        middle = (low + high) / 2
        low, high = (low, middle) if most(servers, middle, models, load_s) >= images else (middle, high)
    return high


def most(servers: list[Server], until_s: float, models: int, load_s: float) -> float:
    """Return how many images servers without a gap could generate until then; none if a model could not be loaded."""
    spare_s = [(max(0.0, min(until_s, server.dies_s) - load_s), server.each_s) for server in servers]
    more_loads_s = load_s * max(0, models - sum(seconds > 0 for seconds, _ in spare_s))
    images = 0.0
    for seconds, each_s in sorted(spare_s, key=lambda one: -one[1]):  # a load costs the fewest images where it is slow
        loading_s = min(more_loads_s, seconds)
        more_loads_s -= loading_s
        images += (seconds - loading_s) / each_s
    return 0.0 if more_loads_s > 0 else images


def main() -> None:
    """Print a row for each number of images."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", default="1000,10000,100000")
    parser.add_argument("--servers", type=int, default=64)
    parser.add_argument("--models", type=int, default=8)
    parser.add_argument("--each", type=float, default=5.0, help="seconds an image takes at a server of usual speed")
    parser.add_argument("--load", type=float, default=30.0, help="seconds to load a model")
    parser.add_argument("--mtbf", type=float, default=5.0, help="hours until a server dies, on average; 0: never")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    dying = f"each dies after {options.mtbf:g} hours on average" if options.mtbf else "none dies"
    print(f"{options.servers} servers, {options.models} models, {options.each:g} s an image,", end=" ")
    print(f"{options.load:g} s a load; {dying}\n")
    print(
        "| images | hours | ratio to perfect packing | generating | loading | loads | died"
        " | generated again | choosing a server, ms |"
    )
    print("|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
    for count in map(int, options.images.split(",")):
        options.images = count
        found = simulate(options)
        cells = [
            f"{count:,}",
            f"{found.makespan_s / 3600:.2f}",
            "" if found.left else f"{found.makespan_s / found.bound_s:.3f}",
            f"{found.drawing:.1%}",
            f"{found.loading:.1%}",
            str(found.loads),
            str(found.dead),
            str(found.again),
            f"{found.deciding_s / count * 1000:.2f}",
        ]
        print(f"| {' | '.join(cells)} |", flush=True)
        if found.left:
            print(f"\nAll {options.servers} servers have died, with {found.left:,} of {count:,} images to generate.\n")


if __name__ == "__main__":
    main()
