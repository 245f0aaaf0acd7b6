"""Removing what nothing needs any more: only what is ours and nobody changed; images go into the store first."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from imagegen.execute.keeping import put_as_recorded
from imagegen.execute.orphans import Orphan, orphans
from imagegen.execute.picking import CANDIDATES, is_candidate
from imagegen.plan.record import OutputLine
from imagegen.project import JobPlan, Project

__all__ = ["Waste", "find_waste", "prune"]

_TEMPORARY = re.compile(r"\.[0-9a-f]{32}\.tmp")
"""What `imagegen.state.atomic` calls a file that is not whole yet."""


@dataclass(frozen=True)
class Waste:
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


def find_waste(project: Project, plans: Collection[JobPlan], *, candidates: bool) -> Waste:
    """What `prune` would remove. candidates: those too. Nobody may be writing. Raises ImagegenError, OSError."""
    found = list(_candidates(project, plans)) if candidates else []
    return Waste(
        tuple(orphans(project, plans)),
        tuple((job, path, line) for job, path, line in found if line is not None),
        tuple(path for _, path, line in found if line is None),
        tuple(_leftovers(project, plans)),
        project.store.prune(project.settings.store_bytes, project.pending.blobs(), only_look=True),
    )


def prune(project: Project, waste: Waste) -> None:
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
    project.store.prune(project.settings.store_bytes, project.pending.blobs())
    for leftover in waste.leftovers:
        leftover.unlink(missing_ok=True)
    shutil.rmtree(project.temporary, ignore_errors=True)


def _remove(project: Project, job: str, path: str, line: OutputLine) -> None:
    file = project.root / path
    if not file.exists():  # two lock files had it
        return
    data = file.read_bytes()
    if hashlib.sha256(data).hexdigest() == line.sha256:  # else somebody changed it just now
        put_as_recorded(project, f"{job}:{line.output}", data, line)
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
