"""Measure how long a run with nothing to do takes, compared with other build tools.

    python tools/bench/noop.py [--images 100,1000,10000,30000] [--repeat 3]

For each number of images, each tool has as many up-to-date tasks: imagegen, plain doit with `config_changed`, and
make and ninja if they are installed. Plain make looks for a built-in rule for each file; `make -r` does not. A round
measures all of them one after another, so that the machine's load affects all alike, and the best of `--repeat`
rounds counts. The first build's own cost is shown too: the scripted backend takes no time for an image.

With the largest number of images, a second table measures one image by name, `doit list --all`, and one changed prompt
until its image is with the backend.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from imagegen.backends.registry import registry
from imagegen.config.checking import check_job
from imagegen.config.settings import Settings
from imagegen.project import Project
from tests import scripted

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
    """seconds: of the wall clock. megabytes: peak resident memory, which counts at least as much as this script has."""

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


def ours(folder: Path, count: int) -> None:
    """Return a job of so many images."""
    (folder / "jobs").mkdir()
    (folder / "dodo.py").write_text("from imagegen.tasks import DOIT_CONFIG, task_doctor, task_image, task_jobs\n")
    items = "".join(f"  - {{name: item {n}, prompt: a portrait of person {n} with a hat}}\n" for n in range(count))
    (folder / "script.json").write_text(json.dumps({"log": str(folder / "log")}))
    head = "backend: scripted\nscripted: {script: script.json}\ngenerate: {width: 16, height: 16}\nitems:\n"
    (folder / "jobs/portraits.yaml").write_text(head + items)


def plain_doit(folder: Path, count: int) -> None:
    """As many tasks of doit's own."""
    (folder / "dodo.py").write_text(PLAIN_DOIT.format(count=count))


def make(folder: Path, count: int) -> None:
    """As many rules, each a file from a file."""
    names = [f"item-{n}" for n in range(count)]
    rules = "".join(f"out/{name}: in/{name}\n\tcp in/{name} out/{name}\n" for name in names)
    (folder / "Makefile").write_text("all: " + " ".join(f"out/{name}" for name in names) + "\n" + rules)
    _inputs(folder, names)


def ninja(folder: Path, count: int) -> None:
    """As many edges, each a file from a file."""
    names = [f"item-{n}" for n in range(count)]
    edges = "".join(f"build out/{name}: cp in/{name}\n" for name in names)
    (folder / "build.ninja").write_text("rule cp\n  command = cp $in $out\n" + edges)
    _inputs(folder, names)


def _inputs(folder: Path, names: list[str]) -> None:
    (folder / "in").mkdir()
    (folder / "out").mkdir()
    for name in names:
        (folder / "in" / name).write_text("prompt")


@dataclass
class Tool:
    """prepare: writes its files for so many images into a folder, which is that of all tools with the same files.

    first: its first run in a folder, None where that was another tool's. again: the later ones, with nothing to do.
    """

    prepare: Callable[[Path, int], None]
    command: list[str]
    first: Measured | None = None
    again: list[Measured] = field(default_factory=list)

    @property
    def best(self) -> Measured:
        """The fastest of those with nothing to do."""
        return min(self.again, key=lambda run: run.seconds)


def tools() -> dict[str, Tool]:
    """Those that are here, by the names of the table."""
    found = {
        "imagegen": Tool(ours, DOIT),
        "plain doit": Tool(plain_doit, DOIT),
        "make": Tool(make, ["make", "--silent"]),
        "make -r": Tool(make, ["make", "-r", "--silent"]),
        "ninja": Tool(ninja, ["ninja", "--quiet"]),
    }
    return {name: tool for name, tool in found.items() if shutil.which(tool.command[0])}


def measured(count: int, repeat: int) -> dict[str, Tool]:
    """Each tool's first run with so many images, then so many rounds of all of them with nothing to do."""
    found = tools()
    with tempfile.TemporaryDirectory() as root:
        folders = {name: Path(root, tool.prepare.__name__) for name, tool in found.items()}
        for name, tool in found.items():
            if not folders[name].exists():
                folders[name].mkdir()
                tool.prepare(folders[name], count)
                tool.first = measure(tool.command, folders[name])
        for _ in range(repeat):
            for name, tool in found.items():
                tool.again.append(measure(tool.command, folders[name]))
    return found


def until_with_backend(folder: Path, number: int) -> float:
    """Return the seconds from the start of `doit` until the image whose prompt just changed is with the backend."""
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
    project = Project(folder, Settings(), registry())
    sections = project.backends.sections()
    data = (folder / "jobs/portraits.yaml").read_bytes()
    start = time.perf_counter()
    check_job("portraits", project.planner.document("jobs/portraits.yaml", data), sections)
    return time.perf_counter() - start


def one_of_many(count: int, repeat: int) -> None:
    """Print a table of what is asked of one image among so many, the best of so many rounds."""
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        mine, plain = Path(one), Path(other)
        ours(mine, count)
        plain_doit(plain, count)
        measure(DOIT, mine)
        measure(DOIT, plain)
        rounds = [
            (
                measure(DOIT, mine).seconds,
                measure([*DOIT, "portraits:item-77"], mine).seconds,
                measure([*DOIT, "list", "--all"], mine).seconds,
                measure([*DOIT, "list", "--all"], plain).seconds,
                reading(mine),
                until_with_backend(mine, number),
            )
            for number in range(repeat)
        ]
    rest, named, listed, listed_plain, read, drawn = (min(times) for times in zip(*rounds, strict=True))
    print(f"\n| of {count} images | seconds | ratio |\n|---|---:|---|")
    print(f"| nothing to do | {rest:.2f} | |")
    print(f"| one image by name | {named:.2f} | {named / rest:.2f} of nothing to do |")
    print(f"| `doit list --all` | {listed:.2f} | {listed / listed_plain:.2f} of plain doit's |")
    print(f"| reading and checking the job file | {read:.2f} | |")
    allowed = drawn / (1.2 * rest + read)
    print(
        f"| one changed prompt, until its image is with the backend | {drawn:.2f} |"
        f" {allowed:.2f} of 1.2 × nothing to do + reading |"
    )


def main() -> None:
    """Print two tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", default="100,1000,10000,30000")
    parser.add_argument("--repeat", type=int, default=3)
    arguments = parser.parse_args()
    scripted.provide()
    os.environ.pop(
        "PYTHONDONTWRITEBYTECODE", None
    )  # imagegen alone would be compiled each time, where pip put the others
    print("| images | tool | nothing to do | imagegen's time as a ratio of it | peak memory | first run, an image |")
    print("|---:|---|---:|---:|---:|---:|")
    ours_s: dict[int, float] = {}
    for count in map(int, arguments.images.split(",")):
        found = measured(count, arguments.repeat)
        ours_s[count] = found["imagegen"].best.seconds
        for name, tool in found.items():
            ratio = "" if name == "imagegen" else f"{ours_s[count] / tool.best.seconds:.2f}"
            first = f"{tool.first.seconds / count * 1000:.2f} ms" if tool.first else ""
            megabytes = tool.best.megabytes
            least = "≤ " if megabytes <= resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 else ""
            cells = (str(count), name, f"{tool.best.seconds:.3f} s", ratio, f"{least}{megabytes:.0f} MB", first)
            print(f"| {' | '.join(cells)} |", flush=True)
    print()
    for fewer, more in pairwise(ours_s):
        print(f"{more} images take imagegen {ours_s[more] / ours_s[fewer]:.1f} times as long as {fewer}.")
    one_of_many(count, arguments.repeat)


if __name__ == "__main__":
    main()
