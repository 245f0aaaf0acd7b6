"""Plan only what changed since a snapshot was taken.

`project.affected` finds the parts of jobs that a change reaches. They are planned by the ordinary planner, together
with the outputs that they are made from; everything else is as the snapshot says. What is not sound then, or can't be
attributed to a part, takes the whole plan.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from imagegen.errors import ImagegenError
from imagegen.project.affected import Affected, NeedsWholePlan
from imagegen.project.job_parts import find_folder
from imagegen.state.snapshot import Snapshot

if TYPE_CHECKING:
    from imagegen.plan.output import Output
    from imagegen.project import JobPlan, Project

__all__ = ["plan_changed"]


def plan_changed(project: Project, snapshot: Snapshot) -> tuple[list[JobPlan], Snapshot] | None:
    """Plan what changed; return the plans, and what the snapshot still says. None if everything must be planned.

    The jobs of the snapshot that is returned have no unfinished parts but those that are planned now.
    """
    project.sound_locks = snapshot.files
    try:
        affected = Affected(project, snapshot)
        plans = _plan(project, snapshot, affected)
        rest = _leave_out(snapshot, affected)
        _check_apart(project.root, plans, affected, rest)
    except (ImagegenError, NeedsWholePlan, OSError):  # the whole plan reports what is wrong
        return None
    return plans, rest


def _plan(project: Project, snapshot: Snapshot, affected: Affected) -> list[JobPlan]:
    """Plan all that is affected, and what that is made from. Raises ImagegenError or NeedsWholePlan."""
    planned: dict[str, tuple[frozenset[int], JobPlan]] = {}
    while True:
        for file, parts in affected.parts.items():
            if file not in planned or planned[file][0] != parts:
                _check_lock(project, file, snapshot)
                planned[file] = frozenset(parts), _plan_job(project, affected, file)
        plans = [planned[file][1] for file in affected.jobs if file in planned]
        if any(plan.problems for plan in plans):
            raise NeedsWholePlan
        outputs = {output.task: output for plan in plans for output in plan.outputs}
        origins = {origin.task for output in outputs.values() for origin in output.origins if origin.task}
        if origins <= outputs.keys():
            break
        affected.add_origins(origins - outputs.keys())
    plans = project.planner.link(plans)
    if any(plan.problems for plan in plans):
        raise NeedsWholePlan
    return plans


def _plan_job(project: Project, affected: Affected, file: str) -> JobPlan:
    job = affected.jobs[file]
    if file in affected.documents:
        return project.planner.plan_document(affected.documents[file])
    if file in affected.whole:
        return project.planner.plan_of(file, project.inputs.read(file))
    items = [job.parts[part] for part in sorted(affected.parts[file])]
    return project.planner.plan_items(file, job.head, items)


def _check_lock(project: Project, file: str, snapshot: Snapshot) -> None:
    """Raise NeedsWholePlan if the file is gone, has decisions in conflict, or was written since it was compared."""
    lock = project.lock(Path(file).stem)
    is_same = lock.name in snapshot.changed or lock.seen == snapshot.files.get(lock.name)
    is_gone = lock.seen is None and snapshot.files.get(lock.name) is not None
    if lock.conflicts or is_gone or not is_same:
        raise NeedsWholePlan


def _leave_out(snapshot: Snapshot, affected: Affected) -> Snapshot:
    """Return what the snapshot still says without what is planned."""
    jobs = []
    for known in snapshot.jobs:
        file = known.details.file
        job = affected.jobs[file]
        planned = range(len(job.results)) if file in affected.whole else affected.parts.get(file, ())
        job = replace(job, unfinished=set(planned))
        jobs.append(replace(known, count=known.count - affected.counts[file], details=job))
    details = {job.details.file: job.details for job in jobs if job.details.file not in affected.whole}
    outdated = {*snapshot.changed, *affected.outputs.values()}
    return replace(
        snapshot,
        jobs=tuple(jobs),
        details=replace(snapshot.details, jobs=details),
        outdated=frozenset(outdated),
    )


def _check_apart(root: Path, plans: Sequence[JobPlan], affected: Affected, rest: Snapshot) -> None:
    """Raise NeedsWholePlan if a planned output may have the name or the file of another, or there are too many."""
    from imagegen.plan.expansion import MAX_OUTPUTS
    from imagegen.plan.file_names import find_clashes, find_nested_paths
    from imagegen.plan.output import Output

    counts = {job.details.file: job.count for job in rest.jobs}
    if any(counts[plan.file] + len(plan.outputs) > MAX_OUTPUTS for plan in plans):
        raise NeedsWholePlan
    outputs = [output for plan in plans for output in plan.outputs]
    _check_folders(root, plans, affected, rest)
    _check_step_files(root, plans, affected, rest)
    if all(affected.outputs.get(output.task) == output.path for output in outputs):
        return
    fresh = {job.task: job.outputs for job in rest.jobs}
    if any(output.slug in fresh[plan.task] for plan in plans for output in plan.outputs):
        raise NeedsWholePlan
    everything: list[_Known | Output] = [*map(_Known, rest.known_files()), *outputs]
    real = {folder: os.path.realpath(root / folder) for folder in {one.path.rpartition("/")[0] for one in everything}}
    pairs = [*find_clashes(everything, real), *find_nested_paths(everything, real)]
    if any(isinstance(one, Output) for pair in pairs for one in pair):
        raise NeedsWholePlan


def _check_folders(root: Path, plans: Sequence[JobPlan], affected: Affected, rest: Snapshot) -> None:
    """Raise NeedsWholePlan if an item of one job is a file that another one writes."""
    folders = {file: find_folder(job.head, job.parts) for file, job in affected.jobs.items()}
    folders |= {plan.file: plan.folder for plan in plans}
    if not any(folders.values()):
        return
    from imagegen.project.folder_files import ItemMatcher

    known = [(job.details.file, path) for job in rest.jobs for _, path in job.details.fresh()]
    known += [(plan.file, output.path) for plan in plans for output in plan.outputs]
    for file, folder in folders.items():
        items = ItemMatcher(root, folder) if folder else None
        if items and any(other != file and items.matches(path) for other, path in known):
            raise NeedsWholePlan


def _check_step_files(root: Path, plans: Sequence[JobPlan], affected: Affected, rest: Snapshot) -> None:
    """Raise NeedsWholePlan if a file that a job names may be one that a job writes since something changed."""
    outputs = [output for plan in plans for output in plan.outputs]
    new = [output.path for output in outputs if affected.outputs.get(output.task) != output.path]
    named = {path for job in affected.jobs.values() for path in job.files} if new else set()
    # of a job that is planned in part, the steps are as they were
    newly_named = {path for plan in plans if plan.file in affected.whole for path, _ in plan.step_files}
    if not (named or newly_named):
        return
    from imagegen.project.written_inputs import have_common_file

    if have_common_file(root, named, new):
        raise NeedsWholePlan
    known = (path for job in rest.jobs for _, path in job.details.fresh()) if newly_named else ()
    if have_common_file(root, newly_named, [*known, *(output.path for output in outputs)]):
        raise NeedsWholePlan


@dataclass(frozen=True)
class _Known:
    """A file of which nothing else is known."""

    path: str
