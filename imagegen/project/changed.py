"""Planning after job files were changed: of each only the items that are not as they were when all was fresh.

Only what is sound and follows from one item alone is planned so. Whatever else there is to find or to say takes the
whole plan, which is what everything here must agree with.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from imagegen.config.keys import keys_of
from imagegen.errors import ImagegenError
from imagegen.plan.expansion import MAX_OUTPUTS, clashes, within
from imagegen.plan.output import Output
from imagegen.project.planner import JobPlan
from imagegen.project.project import Project
from imagegen.state.snapshot import Snapshot

__all__ = ["plan_changed"]


def plan_changed(project: Project, snapshot: Snapshot) -> tuple[list[JobPlan], Snapshot] | None:
    """The plans of what changed in the touched job files, and what the snapshot says still.

    None where that cannot be told without planning everything.
    """
    plans: list[JobPlan] = []
    try:
        # an image may be the same as one of any job, so that all records are wanted as for the whole plan
        locks = [project.lock(job.task) for job in snapshot.jobs]
        for file in snapshot.touched:
            found = _plan(project, file, snapshot)
            if found is None:
                return None
            plan, snapshot = found
            plans.append(plan)
    except ImagegenError:  # which the whole plan tells of
        return None
    if any(lock.rivals for lock in locks) or not _are_apart(project.root, plans, snapshot):
        return None
    return plans, snapshot


def _plan(project: Project, file: str, snapshot: Snapshot) -> tuple[JobPlan, Snapshot] | None:
    parts = snapshot.parts.get(file)
    document = project.planner.document(file, project.inputs.read(file))
    keys = keys_of(document)
    if parts is None or keys is None or keys.head != parts.head or len(set(keys.items)) < len(keys.items):
        return None
    pairs = list(zip(document.values["items"], keys.items, strict=True))
    # a job has one item at least
    changed = [item for item, key in pairs if key not in parts.items] or [pairs[0][0]]
    plan = project.planner.plan_document(replace(document, values={**document.values, "items": changed}))
    if plan.problems or not plan.head or any(output.origins for output in plan.outputs):
        return None
    return plan, snapshot.keeping(file, set(keys.items).difference(plan.items.values()))


@dataclass(frozen=True)
class _Known:
    """An output of which no more is known."""

    path: str


def _are_apart(root: Path, plans: Sequence[JobPlan], snapshot: Snapshot) -> bool:
    """Whether no planned output has a name or a file of one that was not planned, and there are not too many."""
    fresh = {job.task: job.outputs for job in snapshot.jobs}
    for plan in plans:
        if any(output.slug in fresh[plan.name] for output in plan.outputs):
            return False
        if len(fresh[plan.name]) + len(plan.outputs) > MAX_OUTPUTS:
            return False
    outputs = [output for plan in plans for output in plan.outputs]
    everything: list[_Known | Output] = [*map(_Known, snapshot.files), *outputs]
    real = {folder: os.path.realpath(root / folder) for folder in {one.path.rpartition("/")[0] for one in everything}}
    pairs = [*clashes(everything, real), *within(everything, real)]
    return not any(isinstance(one, Output) for pair in pairs for one in pair)
