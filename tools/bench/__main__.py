"""Run all benchmarks that need only this machine, one after another. Each table has the ratios of its own run.

    python tools/bench [--quick]

It takes more than half an hour on two cores, with --quick about five minutes. Run nothing else meanwhile.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
TABLES = (
    ("A run with nothing to do", ["noop.py", "--images", "1000,10000,100000"], ["noop.py", "--images", "1000,10000"]),
    ("Where its time goes", ["phases.py"], ["phases.py", "--images", "3000"]),
    ("A first build", ["first.py"], ["first.py", "--lines", "100,1000"]),
    ("Several servers", ["servers.py"], ["servers.py", "--images", "25", "--rounds", "1"]),
    ("Workers of a Dask cluster", ["workers.py"], ["workers.py", "--images", "25", "--rounds", "1"]),
    ("Beyond this machine", ["simulate.py", "--images", "10000,100000"], ["simulate.py", "--images", "1000,10000"]),
)
"""Of each: its heading, the command, and its short form."""


def main() -> None:
    """Print them all; what fails ends it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    for heading, whole, quick in TABLES:
        print(f"\n## {heading}\n", flush=True)
        script, *arguments = quick if options.quick else whole
        subprocess.run([sys.executable, str(HERE / script), *arguments], check=True)


if __name__ == "__main__":
    main()
