"""Measure how well the workers of a Dask cluster are used: two compared with one, each taking 0.2 s for an image.

    python tools/bench/workers.py [--images 100] [--seconds 0.2] [--workers 2] [--rounds 3]

Scheduler and workers run on this machine (the package distributed), with a backend that waits and returns one colour.
Seconds are from the first image's start until the last one is in place. Each worker gets `--images` images.
"""

from __future__ import annotations

import argparse
import json
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from imagegen.backends.registry import registry
from imagegen.config.settings import Settings
from imagegen.execute.events import Event, Outcome, Started
from imagegen.execute.run import run
from imagegen.project import Project
from tests import scripted


@contextmanager
def cluster(root: Path, workers: int) -> Iterator[str]:
    """Yield the address of a scheduler, once so many workers are there."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"tcp://127.0.0.1:{port}"
    here = ["--host", "127.0.0.1", "--no-dashboard"]
    commands = {"scheduler": ["scheduler", "--port", str(port), *here]}
    for number in range(workers):
        commands[f"worker{number}"] = ["worker", address, "--nthreads", "1", "--no-nanny", *here]
    processes = []
    try:
        for name, command in commands.items():
            (root / name).mkdir()
            with (root / name / "log").open("wb") as log:
                words = [sys.executable, "-m", "dask", *command]
                processes.append(subprocess.Popen(words, cwd=root / name, stdout=log, stderr=subprocess.STDOUT))
        for name in list(commands)[1:]:
            while b"Starting established connection" not in (root / name / "log").read_bytes():
                if any(process.poll() is not None for process in processes):
                    raise SystemExit((root / name / "log").read_text())
                time.sleep(0.1)
        yield address
    finally:
        for process in processes:
            process.kill()
            process.wait()


def measured(workers: int, images: int, seconds: float) -> float:
    """Seconds for so many images."""
    with tempfile.TemporaryDirectory() as root, cluster(Path(root), workers) as address:
        folder = Path(root, "project")
        (folder / "jobs").mkdir(parents=True)
        script = Path(root, "script.json")
        script.write_text(json.dumps({"acts": {"*": [{"delay_s": seconds}]}}))
        (folder / "jobs/bench.yaml").write_text(
            f"backend: scripted\nscripted: {{script: {script}}}\nvariants: {images}\n"
            "generate: {width: 64, height: 64}\nitems: [{name: Fox, prompt: a red fox}]\n"
        )
        project = Project(folder, Settings(cluster=address), registry())
        outputs = [output for plan in project.plans() for output in plan.outputs]
        begun: list[float] = []
        made: list[float] = []

        def tell(event: Event) -> None:
            if isinstance(event, Started):
                begun.append(time.perf_counter())
            elif isinstance(event, Outcome) and event.state == "generated":
                made.append(time.perf_counter())

        run(project, outputs, tell)
    if len(made) != images:
        raise SystemExit(f"{len(made)} of {images} images were made")
    return max(made) - min(begun)


def main() -> None:
    """Print a row for each round."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=0.2)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    scripted.provide()
    images, sum_s = options.images * options.workers, options.images * options.seconds
    print(f"Workers of {options.seconds:g} s an image, {options.images} images each; one alone takes {sum_s:g} s\n")
    print(
        "| round | one, s | ratio to its generating | workers | s | ratio to their generating"
        " | times the throughput of one |"
    )
    print("|---:|---:|---:|---:|---:|---:|---:|")
    for number in range(1, options.rounds + 1):
        one_s = measured(1, options.images, options.seconds)
        all_s = measured(options.workers, images, options.seconds)
        one, every = f"{one_s:.2f} | {one_s / sum_s:.2f}", f"{all_s:.2f} | {all_s / sum_s:.2f}"
        print(f"| {number} | {one} | {options.workers} | {every} | {options.workers * one_s / all_s:.2f} |", flush=True)


if __name__ == "__main__":
    main()
