"""The examination of `doit doctor`: whether everything the jobs need is in place. Looks, and changes nothing."""

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
from functools import partial
from pathlib import Path

import imagegen
from imagegen import DISTRIBUTION, __version__
from imagegen.backends.base import Backend, Diagnosis
from imagegen.backends.registry import check_plug_in_names
from imagegen.backends.text import list_first, size_text
from imagegen.calls import call_with_timeout, run_in_daemon_thread
from imagegen.config.job_files import find_stray_files
from imagegen.config.pyproject import parse_toml
from imagegen.errors import ImagegenError, Problem
from imagegen.execute.budget import check_prices
from imagegen.execute.build_image import blocked_problem
from imagegen.execute.cutouts import check_models, list_needed
from imagegen.execute.prune import find_deleted_jobs
from imagegen.execute.shared_store import Timeouts, describe_error
from imagegen.installation import find_checkout
from imagegen.plan.freshness import Verdict
from imagegen.plan.output import Output
from imagegen.plan.request import Request
from imagegen.project import JobPlan, Project
from imagegen.report.console import plural
from imagegen.report.git import check_git, check_ignored, check_lfs
from imagegen.report.reviews import check_reviews
from imagegen.state.lockfile import LockFile
from imagegen.state.shared_store import missing_package, open_shared

__all__ = [
    "Case",
    "check_backends",
    "check_jobs",
    "check_machine",
    "describe_installation",
    "examine",
    "list_requirements",
]

_PYTHON = (3, 10)
_REQUIREMENT = re.compile(r"([\w.-]+?) *>= *([\d.]+)")
_STATES = ("fresh", "stale", "kept", "blocked")
_ROOM = 32 * 1024**2
"""Bytes: a PNG of 2048×2048 can take a third of it, in the store and in its place."""
_SAMPLE = 50
"""Images of the store that are read in one go: enough to find a bad disk, and done in a moment."""
_ONE_OFF = "image"
"""The lock file of `doit image`, which has no job file."""


@dataclass(frozen=True)
class Case:
    """A project as planned: problems with its settings or backends, and a verdict on each output of a sound job."""

    project: Project
    plans: Sequence[JobPlan]
    problems: Sequence[Problem]
    verdicts: Sequence[tuple[Output, Verdict]]


def examine(case: Case) -> list[Diagnosis]:
    """Return every row. What cannot be looked at has a row that says so."""
    shared_store = run_in_daemon_thread(lambda: list(check_shared_store(case)))  # it may be long in answering
    return [
        *check_machine(list_requirements()),
        *check_jobs(case),
        *check_backends(case),
        *check_cutouts(case),
        *check_folders(case),
        *check_locks(case),
        *check_reviews(case),
        *check_store(case),
        *shared_store.result(),
        *check_git(case),
        *check_ignored(case),
        *check_lfs(case),
    ]


def check_machine(requirements: Iterable[str]) -> Iterator[Diagnosis]:
    """Yield rows for this interpreter and what is installed in it; requirements: such as `doit>=0.36`."""
    version = ".".join(map(str, sys.version_info[:3]))
    hint = "" if sys.version_info >= _PYTHON else f"use Python {'.'.join(map(str, _PYTHON))} or later"
    yield Diagnosis(not hint, "Python", f"{version}, {sys.executable}", hint)
    yield Diagnosis(True, "imagegen", describe_installation())
    yield from _check_namesake()
    sound = []
    for requirement in requirements:
        if ";" in requirement:  # of an extra, or of another Python
            continue
        found = _check_package(requirement)
        if isinstance(found, Diagnosis):
            yield found
        else:
            sound.append(found)
    if sound:
        yield Diagnosis(True, "packages", ", ".join(sound))


def describe_installation() -> str:
    """Return our version, distribution, and where it came from and is: `0.1.0 (doit-imagegen from …, in …)`."""
    where = Path(imagegen.__file__).parent
    try:
        distribution = importlib.metadata.distribution(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        return f"{__version__} (not installed, found in {where})"
    source = _source(distribution.read_text("direct_url.json") or "{}")
    return f"{__version__} ({DISTRIBUTION}{source}, in {where})"


def _source(record: str) -> str:
    """Return where pip's record (direct_url.json) says that it came from; empty for a package index."""
    with suppress(ValueError, AttributeError, TypeError):
        found = json.loads(record)
        commit = found.get("vcs_info", {}).get("commit_id", "")[:10]
        url = re.sub(r"//[^/@]*@", "//", found.get("url", ""))  # an address may have a password in it
        return f" from {url}{f' at {commit}' if commit else ''}" if url else ""
    return ""


def _check_namesake() -> Iterator[Diagnosis]:
    """Yield a row if the distribution `imagegen` is installed too: each has overwritten files of the other."""
    with suppress(importlib.metadata.PackageNotFoundError):
        version = importlib.metadata.version("imagegen")
        found = f"imagegen {version} is installed too: another project's package of the same name"
        hint = f"{sys.executable} -m pip uninstall imagegen {DISTRIBUTION}, then install {DISTRIBUTION} again"
        yield Diagnosis(True, "packages", found, hint)


def list_requirements() -> list[str]:
    """Return the requirements of imagegen: of a checkout as it is now, by its pyproject.toml; none if unknown."""
    if checkout := find_checkout():
        project = parse_toml((checkout / "pyproject.toml").read_text("utf-8")).get("project", {})
        if project.get("name") == DISTRIBUTION:
            return [str(one) for one in project["dependencies"]]
    try:
        return importlib.metadata.requires(DISTRIBUTION) or []
    except importlib.metadata.PackageNotFoundError:
        return []


def _check_package(requirement: str) -> str | Diagnosis:
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


def check_jobs(case: Case) -> Iterator[Diagnosis]:
    """Yield rows for the settings and each job file, and for images that sound jobs cannot replace."""
    for problem in case.problems:
        yield _problem_row("settings", problem)
    if case.problems:
        return  # every job is broken by them, and by nothing that is known yet
    if not case.plans:
        yield Diagnosis(True, "jobs", "no job files in jobs/: imagegen init adds a first one")
    for stray in find_stray_files(case.project.root, case.project.inputs.named):
        yield Diagnosis(True, stray.where, stray.what, stray.hint)
    of_jobs: dict[str, list[tuple[Output, Verdict]]] = defaultdict(list)
    for output, verdict in case.verdicts:
        of_jobs[output.job].append((output, verdict))
    for plan in case.plans:
        for problem in plan.problems:
            yield _problem_row(f"job {plan.name}", problem, plan.file)
        if not plan.problems:
            yield from _check_sound_job(plan, of_jobs[plan.name], has_store=bool(case.project.settings.store))


def _problem_row(what: str, problem: Problem, where: str = "") -> Diagnosis:
    """Return the row of a problem that keeps a job from being built; where: if it does not say so itself."""
    where = problem.where or where
    found = f"{where}: {problem.what}" if where else problem.what
    return Diagnosis(False, what, found, problem.hint or _edit_hint(where))


def _edit_hint(where: str) -> str:
    file, *numbers = where.split(":")
    return f"edit {file}, line {numbers[0]}" if numbers and numbers[0].isdigit() else "correct it"


def _check_sound_job(plan: JobPlan, verdicts: list[tuple[Output, Verdict]], *, has_store: bool) -> Iterator[Diagnosis]:
    counts = Counter[str](verdict.state for _, verdict in verdicts)
    said = ", ".join(f"{counts[state]} {state}" for state in _STATES if counts[state])
    images = [output for output, _ in verdicts if not output.is_derived]
    backends = ", ".join(dict.fromkeys(output.request.backend for output in images))
    parts = [f"{plural(len(images), 'image')} with {backends}"] if images else []
    if derived := len(verdicts) - len(images):
        parts.append(plural(derived, "derived file"))
    found = " and ".join(parts)
    yield Diagnosis(True, f"job {plan.name}", f"{found}: {said}")
    for output, verdict in verdicts:
        if verdict.state == "blocked":
            problem = blocked_problem(output, verdict)
            # one without a line may be just what its image would be, and a shared store may have what was accepted:
            # only the run finds out
            may_be_well = verdict.line is None or (verdict.is_missing and has_store)
            yield Diagnosis(may_be_well, output.task, problem.what, problem.hint)


def check_backends(case: Case) -> Iterator[Diagnosis]:
    """Yield rows for each backend. One that no stale image needs blocks nothing, whatever is wrong with it."""
    requests: dict[str, list[Request]] = defaultdict(list)
    needed: dict[str, list[Request]] = defaultdict(list)
    for output, verdict in case.verdicts:
        if output.is_derived:
            continue
        requests[output.request.backend].append(output.request)
        if verdict.state == "stale":
            needed[output.request.backend].append(output.request)
    answers = {}  # of all backends at once: each may wait for its servers
    for name, asked in requests.items():
        backend = case.project.backends.for_run(name)
        answers[name] = run_in_daemon_thread(partial(_diagnose, backend, asked))
    for name, answer in answers.items():
        for row in answer.result():
            what = f"backend {name}" + (f": {row.what}" if row.what else "")
            yield replace(row, what=what, blocks=row.blocks and name in needed)
        yield from _check_prices(case.project, name, needed.get(name, []))
    for name, error in case.project.backends.unusable().items():  # a job that uses it has a row of its own
        for problem in error.problems:
            yield Diagnosis(False, f"backend {name}", problem.what, problem.hint, blocks=False)
    for problem in check_plug_in_names():
        yield Diagnosis(False, "backends", problem.what, problem.hint, blocks=False)


def _check_prices(project: Project, name: str, requests: Sequence[Request]) -> Iterator[Diagnosis]:
    """Yield a row for each model of unknown price while there is a budget."""
    with suppress(ImagegenError):  # the backend's own rows say so
        problems = check_prices(project.backends[name], requests, project.settings.budget)
        for what, hint in dict.fromkeys((one.what, one.hint) for one in problems):
            yield Diagnosis(False, f"backend {name}: price", what, hint)


def _diagnose(backend: Backend, requests: Sequence[Request]) -> Sequence[Diagnosis]:
    try:
        return backend.diagnose(requests)
    except Exception as error:  # a plug-in can fail in any way
        found = f"the backend failed: {type(error).__name__}: {error}"
        return [Diagnosis(False, "", found, "report it to the maintainer of its package")]


def check_cutouts(case: Case) -> Iterator[Diagnosis]:
    """Yield rows for the models that the step `cutout` takes, if any does."""
    names = dict.fromkeys(name for output, _ in case.verdicts for name in list_needed(output))
    stale = [output for output, verdict in case.verdicts if verdict.state == "stale"]
    problems = [one for found in check_models(case.project, stale).values() for one in found]
    yield from (Diagnosis(False, "cutout", one.what, one.hint) for one in dict.fromkeys(problems))
    if names and not problems:
        is_needed = any(map(list_needed, stale))
        yield Diagnosis(True, "cutout", f"{', '.join(names)}{'' if is_needed else ': not needed, as all is cut out'}")


def check_folders(case: Case) -> Iterator[Diagnosis]:
    """Yield a row for each folder that a build of these jobs writes to."""
    root = case.project.root
    state = _existing(case.project.state)
    outputs = [output.path.rpartition("/")[0] or "." for output, _ in case.verdicts]
    for folder in dict.fromkeys([".imagegen", *(["jobs"] if outputs else []), *outputs]):
        existing = _existing(root / folder)
        what, shown = f"folder {folder}", os.path.relpath(existing, root)
        if not existing.is_dir():
            yield Diagnosis(False, what, f"{shown} is a file", f"move it away, to make room for the folder {shown}")
        elif _is_read_only(existing):
            yield Diagnosis(False, what, f"{shown} is on a read-only file system", "mount it writable")
        elif not os.access(existing, os.W_OK | os.X_OK):
            yield Diagnosis(False, what, f"{shown} cannot be written to", f"chmod u+wx {shown}")
        elif (free := shutil.disk_usage(existing).free) < _ROOM:
            found = f"{size_text(free)} are free, too little for more than a few images"
            yield Diagnosis(False, what, found, "free disk space")
        elif existing.stat().st_dev != state.stat().st_dev:
            found = "writable, on another file system than .imagegen: each image is written beside its place first"
            yield Diagnosis(True, what, found, "after a kill, a hidden file .*.tmp there can be deleted")
        else:
            yield Diagnosis(True, what, f"writable, {size_text(free)} free")


def check_store(case: Case) -> Iterator[Diagnosis]:
    """Yield a row for the store's size, and one for each image of a random sample that has gone bad."""
    bound = case.project.settings.store_bytes
    try:
        blobs = list(case.project.store.blobs())
        sample = random.sample(blobs, min(_SAMPLE, len(blobs)))
        bad = [path for path, _ in sample if hashlib.sha256(path.read_bytes()).hexdigest() != path.name]
    except OSError as error:
        yield Diagnosis(False, "store", f"{error.filename} cannot be read: {error.strerror}", "fix its permissions")
        return
    size = sum(stat.st_size for _, stat in blobs)
    found = f"{plural(len(blobs), 'image')}, {size_text(size)} of at most {size_text(bound)}"
    found += f", {len(sample)} of them checked" if sample else ""
    hint = "the next build that generates an image prunes it; store_size in [tool.imagegen] sets its size limit"
    yield Diagnosis(True, "store", found, hint if size > bound else "")
    for path in bad:
        shown = os.path.relpath(path, case.project.root)
        found = f"{path.name[:12]}… is corrupt: its content does not fit its name"
        yield Diagnosis(False, "store", found, f"delete the file: rm {shown}", blocks=False)


def _is_read_only(folder: Path) -> bool:
    return hasattr(os, "statvfs") and bool(os.statvfs(folder).f_flag & os.ST_RDONLY)


def _existing(path: Path) -> Path:
    while not path.exists():
        path = path.parent
    return path


def check_locks(case: Case) -> Iterator[Diagnosis]:
    """Yield rows for each lock file in jobs/."""
    plans = {plan.name: plan for plan in case.plans}
    wanted = {output.path for output, _ in case.verdicts}
    deleted = {problem.where: problem for problem in find_deleted_jobs(case.project, case.plans)}
    for path in sorted((case.project.root / "jobs").glob("*.lock")):
        plan = plans.get(path.stem)
        if plan or path.stem == _ONE_OFF:
            yield from _check_lock(case, path, plan, wanted)
        elif problem := deleted.get(f"jobs/{path.name}"):
            yield Diagnosis(True, problem.where, problem.what, problem.hint)
        else:
            found = f"there is no job '{path.stem}', and none of its images can be removed"
            hint = f"if the job is gone for good: rm jobs/{path.name}"
            yield Diagnosis(True, f"jobs/{path.name}", found, hint)


def _check_lock(case: Case, path: Path, plan: JobPlan | None, wanted: set[str]) -> Iterator[Diagnosis]:
    name = f"jobs/{path.name}"
    try:
        lock = case.project.lock(path.stem)
    except ImagegenError as error:
        for problem in error.problems:
            if plan is None or problem not in plan.problems:  # else it stands with the job
                yield _problem_row(name, problem)
        return
    found = plural(len(lock.lines), "output")
    found += "; its last line was cut off by a kill, and is ignored" if lock.truncated_at is not None else ""
    yield Diagnosis(True, name, found)
    if plan and not plan.problems:
        yield from _check_orphans(case, lock, wanted)


def _check_orphans(case: Case, lock: LockFile, wanted: set[str]) -> Iterator[Diagnosis]:
    gone = sorted(path for path in lock.lines if path not in wanted and (case.project.root / path).exists())
    if gone:
        belongs = "belongs" if len(gone) == 1 else "belong"
        found = f"{plural(len(gone), 'file')} no longer {belongs} to any item: {list_first(gone)}"
        hint = "put the items back; or doit prune, which removes files that nobody changed"
        yield Diagnosis(True, lock.name, found, hint)


def check_shared_store(case: Case) -> Iterator[Diagnosis]:
    """Yield a row on the shared store, if there is one. Only a missing package keeps jobs from being built."""
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
        call_with_timeout(Timeouts().answer_s, lambda: open_shared(settings.store))
    except Exception as error:  # of whatever library
        found = f"{settings.store} cannot be reached: {describe_error(error)}"
        found += f"; {plural(waiting, 'image')} to upload" if waiting else ""
        yield Diagnosis(False, "shared store", found, "builds continue without it; fix it, or store=none", blocks=False)
        return
    uses = "read and written to" if settings.store_writes else "only read"
    found = f"{settings.store} answers ({time.monotonic() - start:.1f} s), {uses}"
    found += f"; {plural(waiting, 'image')} to upload with the next build" if waiting else ""
    yield Diagnosis(True, "shared store", found)
