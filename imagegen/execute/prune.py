"""Removing what nothing needs any more: only what is ours and nobody changed; images go into the store first."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from imagegen.execute.pick import CANDIDATES, PickResult, is_candidate
from imagegen.execute.stored_images import store_current_file, store_recorded_file
from imagegen.plan.output import Output
from imagegen.plan.record import OutputLine
from imagegen.project import JobPlan, Project

__all__ = [
    "ONE_OFF",
    "Orphan",
    "Removal",
    "UnusedFiles",
    "clean",
    "find_orphans",
    "find_unused",
    "preview_clean",
    "prune",
    "refresh_derived",
]


_TEMPORARY = re.compile(r"\.[0-9a-f]{32}\.tmp")
"""What `imagegen.state.atomic` calls a file that is not whole yet."""


@dataclass(frozen=True)
class UnusedFiles:
    """What can go.

    orphans: of no item; those with a `why` stay. candidates: variants that were not picked, with their lines;
    changed: of these, by path, what somebody changed, and so stays. leftovers: of runs that were killed.
    store_bytes: that the store has over its bound.
    """

    orphans: tuple[Orphan, ...]
    candidates: tuple[tuple[str, str, OutputLine], ...]
    changed: tuple[str, ...]
    leftovers: tuple[Path, ...]
    store_bytes: int

    def __bool__(self) -> bool:
        removable = any(not orphan.why for orphan in self.orphans)
        return removable or bool(self.candidates or self.leftovers or self.store_bytes)


def find_unused(project: Project, plans: Collection[JobPlan], *, candidates: bool) -> UnusedFiles:
    """What `prune` would remove. candidates: those too. Nobody may be writing. Raises ImagegenError, OSError."""
    found = list(_candidates(project, plans)) if candidates else []
    return UnusedFiles(
        tuple(find_orphans(project, plans)),
        tuple((job, path, line) for job, path, line in found if line is not None),
        tuple(path for _, path, line in found if line is None),
        tuple(_leftovers(project, plans)),
        project.store.prune(project.settings.store_bytes, project.upload_queue.blobs(), only_look=True),
    )


def prune(project: Project, waste: UnusedFiles) -> None:
    """Remove it. The caller holds the mutex, and found the waste while it did. Raises OSError."""
    gone: dict[str, list[str]] = defaultdict(list)
    for orphan in waste.orphans:
        if not orphan.why:
            if orphan.exists:
                _remove(project, orphan.job, orphan.path, orphan.line)
            if not is_candidate(project, orphan.job, orphan.line.output):
                gone[orphan.job].append(orphan.path)
    for job, path, line in waste.candidates:
        if (project.root / path).exists():
            _remove(project, job, path, line)
        if not (project.root / path).exists():
            gone[job].append(line.path)
    for job, paths in gone.items():
        project.lock(job).forget(paths, project.temporary)
    project.store.prune(project.settings.store_bytes, project.upload_queue.blobs())
    for leftover in waste.leftovers:
        leftover.unlink(missing_ok=True)
    shutil.rmtree(project.temporary, ignore_errors=True)


def _remove(project: Project, job: str, path: str, line: OutputLine) -> None:
    file = project.root / path
    if not file.exists():  # two lock files had it
        return
    data = file.read_bytes()
    if hashlib.sha256(data).hexdigest() == line.sha256:  # else somebody changed it just now
        store_recorded_file(project, f"{job}:{line.output}", data, line)
        file.unlink()


def _candidates(project: Project, plans: Collection[JobPlan]) -> Iterator[tuple[str, str, OutputLine | None]]:
    """Each candidate's job, its path, and its line if it is as that says, or not there."""
    for plan in plans:
        folder = project.root / CANDIDATES / plan.name
        others = {path.relative_to(project.root).as_posix() for path in sorted(folder.glob("*"))}
        for recorded_as, lines in project.lock(plan.name).lines.items():
            if is_candidate(project, plan.name, lines[-1].output):
                path = f"{CANDIDATES}/{plan.name}/{lines[-1].output}{PurePosixPath(recorded_as).suffix}"
                state = project.hashes.state(path)
                line = project.lock(plan.name).line_of(recorded_as, state.sha256 if state else None)
                is_ours = state is None or (line is not None and line.sha256 == state.sha256 and not state.is_pointer)
                others.discard(path)
                yield plan.name, path, line if is_ours else None
        for path in sorted(others):
            yield plan.name, path, None


def _leftovers(project: Project, plans: Collection[JobPlan]) -> Iterator[Path]:
    """What a kill leaves of files that were being written: in temporary folders, and beside outputs."""
    if project.temporary.is_dir():
        yield from sorted(path for path in project.temporary.rglob("*") if path.is_file())
    for folder in sorted(path for path in project.state.glob("*/") if path != project.temporary):
        yield from sorted(path for path in folder.glob("*.tmp") if path.is_file())
    outputs = {(project.root / output.path).parent for plan in plans for output in plan.outputs}
    for folder in sorted({project.root / "jobs", *outputs}):
        if folder.is_dir():
            yield from sorted(path for path in folder.iterdir() if _TEMPORARY.fullmatch(path.name))


ONE_OFF = "image"
"""The lock file of `doit image`: it has no items."""


@dataclass(frozen=True)
class Orphan:
    """An output of no item. job: whose lock file has its lines. why: it is not ours to remove; empty: it is.

    line: the one that counts. exists: whether its file is there. owner: the job that has the file now, by its own lock
    file: only the line can go.
    """

    job: str
    path: str
    line: OutputLine
    exists: bool
    why: str = ""
    owner: str = ""


def find_orphans(project: Project, plans: Collection[JobPlan], jobs: Collection[str] | None = None) -> Iterator[Orphan]:
    """Those of the jobs, also of jobs that are gone. plans: all of the project. jobs: by name; None: all.

    Nothing is told of a job with problems, nor of files that another job makes now.
    Raises ImagegenError for a lock file that cannot be understood; OSError.
    """
    owners = {output.path: output.job for plan in plans for output in plan.outputs}
    broken = {plan.name for plan in plans if plan.problems}
    for file in sorted((project.root / "jobs").glob("*.lock")):
        job = file.stem
        if job in broken or job == ONE_OFF or (jobs is not None and job not in jobs):
            continue
        lock = project.lock(job)
        for path in lock.lines:
            state = project.hashes.state(path)
            line = lock.line_of(path, state.sha256 if state else None)
            is_gone = state is None and line is not None and is_candidate(project, job, line.output)
            if line is None or is_gone:
                continue
            if owner := owners.get(path):
                if owner != job and path in project.lock(owner).lines:
                    yield Orphan(job, path, line, exists=False, owner=owner)
                continue
            why = ""
            if state is not None and state.is_pointer:
                why = "a Git LFS pointer, whose content is not here to bring back"
            elif state is not None and line.sha256 != state.sha256:
                why = "changed by hand since it was made"
            yield Orphan(job, path, line, state is not None, why)


@dataclass(frozen=True)
class Removal:
    """What cleaning one output means. removes: its file. forgets: its lines in the lock file. said: for a person."""

    removes: bool
    forgets: bool
    said: str


def preview_clean(project: Project, output: Output) -> Removal:
    """What `clean` would do. Raises OSError."""
    state = project.hashes.state(output.path)
    known = output.path in project.lock(output.job).lines
    if state is None:
        return Removal(False, known, f"{output.path} is not there")
    if state.is_pointer:
        return Removal(False, False, f"keep {output.path}: a Git LFS pointer, whose content is not here to bring back")
    if project.lock(output.job).owns(output.path, state.sha256):
        return Removal(True, True, f"remove {output.path}")
    why = "changed by hand" if known else "not made by this build"
    return Removal(False, False, f"keep {output.path}: {why}")


def clean(project: Project, output: Output) -> Removal:
    """Remove the output's file where that is right; its lines are left to the caller. Raises OSError."""
    removal = preview_clean(project, output)
    if removal.removes:
        store_current_file(project, output)
        (project.root / output.path).unlink()
    return removal


def refresh_derived(project: Project, pick: PickResult) -> list[Output]:
    """The derived outputs that are made from the item's images, as far as all is there that they are made from.

    Files that were derived from its other variants are removed, where nobody changed them; they are in the store. The
    caller holds the mutex. Raises ImagegenError, OSError.
    """
    item = pick.outputs[0]
    plans = project.plans()
    found = [
        orphan
        for orphan in find_orphans(project, plans, [item.job])
        if ":" in orphan.line.output and _is_of(orphan.line.output.partition(":")[0], item.base)
    ]
    prune(project, UnusedFiles(tuple(found), (), (), (), 0))
    images = {output.task for output in pick.outputs}
    outputs = next(plan.outputs for plan in plans if plan.name == item.job)
    derived = [output for output in outputs if images & {one.task for one in output.origins} and output.is_derived]
    return [output for output in map(project.with_origins, derived) if output.has_known_origins]


def _is_of(slug: str, base: str) -> bool:
    """Whether this is the slug of the item, or of one of its variants."""
    rest = slug.removeprefix(base)
    return slug.startswith(base) and (not rest or (rest.startswith("-v") and rest[2:].isdigit()))
