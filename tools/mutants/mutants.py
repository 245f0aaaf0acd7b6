"""Break the code on purpose, one fault at a time, and check that a test notices.

    python tools/mutants/mutants.py [WORD…]

Without a WORD, it tries all faults of `faults.py`; otherwise those whose names contain one. It makes each fault in a
copy of the checkout, and runs only the tests named for it, after they have passed without the fault. It prints which
test caught it, and exits with 1 if none did.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from faults import FAULTS, Fault

ROOT = Path(__file__).parents[2]
AT_ONCE = 2
"""Faults that are tried at a time, each in a copy of its own."""
_SECONDS = 300
"""That the tests of one fault may take; what hangs is not caught."""
_NEEDED = ("imagegen", "tests", "tools", "jobs", "pyproject.toml", "README.md", "LICENSE", ".gitattributes")


def broken(fault: Fault, root: Path) -> dict[Path, str]:
    """Return the text of each file with the fault. Raises ValueError unless the text to replace occurs once."""
    texts: dict[Path, str] = {}
    for edit in fault.edits:
        file = root / edit.path
        text = texts.get(file) or file.read_text("utf-8")
        if (count := text.count(edit.old)) != 1:
            raise ValueError(f"{fault.name}: {edit.path} has {count} times what it is to replace: {edit.old!r}")
        texts[file] = text.replace(edit.old, edit.new)
    return texts


def caught_by(fault: Fault, folder: Path) -> str:
    """Return the test that fails with the fault; empty if all pass, or hang. folder: for a copy of the checkout."""
    copy(folder)
    for file, text in broken(fault, folder).items():
        file.write_text(text, "utf-8")
    try:
        code, said = run(folder, fault.tests)
    except subprocess.TimeoutExpired:
        return ""  # a slow machine is no proof
    finally:
        shutil.rmtree(folder)
    failed = re.search(r"^(?:FAILED|ERROR) (\S+::\w+)", said, re.MULTILINE)
    if code and not failed:
        raise ValueError(f"{fault.name}: the tests cannot be run\n{said[-2000:]}")
    return failed[1] if failed else ""


def copy(folder: Path) -> None:
    """Copy what the tests need of the checkout."""
    unneeded = shutil.ignore_patterns("__pycache__", ".*_cache", "ComfyUI", "ollama-*")
    for name in _NEEDED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=unneeded)
        else:
            shutil.copy(ROOT / name, folder)


def run(folder: Path, tests: Iterable[str]) -> tuple[int, str]:
    """Run pytest up to the first failure, and return its exit code and output."""
    # -B: a file of the same size, changed within the same second, would be taken for the one that was compiled
    command = [sys.executable, "-B", "-m", "pytest", "-x", "--tb=no", "-rfE", "-p", "no:cacheprovider"]
    command += [f"--basetemp={folder / '.temporary'}", *tests]
    environment = os.environ | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "400"}
    environment.pop("PYTEST_ADDOPTS", None)
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=_SECONDS
    )
    return done.returncode, done.stdout + done.stderr


def main(words: Sequence[str]) -> int:
    """Try the faults that the words name, and return the exit code."""
    faults = [fault for fault in FAULTS if not words or any(word in fault.name for word in words)]
    with tempfile.TemporaryDirectory() as temporary, ThreadPoolExecutor(AT_ONCE) as pool:
        whole = Path(temporary, "whole")
        whole.mkdir()
        copy(whole)
        tests = list(dict.fromkeys(test for fault in faults for test in fault.tests))
        code, said = run(whole, tests)
        if code:
            print(f"without any fault the tests do not pass:\n{said}")
            return 1
        folders = [Path(temporary, str(number)) for number in range(len(faults))]
        for folder in folders:
            folder.mkdir()
        missed = 0
        for fault, test in zip(faults, pool.map(caught_by, faults, folders), strict=True):
            print(f"{fault.name}: {test or 'NOT CAUGHT'}", flush=True)
            missed += not test
    print(f"{len(faults) - missed} of {len(faults)} caught")
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
