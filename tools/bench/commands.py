"""Measure the commands that only look: each by the clock, by the processor's time, and compared with a whole plan.

    python tools/bench/commands.py [--images 10000] [--rounds 3] [--against DOIT] [--keep FOLDER]

A whole plan is `doit why` without a snapshot. `verify` and the first `gallery` must read every image; the others may
take 2 s by the clock.
"""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable
from pathlib import Path

from projects import JOB, edit, one_job
from runs import Run, arguments, build, counts, label, measure, median, products, ratio, row, table, workplace

LIMIT_S = 2
READS_ALL = ("verify", "gallery, the first time")


def forget_snapshot(folder: Path) -> None:
    """Have the next run plan everything."""
    for path in (folder / ".imagegen/cache").glob("snapshot*"):
        path.unlink()


def change_image(folder: Path, doit: str) -> None:
    """Build an image of another prompt."""
    edit(folder, JOB)
    measure([doit], folder)


def forget_gallery(folder: Path) -> None:
    """Remove the gallery, as if there had been none."""
    shutil.rmtree(folder / "assets/gallery", ignore_errors=True)


def rows(folder: Path, doit: str) -> dict[str, tuple[list[str], Callable[[], None]]]:
    """Return the words of each command, and what happens before it."""

    def nothing() -> None:
        pass

    def change() -> None:
        change_image(folder, doit)

    return {
        "a whole plan": (["why"], functools.partial(forget_snapshot, folder)),
        "why": (["why"], nothing),
        "list": (["list"], nothing),
        "list --all": (["list", "--all"], nothing),
        "info": (["info", "portraits:item-7"], nothing),
        "verify": (["verify"], nothing),
        "gallery, the first time": (["gallery"], functools.partial(forget_gallery, folder)),
        "gallery, again": (["gallery"], nothing),
        "gallery, after a change": (["gallery"], change),
        "clean -n": (["clean", "-n"], nothing),
        "doctor": (["doctor"], nothing),
        "prune -n": (["prune", "-n"], nothing),
    }


def measured(words: list[str], before: Callable[[], None], folder: Path, doit: str, rounds: int) -> Run:
    """Return the median of a command; doctor's exit code does not matter."""
    measure([doit], folder)  # writes the snapshot, if a command before it had none
    found = []
    for _ in range(rounds):
        before()
        found.append(measure([doit, *words], folder, may_fail=words == ["doctor"]))
    return median(found)


def main() -> None:
    """Print the table."""
    options = arguments(__doc__, "10000", 3).parse_args()
    heads = "clock, s", "at most", "CPU, s", "of a whole plan, by CPU", "peak memory, MB"
    with workplace(options.keep) as root:
        for count in counts(options.images):
            table(f"with {count} images", *heads)
            folders = {name: root / f"one-job-{count}-{name}" for name in products(options.against)}
            whole: dict[str, Run] = {}
            for name, doit in products(options.against).items():
                build(folders[name], functools.partial(one_job, folders[name], count), [doit])
                for command, (words, before) in rows(folders[name], doit).items():
                    run = measured(words, before, folders[name], doit, options.rounds)
                    plan = whole.setdefault(name, run)
                    limit = "" if command in (*READS_ALL, "a whole plan") else LIMIT_S
                    cells = (f"{run.seconds:.2f}", limit, f"{run.cpu_s:.2f}", ratio(run, plan), f"{run.megabytes:.0f}")
                    row(label(command, name), *cells)


if __name__ == "__main__":
    main()
