"""Which files are jobs, and what doit calls each."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Sequence
from pathlib import Path

from imagegen.errors import printable

__all__ = ["JOB_NAME", "JOB_SUFFIXES", "job_files", "task_names"]

JOB_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
JOB_SUFFIXES = (".yaml", ".yml", ".json")


def job_files(root: Path) -> list[Path]:
    """The job files of a project, sorted by name.

    None are hidden files, those in folders of `jobs/`, and those whose name begins with `_`, which other jobs extend.
    """
    try:
        with os.scandir(root / "jobs") as entries:
            names = [entry.name for entry in entries if not entry.name.startswith((".", "_")) and entry.is_file()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [root / "jobs" / name for name in sorted(names) if name.endswith(JOB_SUFFIXES)]


def task_names(files: Sequence[Path], reserved: Collection[str]) -> dict[Path, str]:
    """What doit calls each job: its name; its file where the name is taken or can be none."""
    names: dict[Path, str] = {}
    for path in files:
        usable = path.stem not in reserved and JOB_NAME.fullmatch(path.stem) and path.stem not in names.values()
        names[path] = path.stem if usable else printable(f"jobs/{path.name}".replace("=", "-").replace("\n", " "))
    return names
