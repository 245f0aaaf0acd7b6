"""Removes files that nothing uses any more: only our own that nobody changed; images go into the store first."""

from __future__ import annotations

import functools
import hashlib
import re
import shutil
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from imagegen.errors import ImagegenError, Problem
from imagegen.execute.pick import CANDIDATES, PickResult, is_candidate
from imagegen.execute.stored_images import store_current_file, store_recorded_file
from imagegen.plan.freshness import CHANGED
from imagegen.plan.naming import fold_path
from imagegen.plan.output import ONE_OFF, PREVIEW, Output
from imagegen.plan.record import OutputLine
from imagegen.project import JobPlan, Project
from imagegen.project.folder_files import ItemMatcher

__all__ = [
    "Orphan",
    "Removal",
    "UnusedFiles",
    "clean",
    "find_deleted_jobs",
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
    """Files that can be removed."""

    orphans: tuple[Orphan, ...]
    """Outputs that belong to no item; those with a `why` stay."""
    candidates: tuple[tuple[str, str, OutputLine], ...]
    """Job, path and line of variants that were not picked."""
    changed: tuple[str, ...]
    """Paths of candidates that somebody changed, which stay."""
    leftovers: tuple[Path, ...]
    """Files of runs that were killed."""
    store_bytes: int
    """The number of bytes by which the store is over its limit."""
    previews: tuple[Path, ...] = ()
    """Of images that are gone, and what is recorded of the previews of jobs that are."""

    def __bool__(self) -> bool:
        removable = any(not orphan.why for orphan in self.orphans)
        return removable or bool(self.candidates or self.leftovers or self.store_bytes or self.previews)


def find_unused(project: Project, plans: Collection[JobPlan], *, candidates: bool) -> UnusedFiles:
    """Find what `prune` would remove, with or without candidates. Nobody may be writing.

    Raises:
        ImagegenError: a lock file cannot be understood.
        OSError: a file cannot be read.
    """
    found = list(_candidates(project, plans)) if candidates else []
    return UnusedFiles(
        tuple(find_orphans(project, plans)),
        tuple((job, path, line) for job, path, line in found if line is not None),
        tuple(path for _, path, line in found if line is None),
        tuple(_leftovers(project, plans)),
        project.store.prune(project.settings.store_bytes, project.upload_queue.blobs(), only_look=True),
        tuple(_old_previews(project, plans)),
    )


def prune(project: Project, unused: UnusedFiles) -> None:
    """Remove unused files, which the caller found while it held the mutex, as it does. Raises OSError."""
    gone: dict[str, list[str]] = defaultdict(list)
    for orphan in unused.orphans:
        if not orphan.why:
            if orphan.exists:
                _remove(project, orphan.job, orphan.path, orphan.line)
            if not is_candidate(project, orphan.job, orphan.line.output):
                gone[orphan.job].append(orphan.path)
    for job, path, line in unused.candidates:
        if (project.root / path).exists():
            _remove(project, job, path, line)
        if not (project.root / path).exists():
            gone[job].append(line.path)
    for job, paths in gone.items():
        project.lock(job).forget(paths, project.temporary)
    project.store.prune(project.settings.store_bytes, project.upload_queue.blobs())
    for file in (*unused.leftovers, *unused.previews):
        file.unlink(missing_ok=True)
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
    """Files that were being written when a run was killed: in temporary folders, and beside outputs."""
    if project.temporary.is_dir():
        yield from sorted(path for path in project.temporary.rglob("*") if path.is_file())
    folders = (path for path in project.state.glob("*") if path.is_dir() and path != project.temporary)
    for folder in sorted(folders):
        yield from sorted(path for path in folder.glob("*.tmp") if path.is_file())
    outputs = {(project.root / output.path).parent for plan in plans for output in plan.outputs}
    for folder in sorted({project.root / "jobs", *outputs}):
        if folder.is_dir():
            yield from sorted(path for path in folder.iterdir() if _TEMPORARY.fullmatch(path.name))


def _old_previews(project: Project, plans: Collection[JobPlan]) -> Iterator[Path]:
    """Yield the previews of images that are no longer there, and the lock files of previews whose job is gone."""
    folder = project.state / PREVIEW
    images = {(output.job, output.slug) for plan in plans for output in plan.outputs}
    jobs = {plan.name for plan in plans}
    yield from (path for path in sorted(folder.glob("*/*.png")) if (path.parent.name, path.stem) not in images)
    yield from (path for path in sorted(folder.glob("*.lock")) if path.stem not in jobs)


@dataclass(frozen=True)
class Orphan:
    """An output that belongs to no item."""

    job: str
    """Whose lock file has its lines."""
    path: str
    line: OutputLine
    """The one that counts."""
    exists: bool
    """Whether its file is there."""
    why: str = ""
    """Why it must not be removed; empty if it may be."""
    owner: str = ""
    """The job that has the file now, by its own lock file: only the line can go."""


def find_orphans(project: Project, plans: Collection[JobPlan], jobs: Collection[str] | None = None) -> Iterator[Orphan]:
    """Find the outputs that belong to no item, also of jobs that are gone.

    A job with problems has none, and neither has a file that another job builds now.

    Args:
        plans: All of the project.
        jobs: By name; None for all.

    Raises:
        ImagegenError: A lock file cannot be understood.
        OSError: A file cannot be read.
    """
    owners = {output.path: output.job for plan in plans for output in plan.outputs}
    namesakes = functools.cache(lambda: {fold_path(path): path for path in owners})
    folders = [(plan.name, ItemMatcher(project.root, plan.folder)) for plan in plans if plan.folder]
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
            here = path if path in owners or state is None else _find_same_file(project, path, namesakes())
            if owner := owners.get(here):
                if (owner, here) != (job, path) and here in project.lock(owner).lines:
                    yield Orphan(job, path, line, exists=False, owner=owner)
                continue
            why = ""
            if item_of := next((name for name, items in folders if items.matches(path)), ""):
                why = f"an item of the job {item_of}"
            elif state is not None and state.is_pointer:
                why = "a Git LFS pointer, whose content is not here to bring back"
            elif state is not None and line.sha256 != state.sha256:
                why = CHANGED
            yield Orphan(job, path, line, state is not None, why)


def _find_same_file(project: Project, path: str, namesakes: Mapping[str, str]) -> str:
    """Return the output's path that is the same file, where only its case differs and the system ignores that."""
    other = namesakes.get(fold_path(path), path)
    with suppress(OSError):  # the other one may not be there
        if (project.root / path).samefile(project.root / other):
            return other
    return path


def find_deleted_jobs(project: Project, plans: Collection[JobPlan]) -> list[Problem]:
    """Return what to do about each lock file whose job is gone, while images of it are left that can be removed.

    Lock files that cannot be read are left out.

    Args:
        plans: All of the project.
    """
    found = []
    known = {plan.name for plan in plans} | {ONE_OFF}
    for file in sorted((project.root / "jobs").glob("*.lock")):
        if file.stem in known:
            continue
        with suppress(ImagegenError, OSError):
            orphans = list(find_orphans(project, plans, [file.stem]))
            if count := sum(orphan.exists and not orphan.why for orphan in orphans):
                left = "1 of its images is" if count == 1 else f"{count} of its images are"
                what = f"there is no job '{file.stem}' any more, but {left} still there"
                hint = "doit prune removes images and lock file; if you renamed the job, rename its lock file too"
                found.append(Problem(f"jobs/{file.name}", what, hint))
    return found


@dataclass(frozen=True)
class Removal:
    """What cleaning does to one output. removes: its file. forgets: its lines in the lock file. said: in words."""

    removes: bool
    forgets: bool
    said: str


def preview_clean(project: Project, output: Output) -> Removal:
    """Return what `clean` would do. Raises OSError."""
    state = project.hashes.state(output.path)
    known = output.path in project.lock(output.job).lines
    if state is None:
        return Removal(False, known, f"{output.path} is missing")
    if state.is_pointer:
        return Removal(False, False, f"keep {output.path}: a Git LFS pointer, whose content is not here to bring back")
    if project.lock(output.job).owns(output.path, state.sha256):
        return Removal(True, True, f"remove {output.path}")
    why = CHANGED if known else "not made by this build"
    return Removal(False, False, f"keep {output.path}: {why}")


def clean(project: Project, output: Output) -> Removal:
    """Remove the output's file if it may be removed; its lines are left to the caller. Raises OSError."""
    removal = preview_clean(project, output)
    if removal.removes:
        store_current_file(project, output)
        (project.root / output.path).unlink()
    return removal


def refresh_derived(project: Project, pick: PickResult) -> list[Output]:
    """Remove files derived from variants that are no longer images, and return the derived outputs to build.

    What somebody changed stays. The removed files are in the store. The caller holds the mutex.

    Returns:
        The outputs that are derived from the item's images, if all of their origins are there.

    Raises:
        ImagegenError: A lock file cannot be understood.
        OSError: A file cannot be read or removed.
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
    """Whether this is the slug of the item or of one of its variants."""
    rest = slug.removeprefix(base)
    return slug.startswith(base) and (not rest or (rest.startswith("-v") and rest[2:].isdigit()))
