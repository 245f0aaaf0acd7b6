"""Run all benchmarks that need only this machine, one after another. Each table has the ratios of its own run.

    python tools/bench [--quick] [--against DOIT]

It takes about an hour on two cores, with --quick about ten minutes. Run nothing else meanwhile, and leave this checkout
alone: a snapshot does not hold once the package has changed.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
SLOW_DISK = ["first.py", "--sync-ms", "10", "--fed", "10"]
TABLES = (
    ("A run with nothing to do", ["noop.py"], ["noop.py", "--images", "100,1000", "--rounds", "5"]),
    ("Projects of every shape", ["shapes.py"], ["shapes.py", "--images", "1000", "--rounds", "3"]),
    ("One change", ["change.py"], ["change.py", "--images", "1000", "--rounds", "3"]),
    ("Commands", ["commands.py"], ["commands.py", "--images", "1000", "--rounds", "1"]),
    ("The page of doit review", ["review.py"], ["review.py", "--images", "500", "--rounds", "1"]),
    ("In git", ["git_growth.py"], ["git_growth.py", "--images", "1000", "--commits", "5"]),
    ("Where its time goes", ["phases.py"], ["phases.py", "--images", "3000"]),
    ("A first build", ["first.py"], ["first.py", "--fed", "20"]),
    ("A first build, each sync of the disk 10 ms longer", SLOW_DISK, SLOW_DISK),
    ("Several servers", ["servers.py"], ["servers.py", "--images", "25", "--rounds", "1"]),
    ("Workers of a Dask cluster", ["workers.py"], ["workers.py", "--images", "25", "--rounds", "1"]),
    ("Beyond this machine", ["simulate.py", "--images", "10000,100000"], ["simulate.py", "--images", "1000,10000"]),
)
"""Of each: its heading, the command, and its short form."""
AGAINST = ("noop.py", "shapes.py", "change.py", "commands.py", "git_growth.py")
"""These share their projects, and compare with another installation."""


def main() -> None:
    """Print them all; what fails ends it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--against", metavar="DOIT", help="compare with the doit of another installation")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as keep:
        more = ["--keep", keep, *(["--against", options.against] if options.against else [])]
        for heading, whole, quick in TABLES:
            print(f"\n## {heading}\n", flush=True)
            script, *words = quick if options.quick else whole
            words += more if script in AGAINST else []
            subprocess.run([sys.executable, str(HERE / script), *words], check=True)


if __name__ == "__main__":
    main()
