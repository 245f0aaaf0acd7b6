"""What a run may skip that finds a snapshot, and why that is safe.

The rule: when a run ends, it writes a snapshot of the outputs that are fresh then. A later run compares

- a key of everything that a plan follows from and that is no file: this package, the settings, the backends that are
  installed, the names of the job files (`snapshot_key`);
- the size, times and inode of every file that a plan follows from, of every lock file and of every fresh output;
- the digest of each model that was recorded, where it can be known cheaply.

If all of them are the same, these outputs are still fresh: freshness is a pure function of just these. So nothing is
read, checked or planned, and doit gets one task per job, and one for each image that is named. If files differ, only
what they reach is planned, and outputs that were not fresh (`plan_changed`). Whatever is not sound then takes the whole
plan.

It is safe because a snapshot is only ever a way to do less: a file counts as the same only if it could not have
been changed without its times showing it, what cannot be compared counts as changed, and a snapshot that is missing,
broken or of another version says nothing. The same goes for the other memory that saves reading, `state.hashes`.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from imagegen.commands.command_line import Call, Invocation, reserved_names
from imagegen.config.job_files import find_job_files, name_tasks
from imagegen.config.settings import Settings
from imagegen.state.snapshot import FreshJob, Snapshot, read_snapshot

if TYPE_CHECKING:
    pass

__all__ = [
    "default_tasks",
    "has_named_images",
    "is_for_whole_jobs",
    "load_snapshot",
    "needs_jobs",
]


def load_snapshot(root: Path, settings: Settings, invocation: Invocation, key: str) -> Snapshot | None:
    """Return what is known to be fresh: all outputs, or those that no change reaches; None if nothing is.

    Args:
        root: the project.
        settings: of the project.
        invocation: what doit was asked to do; most commands need to know all of an image.
        key: of `project_key`.

    """
    if _needs_all_images(root, invocation):
        return None
    if invocation.command == "run" and _has_uploads_due(root, settings):
        return None
    snapshot = read_snapshot(root, key)
    if snapshot is None:
        return None
    if not snapshot.is_up_to_date:
        return snapshot if invocation.command == "run" else None
    return snapshot if has_named_images(snapshot, invocation) else None


def _needs_all_images(root: Path, invocation: Invocation) -> bool:
    """Return whether this needs all of an image: it lists, forces or cleans some, or other tasks may do so."""
    words = invocation.words
    if _has_other_tasks(root):
        return True
    if invocation.command == "run":
        named = set(words) - set(_named_images(invocation))
        return invocation.always or not named <= set(default_tasks(root))
    return invocation.command != "list" or bool(words) or invocation.as_json


def _has_other_tasks(root: Path) -> bool:
    """Return whether the dodo file has tasks besides ours, or its own default: they may name images."""
    for name, module in list(sys.modules.items()):
        names = vars(module) if isinstance(module, ModuleType) else {}
        if "task_jobs" in names and not name.startswith("imagegen."):
            creators = [value for name, value in names.items() if name.startswith("task_")]
            default = default_tasks(root)
            config = names.get("DOIT_CONFIG")
            return (
                not all(getattr(one, "__module__", "").startswith("imagegen.tasks.") for one in creators)
                or any(hasattr(one, "create_doit_tasks") for one in names.values())
                or (isinstance(config, dict) and config.get("default_tasks", default) != default)
            )
    return True


def _has_uploads_due(root: Path, settings: Settings) -> bool:
    """Return whether this run has images to upload to the shared store."""
    if not (settings.store and settings.store_writes):
        return False
    from imagegen.state.upload_queue import UploadQueue

    state = root / ".imagegen"
    return UploadQueue(state / "pending.txt", state / "tmp", settings.store).is_due


def default_tasks(root: Path) -> list[str]:
    """Return what `doit` alone selects: every job, and nothing else."""
    return list(name_tasks(find_job_files(root), reserved_names()).values())


def is_for_whole_jobs(root: Path, invocation: Invocation) -> bool:
    """Return whether only whole jobs and our commands are named: doit needs no task for an image that is fresh."""
    is_run = invocation.command == "run" and not invocation.always
    tasks = {one for one in invocation.tasks if isinstance(one, str)}
    return is_run and not _has_other_tasks(root) and tasks <= set(default_tasks(root))


def needs_jobs(root: Path, invocation: Invocation) -> bool:
    """Return whether anything is named besides commands that look at no job."""
    tasks = invocation.tasks
    looks_at_none = tasks and all(isinstance(one, Call) and not one.command.needs_jobs for one in tasks)
    return not looks_at_none or _has_other_tasks(root)


def has_named_images(snapshot: Snapshot, invocation: Invocation, planned: Collection[str] = ()) -> bool:
    """Return whether each image that is named is fresh, or planned."""
    return all(word in planned or _is_among(snapshot.jobs, word) for word in _named_images(invocation))


def _named_images(invocation: Invocation) -> list[str]:
    """Return the words that may name an image, as `portraits:mallsing`."""
    return [word for word in invocation.words if ":" in word] if invocation.command == "run" else []


def _is_among(jobs: Sequence[FreshJob], word: str) -> bool:
    job, _, slug = word.partition(":")
    return any(slug in one.outputs for one in jobs if one.task == job)
