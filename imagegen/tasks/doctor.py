"""`doit doctor`: is all there that the jobs need? Looks, and changes nothing."""

from __future__ import annotations

import importlib.metadata
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from doit.exceptions import TaskFailed

from imagegen import __version__
from imagegen.errors import ImagegenError
from imagegen.report.console import counted, table
from imagegen.tasks.build import Build, current_build
from imagegen.tasks.reporter import OURS

__all__ = ["task_doctor"]

_PACKAGES = ("doit", "PyYAML", "Cerberus", "Pillow", "python-slugify", "markdown-it-py", "filelock")


@dataclass(frozen=True)
class _Row:
    ok: bool
    what: str
    found: str
    mend: str = ""


def task_doctor() -> dict[str, Any]:
    """Check Python, packages, job files, output folders and the store."""
    return {"actions": [_doctor], "uptodate": [False], "verbosity": 2, "meta": {OURS: {}}}


def _doctor() -> TaskFailed | None:
    build = current_build()
    rows = [*_python(), *_jobs(build), *_folders(build), *_locks(build), *_store(build)]
    lines = table([("✓" if row.ok else "✗", row.what, row.found) for row in rows])
    for row, line in zip(rows, lines, strict=True):
        print(line)
        if row.mend:
            print(f"       {row.mend}")
    wrong = sum(not row.ok for row in rows)
    if not wrong:
        print("\nall is well")
        return None
    text = f"{counted(wrong, 'thing')} to mend"
    print(f"\n{text}")
    return TaskFailed(text, report=False)


def _python() -> Iterator[_Row]:
    version = ".".join(map(str, sys.version_info[:3]))
    yield _Row(sys.version_info >= (3, 10), "Python", f"{version}, {sys.executable}")
    yield _Row(True, "imagegen", __version__)
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            yield _Row(False, package, "not installed", f"pip install {package}")
    yield _Row(True, "packages", ", ".join(f"{name} {version}" for name, version in found.items()))


def _jobs(build: Build) -> Iterator[_Row]:
    if not build.plans:
        yield _Row(True, "jobs", "no job files in jobs/")
    for plan in build.plans:
        if not plan.problems:
            states = [build.planned[output.task].verdict.state for output in plan.outputs]
            counts = [f"{states.count(state)} {state}" for state in ("fresh", "stale", "kept", "blocked")]
            said = ", ".join(count for count in counts if not count.startswith("0 "))
            backends = ", ".join(dict.fromkeys(output.request.backend for output in plan.outputs))
            yield _Row(True, f"job {plan.name}", f"{counted(len(plan.outputs), 'image')} with {backends}: {said}")
        for problem in plan.problems:
            yield _Row(False, f"job {plan.name}", f"{problem.where or plan.file}: {problem.what}", problem.mend)


def _folders(build: Build) -> Iterator[_Row]:
    paths = [planned.output.path for planned in build.planned.values()]
    for folder in dict.fromkeys(path.rpartition("/")[0] for path in paths):
        existing = build.root / folder
        while not existing.exists():
            existing = existing.parent
        if not existing.is_dir():
            yield _Row(False, folder, f"{_shown(existing, build.root)} is a file", "move it, or change output.dir")
        elif not os.access(existing, os.W_OK | os.X_OK):
            yield _Row(False, folder, f"{_shown(existing, build.root)} cannot be written to", "mend its permissions")
        else:
            elsewhere = existing.stat().st_dev != build.root.stat().st_dev
            yield _Row(True, folder, "writable" + (", on another file system than the project" if elsewhere else ""))


def _locks(build: Build) -> Iterator[_Row]:
    owners = {plan.name for plan in build.plans} | {"image"}
    for path in sorted((build.root / "jobs").glob("*.lock")):
        name = f"jobs/{path.name}"
        if path.stem not in owners:
            yield _Row(True, name, "belongs to no job file", "remove it if its job is gone for good")
            continue
        try:
            lock = build.project.lock(path.stem)
        except ImagegenError as error:
            if path.stem == "image":  # of a job, it stands with the job's own problems
                yield _Row(False, str(error.problems[0].where), error.problems[0].what, error.problems[0].mend)
            continue
        wanted = {planned.output.path for planned in build.planned.values()}
        gone = [path for path in lock.lines if path not in wanted] if lock.name != "jobs/image.lock" else []
        said = counted(len(lock.lines), "output")
        if gone:
            said += f", of which {len(gone)} belong to no item any more: {', '.join(sorted(gone)[:3])}"
            said += " …" if len(gone) > 3 else ""
        yield _Row(True, name, said)


def _store(build: Build) -> Iterator[_Row]:
    sizes = [found.st_size for _, found in build.project.store.blobs()]
    bound = build.project.settings.store_bytes
    yield _Row(
        True, "store", f"{counted(len(sizes), 'image')}, {_megabytes(sum(sizes))} of at most {_megabytes(bound)}"
    )


def _megabytes(count: int) -> str:
    return f"{count / 1024**2:.1f} MB" if count < 1024**3 else f"{count / 1024**3:.1f} GB"


def _shown(path: Path, root: Path) -> str:
    return str(path.relative_to(root)) if path.is_relative_to(root) and path != root else str(path)
