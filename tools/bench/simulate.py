"""A build larger than any machine here: how well the images are spread over servers, against perfect packing.

    python tools/bench/simulate.py [--images 100000] [--servers 64] [--models 8] [--seed 1]

A discrete-event simulation with the real `Pool`, which decides where each image goes, and a clock of its own. Each
server draws one image after another, at its own speed; the first of another model waits for that to load. One in so
many hours a server dies, what it holds goes back, and it is not seen again. The bound: all the work that the servers
had time for, shared without a gap, each model loaded once where it is needed.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import random
import time
from collections import deque
from dataclasses import dataclass, field

from imagegen.backends.comfyui.pool import Group, Hold, Pool


@dataclass
class Server:
    """each_s: seconds an image takes. dies_s: when it does. queue: what it holds, the first being drawn."""

    url: str
    each_s: float
    dies_s: float
    queue: deque[tuple[Group, Hold]] = field(default_factory=deque)
    loaded: str = ""
    busy_s: float = 0.0
    loads: int = 0
    is_dead: bool = False


@dataclass(frozen=True)
class Result:
    """Seconds but for the counts. bound_s: perfect packing. deciding_s: what the pool took for all, of real time."""

    makespan_s: float
    bound_s: float
    busy: float
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
    groups = [Group(f"model {number}", tuple(servers)) for number in range(options.models)]
    waiting = {group: count for group, count in zip(groups, counts, strict=True) if count}
    total = sum(waiting.values())
    now = 0.0
    pool = Pool(lambda: now)
    for url in servers:
        pool.add(url)
    order = itertools.count()
    events: list[tuple[float, int, str, str]] = []
    for server in servers.values():
        if server.dies_s < float("inf"):
            heapq.heappush(events, (server.dies_s, next(order), "dies", server.url))
    done, again, deciding_s = 0, 0, 0.0

    def begin(server: Server) -> None:
        group, _ = server.queue[0]
        seconds = server.each_s * chance.uniform(0.9, 1.1)
        if group.model != server.loaded:
            seconds += options.load
            server.loads += 1
            server.loaded = group.model
        server.busy_s += seconds
        heapq.heappush(events, (now + seconds, next(order), "drawn", server.url))

    while done < total:
        start = time.perf_counter()
        while waiting and (found := pool.place(waiting)):
            group, hold = found
            deciding_s += time.perf_counter() - start
            waiting[group] -= 1
            if not waiting[group]:
                del waiting[group]
            server = servers[hold.url]
            server.queue.append((group, hold))
            if len(server.queue) == 1:
                begin(server)
            start = time.perf_counter()
        deciding_s += time.perf_counter() - start
        now, _, kind, url = heapq.heappop(events)
        server = servers[url]
        if kind == "dies" and not server.is_dead:
            server.is_dead = True
            pool.take_out(url)
            again += len(server.queue)
            for group, hold in server.queue:
                pool.leave(hold, drew=False)
                waiting[group] = waiting.get(group, 0) + 1
            server.queue.clear()
        elif kind == "drawn" and not server.is_dead:
            _, hold = server.queue.popleft()
            pool.leave(hold, drew=True)
            done += 1
            if server.queue:
                begin(server)
    loads = sum(server.loads for server in servers.values())
    return Result(
        now,
        _bound(list(servers.values()), total, len(groups), options.load),
        sum(min(server.busy_s, now) for server in servers.values())
        / sum(min(now, server.dies_s) for server in servers.values()),
        loads,
        sum(server.is_dead for server in servers.values()),
        again,
        deciding_s,
    )


def _bound(servers: list[Server], images: int, models: int, load_s: float) -> float:
    """When servers without a gap have drawn so many; each loads one model, or as many as there are in all."""
    loads_s = load_s * max(1.0, models / len(servers))
    low, high = 0.0, images * max(server.each_s for server in servers) + loads_s
    while high - low > 0.01:
        middle = (low + high) / 2
        drawn = sum(max(0.0, min(middle, server.dies_s) - loads_s) / server.each_s for server in servers)
        low, high = (low, middle) if drawn >= images else (middle, high)
    return high


def main() -> None:
    """Print a row for each number of images."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", default="1000,10000,100000")
    parser.add_argument("--servers", type=int, default=64)
    parser.add_argument("--models", type=int, default=8)
    parser.add_argument("--each", type=float, default=5.0, help="seconds an image takes at a server of usual speed")
    parser.add_argument("--load", type=float, default=30.0, help="seconds to load a model")
    parser.add_argument("--mtbf", type=float, default=100.0, help="hours until a server dies, on average; 0: never")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    print(
        f"{options.servers} servers, {options.models} models, {options.each:g} s an image, {options.load:g} s a load\n"
    )
    print("| images | hours | of perfect packing | busy | loads | died | drawn again | deciding, ms an image |")
    print("|---:|---:|---:|---:|---:|---:|---:|---:|")
    for count in map(int, options.images.split(",")):
        options.images = count
        found = simulate(options)
        cells = [
            f"{count:,}",
            f"{found.makespan_s / 3600:.2f}",
            f"{found.makespan_s / found.bound_s:.3f}",
            f"{found.busy:.1%}",
            str(found.loads),
            str(found.dead),
            str(found.again),
            f"{found.deciding_s / count * 1000:.2f}",
        ]
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
