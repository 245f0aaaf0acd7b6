"""Show where the time of `doit` goes, by module: with nothing to do, and with one changed prompt.

    python tools/bench/phases.py [--images 10000] [--least 0.02]

Each function's own time, including the C functions it calls, is added up by module; importing has a row of its own. The
profiler makes Python slower, so look at the shares; the time without it is printed above each table. Threads that
generate images are not included: `imagegen.execute.run` waits for them.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import runpy
import subprocess
import sys
import sysconfig
import tempfile
from collections import Counter
from pathlib import Path

from projects import JOB, edit, one_job
from runs import PRODUCT, measure, products, workplace

import imagegen

ROOTS = [
    (Path(sysconfig.get_path("purelib")), ""),
    (Path(imagegen.__file__).parents[1], ""),
    (Path(sysconfig.get_path("stdlib")), "Python's "),
]
"""Where modules are, those first that lie in others, and what is said before the name of one."""


def module_of(file: str, function: str) -> str:
    """Return the row of the table that a function is in: of ours the module, of others the package."""
    if "importlib" in file or function == "<module>":
        return "importing"
    for root, said in ROOTS:
        if Path(file).is_relative_to(root):
            parts = Path(file).relative_to(root).with_suffix("").parts
            return said + (".".join(parts) if parts[0] == "imagegen" else parts[0])
    return "the rest"


def profiled(folder: Path) -> Counter[str]:
    """Seconds of each module, of `doit` in this folder."""
    with tempfile.TemporaryDirectory() as other:
        told = Path(other, "told")
        subprocess.run(
            [sys.executable, __file__, "--into", str(told)], cwd=folder, stdout=subprocess.DEVNULL, check=True
        )
        stats = pstats.Stats(str(told)).stats  # type: ignore[attr-defined]
    seconds: Counter[str] = Counter()
    for (file, _, function), (_, _, own_s, _, _) in stats.items():
        seconds[module_of(file, function)] += own_s
    return seconds


def table(what: str, plain_s: float, seconds: Counter[str], least: float) -> None:
    """Print it."""
    whole_s = seconds.total()
    shown = {name: own_s for name, own_s in seconds.most_common() if own_s >= least * whole_s and name != "the rest"}
    print(f"\n{what}: {plain_s:.2f} s; with the profiler, and without Python's own start and end, {whole_s:.2f} s\n")
    print("| where | s | share |\n|---|---:|---:|")
    for name, own_s in [*shown.items(), ("the rest", whole_s - sum(shown.values()))]:
        print(f"| {name} | {own_s:.3f} | {own_s / whole_s:.0%} |", flush=True)


def main() -> None:
    """Print two tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=10000)
    parser.add_argument("--least", type=float, default=0.02, help="share of the time from which on a module has a row")
    parser.add_argument("--into", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.into:
        profile_doit(options.into)
    doit = products(None)[PRODUCT]
    with workplace(None) as folder:
        one_job(folder, options.images)
        measure([doit], folder)
        table("Nothing to do", measure([doit], folder).seconds, profiled(folder), options.least)
        edit(folder, JOB)
        plain_s = measure([doit], folder).seconds
        measure([doit], folder)  # all is fresh again, and known to be
        edit(folder, JOB)
        table("One changed prompt", plain_s, profiled(folder), options.least)


def profile_doit(into: str) -> None:
    """Run `doit` here, its profile written into a file."""
    sys.argv = ["doit"]
    profile = cProfile.Profile(builtins=False)
    try:
        profile.runcall(runpy.run_module, "doit", run_name="__main__")
    finally:
        profile.dump_stats(into)


if __name__ == "__main__":
    main()
