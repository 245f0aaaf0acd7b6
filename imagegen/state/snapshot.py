"""The snapshot of a project after a run: which outputs were fresh, and how each file was that this follows from.

Its first line is compared in every run, and made so that this takes little more than a look at each file. The other
lines have the details, which are read only if something changed or somebody asks for an output by name.
"""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from imagegen.state.atomic import replace_file
from imagegen.state.details import Details, JobDetails
from imagegen.state.hashes import TICK_NS, StatKey, is_conclusive
from imagegen.state.snapshot_files import SnapshotFiles, find_changed
from imagegen.state.snapshot_header import VERSION, snapshot_file, take_last_look

__all__ = ["FreshJob", "Snapshot", "read_snapshot", "write_snapshot"]


@dataclass(frozen=True)
class FreshJob:
    """A job's outputs that are fresh."""

    task: str  # its name in doit
    description: str
    count: int
    details: JobDetails

    @cached_property
    def outputs(self) -> Mapping[str, str]:
        """The line of each in `doit list`, by its slug."""
        notes = self.details.notes
        return {slug: f"{path} ({notes[slug]})" if slug in notes else path for slug, path in self.details.fresh()}


@dataclass(frozen=True)
class Snapshot:
    """A project after a run."""

    key: str  # of `snapshot_key`
    jobs: tuple[FreshJob, ...]
    files: SnapshotFiles  # by path relative to the project
    details: Details = field(default_factory=Details)
    changed: tuple[str, ...] = ()  # the files that changed since
    outdated: frozenset[str] = frozenset()  # files of which it says nothing any more

    def known_files(self) -> dict[str, StatKey | None]:
        """Return the files that it still says something of."""
        return {path: known for path, known in self.files.items() if path not in self.outdated}

    @property
    def is_up_to_date(self) -> bool:
        """Whether there is nothing to plan: all was fresh, and no file has changed."""
        return not (self.changed or any(job.unfinished for job in self.details.jobs.values()))


def read_snapshot(root: Path, key: str) -> Snapshot | None:
    """Return what was fresh, and which files have changed since; None if nothing is known under this key."""
    try:
        first, _, rest = snapshot_file(root).read_bytes().partition(b"\n")
        header = json.loads(first)
        if header["version"] != VERSION or header["key"] != key or header["checksum"] != zlib.crc32(rest):
            return None
        details = Details.load(rest)
        of_task = {job.task: job for job in details.jobs.values()}
        changed = take_last_look(root, first)
        return Snapshot(
            key,
            tuple(FreshJob(task, description, count, of_task[task]) for task, description, count in header["jobs"]),
            SnapshotFiles(header["folders"]),
            details,
            tuple(find_changed(root, header["folders"]) if changed is None else changed),
        )
    except (OSError, ValueError, TypeError, KeyError, IndexError, AttributeError):
        return None


def write_snapshot(root: Path, snapshot: Snapshot, environment: Iterable[str], temporary: Path) -> bool:
    """Write the snapshot; return whether it was written. Raises OSError.

    A file that was written within the last tick of the clock could be changed again without its times showing it; a
    run that has just written some waits for the tick to pass. One that has changed since is seen by the next run.
    """
    added = snapshot.files.added
    if not all(map(is_conclusive, added)):
        time.sleep(TICK_NS / 1e9 + 0.001)
        if not all(map(is_conclusive, added)):
            return False
    details = snapshot.details.dump()
    header = {
        "version": VERSION,
        "key": snapshot.key,
        "environment": sorted(environment),
        "jobs": [(job.task, job.description, job.count) for job in snapshot.jobs],
        "is_unfinished": any(job.unfinished for job in snapshot.details.jobs.values()),
        "folders": snapshot.files.packed(),
        "checksum": zlib.crc32(details),
    }
    first = json.dumps(header, separators=(",", ":")).encode("utf-8") + b"\n"
    with suppress(OSError), snapshot_file(root).open("rb") as file:
        if file.readline() == first and file.read() == details:  # as after each run that leaves something as it is
            return True
    replace_file(snapshot_file(root), [first, details], temporary)
    return True
