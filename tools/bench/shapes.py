"""Measure a run with nothing to do in projects of every shape: none may cost much more than one job of as many outputs.

    python tools/bench/shapes.py [--images 10000] [--rounds 7] [--against DOIT] [--keep FOLDER]

The time is that of the processor, in medians of runs that take turns. `projects.py` says what the shapes are. The last
rows are of one job, with one file in a state that a snapshot of fresh files does not cover.
"""

from __future__ import annotations

import functools
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import projects
from projects import JOB, one_job
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

SHAPES: dict[str, Callable[[Path, int], None]] = {
    "in jobs of 10": projects.small_jobs,
    "in jobs of 33 with Markdown": projects.from_sources(projects.markdown, "md", 300),
    "in jobs of 33 with CSV": projects.from_sources(projects.csv, "csv", 300),
    "half of them made from the other half": projects.references,
    "half of them derived files": projects.derived,
    "half of them tokens on a packed sheet": projects.tokens,
    "made from pictures that were there": projects.pictures,
    "in jobs of 99 and a sheet": projects.sheets,
    "ten variants of each item": projects.variants,
    "one of them an image that fails": projects.failing,
}
IMAGE = "assets/portraits/item-7.png"


@contextmanager
def kept(folder: Path) -> Iterator[None]:
    """Change an image by hand."""
    image = folder / IMAGE
    data = image.read_bytes()
    image.write_bytes(data + b"touched up")
    yield
    image.write_bytes(data)


@contextmanager
def dated_in_the_future(folder: Path, path: str) -> Iterator[None]:
    """Set a file's time to tomorrow."""
    tomorrow = time.time() + 86400
    os.utime(folder / path, (tomorrow, tomorrow))
    yield
    os.utime(folder / path)


STATES: dict[str, Callable[[Path], AbstractContextManager[None]]] = {
    "image changed by hand": kept,
    "image dated in the future": functools.partial(dated_in_the_future, path=IMAGE),
    "job file dated in the future": functools.partial(dated_in_the_future, path=JOB),
}


Found = dict[str, Run]
"""By the name of an installation."""


def print_row(what: str, run: Run, plain: Run) -> None:
    """Print a row: nothing to do, compared with one job of as many outputs."""
    row(what, f"{run.cpu_s:.3f}", ratio(run, plain))


def compare_shapes(rounds: int, root: Path, doits: dict[str, str], count: int) -> dict[str, Found]:
    """Print a row for each shape, and another table of the first builds."""
    found: dict[str, Found] = {}
    first: dict[str, Run] = {}
    table("outputs are", "CPU, s", "of one job's")
    for shape, prepare in SHAPES.items():
        runs: dict[str, Callable[[], Run]] = {}
        may_fail = prepare is projects.failing
        for name, doit in doits.items():
            folder = root / f"{re.sub('[^a-z0-9]+', '-', shape.lower())}-{count}-{name}"
            built = build(folder, functools.partial(prepare, folder, count), [doit], may_fail=may_fail)
            if name == PRODUCT:
                first[shape] = built
                runs["plain"] = functools.partial(measure, [doit], plain_folder(root, count, name))
            runs[name] = functools.partial(measure, [doit], folder, may_fail=may_fail)
        found[shape] = alternate(rounds, runs)
        print_row(shape, found[shape][PRODUCT], found[shape]["plain"])
    table("outputs are, first build", "CPU, ms an output", "peak memory", "threads")
    for shape, run in first.items():
        row(shape, f"{run.cpu_s / count * 1000:.2f}", f"{run.megabytes:.0f} MB", run.threads)
    return found


def compare_states(rounds: int, root: Path, doits: dict[str, str], count: int) -> dict[str, Found]:
    """Print a row for each state."""
    found: dict[str, Found] = {}
    runs = {name: functools.partial(measure, [doit], plain_folder(root, count, name)) for name, doit in doits.items()}
    table("one", "CPU, s", "of one job's")
    for state, change in STATES.items():
        plain = alternate(rounds, runs)[PRODUCT]
        with ExitStack() as stack:
            for name, run in runs.items():
                stack.enter_context(change(plain_folder(root, count, name)))
                run()
            found[state] = alternate(rounds, runs)
        print_row(state, found[state][PRODUCT], plain)
        for run in runs.values():
            run()
    return found


def plain_folder(root: Path, count: int, name: str) -> Path:
    """Return where one job of so many images is."""
    return root / f"one-job-{count}-{name}"


def main() -> None:
    """Print the tables."""
    options = arguments(__doc__, "10000", 7).parse_args()
    doits = products(options.against)
    with workplace(options.keep) as root:
        for count in counts(options.images):
            for name, doit in doits.items():
                folder = plain_folder(root, count, name)
                build(folder, functools.partial(one_job, folder, count), [doit])
            print(f"\n{count:,} outputs, nothing to do:")
            shapes = compare_shapes(options.rounds, root, doits, count)
            print_before_and_after(shapes | compare_states(options.rounds, root, doits, count))


if __name__ == "__main__":
    main()
