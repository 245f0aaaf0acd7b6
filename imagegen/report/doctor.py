"""What a doctor is shown."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import random
import re
import shutil
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import imagegen
from imagegen import DISTRIBUTION, __version__
from imagegen.asking import within
from imagegen.backends.base import Backend, Diagnosis
from imagegen.backends.registry import unusable_names
from imagegen.config.job_files import find_stray_files
from imagegen.errors import ImagegenError, Problem
from imagegen.execute.build_image import blocked_problem
from imagegen.execute.shared_store import Timeouts, describe_error
from imagegen.plan.freshness import Verdict
from imagegen.plan.output import Output
from imagegen.plan.request import Request
from imagegen.project import JobPlan, Project
from imagegen.report.console import plural
from imagegen.report.git import git, ignored, lfs
from imagegen.state.lockfile import LockFile
from imagegen.state.shared_store import missing_package, open_shared

__all__ = [
    "Case",
    "as_row",
    "backends",
    "examine",
    "folders",
    "installed_as",
    "jobs",
    "locks",
    "machine",
    "needed_packages",
    "shared",
    "store",
]


@dataclass(frozen=True)
class Case:
    """A project as planned. problems: with its settings or backends. verdicts: on each output of a sound job."""

    project: Project
    plans: Sequence[JobPlan]
    problems: Sequence[Problem]
    verdicts: Sequence[tuple[Output, Verdict]]


def examine(case: Case) -> list[Diagnosis]:
    """Every row. What cannot be looked at is a row that says so."""
    return [
        *machine(needed_packages()),
        *jobs(case),
        *backends(case),
        *folders(case),
        *locks(case),
        *store(case),
        *shared(case),
        *git(case),
        *ignored(case),
        *lfs(case),
    ]


_NEEDED = (3, 10)
_REQUIREMENT = re.compile(r"([\w.-]+?) *>= *([\d.]+)")


def machine(requirements: Iterable[str]) -> Iterator[Diagnosis]:
    """Rows for this interpreter and what is installed in it. requirements: each as `doit>=0.36`."""
    version = ".".join(map(str, sys.version_info[:3]))
    hint = "" if sys.version_info >= _NEEDED else f"use Python {'.'.join(map(str, _NEEDED))} or later"
    yield Diagnosis(not hint, "Python", f"{version}, {sys.executable}", hint)
    yield Diagnosis(True, "imagegen", installed_as())
    yield from _namesake()
    sound = []
    for requirement in requirements:
        if ";" in requirement:  # of an extra, or of another Python
            continue
        found = _installed(requirement)
        if isinstance(found, Diagnosis):
            yield found
        else:
            sound.append(found)
    if sound:
        yield Diagnosis(True, "packages", ", ".join(sound))


def installed_as() -> str:
    """Our version, what pip calls us, what it was installed from, and where: `0.1.0 (doit-imagegen from …, in …)`."""
    where = Path(imagegen.__file__).parent
    try:
        distribution = importlib.metadata.distribution(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        return f"{__version__} (not installed, found in {where})"
    source = _source(distribution.read_text("direct_url.json") or "{}")
    return f"{__version__} ({DISTRIBUTION}{source}, in {where})"


def _source(record: str) -> str:
    """From pip's own record (direct_url.json) of an installation that is not from a package index."""
    with suppress(ValueError, AttributeError, TypeError):
        found = json.loads(record)
        commit = found.get("vcs_info", {}).get("commit_id", "")[:10]
        url = re.sub(r"//[^/@]*@", "//", found.get("url", ""))  # an address may have a password in it
        return f" from {url}{f' at {commit}' if commit else ''}" if url else ""
    return ""


def _namesake() -> Iterator[Diagnosis]:
    """A row where the distribution `imagegen` is installed beside ours: each has overwritten files of the other."""
    with suppress(importlib.metadata.PackageNotFoundError):
        version = importlib.metadata.version("imagegen")
        found = f"imagegen {version} is installed too: another project's package of the same name"
        hint = f"{sys.executable} -m pip uninstall imagegen {DISTRIBUTION}, then install {DISTRIBUTION} again"
        yield Diagnosis(True, "packages", found, hint)


def needed_packages() -> list[str]:
    """The requirements of imagegen as it is installed; none where it only lies on the path."""
    try:
        return importlib.metadata.requires(DISTRIBUTION) or []
    except importlib.metadata.PackageNotFoundError:
        return []


def _installed(requirement: str) -> str | Diagnosis:
    match = _REQUIREMENT.match(requirement)
    if match is None:
        return requirement
    name, needed = match[1], match[2]
    hint = f"{sys.executable} -m pip install --upgrade '{name}>={needed}'"
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return Diagnosis(False, f"package {name}", "not installed", hint)
    if _numbers(version) < _numbers(needed):
        return Diagnosis(False, f"package {name}", f"{version}, older than {needed}", hint)
    return f"{name} {version}"


def _numbers(version: str) -> tuple[int, ...]:
    match = re.match(r"\d+(\.\d+)*", version)
    numbers = [int(number) for number in match[0].split(".")] if match else []
    while numbers and not numbers[-1]:
        numbers.pop()  # 6 and 6.0 are one
    return tuple(numbers)


_STATES = ("fresh", "stale", "kept", "blocked")


def jobs(case: Case) -> Iterator[Diagnosis]:
    """Rows for the settings, and for each job file."""
    for problem in case.problems:
        yield as_row("settings", problem)
    if case.problems:
        return  # every job is broken by them, and by nothing that is known yet
    if not case.plans:
        yield Diagnosis(True, "jobs", "no job files in jobs/: imagegen init adds a first one")
    for stray in find_stray_files(case.project.root, case.project.inputs.named):
        yield Diagnosis(True, stray.where, stray.what, stray.hint)
    for plan in case.plans:
        for problem in plan.problems:
            yield as_row(f"job {plan.name}", problem, plan.file)
        if not plan.problems:
            verdicts = [pair for pair in case.verdicts if pair[0].job == plan.name]
            yield from _sound(plan, verdicts, has_store=bool(case.project.settings.store))


def as_row(what: str, problem: Problem, where: str = "") -> Diagnosis:
    """A problem that keeps a job from being built. where: if it does not say so itself."""
    where = problem.where or where
    found = f"{where}: {problem.what}" if where else problem.what
    return Diagnosis(False, what, found, problem.hint or _place(where))


def _place(where: str) -> str:
    file, *numbers = where.split(":")
    return f"edit {file}, line {numbers[0]}" if numbers and numbers[0].isdigit() else "correct it"


def _sound(plan: JobPlan, verdicts: list[tuple[Output, Verdict]], *, has_store: bool) -> Iterator[Diagnosis]:
    counts = Counter[str](verdict.state for _, verdict in verdicts)
    said = ", ".join(f"{counts[state]} {state}" for state in _STATES if counts[state])
    images = [output for output, _ in verdicts if not output.is_derived]
    backends = ", ".join(dict.fromkeys(output.request.backend for output in images))
    found = f"{plural(len(images), 'image')} with {backends}"
    if derived := len(verdicts) - len(images):
        found += f" and {plural(derived, 'derived file')}"
    yield Diagnosis(True, f"job {plan.name}", f"{found}: {said}")
    for output, verdict in verdicts:
        if verdict.state == "blocked":
            problem = blocked_problem(output, verdict)
            # one without a line may be just what its image would be, and a shared store may have what was accepted:
            # only the run finds out
            may_be_well = verdict.line is None or (verdict.is_missing and has_store)
            yield Diagnosis(may_be_well, output.task, problem.what, problem.hint)


def backends(case: Case) -> Iterator[Diagnosis]:
    """Rows for each backend. One that no stale image needs blocks nothing, whatever is wrong with it."""
    requests: dict[str, list[Request]] = defaultdict(list)
    needed = set()
    for output, verdict in case.verdicts:
        if output.is_derived:
            continue
        requests[output.request.backend].append(output.request)
        if verdict.state == "stale":
            needed.add(output.request.backend)
    for name, asked in requests.items():
        for row in _rows(case.project.backends.for_run(name), asked):
            what = f"backend {name}" + (f": {row.what}" if row.what else "")
            yield replace(row, what=what, blocks=row.blocks and name in needed)
    for name, error in case.project.backends.unusable().items():  # a job that uses it has a row of its own
        for problem in error.problems:
            yield Diagnosis(False, f"backend {name}", problem.what, problem.hint, blocks=False)
    for problem in unusable_names():
        yield Diagnosis(False, "backends", problem.what, problem.hint, blocks=False)


def _rows(backend: Backend, requests: Sequence[Request]) -> Sequence[Diagnosis]:
    try:
        return backend.diagnose(requests)
    except Exception as error:  # a plug-in can fail in any way
        found = f"a fault in the backend: {type(error).__name__}: {error}"
        return [Diagnosis(False, "", found, "tell whoever makes the package that brings it")]


_ROOM = 32 * 1024**2
"""Bytes: a PNG of 2048×2048 can take a third of it, in the store and in its place."""
_SAMPLE = 50
"""Images of the store that are read in one go: enough to find a bad disk, and done in a moment."""


def folders(case: Case) -> Iterator[Diagnosis]:
    """Rows for each folder that a build of these jobs writes to."""
    root = case.project.root
    state = _existing(case.project.state)
    outputs = [output.path.rpartition("/")[0] or "." for output, _ in case.verdicts]
    for folder in dict.fromkeys([".imagegen", *(["jobs"] if outputs else []), *outputs]):
        existing = _existing(root / folder)
        what, shown = f"folder {folder}", os.path.relpath(existing, root)
        if not existing.is_dir():
            yield Diagnosis(False, what, f"{shown} is a file", f"move it away, to make room for the folder {shown}")
        elif _is_read_only(existing):
            yield Diagnosis(False, what, f"{shown} is on a file system that takes no writes", "mount it writable")
        elif not os.access(existing, os.W_OK | os.X_OK):
            yield Diagnosis(False, what, f"{shown} cannot be written to", f"chmod u+wx {shown}")
        elif (free := shutil.disk_usage(existing).free) < _ROOM:
            found = f"{_megabytes(free)} are free, too little for some images more"
            yield Diagnosis(False, what, found, "free disk space")
        elif existing.stat().st_dev != state.stat().st_dev:
            found = "writable, on another file system than .imagegen: images are first written beside their places"
            yield Diagnosis(True, what, found, "after a kill, a hidden file .*.tmp there can be deleted")
        else:
            yield Diagnosis(True, what, f"writable, {_megabytes(free)} free")


def store(case: Case) -> Iterator[Diagnosis]:
    """Rows for the store's size, and for each image of a random sample that has gone bad."""
    bound = case.project.settings.store_bytes
    try:
        blobs = list(case.project.store.blobs())
        sample = random.sample(blobs, min(_SAMPLE, len(blobs)))
        bad = [path for path, _ in sample if hashlib.sha256(path.read_bytes()).hexdigest() != path.name]
    except OSError as error:
        yield Diagnosis(False, "store", f"{error.filename} cannot be read: {error.strerror}", "fix its permissions")
        return
    size = sum(stat.st_size for _, stat in blobs)
    found = f"{plural(len(blobs), 'image')}, {_megabytes(size)} of at most {_megabytes(bound)}"
    found += f", {len(sample)} of them read and compared" if sample else ""
    hint = "the next build that makes an image prunes it; store_size in [tool.imagegen] is its bound"
    yield Diagnosis(True, "store", found, hint if size > bound else "")
    for path in bad:
        shown = os.path.relpath(path, case.project.root)
        found = f"{path.name[:12]}… has gone bad: its bytes are not those of its name"
        yield Diagnosis(False, "store", found, f"delete the file: rm {shown}", blocks=False)


def _is_read_only(folder: Path) -> bool:
    return hasattr(os, "statvfs") and bool(os.statvfs(folder).f_flag & os.ST_RDONLY)


def _existing(path: Path) -> Path:
    while not path.exists():
        path = path.parent
    return path


def _megabytes(count: int) -> str:
    return f"{count / 1024**2:.1f} MB" if count < 1024**3 else f"{count / 1024**3:.1f} GB"


_ONE_OFF = "image"
"""The lock file of `doit image`, which has no job file."""
_SHOWN = 3


def locks(case: Case) -> Iterator[Diagnosis]:
    """Rows for each lock file in jobs/."""
    plans = {plan.name: plan for plan in case.plans}
    wanted = {output.path for output, _ in case.verdicts}
    for path in sorted((case.project.root / "jobs").glob("*.lock")):
        plan = plans.get(path.stem)
        if plan or path.stem == _ONE_OFF:
            yield from _own(case, path, plan, wanted)
        else:
            hint = f"if the job is gone for good: rm jobs/{path.name}"
            yield Diagnosis(True, f"jobs/{path.name}", "foreign: there is no job of that name", hint)


def _own(case: Case, path: Path, plan: JobPlan | None, wanted: set[str]) -> Iterator[Diagnosis]:
    name = f"jobs/{path.name}"
    try:
        lock = case.project.lock(path.stem)
    except ImagegenError as error:
        for problem in error.problems:
            if plan is None or problem not in plan.problems:  # else it stands with the job
                yield as_row(name, problem)
        return
    found = plural(len(lock.lines), "output")
    found += "; its last line was cut off by a kill, and is dropped" if lock.truncated_at is not None else ""
    yield Diagnosis(True, name, found)
    if plan and not plan.problems:
        yield from _unwanted(case, lock, wanted)


def _unwanted(case: Case, lock: LockFile, wanted: set[str]) -> Iterator[Diagnosis]:
    gone = sorted(path for path in lock.lines if path not in wanted and (case.project.root / path).exists())
    if gone:
        shown = ", ".join(gone[:_SHOWN]) + (" …" if len(gone) > _SHOWN else "")
        hint = "bring the items back; or doit prune, which removes what nobody changed"
        found = f"{plural(len(gone), 'file')} of no item any more: {shown}"
        yield Diagnosis(True, lock.name, found, hint)


def shared(case: Case) -> Iterator[Diagnosis]:
    """One row; none where there is no shared store. Only a package that is missing keeps jobs from being built."""
    settings = case.project.settings
    if not settings.store:
        return
    if missing := missing_package(settings.store):
        package, command = missing
        found = f"{settings.store} needs the package {package}, which is not installed"
        yield Diagnosis(False, "shared store", found, command)
        return
    waiting = len(case.project.upload_queue.all()) if settings.store_writes else 0
    start = time.monotonic()
    try:
        within(Timeouts().answer_s, lambda: open_shared(settings.store))
    except Exception as error:  # of whatever library
        found = f"{settings.store} cannot be reached: {describe_error(error)}"
        found += f"; {plural(waiting, 'image')} to go up" if waiting else ""
        yield Diagnosis(False, "shared store", found, "builds go on without it; fix it, or store=none", blocks=False)
        return
    uses = "read and written to" if settings.store_writes else "only read"
    found = f"{settings.store} answers ({time.monotonic() - start:.1f} s), {uses}"
    found += f"; {plural(waiting, 'image')} to go up with the next build" if waiting else ""
    yield Diagnosis(True, "shared store", found)
