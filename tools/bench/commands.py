"""Measure the commands that only look: by the clock, by the processor's time, and compared with a whole plan.

    python tools/bench/commands.py [--images 10000] [--rounds 3] [--against DOIT] [--keep FOLDER]

A whole plan is `doit why` without a snapshot. `verify` and the first `gallery` must read every image; the others may
take 2 s by the clock.
"""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from projects import JOB, edit, one_job
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
    ratio,
    row,
    table,
    workplace,
)


def forget_snapshot(folder: Path, _doit: str) -> None:
    """Have the next run plan everything."""
    for path in (folder / ".imagegen/cache").glob("snapshot*"):
        path.unlink()


def forget_gallery(folder: Path, _doit: str) -> None:
    """Remove the gallery, as if there had been none."""
    shutil.rmtree(folder / "assets/gallery", ignore_errors=True)


def change_image(folder: Path, doit: str) -> None:
    """Build an image of another prompt."""
    edit(folder, JOB)
    measure([doit], folder)


@dataclass(frozen=True)
class Command:
    """A command, and what happens before it is measured, given the project and `doit`. limit_s: by the clock."""

    words: str
    limit_s: int | None = 2
    before: Callable[[Path, str], None] = lambda *_: None


WHOLE_PLAN = "a whole plan"
COMMANDS = {
    WHOLE_PLAN: Command("why", None, forget_snapshot),
    "why": Command("why"),
    "list": Command("list"),
    "list --all": Command("list --all"),
    "info": Command("info portraits:item-7"),
    "verify": Command("verify", None),
    "gallery, the first time": Command("gallery", None, forget_gallery),
    "gallery, again": Command("gallery"),
    "gallery, after a change": Command("gallery", before=change_image),
    "clean -n": Command("clean -n"),
    "doctor": Command("doctor"),
    "prune -n": Command("prune -n"),
}


def run_once(command: Command, folder: Path, doit: str) -> Run:
    """Run a command; doctor's exit code does not matter."""
    command.before(folder, doit)
    return measure([doit, *command.words.split()], folder, may_fail=command.words == "doctor")


def main() -> None:
    """Print the tables."""
    options = arguments(__doc__, "10000", 3).parse_args()
    doits = products(options.against)
    with workplace(options.keep) as root:
        for count in counts(options.images):
            folders = {name: root / f"one-job-{count}-{name}" for name in doits}
            for name, folder in folders.items():
                build(folder, functools.partial(one_job, folder, count), [doits[name]])
            found: dict[str, dict[str, Run]] = {}
            table(f"in {count:,} images", "clock, s", "at most", "CPU, s", "of a whole plan", "memory")
            for what, command in COMMANDS.items():
                for name, folder in folders.items():
                    measure([doits[name]], folder)  # writes the snapshot, if there is none
                    runs = [run_once(command, folder, doits[name]) for _ in range(options.rounds)]
                    found.setdefault(what, {})[name] = median(runs)
                run = found[what][PRODUCT]
                cells = (f"{run.cpu_s:.2f}", ratio(run, found[WHOLE_PLAN][PRODUCT]), f"{run.megabytes:.0f} MB")
                row(what, f"{run.seconds:.2f}", command.limit_s or "", *cells)
            print_before_and_after(found)


if __name__ == "__main__":
    main()
