"""When all of a project is known to be fresh: what is compared, and what is remembered. See `commands/up_to_date`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imagegen.config.settings import SETTINGS
from imagegen.state.hashes import StatKey, stat_key
from imagegen.state.snapshot import FreshJob, Snapshot, write_snapshot
from imagegen.state.snapshot_files import SnapshotFiles
from imagegen.state.snapshot_key import snapshot_key

if TYPE_CHECKING:
    from imagegen.project import JobPlan, Project

__all__ = ["project_key", "take_snapshot"]

_ENVIRONMENT = sorted(one.environment for one in SETTINGS if one.environment and not one.secret)
_DECIDE_NO_PLAN = ("budget", "limit", "store_writes", "wait")
"""What the command line calls settings that only decide how a run is done."""


def project_key(root: Path, given: Mapping[str, str]) -> str:
    """Return the key of what a plan follows from besides the files of jobs and outputs.

    Settings of a single run, such as its budget, decide no plan; those of the command line are read in every run.
    """
    deciding = {name: value for name, value in given.items() if name not in _DECIDE_NO_PLAN}
    return snapshot_key(root, deciding, _ENVIRONMENT)


def take_snapshot(
    project: Project, key: str, plans: Sequence[JobPlan], fresh: Mapping[str, str], before: Snapshot | None = None
) -> None:
    """Write the snapshot of a project: what is fresh now, and what it was planned from.

    Args:
        project: as it was planned.
        key: of `project_key`, taken before that.
        plans: of all jobs, or of what `plan_changed` planned; without problems.
        fresh: by the task of each output of these plans that is fresh, what `doit list` adds to its path.
        before: what was known of the others, if only some were planned.

    Raises:
        OSError: it could not be written.

    """
    from imagegen.project.job_details import describe_jobs

    known = before or Snapshot("", (), SnapshotFiles({}))
    files: dict[str, StatKey | None] = {}
    models: dict[str, dict[str, StatKey | None] | None] = {}
    fresh = dict(fresh)
    for plan in plans:
        lock = project.lock(plan.name)
        files[lock.name] = lock.seen
        for output in plan.outputs:
            stat = project.hashes.first_key(output.path)
            line = lock.line_of(output.path, None)
            model: dict[str, StatKey | None] | None = {}
            if line and line.model_digest and output.task in fresh and project.accepted(output) is None:
                # the line knows the model that was decided in this very run
                extra = {name: value for name, value in output.request.extra.items() if name != "images"}
                request = {"backend": line.backend, "model": line.request.get("model", ""), "extra": extra}
                name = json.dumps([request, line.model_digest], sort_keys=True)
                if name not in models:
                    models[name] = _look_at_model(project, request, line.model_digest)
                model = models[name]
            if output.task not in fresh or stat is None or model is None:
                fresh.pop(output.task, None)
                continue
            files[output.path] = stat
            files |= model
    files |= project.inputs.stats  # last: they know of lock files that others wrote to
    details = describe_jobs(project, plans, fresh, known.details)
    jobs = {job.task: job for job in known.jobs}
    for plan in plans:
        job = details.jobs[plan.file]
        jobs[plan.task] = FreshJob(plan.task, plan.doc, sum(1 for _ in job.fresh()), job)
    try:
        all_files = known.files.replaced(known.outdated, files)
    except OverflowError:  # a time that no file system keeps, or a file that has changed since it was read
        return
    snapshot = Snapshot(key, tuple(jobs.values()), all_files, details)
    write_snapshot(project.root, snapshot, _ENVIRONMENT, project.temporary)


def _look_at_model(project: Project, request: Mapping[str, Any], digest: str) -> dict[str, StatKey | None] | None:
    """Return the keys of the files that stand for the model of this digest; None if only its backend knows them."""
    from imagegen.plan.request import Request

    asked = Request(name="", prompt="", **request)
    try:
        backend = project.backends[asked.backend]
        files = {path: stat_key(path) for path in backend.model_identity(asked).files}
        now = backend.model_identity(asked).digest  # as the files were when looked at
    except Exception:  # planning says what is wrong
        return None
    return files if now is None or (now == digest and files) else None
