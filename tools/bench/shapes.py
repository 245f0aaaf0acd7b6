"""Measure a run with nothing to do in projects of every shape: none may cost much more than one job of as many outputs.

    python tools/bench/shapes.py [--images 10000] [--rounds 7] [--against DOIT] [--keep FOLDER]

The time is that of the processor, in medians of runs that take turns. `projects.py` says what the shapes are. The last
rows are of one job, with one file in a state that a snapshot of fresh files does not cover.
"""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import projects
from projects import JOB, one_job
from runs import Run, alternate, arguments, build, counts, label, measure, products, ratio, row, table, workplace

SHAPES: dict[str, Callable[[Path, int], None]] = {
    "jobs of 10 images": projects.small_jobs,
    "jobs with Markdown, 33 images each": projects.from_sources(projects.markdown, "md", 300),
    "jobs with CSV, 33 images each": projects.from_sources(projects.csv, "csv", 300),
    "references to other outputs": projects.references,
    "derived files": projects.derived,
    "jobs with a sheet, 100 outputs each": projects.sheets,
    "variants": projects.variants,
    "an image that fails": projects.failing,
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
    "an image changed by hand": kept,
    "an image dated in the future": functools.partial(dated_in_the_future, path=IMAGE),
    "the job file dated in the future": functools.partial(dated_in_the_future, path=JOB),
}


def print_row(shape: str, name: str, run: Run, plain: Run, count: int, first: Run | None = None) -> None:
    """Print a row: nothing to do, compared with one job of an installation, and the first build."""
    built = (f"{first.cpu_s / count * 1000:.2f}", f"{first.megabytes:.0f}", first.threads) if first else ("", "", "")
    row(label(shape, name), f"{run.cpu_s:.3f}", f"{run.cpu_s / count * 1e6:.0f}", ratio(run, plain), *built)


def compare(rounds: int, root: Path, doits: dict[str, str], count: int) -> None:
    """Print a row for each shape and state."""
    plain = {name: root / f"one-job-{count}-{name}" for name in doits}
    for name, doit in doits.items():
        build(plain[name], functools.partial(one_job, plain[name], count), [doit])
    for shape, prepare in SHAPES.items():
        for name, doit in doits.items():
            folder = root / f"{shape.replace(' ', '-').replace(',', '')}-{count}-{name}"
            may_fail = prepare is projects.failing
            first = build(folder, functools.partial(prepare, folder, count), [doit], may_fail=may_fail)
            runs = {
                "plain": functools.partial(measure, [doit], plain[name]),
                "shape": functools.partial(measure, [doit], folder, may_fail=may_fail),
            }
            found = alternate(rounds, runs)
            print_row(shape, name, found["shape"], found["plain"], count, first)
    for state, change in STATES.items():
        for name, doit in doits.items():
            run = functools.partial(measure, [doit], plain[name])
            before = alternate(rounds, {name: run})[name]
            with change(plain[name]):
                run()
                print_row(state, name, alternate(rounds, {name: run})[name], before, count)
            run()


def main() -> None:
    """Print the table."""
    options = arguments(__doc__, "10000", 7).parse_args()
    with workplace(options.keep) as root:
        for count in counts(options.images):
            print(f"\n{count} outputs, nothing to do; and the first build:")
            heads = "CPU, s", "CPU, µs an output", "of one job's", "first build: CPU, ms an output", "MB", "threads"
            table("outputs are", *heads)
            compare(options.rounds, root, products(options.against), count)


if __name__ == "__main__":
    main()
