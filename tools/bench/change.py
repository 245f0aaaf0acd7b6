"""Measure one change of each kind: what it costs until the first image is with the backend.

    python tools/bench/change.py [--images 10000] [--rounds 5] [--against DOIT] [--keep FOLDER]

Where a change leaves nothing to generate, the whole run counts. The processor's time is compared with two runs with
nothing to do in the same project, and one reading of the changed file: it is parsed, and nothing more. Each round makes
another change of the kind.

After a clone there is no `.imagegen`, so each image is read and hashed. There, reading is that of the job, its lock
file and a bare loop over the images, in one thread.
"""

from __future__ import annotations

import functools
import hashlib
import json
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import projects
from projects import JOB, LOG, WILDCARD, edit
from runs import (
    PRODUCT,
    Run,
    arguments,
    build,
    counts,
    measure,
    median,
    print_before_and_after,
    products,
    row,
    table,
    workplace,
)

from imagegen.config.document import read_document
from imagegen.prompts.csv import read_csv
from imagegen.prompts.markdown import read_markdown

LOCK = "jobs/portraits.lock"
MARKDOWN, CSV, BASE = "docs/job0.md", "docs/job0.csv", "jobs/_base.yaml"


def repository(folder: Path, count: int) -> None:
    """One job, in what will be a git repository."""
    projects.one_job(folder, count)
    projects.write(folder, ".gitignore", f".imagegen/\n.doit.db*\n/{LOG}\nfirst-run.json\n__pycache__/\n")


PROJECTS: dict[str, Callable[[Path, int], None]] = {
    "one-job": projects.one_job,
    "markdown": projects.from_sources(projects.markdown, "md", 1),
    "csv": projects.from_sources(projects.csv, "csv", 1),
    "extended": projects.extended,
    "framed": projects.framed,
    "wildcards": projects.wildcards,
    "repository": repository,
}


@dataclass(frozen=True)
class Kind:
    """A kind of change, in one of the projects."""

    project: str
    change: Callable[[Path], None]
    read: Callable[[Path], object] = lambda _: None
    """Parses the changed file."""
    generates: bool = True
    """Whether there is an image to generate then."""


def pick_image(folder: Path) -> Path:
    """Return any image, another one each time."""
    return folder / f"assets/portraits/item-{time.time_ns() // 1000 % len(images(folder))}.png"


def images(folder: Path) -> list[Path]:
    """Return the images of a project."""
    return sorted(folder.glob("assets/*/*.png"))


def git(folder: Path, *words: str) -> None:
    """Run git."""
    who = ["-c", "user.name=bench", "-c", "user.email=bench@example.org", "-c", "gc.auto=0"]
    subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True)


def commit_two_branches(folder: Path, count: int, doit: str) -> None:
    """Commit the built project, and on another branch one image of a hundred with another seed."""
    git(folder, "init", "--initial-branch", "main")
    git(folder, "add", ".")
    git(folder, "commit", "-m", "all images")
    git(folder, "checkout", "-b", "rerolled")
    names = [f"portraits:item-{number}" for number in range(0, count, 100)]
    measure([doit, "reroll", "--yes", *names], folder)
    git(folder, "commit", "-a", "-m", "another seed for one of a hundred")


def read_yaml(folder: Path, path: str) -> None:
    """Parse a job file, or what one extends."""
    read_document(path, (folder / path).read_bytes())


def read_lock(folder: Path) -> None:
    """Parse the lines of the lock file."""
    for line in (folder / LOCK).read_bytes().splitlines():
        json.loads(line)


def hash_files(paths: Sequence[Path]) -> None:
    """Read files and hash them."""
    for path in paths:
        hashlib.sha256(path.read_bytes())


def read_checkout(folder: Path) -> None:
    """Read what a checkout changes."""
    read_lock(folder)
    hash_files(images(folder)[::100])


def clone(folder: Path) -> None:
    """Leave what a clone has: git writes all files again, and what it ignores is gone."""
    for path in (".imagegen", "assets", "jobs"):
        shutil.rmtree(folder / path)
    git(folder, "checkout", "HEAD", "--", ".")


def read_clone(folder: Path) -> None:
    """Read everything."""
    read_yaml(folder, JOB)
    read_lock(folder)
    hash_files(images(folder))


KINDS = {
    "an item of a job": Kind("one-job", lambda folder: edit(folder, JOB), lambda folder: read_yaml(folder, JOB)),
    "a Markdown heading": Kind(
        "markdown",
        lambda folder: edit(folder, MARKDOWN),
        lambda folder: read_markdown(MARKDOWN, (folder / MARKDOWN).read_bytes()),
    ),
    "a CSV row": Kind(
        "csv", lambda folder: edit(folder, CSV), lambda folder: read_csv(CSV, (folder / CSV).read_bytes())
    ),
    "a base that one job of ten extends": Kind(
        "extended",
        lambda folder: projects.write(folder, BASE, projects.base(time.time_ns())),
        lambda folder: read_yaml(folder, BASE),
    ),
    "a base that one job of ten extends, all with one ring": Kind(
        "framed",
        lambda folder: projects.write(folder, BASE, projects.base(time.time_ns())),
        lambda folder: read_yaml(folder, BASE),
    ),
    "a wildcard file that one image of a hundred uses": Kind(
        "wildcards",
        lambda folder: projects.write(folder, WILDCARD, f"hat {time.time_ns()}\n"),
        lambda folder: (folder / WILDCARD).read_text().splitlines(),
    ),
    "an image deleted": Kind("one-job", lambda folder: pick_image(folder).unlink(), generates=False),
    "an image touched": Kind("one-job", lambda folder: pick_image(folder).touch(), generates=False),
    "a checkout of one image of a hundred and the lock file": Kind(
        "repository", lambda folder: git(folder, "checkout", "-"), read_checkout, generates=False
    ),
    "all of them, after a clone": Kind("repository", clone, read_clone, generates=False),
}


def run_until_first_image(doit: str, folder: Path, *, generates: bool) -> Run:
    """Run `doit`, and return what it took until the first image was with the backend, or else until it ended."""
    log = folder / LOG
    log.unlink(missing_ok=True)
    start_s = time.time()
    run = measure([doit], folder)
    lines = log.read_text().splitlines() if log.exists() else []
    first = next((event for event in map(json.loads, lines) if event["event"] == "started"), None)
    if (first is not None) != generates:
        raise SystemExit(f"{'nothing' if generates else 'an image'} was generated in {folder}")
    return Run(first["cpu_s"], first["at_s"] - start_s, 0, 0) if first else run


def time_reading(folder: Path, read: Callable[[Path], object]) -> Run:
    """Return what this process takes to read."""
    start_s, start_cpu_s = time.perf_counter(), time.process_time()
    read(folder)
    return Run(time.process_time() - start_cpu_s, time.perf_counter() - start_s, 0, 0)


def prepare(root: Path, project: str, count: int, name: str, doit: str) -> Path:
    """Return the folder of a project, built."""
    folder = root / f"{project}-{count}-{name}"
    build(folder, functools.partial(PROJECTS[project], folder, count), [doit])
    if project == "repository" and not (folder / ".git").exists():
        commit_two_branches(folder, count, doit)
        measure([doit], folder)
    return folder


def change_once(kind: Kind, folder: Path, doit: str) -> tuple[Run, Run, Run]:
    """Return what nothing to do takes, reading the changed file, and the run after a change."""
    measure([doit], folder)
    rest = measure([doit], folder)
    kind.change(folder)
    return rest, time_reading(folder, kind.read), run_until_first_image(doit, folder, generates=kind.generates)


def print_row(what: str, rounds: Sequence[tuple[Run, Run, Run]]) -> None:
    """Print the medians of rounds."""
    rest, read, changed = (median(runs) for runs in zip(*rounds, strict=True))
    cells = (f"{value:.3f}" for value in (rest.cpu_s, read.cpu_s, changed.cpu_s))
    row(what, *cells, f"{changed.cpu_s / (2 * rest.cpu_s + read.cpu_s):.2f}", f"{changed.seconds:.2f}")


def main() -> None:
    """Print the tables."""
    options = arguments(__doc__, "10000", 5).parse_args()
    doits = products(options.against)
    heads = "nothing to do, CPU, s", "reading, CPU, s", "first image, CPU, s", "of 2 × nothing + reading", "clock, s"
    with workplace(options.keep) as root:
        for count in counts(options.images):
            found: dict[str, dict[str, Run]] = {}
            table(f"in {count:,} images", *heads)
            for what, kind in KINDS.items():
                folders = {name: prepare(root, kind.project, count, name, doit) for name, doit in doits.items()}
                rounds = [
                    {name: change_once(kind, folder, doits[name]) for name, folder in folders.items()}
                    for _ in range(options.rounds)
                ]
                found[what] = {name: median([each[name][-1] for each in rounds]) for name in doits}
                print_row(what, [each[PRODUCT] for each in rounds])
            print_before_and_after(found)


if __name__ == "__main__":
    main()
