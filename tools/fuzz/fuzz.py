"""Fuzz the readers of foreign bytes, guided by what each input reaches in the code.

    pip install atheris
    python tools/fuzz/fuzz.py [--seconds 120] [--folder FOLDER] [READER…]

Without a name, every reader of `readers.py` runs in turn, each in a process of its own for `--seconds`. Interesting
inputs stay in FOLDER (by default a temporary one), and the next run continues from there. A finding is a file
`READER-crash-…`, `-timeout-…` or `-oom-…` in it, and the exit code is 1. To repeat one:
`python tools/fuzz/fuzz.py READER --again FILE`. One input may take 20 seconds and 2 GiB.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
SECONDS, MEGABYTES, LONGEST = 20, 2048, 8192
"""For one input: the time and the memory that it may take, and how many bytes it has at most."""
INSTRUMENTED = ["imagegen", "markdown_it", "cerberus"]


def main() -> int:
    """Run what the command line names; the exit code."""
    parser = argparse.ArgumentParser(description="Fuzz the readers of jobs, prompts, lock files and images.")
    parser.add_argument("readers", nargs="*")
    parser.add_argument("--seconds", type=int, default=120, help="for each reader")
    parser.add_argument("--folder", type=Path, help="where inputs are kept")
    parser.add_argument("--again", type=Path, help="an input to try once")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]
    if options.inside:
        return _inside(options.readers[0], options.seconds, options.folder)
    from readers import READERS

    if unknown := set(options.readers) - READERS.keys():
        parser.error(f"there is no reader {', '.join(sorted(unknown))}: {', '.join(READERS)}")
    if options.again:
        READERS[options.readers[0]].try_one(options.again.read_bytes())
        return 0
    folder = options.folder or Path(tempfile.mkdtemp(prefix="fuzz-"))
    failed = False
    for name in options.readers or READERS:
        corpus = folder / name
        corpus.mkdir(parents=True, exist_ok=True)
        for index, seed in enumerate(READERS[name].seeds()):
            (corpus / f"seed-{index}").write_bytes(seed)
        (folder / f"{name}.words").write_text("".join(f'"{_escaped(word)}"\n' for word in READERS[name].words()))
        arguments = ["--inside", "--seconds", str(options.seconds), "--folder", str(folder), name]
        temporary = folder / "tmp"  # libFuzzer ends a process without its leave
        temporary.mkdir(exist_ok=True)
        environment = {**os.environ, "TMPDIR": str(temporary)}
        ended = subprocess.run([sys.executable, __file__, *arguments], env=environment, check=False)
        shutil.rmtree(temporary)
        failed = failed or ended.returncode != 0
        print(f"== {name}: {'a finding' if ended.returncode else 'no finding'}, inputs kept in {corpus}", flush=True)
    return int(failed)


def _inside(name: str, seconds: int, folder: Path) -> int:
    """libFuzzer's own loop, which ends the process."""
    import atheris

    with atheris.instrument_imports(include=INSTRUMENTED):
        from readers import READERS
    bounds = [f"-timeout={SECONDS}", f"-rss_limit_mb={MEGABYTES}", f"-max_len={LONGEST}", f"-max_total_time={seconds}"]
    files = [f"-dict={folder / f'{name}.words'}", f"-artifact_prefix={folder / name}-", str(folder / name)]
    atheris.Setup([sys.argv[0], *bounds, "-print_final_stats=1", *files], READERS[name].try_one)
    atheris.Fuzz()
    return 0


def _escaped(word: str) -> str:
    """As libFuzzer reads a word of its dictionary."""
    return "".join(f"\\x{byte:02x}" for byte in word.encode("utf-8", "surrogatepass"))


if __name__ == "__main__":
    sys.exit(main())
