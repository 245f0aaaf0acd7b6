"""Measure what a run with nothing to do costs, compared with plain doit and ninja, and with the least it can cost.

    python tools/bench/noop.py [--images 100,1000,10000,100000] [--rounds 11] [--against DOIT] [--keep FOLDER]

For each number of images, each tool has as many up-to-date tasks: imagegen in one job, plain doit with
`config_changed`, ninja (if it is installed) a file from a file. All are compared by the time of the processor (user and
system time of the whole process), which other programs lengthen less than that of the clock.

The floor is what Python does that starts, imports doit as the script `doit` does, and calls `os.stat` once with the
name of each output.

A first build of 100,000 images takes minutes. `--keep` keeps the projects; where it has them already, the first build
is that of then.
"""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from projects import one_job, write
from runs import (
    PRODUCT,
    Run,
    alternate,
    arguments,
    build,
    counts,
    measure,
    print_before_and_after,
    products,
    ratio,
    row,
    table,
    workplace,
)

TOOLS = ("plain doit", "ninja")
LIMITS = {(100, "plain doit"): 1.0, (10_000, "plain doit"): 0.15, (10_000, "ninja"): 2.5}
GROWTH_LIMITS = {(10_000, 100_000): 5}
MOST = {"plain doit": 10_000}
"""Images with which a tool is measured: plain doit takes 10 s for 100,000 tasks, and a GB."""
MEMORY_LIMITS_MB = {100_000: 500}
PLAIN_DOIT = """
from doit.tools import config_changed
DOIT_CONFIG = {{"backend": "json", "dep_file": "doit.json", "verbosity": 0}}
def make(): pass
def task_images():
    for n in range({count}):
        settings = {{"prompt": f"item {{n}}", "steps": 20}}
        yield {{"name": f"item-{{n}}", "actions": [make], "uptodate": [config_changed(settings)]}}
"""
FLOOR = {
    "Python starts": "",
    "doit is imported": "from doit.__main__ import main\nfrom doit.doit_cmd import DoitMain\n",
    "a look at each output": "import os\nfor name in open('outputs').read().splitlines():\n    os.stat(name)\n",
}
"""Of each step: what it does, after those before it."""


def plain_doit(folder: Path, count: int) -> None:
    """As many tasks of doit's own."""
    write(folder, "dodo.py", PLAIN_DOIT.format(count=count))


def ninja(folder: Path, count: int) -> None:
    """As many edges, each a file from a file."""
    names = [f"item-{number}" for number in range(count)]
    edges = "".join(f"build out/{name}: cp in/{name}\n" for name in names)
    write(folder, "build.ninja", "rule cp\n  command = cp $in $out\n" + edges)
    for name in names:
        write(folder, f"in/{name}", "prompt")


def floor(folder: Path, root: Path, doit: str) -> dict[str, Callable[[], Run]]:
    """Return what runs each step of the floor, with all those before it, for the outputs of a project."""
    write(folder, "outputs", "\n".join(str(path.relative_to(folder)) for path in sorted(folder.glob("assets/*/*"))))
    found: dict[str, Callable[[], Run]] = {}
    program = ""
    for step, lines in FLOOR.items():
        program += lines
        script = f"{step.replace(' ', '-')}.py".replace("doit", "it")  # see doit_imagegen_startup.pth
        write(root, script, program)
        python = str(Path(doit).with_name("python"))
        found[step] = functools.partial(measure, [python, str(root / script)], folder)
    return found


class Measured(NamedTuple):
    """With one number of images: the first build of each installation, and all with nothing to do."""

    first: dict[str, Run]
    runs: dict[str, Run]


def measured(count: int, rounds: int, root: Path, doits: dict[str, str]) -> Measured:
    """Build and measure everything with so many images."""
    first: dict[str, Run] = {}
    runs: dict[str, Callable[[], Run]] = {}
    for name, doit in doits.items():
        folder = root / f"one-job-{count}-{name}"
        first[name] = build(folder, functools.partial(one_job, folder, count), [doit])
        runs[name] = functools.partial(measure, [doit], folder)
    others = zip(TOOLS, (plain_doit, ninja), ([doits[PRODUCT]], ["ninja", "--quiet"]), strict=True)
    for name, prepare, command in others:
        if shutil.which(command[0]) and count <= MOST.get(name, count):
            folder = root / f"{name.replace(' ', '-')}-{count}"
            build(folder, functools.partial(prepare, folder, count), command)
            runs[name] = functools.partial(measure, command, folder)
    runs |= floor(root / f"one-job-{count}-{PRODUCT}", root, doits[PRODUCT])
    return Measured(first, alternate(rounds, runs))


def print_nothing_to_do(count: int, runs: dict[str, Run]) -> None:
    """Print a row: imagegen, then each other tool with imagegen's ratio to it."""
    mine = runs[PRODUCT]
    cells = [f"{mine.cpu_s:.3f}", f"{mine.seconds:.3f}", f"{mine.megabytes:.0f} MB"]
    for name in TOOLS:
        limit = f" (at most {LIMITS[count, name]})" if (count, name) in LIMITS else ""
        cells += [f"{runs[name].cpu_s:.3f}", ratio(mine, runs[name]) + limit] if name in runs else ["", ""]
    row(f"{count:,}", *cells)


def print_growth(found: dict[int, Measured]) -> None:
    """Print a sentence for each step from fewer images to more."""
    print()
    for (fewer, (_, before)), (more, (_, runs)) in pairwise(found.items()):
        limit = f" (at most {GROWTH_LIMITS[fewer, more]})" if (fewer, more) in GROWTH_LIMITS else ""
        print(f"{more:,} images take {ratio(runs[PRODUCT], before[PRODUCT])} times as long as {fewer:,}{limit}.")


def print_floor(found: dict[int, Measured]) -> None:
    """Print a row for each number of images: the steps of the floor, each with those before it."""
    table("images", *(f"{step}, s" for step in FLOOR), "imagegen, s", "ratio")
    for count, (_, runs) in found.items():
        cells = (f"{runs[name].cpu_s:.3f}" for name in [*FLOOR, PRODUCT])
        row(f"{count:,}", *cells, ratio(runs[PRODUCT], runs[list(FLOOR)[-1]]))


def print_first_builds(found: dict[int, Measured]) -> None:
    """Print a row for each number of images."""
    table("images, first build", "CPU, ms an image", "clock, ms an image", "peak memory", "threads")
    for count, (first, _) in found.items():
        run = first[PRODUCT]
        each = (f"{value / count * 1000:.2f}" for value in (run.cpu_s, run.seconds))
        limit = f" (at most {MEMORY_LIMITS_MB[count]})" if count in MEMORY_LIMITS_MB else ""
        row(f"{count:,}", *each, f"{run.megabytes:.0f} MB{limit}", run.threads)


def main() -> None:
    """Print the tables."""
    options = arguments(__doc__, "100,1000,10000,100000", 11).parse_args()
    doits = products(options.against)
    found: dict[int, Measured] = {}
    with workplace(options.keep) as root:
        table(
            "images", "imagegen, s", "clock, s", "memory", *(head for name in TOOLS for head in (f"{name}, s", "ratio"))
        )
        for count in counts(options.images):
            found[count] = measured(count, options.rounds, root, doits)
            print_nothing_to_do(count, found[count].runs)
    print_growth(found)
    print_floor(found)
    print_first_builds(found)
    print_before_and_after(
        {f"{count:,} images, nothing to do": each.runs for count, each in found.items()}
        | {f"{count:,} images, first build": each.first for count, each in found.items()}
    )


if __name__ == "__main__":
    main()
