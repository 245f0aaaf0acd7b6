"""How long a run with nothing to do takes, beside other build tools, as ratios of one run on one machine.

    python tools/bench/noop.py [--images 100,1000,10000,30000] [--repeat 3]

For each number of images, the same number of up-to-date tasks: ours, plain doit with `config_changed`, and make and
ninja where they are installed. The best of `--repeat` runs counts. The first build's own cost is told beside it:
the scripted backend draws a plain 16 × 16 in no time, so what is left is ours. Then, of the last number: one image that
is named, `doit list --all`, and one changed prompt, until its image is with the backend.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from imagegen.backends.registry import registry
from imagegen.config.checking import check_job
from imagegen.config.settings import Settings
from imagegen.project import Project

DOIT = [sys.executable, "-m", "doit"]
PLAIN_DOIT = """
from doit.tools import config_changed
DOIT_CONFIG = {{"backend": "json", "dep_file": "doit.json", "verbosity": 0}}
def make(): pass
def task_images():
    for n in range({count}):
        settings = {{"prompt": f"item {{n}}", "steps": 20}}
        yield {{"name": f"item-{{n}}", "actions": [make], "uptodate": [config_changed(settings)]}}
"""


@dataclass(frozen=True)
class Measured:
    """seconds: of the wall clock. megabytes: peak resident memory."""

    seconds: float
    megabytes: float


def measure(command: list[str], folder: Path) -> Measured:
    """One run of a command, which must succeed."""
    start = time.perf_counter()
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed in {folder}")
    return Measured(seconds, usage.ru_maxrss / 1024)


def ours(folder: Path, count: int) -> list[str]:
    """A job of so many images."""
    (folder / "jobs").mkdir()
    (folder / "dodo.py").write_text("from imagegen.tasks import DOIT_CONFIG, task_doctor, task_image, task_jobs\n")
    items = "".join(f"  - {{name: item {n}, prompt: a portrait of person {n} with a hat}}\n" for n in range(count))
    (folder / "script.json").write_text(json.dumps({"log": str(folder / "log")}))
    head = "backend: scripted\nscripted: {script: script.json}\ngenerate: {width: 16, height: 16}\nitems:\n"
    (folder / "jobs/portraits.yaml").write_text(head + items)
    return DOIT


def plain_doit(folder: Path, count: int) -> list[str]:
    """As many tasks of doit's own."""
    (folder / "dodo.py").write_text(PLAIN_DOIT.format(count=count))
    return DOIT


def make(folder: Path, count: int) -> list[str]:
    """As many rules, each a file from a file."""
    names = [f"item-{n}" for n in range(count)]
    rules = "".join(f"out/{name}: in/{name}\n\tcp in/{name} out/{name}\n" for name in names)
    (folder / "Makefile").write_text("all: " + " ".join(f"out/{name}" for name in names) + "\n" + rules)
    _inputs(folder, names)
    return ["make", "--silent"]


def ninja(folder: Path, count: int) -> list[str]:
    """As many edges, each a file from a file."""
    names = [f"item-{n}" for n in range(count)]
    edges = "".join(f"build out/{name}: cp in/{name}\n" for name in names)
    (folder / "build.ninja").write_text("rule cp\n  command = cp $in $out\n" + edges)
    _inputs(folder, names)
    return ["ninja", "--quiet"]


def _inputs(folder: Path, names: list[str]) -> None:
    (folder / "in").mkdir()
    (folder / "out").mkdir()
    for name in names:
        (folder / "in" / name).write_text("prompt")


TOOLS: dict[str, Callable[[Path, int], list[str]]] = {
    "imagegen": ours,
    "plain doit": plain_doit,
    "make": make,
    "ninja": ninja,
}


def until_drawn(folder: Path, number: int) -> float:
    """Seconds from the start of `doit` until the one image whose prompt was just changed is with the backend."""
    job, log = folder / "jobs/portraits.yaml", folder / "log"
    before = job.read_text()
    job.write_text(before.replace("person 77 ", f"person 77 changed {number} times ", 1))
    log.unlink(missing_ok=True)
    start = time.perf_counter()
    process = subprocess.Popen(DOIT, cwd=folder, stdout=subprocess.DEVNULL)
    while not (log.exists() and "started" in log.read_text()) and process.poll() is None:
        time.sleep(0.002)
    seconds = time.perf_counter() - start
    if process.wait():
        raise SystemExit(f"doit failed in {folder}")
    job.write_text(before)
    measure(DOIT, folder)
    return seconds


def reading(folder: Path) -> float:
    """Seconds to read the job file and check it."""
    planner = Project(folder, Settings(), registry()).planner
    sections = planner.backends.sections()
    data = (folder / "jobs/portraits.yaml").read_bytes()
    start = time.perf_counter()
    check_job("portraits", planner.document("jobs/portraits.yaml", data), sections)
    return time.perf_counter() - start


def one_of_many(count: int, repeat: int) -> None:
    """Print a table of what is asked of one image among so many."""
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        mine, plain = Path(one), Path(other)
        measure(ours(mine, count), mine)
        measure(plain_doit(plain, count), plain)

        def best(command: list[str], folder: Path) -> float:
            return min(measure(command, folder).seconds for _ in range(repeat))

        rest = best(DOIT, mine)
        named = best([*DOIT, "portraits:item-77"], mine)
        listed, listed_plain = best([*DOIT, "list", "--all"], mine), best([*DOIT, "list", "--all"], plain)
        read = min(reading(mine) for _ in range(repeat))
        drawn = min(until_drawn(mine, number) for number in range(repeat))
    print(f"\n| of {count} images | seconds | ratio |\n|---|---:|---|")
    print(f"| nothing to do | {rest:.2f} | |")
    print(f"| one that is named | {named:.2f} | {named / rest:.2f} of nothing to do |")
    print(f"| `doit list --all` | {listed:.2f} | {listed / listed_plain:.2f} of plain doit's |")
    print(f"| reading and checking the job file | {read:.2f} | |")
    allowed = drawn / (1.2 * rest + read)
    print(f"| one changed prompt, until it is drawn | {drawn:.2f} | {allowed:.2f} of 1.2 × nothing to do + reading |")


def main() -> None:
    """Print two tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", default="100,1000,10000,30000")
    parser.add_argument("--repeat", type=int, default=3)
    arguments = parser.parse_args()
    print("| images | tool | nothing to do | of plain doit | peak memory | first run, an image |")
    print("|---:|---|---:|---:|---:|---:|")
    for count in map(int, arguments.images.split(",")):
        rows: dict[str, tuple[Measured, Measured]] = {}
        for name, prepare in TOOLS.items():
            if name in ("make", "ninja") and shutil.which(name) is None:
                continue
            with tempfile.TemporaryDirectory() as folder:
                command = prepare(Path(folder), count)
                first = measure(command, Path(folder))
                again = [measure(command, Path(folder)) for _ in range(arguments.repeat)]
                rows[name] = first, min(again, key=lambda run: run.seconds)
        reference = rows["plain doit"][1].seconds
        for name, (first, best) in rows.items():
            print(
                f"| {count} | {name} | {best.seconds:.2f} s | {best.seconds / reference:.2f} "
                f"| {best.megabytes:.0f} MB | {first.seconds / count * 1000:.2f} ms |",
                flush=True,
            )
    one_of_many(count, arguments.repeat)


if __name__ == "__main__":
    main()
