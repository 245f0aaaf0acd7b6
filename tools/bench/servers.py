"""Measure how well several ComfyUI servers are used: one, several, a slow one among fast ones, one that dies.

    python tools/bench/servers.py [--images 100] [--seconds 0.2] [--rounds 3] [--many 64] [--size 1024]

Each fake server is a process of its own and generates one image after another, as ComfyUI does. Times are by the
servers' own clocks, from the start of the first image to the end of the last one. Unequal servers are compared with
an ideal that knows all speeds beforehand and loses no time between images. There are two ideals: the time that fake
servers take with all prompts in their queues at once, and their nominal time.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import multiprocessing
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from multiprocessing.process import BaseProcess
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any
from unittest import mock

import psutil
import requests
from first import ComfyGraph

from imagegen.images.formats import read_png, text_chunk, write_png
from tests.backends.comfyui.fake_server import FakeComfyUI, execution

DODO = "from imagegen.tasks import *  # noqa: F403\n"


@dataclass(frozen=True)
class Served:
    """A fake server that serves."""

    url: str
    process: BaseProcess


def serve(seconds: float, told: Queue[str]) -> None:
    """Serve until killed."""
    with FakeComfyUI(seconds=seconds) as server:
        told.put(server.url)
        time.sleep(3600)


def serve_many(count: int, seconds: float, size: int, told: Queue[str]) -> None:
    """Serve until killed, at so many addresses. Each image is the same noise, with its number in a text chunk."""
    (head, *rest), numbers = read_png(execution.draw(_noise(size), ["0", 0], "", Path())[0]), itertools.count()

    def encode(*_: object) -> bytes:
        return write_png([head, text_chunk("number", str(next(numbers))), *rest])

    with (
        mock.patch.object(execution, "draw", return_value=[b""]),
        mock.patch.object(execution, "encode", encode),
        ExitStack() as stack,
    ):
        for _ in range(count):
            told.put(stack.enter_context(FakeComfyUI(seconds=seconds)).url)
        time.sleep(3600)


def _noise(size: int) -> dict[str, Any]:
    return {"0": {"class_type": "EmptyLatentImage", "inputs": {"width": size, "height": size, "batch_size": 1}}}


@contextmanager
def many_servers(count: int, seconds: float, size: int) -> Iterator[list[Served]]:
    """So many fake servers in one process."""
    context = multiprocessing.get_context("spawn")
    told: Queue[str] = context.Queue()
    process = context.Process(target=serve_many, args=(count, seconds, size, told), daemon=True)
    process.start()
    try:
        yield [Served(told.get(timeout=60), process) for _ in range(count)]
    finally:
        process.kill()
        process.join()


@contextmanager
def fake_servers(each_s: Sequence[float]) -> Iterator[list[Served]]:
    """One for each of these seconds an image, in processes of their own."""
    context = multiprocessing.get_context("spawn")
    served = []
    try:
        for seconds in each_s:
            told: Queue[str] = context.Queue()
            process = context.Process(target=serve, args=(seconds, told), daemon=True)
            process.start()
            served.append(Served(told.get(timeout=60), process))
        yield served
    finally:
        for one in served:
            one.process.kill()
            one.process.join()


def start(folder: Path, servers: Sequence[Served], images: int, size: int = 64) -> subprocess.Popen[str]:
    """`doit` on a job of so many images."""
    (folder / "jobs").mkdir(parents=True)
    (folder / "dodo.py").write_text(DODO)
    (folder / "jobs/bench.yaml").write_text(
        f"backend: comfyui\ncomfyui: {{checkpoint: fake.safetensors}}\nvariants: {images}\n"
        f"generate: {{width: {size}, height: {size}, steps: 4}}\nitems: [{{name: Fox, prompt: a red fox}}]\n"
    )
    return subprocess.Popen(
        [sys.executable, "-m", "doit"],
        cwd=folder,
        env={**os.environ, "COMFYUI_URL": ",".join(server.url for server in servers)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process: subprocess.Popen[str], images: int) -> str:
    """Return its output; it must have generated all of them."""
    out, _ = process.communicate()
    if f"{images} generated" not in out:
        raise SystemExit(out)
    return out


def spans(server: Served) -> dict[str, tuple[float, float]]:
    """When each prompt was executed: from, to."""
    history: dict[str, Any] = requests.get(f"{server.url}/history", timeout=30).json()
    found = {}
    for prompt_id, entry in history.items():
        times = {kind: facts["timestamp"] / 1000 for kind, facts in entry["status"]["messages"]}
        found[prompt_id] = times["execution_start"], times["execution_success"]
    return found


def measured(each_s: Sequence[float], images: int) -> tuple[float, list[list[tuple[float, float]]]]:
    """Return the seconds from the first image's start to the last one's end, and when each server was busy."""
    with fake_servers(each_s) as servers, tempfile.TemporaryDirectory() as folder:
        finish(start(Path(folder), servers, images), images)
        found = [sorted(spans(server).values()) for server in servers]
    drawn = [span for one in found for span in one]
    return max(end for _, end in drawn) - min(begin for begin, _ in drawn), found


def ideal(each_s: Sequence[float], images: int) -> float:
    """Return the seconds that the ideal takes: it knows all speeds beforehand and never waits."""
    ends = [(seconds, seconds) for seconds in each_s]
    heapq.heapify(ends)
    end = 0.0
    for _ in range(images):
        end, seconds = ends[0]
        heapq.heapreplace(ends, (end + seconds, seconds))
    return end


def fed(each_s: Sequence[float]) -> list[float]:
    """Seconds from one image's start to the next one's, at servers that have all prompts in their queues at once."""
    counts = [max(3, round(4 / seconds)) for seconds in each_s]
    graph, session = ComfyGraph(64), requests.Session()
    with fake_servers(each_s) as servers:
        for server, count in zip(servers, counts, strict=True):
            for seed in range(count):
                body = {"prompt": graph.of(seed), "client_id": "bench"}
                session.post(f"{server.url}/prompt", json=body, timeout=30).raise_for_status()
        for server, count in zip(servers, counts, strict=True):
            while len(spans(server)) < count:
                time.sleep(0.5)
        begins = [sorted(begin for begin, _ in spans(server).values()) for server in servers]
    return [statistics.median(later - sooner for sooner, later in pairwise(one)) for one in begins]


def busy(took_s: float, found: Sequence[Sequence[tuple[float, float]]]) -> float:
    """Return the share of the time in which a server was busy."""
    return sum(end - begin for one in found for begin, end in one) / (took_s * len(found))


def throughput(options: argparse.Namespace) -> None:
    """Several equal servers against one."""
    print(f"\nServers of {options.seconds:g} s an image, {options.images} images each\n")
    print("| round | servers | images | s | times the throughput of one | kept busy, of as busy as one |")
    print("|---:|---:|---:|---:|---:|---:|")
    for number in range(1, options.rounds + 1):
        one_s, found = measured([options.seconds], options.images)
        one_busy = busy(one_s, found)
        for servers in (2, 4):
            images = options.images * servers
            took_s, found = measured([options.seconds] * servers, images)
            ratio = (images / took_s) / (options.images / one_s)
            row = f"| {number} | {servers} | {images} | {took_s:.2f} of {one_s:.2f} | {ratio:.2f} |"
            print(f"{row} {busy(took_s, found) / one_busy:.1%} |", flush=True)


def slow(options: argparse.Namespace) -> None:
    """One slow server among fast ones."""
    each_s = [2.0, 0.1, 0.1, 0.1]
    print("\nOne server of 2 s an image among three of 0.1 s\n")
    print("| round | images | by the slow one | s | ideal, all queued at once, s | ratio | nominal ideal, s | ratio |")
    print("|---:|---:|---:|---:|---:|---:|---:|---:|")
    for number in range(1, options.rounds + 1):
        pace_s = fed(each_s)
        for images in (60, 240):
            took_s, found = measured(each_s, images)
            ideals = [ideal(one, images) for one in (pace_s, each_s)]
            cells = (f"{ideal_s:.2f} | {took_s / ideal_s:.2f}" for ideal_s in ideals)
            print(f"| {number} | {images} | {len(found[0])} | {took_s:.2f} | {' | '.join(cells)} |", flush=True)


def killed(options: argparse.Namespace) -> None:
    """One of three servers is killed in the middle."""
    images = 3 * options.images // 4
    print(f"\nOne of three servers of {options.seconds:g} s an image is killed, {images} images\n")
    print("| round | generated | generated again by another server | s after the kill | of them waited |")
    print("|---:|---:|---:|---:|---:|")
    for number in range(1, options.rounds + 1):
        with fake_servers([options.seconds] * 3) as servers, tempfile.TemporaryDirectory() as folder:
            process = start(Path(folder), servers, images)
            while len(spans(servers[0])) < images // 6:
                time.sleep(0.05)
            before = spans(servers[0])
            servers[0].process.kill()
            killed_s = time.time()
            out = finish(process, images)
            again = out.count("it is made again")
            left = [spans(server) for server in servers[1:]]
            drawn = Counter(prompt_id for one in [before, *left] for prompt_id in one)
            end_s = max(end for one in left for _, end in one.values())
            idle_s = end_s - sorted(end for one in left for _, end in one.values())[-1 - again]
            made = len(drawn)
            print(f"| {number} | {made} | {again} | {end_s - killed_s:.1f} | {idle_s:.1f} |", flush=True)


def many(options: argparse.Namespace) -> None:
    """How many images one client carries."""
    side = f"{options.size}×{options.size}"
    print(f"\n{options.many} servers of {options.seconds:g} s an image of {side}, in one process\n")
    print("| round | images | s | images a second | busy | client, CPU ms an image | servers, CPU ms an image |")
    print("|---:|---:|---:|---:|---:|---:|---:|")
    images = options.images * options.many // 10
    for number in range(1, options.rounds + 1):
        with many_servers(options.many, options.seconds, options.size) as servers:
            with tempfile.TemporaryDirectory() as folder:
                before = psutil.Process(servers[0].process.pid).cpu_times()
                used = resource.getrusage(resource.RUSAGE_CHILDREN)
                finish(start(Path(folder), servers, images, options.size), images)
                client = resource.getrusage(resource.RUSAGE_CHILDREN)
                after = psutil.Process(servers[0].process.pid).cpu_times()
            found = [sorted(spans(server).values()) for server in servers]
        all_spans = [span for one in found for span in one]
        took_s = max(end for _, end in all_spans) - min(begin for begin, _ in all_spans)
        client_s = client.ru_utime + client.ru_stime - used.ru_utime - used.ru_stime
        servers_s = after.user + after.system - before.user - before.system
        costs = " | ".join(f"{1000 * seconds / images:.1f}" for seconds in (client_s, servers_s))
        share = images * options.seconds / (took_s * options.many)
        print(f"| {number} | {images} | {took_s:.1f} | {images / took_s:.1f} | {share:.0%} | {costs} |", flush=True)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=0.2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--many", type=int, default=64, help="servers of the last table")
    parser.add_argument("--size", type=int, default=1024, help="pixels a side of its images")
    parser.add_argument("--only-many", action="store_true", help="print only the last table")
    options = parser.parse_args()
    if options.only_many:
        many(options)
        return
    throughput(options)
    slow(options)
    killed(options)
    many(options)


if __name__ == "__main__":
    main()
