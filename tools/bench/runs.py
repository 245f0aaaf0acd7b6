"""Run commands and measure them: where the benchmarks work, what they compare, and how they print it."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

TESTS = Path(__file__).parents[2] / "tests"
PRODUCT = "imagegen"
BEFORE = "before"


@dataclass(frozen=True)
class Run:
    """What one run of a command took."""

    cpu_s: float
    """User and system time, of its children too."""
    seconds: float
    megabytes: float
    """Peak resident memory; Linux counts at least as much as this script had when it started the command, 15 MB."""
    threads: int
    """At most, as seen in `/proc` every few milliseconds; 0 where nobody looked."""


def measure(command: Sequence[str], folder: Path, *, watch: bool = False, may_fail: bool = False) -> Run:
    """Run a command, which must succeed.

    Args:
        watch: whether to count its threads.
        may_fail: whether its exit code does not matter.
    """
    threads = 0
    with tempfile.TemporaryFile() as out:
        start = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, stdout=out, stderr=subprocess.STDOUT)
        while watch and os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            threads = max(threads, _count_threads(process.pid))
            time.sleep(0.005)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode and not may_fail:
            out.seek(0)
            raise SystemExit(f"{' '.join(command)} failed in {folder}:\n{out.read().decode(errors='replace')[-3000:]}")
    return Run(usage.ru_utime + usage.ru_stime, seconds, usage.ru_maxrss / 1024, threads)


def _count_threads(pid: int) -> int:
    status = Path(f"/proc/{pid}/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return int(next((line.split()[1] for line in lines if line.startswith("Threads:")), 0))


def alternate(rounds: int, runs: Mapping[str, Callable[[], Run]]) -> dict[str, Run]:
    """Return the median of so many rounds of each.

    They take turns, every second round backwards, so that whatever else the machine does affects all alike.
    """
    found: dict[str, list[Run]] = {name: [] for name in runs}
    for number in range(rounds):
        for name in list(runs)[:: -1 if number % 2 else 1]:
            found[name].append(runs[name]())
    return {name: median(each) for name, each in found.items()}


def median(runs: Sequence[Run]) -> Run:
    """Return the median of each value."""
    cpu_s, seconds, megabytes = (
        statistics.median(values) for values in zip(*((r.cpu_s, r.seconds, r.megabytes) for r in runs), strict=True)
    )
    return replace(runs[0], cpu_s=cpu_s, seconds=seconds, megabytes=megabytes)


def build(folder: Path, write: Callable[[], None], command: Sequence[str], *, may_fail: bool = False) -> Run:
    """Write a project and build it, unless `--keep` has it from another time. Then all is fresh, and known to be.

    Returns:
        What the first build took.
    """
    memory = folder / "first-run.json"
    if not memory.exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        write()
        memory.write_text(json.dumps(asdict(measure(command, folder, watch=True, may_fail=may_fail))))
    measure(command, folder, may_fail=may_fail)
    return Run(**json.loads(memory.read_text()))


def table(*heads: str) -> None:
    """Print the head of a table, its first column for texts."""
    print(f"\n| {' | '.join(heads)} |\n|---|{'---:|' * (len(heads) - 1)}", flush=True)


def row(*cells: object) -> None:
    """Print a row."""
    print(f"| {' | '.join(map(str, cells))} |", flush=True)


def counts(text: str) -> list[int]:
    """Return the numbers of an option such as 100,1000."""
    return [int(count) for count in text.split(",")]


def arguments(docstring: str | None, images: str, rounds: int) -> argparse.ArgumentParser:
    """Return the parser of what all scripts take."""
    parser = argparse.ArgumentParser(description=docstring, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", default=images, help="how many (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=rounds, help="of which the median counts (default: %(default)s)")
    parser.add_argument("--against", metavar="DOIT", help="compare with the doit of another installation")
    parser.add_argument("--keep", metavar="FOLDER", type=Path, help="build the projects there, and use them again")
    return parser


def products(against: str | None) -> dict[str, str]:
    """Return the `doit` of each installation that is compared, by its name in the tables."""
    mine = shutil.which("doit", path=Path(sys.executable).parent)
    if mine is None:
        raise SystemExit(f"There is no doit beside {sys.executable}. Install imagegen there.")
    return {PRODUCT: mine} | ({BEFORE: str(Path(against).absolute())} if against else {})


@contextmanager
def workplace(keep: Path | None) -> Iterator[Path]:
    """Yield the folder of all projects, and have whatever is started find the tests' `scripted` backend.

    It comes without this checkout, which would hide the imagegen of another installation.
    """
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        shutil.copytree(TESTS / "plugins", root / "plugins")
        (root / "plugins/tests").symlink_to(TESTS)
        os.environ["PYTHONPATH"] = str(root / "plugins")
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # each run would compile imagegen again
        yield keep.absolute() if keep else root / "projects"


def ratio(run: Run, other: Run) -> str:
    """Return the ratio of what both took of the processor."""
    return f"{run.cpu_s / other.cpu_s:.2f}"


def print_before_and_after(found: Mapping[str, Mapping[str, Run]]) -> None:
    """Print a row for each thing that was measured, if another installation was too.

    found: by what was measured, then by the installation's name.
    """
    if any(BEFORE in runs for runs in found.values()):
        table("CPU, s", BEFORE, PRODUCT, "ratio")
        for what, runs in found.items():
            mine, other = runs[PRODUCT], runs[BEFORE]
            row(what, f"{other.cpu_s:.3f}", f"{mine.cpu_s:.3f}", ratio(mine, other))
