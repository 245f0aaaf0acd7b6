"""Measure what a first build costs per image, compared with a bare loop over the same HTTP calls.

    python tools/bench/first.py [--images 40] [--size 1024] [--fed 100] [--small 1000] [--sync-ms 10]

The fake ComfyUI server is a process of its own and takes no time for an image. The bare loop posts, waits, downloads,
decodes the PNG and writes it. imagegen does the same with two prompts in flight, and also stores, records and verifies.
Waiting for the server is left out of both, and so is the first image of each, for which Python imports modules. What is
in none of the steps (the run's start and end, threads, the websocket, the way between steps) is measured in processor
time only, because by the clock two images are in progress at once.

Two more tables: one server that takes 0.2 s an image, and small images that take their backend no time. With
--sync-ms, each sync of the disk takes so much longer.
"""

from __future__ import annotations

import argparse
import io
import multiprocessing
import os
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any
from unittest import mock

import requests
from PIL import Image

import imagegen.execute.build_image as build_image
import imagegen.execute.generation as generation
from imagegen.backends.comfyui.backend import ComfyUIBackend
from imagegen.backends.comfyui.client import Client
from imagegen.backends.comfyui.connection import Connection
from imagegen.backends.comfyui.servers import ServerPlace
from imagegen.config.settings import Settings
from imagegen.execute.events import Event, Outcome
from imagegen.execute.generation import Generation
from imagegen.execute.run import run
from imagegen.project import Project
from imagegen.state.attempts import Attempts
from imagegen.state.lockfile import LockFile
from imagegen.state.store import Store
from tests.backends.comfyui.fake_server import FakeComfyUI
from tests.scripted import ScriptedBackend


def serve(seconds: float, pause: float, urls: Queue[str]) -> None:
    """Serve until killed."""
    with FakeComfyUI(seconds=seconds, history_delay=pause) as server:
        urls.put(server.url)
        time.sleep(3600)


@contextmanager
def fake_server(seconds: float, pause: float) -> Iterator[str]:
    """Yield the URL of a fake server in a process of its own that takes so long for an image, and pauses after each."""
    context = multiprocessing.get_context("spawn")
    urls: Queue[str] = context.Queue()
    process = context.Process(target=serve, args=(seconds, pause, urls), daemon=True)
    process.start()
    try:
        yield urls.get(timeout=60)
    finally:
        process.kill()
        process.join()


class Timed:
    """Seconds of each step, of all threads; what is called within another step counts for that one only.

    seconds: by the clock. cpu: of the thread's own processor time, which other programs do not lengthen. whole_s,
    whole_cpu: of the whole process, in all that was measured.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.cpu: dict[str, float] = defaultdict(float)
        self.whole_s = self.whole_cpu = 0.0
        self._mutex = threading.Lock()
        self._within = threading.local()

    def step(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function, timed."""

        def timed(*args: Any, **kwargs: Any) -> Any:
            above = getattr(self._within, "inner", (0.0, 0.0))
            self._within.inner = (0.0, 0.0)
            start = time.perf_counter(), time.thread_time()
            try:
                return real(*args, **kwargs)
            finally:
                took = time.perf_counter() - start[0], time.thread_time() - start[1]
                inner, self._within.inner = self._within.inner, (above[0] + took[0], above[1] + took[1])
                with self._mutex:
                    self.seconds[name] += took[0] - inner[0]
                    self.cpu[name] += took[1] - inner[1]

        return timed

    @contextmanager
    def whole(self) -> Iterator[None]:
        """All that happens meanwhile."""
        start = time.perf_counter(), time.process_time()
        yield
        self.whole_s += time.perf_counter() - start[0]
        self.whole_cpu += time.process_time() - start[1]

    @property
    def in_no_step(self) -> float:
        """Seconds of the processor that no step took."""
        return self.whole_cpu - sum(self.cpu.values())

    @contextmanager
    def all_steps(self) -> Iterator[None]:
        """Those that an image takes, by the names of the table."""
        steps: list[tuple[object, str, str]] = [
            (Client, "submit", "submit"),
            (Connection, "has_prompt", "look-up"),
            (Connection, "_wait", "wait"),
            (Connection, "download", "download"),
            (generation, "read_image", "verify"),
            (generation, "verify_file", "verify"),
            (build_image, "encode", "provenance"),
            (Store, "put", "store"),
            (Store, "add", "store"),
            (Attempts, "open", "attempt"),
            (Attempts, "close", "attempt"),
            (LockFile, "append", "lock file"),
            (build_image, "replace_file", "output"),
            (ServerPlace, "generate", "rest of the backend"),
            (Generation, "generate", "rest of the build"),
            (Generation, "finish", "rest of the build"),
        ]
        with ExitStack() as stack:
            for of, name, said in steps:
                stack.enter_context(mock.patch.object(of, name, self.step(said, getattr(of, name))))
            yield


def job(folder: Path, images: int, size: int, backend: str = "comfyui") -> None:
    """Return a job of so many images."""
    (folder / "jobs").mkdir()
    checkpoint = "comfyui: {checkpoint: fake.safetensors}\n" if backend == "comfyui" else ""
    items = "".join(f"  - {{name: item {number}, prompt: a fox {number}}}\n" for number in range(images))
    head = f"backend: {backend}\ngenerate: {{width: {size}, height: {size}, steps: 4}}\n{checkpoint}items:\n"
    (folder / "jobs/bench.yaml").write_text(head + items)


def ours(folder: Path, url: str, images: int, size: int) -> Timed:
    """Run doit with so many images."""
    job(folder, images, size)
    backend = ComfyUIBackend()
    settings = Settings(comfyui_server_urls=(url,), comfyui_server_start="never")
    project = Project(folder, settings, {"comfyui": lambda: backend})
    outputs = [output for plan in project.plans() for output in plan.outputs]
    events: list[Event] = []
    timed = Timed()
    with timed.all_steps(), timed.whole():
        run(project, outputs, events.append)
    made = sum(isinstance(event, Outcome) and event.state == "generated" for event in events)
    if made != images:
        raise SystemExit(f"{made} of {images} were made: {events}")
    return timed


def bare(folder: Path, url: str, images: int, size: int) -> Timed:
    """Run a bare loop: queue, wait, download, decode, write."""
    graph = ComfyGraph(size)
    session = requests.Session()
    timed = Timed()

    def submit(number: int) -> str:
        body = {"prompt": graph.of(number), "client_id": "bench"}
        answer = session.post(f"{url}/prompt", json=body, timeout=30)
        answer.raise_for_status()
        return str(answer.json()["prompt_id"])

    def wait(prompt_id: str) -> dict[str, Any]:
        while not (entry := session.get(f"{url}/history/{prompt_id}", timeout=30).json().get(prompt_id)):
            time.sleep(0.02)
        (image,) = entry["outputs"]["7"]["images"]
        return dict(image)

    def download(image: dict[str, Any]) -> bytes:
        answer = session.get(f"{url}/view", params=image, timeout=30)
        answer.raise_for_status()
        return answer.content

    def decode(data: bytes) -> None:
        with Image.open(io.BytesIO(data)) as image:
            image.load()

    def write(path: Path, data: bytes) -> None:
        path.write_bytes(data)

    steps = {one.__name__: timed.step(one.__name__, one) for one in (submit, wait, download, decode, write)}
    with timed.whole():
        for number in range(images):
            data = steps["download"](steps["wait"](steps["submit"](number)))
            steps["decode"](data)
            steps["write"](folder / f"{number}.png", data)
    return timed


class ComfyGraph:
    """Text to image in API format."""

    def __init__(self, size: int) -> None:
        self._size = size

    def of(self, seed: int) -> dict[str, Any]:
        """Return the graph with this seed."""

        def node(class_type: str, **inputs: Any) -> dict[str, Any]:
            return {"class_type": class_type, "inputs": inputs}

        sampling = {
            "seed": seed,
            "steps": 4,
            "cfg": 7.0,
            "sampler_name": "euler",
            "scheduler": "normal",
            "denoise": 1.0,
        }
        links = {"model": ["1", 0], "positive": ["2", 0], "negative": ["3", 0], "latent_image": ["4", 0]}
        return {
            "1": node("CheckpointLoaderSimple", ckpt_name="fake.safetensors"),
            "2": node("CLIPTextEncode", text="a fox", clip=["1", 1]),
            "3": node("CLIPTextEncode", text="", clip=["1", 1]),
            "4": node("EmptyLatentImage", width=self._size, height=self._size, batch_size=1),
            "5": node("KSampler", **sampling, **links),
            "6": node("VAEDecode", samples=["5", 0], vae=["1", 2]),
            "7": node("SaveImage", images=["6", 0], filename_prefix="bench"),
        }


def drawn(url: str) -> tuple[float, float, float]:
    """Return when the server began the first prompt and ended the last, and the seconds that all of them took."""
    history = requests.get(f"{url}/history", timeout=30).json().values()
    spans = []
    for entry in history:
        times = {kind: facts["timestamp"] / 1000 for kind, facts in entry["status"]["messages"]}
        spans.append((times["execution_start"], times["execution_success"]))
    return min(spans)[0], max(end for _, end in spans), sum(end - start for start, end in spans)


def all_at_once(url: str, images: int, size: int) -> float:
    """Seconds from the first one's start to the last one's end, of a server that has them all in its queue."""
    graph, session = ComfyGraph(size), requests.Session()
    for number in range(images):
        body = {"prompt": graph.of(number), "client_id": "bench"}
        session.post(f"{url}/prompt", json=body, timeout=30).raise_for_status()
    while len(session.get(f"{url}/history", timeout=30).json()) < images:
        time.sleep(0.5)
    begun, ended, _ = drawn(url)
    return ended - begun


@contextmanager
def slow_disk(seconds: float) -> Iterator[list[None]]:
    """Have each sync of this process take so much longer; yield a list with an entry for each of them."""
    real = os.fsync
    calls: list[None] = []

    def fsync(descriptor: int) -> None:
        calls.append(None)
        time.sleep(seconds)
        real(descriptor)

    with mock.patch.object(os, "fsync", fsync):
        yield calls


def small(images: int, sync_s: float) -> None:
    """Print what an image of 64×64 takes that its backend makes at once."""
    with tempfile.TemporaryDirectory() as folder, slow_disk(sync_s) as syncs:
        job(Path(folder), images, 64, "scripted")
        project = Project(Path(folder), Settings(), {"scripted": ScriptedBackend})
        outputs = [output for plan in project.plans() for output in plan.outputs]
        timed = Timed()
        with timed.whole():
            run(project, outputs, lambda _: None)
    whole_s, cpu_s = timed.whole_s / images, timed.whole_cpu / images
    print(f"\n{images} images of 64×64, each sync {sync_s * 1000:g} ms longer:", end=" ")
    print(f"{whole_s * 1000:.1f} ms an image by the clock, {cpu_s * 1000:.1f} ms of the processor,", end=" ")
    print(f"{whole_s / cpu_s:.2f} times as much; {len(syncs) / images:.1f} syncs an image")


def in_a_folder(measured: Callable[..., Timed], *arguments: Any) -> Timed:
    """Measure everything in a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        return measured(Path(folder), *arguments)


def an_image(images: int, size: int, sync_s: float) -> None:
    """Print a table of what an image costs, step by step."""
    with fake_server(0, pause=0.02) as url, slow_disk(sync_s):
        for measured in (bare, ours):
            in_a_folder(measured, url, 1, size)
        plain, timed = in_a_folder(bare, url, images, size), in_a_folder(ours, url, images, size)
    print(f"An image of {size}×{size}, milliseconds, of {images}:\n")
    print("| step | bare loop | imagegen | bare loop, CPU | imagegen, CPU |\n|---|---:|---:|---:|---:|")
    columns = [plain.seconds, timed.seconds, plain.cpu, timed.cpu]

    def row(name: str, *values: float | None) -> None:
        cells = ("" if value is None else f"{value / images * 1000:.1f}" for value in values)
        print(f"| {name} | {' | '.join(cells)} |")

    for name in dict.fromkeys([*plain.seconds, *timed.seconds]):
        row(name, *(of.get(name) for of in columns))
    sums = [sum(value for name, value in of.items() if name != "wait") for of in columns]
    wholes = [sums[2] + plain.in_no_step, sums[3] + timed.in_no_step]
    row("all steps but waiting", *sums)
    row("in no step", None, None, plain.in_no_step, timed.in_no_step)
    row("all but waiting", None, None, *wholes)
    print(f"\nThe steps but waiting are {sums[1] / sums[0]:.2f} of the bare loop's by the clock,", end=" ")
    print(f"{sums[3] / sums[2]:.2f} by the processor's time.")
    print(
        f"With what is in no step it is {wholes[1] / wholes[0]:.2f} of the bare loop, by the processor's time.", end=" "
    )
    clocks = [of.whole_s / images * 1000 for of in (plain, timed)]
    print(f"By the clock, with all waiting, {clocks[1]:.1f} ms are {clocks[1] / clocks[0]:.2f} of {clocks[0]:.1f}.\n")


def one_server(images: int, seconds: float) -> None:
    """Print a table of how well one server is used that takes so many seconds for an image."""
    with fake_server(seconds, pause=0) as url:
        whole_s = in_a_folder(ours, url, images, 64).whole_s
        begun, ended, drawing_s = drawn(url)
    with fake_server(seconds, pause=0) as url:
        fed_s = all_at_once(url, images, 64)
    span_s = ended - begun
    rows = (
        ("the whole run, doit's own start left out", whole_s, "the sum of what each image took the server", drawing_s),
        ("the same", whole_s, f"{images} × {seconds:g} s", images * seconds),
        ("the first image's start to the last one's end", span_s, "that of a server with all in its queue", fed_s),
    )
    print(f"{images} images on one server of {seconds:g} s:\n\n| | s | against | s | ratio |\n|---|---:|---|---:|---:|")
    for what, took_s, against, other_s in rows:
        print(f"| {what} | {took_s:.2f} | {against} | {other_s:.2f} | {took_s / other_s:.3f} |")


def main() -> None:
    """Print three tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=40)
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--fed", type=int, default=100, help="images for the server of 0.2 s")
    parser.add_argument("--small", type=int, default=1000, help="images of 64×64 that take no time")
    parser.add_argument("--sync-ms", type=float, default=0, help="milliseconds that each sync takes longer")
    options = parser.parse_args()
    sync_s = options.sync_ms / 1000
    an_image(options.images, options.size, sync_s)
    one_server(options.fed, 0.2)
    small(options.small, sync_s)


if __name__ == "__main__":
    main()
