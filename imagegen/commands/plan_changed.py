"""Plan only what changed in the job files since a snapshot was taken.

Their items are compared by key, and only the items that are new are planned. Whatever is not sound then, or follows
from more than its own item, takes the whole plan.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from imagegen.errors import ImagegenError
from imagegen.state.snapshot import FreshJob, JobParts, Snapshot

if TYPE_CHECKING:
    from imagegen.plan.output import Output
    from imagegen.project import JobPlan, Project

__all__ = ["job_parts", "plan_changed"]


def job_parts(plans: Sequence[JobPlan], known: Mapping[str, JobParts], named: Collection[str]) -> dict[str, JobParts]:
    """Return the parts of each job whose outputs follow from their own items; none if an output names another.

    named: files that others name. A job file among them is left out: more than its own outputs follow from it.
    """
    if any(origin.where for plan in plans for output in plan.outputs for origin in output.origins):
        return {}
    parts = dict(known)
    for plan in plans:
        if plan.head:
            of_items: dict[str, dict[str, str]] = {key: {} for key in plan.items.values()}
            for output in plan.outputs:
                of_items[plan.items[output.request.name]][output.slug] = output.path
            also = known[plan.file].items if plan.file in known else {}
            parts[plan.file] = JobParts(plan.head, {**also, **of_items})
    return {file: one for file, one in parts.items() if file not in named}


def plan_changed(project: Project, snapshot: Snapshot) -> tuple[list[JobPlan], Snapshot] | None:
    """Plan what changed in the changed job files; return the plans, and what the snapshot still says.

    Only what is sound and follows from one item alone is planned so. None if everything must be planned.
    """
    plans: list[JobPlan] = []
    if not set(snapshot.changed) <= set(snapshot.parts):
        return None
    try:
        # an image may be the same as one of any job, so that all records are wanted as for the whole plan
        locks = [project.lock(job.task) for job in snapshot.jobs]
        for file in snapshot.changed:
            found = _plan(project, file, snapshot)
            if found is None:
                return None
            plan, snapshot = found
            plans.append(plan)
    except ImagegenError:  # the whole plan reports it
        return None
    if any(lock.conflicts for lock in locks) or not _are_apart(project.root, plans, snapshot):
        return None
    return plans, snapshot


def _plan(project: Project, file: str, snapshot: Snapshot) -> tuple[JobPlan, Snapshot] | None:
    from imagegen.config.job_files import hash_items

    parts = snapshot.parts.get(file)
    document = project.planner.document(file, project.inputs.read(file))
    keys = hash_items(document)
    if parts is None or keys is None or keys.head != parts.head or len(set(keys.items)) < len(keys.items):
        return None
    pairs = list(zip(document.values["items"], keys.items, strict=True))
    # a job has one item at least
    changed = [item for item, key in pairs if key not in parts.items] or [pairs[0][0]]
    plan = project.planner.plan_document(replace(document, values={**document.values, "items": changed}))
    if plan.problems or not plan.head or any(output.origins for output in plan.outputs):
        return None
    return plan, _keep_items(snapshot, file, set(keys.items).difference(plan.items.values()))


def _keep_items(snapshot: Snapshot, file: str, items: Collection[str]) -> Snapshot:
    """Return what the snapshot still says if only the items of these keys are unchanged in a job file."""
    parts = snapshot.parts[file]
    kept = {key: outputs for key, outputs in parts.items.items() if key in items}
    gone = {slug: path for key, outputs in parts.items.items() if key not in kept for slug, path in outputs.items()}
    paths = {file, *gone.values()}
    return replace(
        snapshot,
        jobs=tuple(_without(job, gone) if job.task == Path(file).stem else job for job in snapshot.jobs),
        files={path: known for path, known in snapshot.files.items() if path not in paths},
        parts={**snapshot.parts, file: replace(parts, items=kept)},
    )


def _without(job: FreshJob, slugs: Collection[str]) -> FreshJob:
    return replace(job, outputs={slug: doc for slug, doc in job.outputs.items() if slug not in slugs})


@dataclass(frozen=True)
class _Known:
    """An output of which nothing else is known."""

    path: str


def _are_apart(root: Path, plans: Sequence[JobPlan], snapshot: Snapshot) -> bool:
    """Return whether no planned output has the name or the file of another one, and there are not too many."""
    from imagegen.plan.expansion import MAX_OUTPUTS, find_clashes, find_nested_paths
    from imagegen.plan.output import Output

    fresh = {job.task: job.outputs for job in snapshot.jobs}
    for plan in plans:
        if any(output.slug in fresh[plan.name] for output in plan.outputs):
            return False
        if len(fresh[plan.name]) + len(plan.outputs) > MAX_OUTPUTS:
            return False
    outputs = [output for plan in plans for output in plan.outputs]
    everything: list[_Known | Output] = [*map(_Known, snapshot.files), *outputs]
    real = {folder: os.path.realpath(root / folder) for folder in {one.path.rpartition("/")[0] for one in everything}}
    pairs = [*find_clashes(everything, real), *find_nested_paths(everything, real)]
    return not any(isinstance(one, Output) for pair in pairs for one in pair)
