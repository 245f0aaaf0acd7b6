"""A snapshot of a project in which everything is fresh: while no file of it changes, there is nothing to plan.

It holds how each file stood that the last plan was made from, and each output. Like all memories in
`.imagegen/cache`, it may be deleted at any time, which only costs time.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from imagegen.state.atomic import replace_file
from imagegen.state.hashes import TICK_NS, StatKey, is_settled, stat_key

__all__ = ["FreshJob", "Snapshot", "read_snapshot", "write_snapshot"]

VERSION = 1


@dataclass(frozen=True)
class FreshJob:
    """A job all of whose outputs are fresh. task: what doit calls it. count: of its outputs."""

    task: str
    description: str
    count: int


@dataclass(frozen=True)
class Snapshot:
    """key: of all that is no file: settings, version, names of jobs. files: by path relative to the project.

    models: for each model whose digest was recorded, a request that names it, and the digests.
    """

    key: str
    jobs: tuple[FreshJob, ...]
    files: Mapping[str, StatKey | None]
    models: tuple[tuple[Mapping[str, Any], tuple[str, ...]], ...] = ()


def read_snapshot(root: Path, memory: Path, key: str) -> Snapshot | None:
    """The snapshot in the file `memory`, where it still holds: same key, and no file touched since.

    Whether the models are the same is left to the caller.
    """
    try:
        found = json.loads(memory.read_bytes())
        if found["version"] != VERSION or found["key"] != key:
            return None
        for path, known in found["files"].items():
            if stat_key(root / path) != (None if known is None else tuple(known)):
                return None
        jobs = tuple(FreshJob(**job) for job in found["jobs"])
        models = tuple((request, tuple(digests)) for request, digests in found["models"])
        return Snapshot(key, jobs, found["files"], models)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def write_snapshot(root: Path, memory: Path, snapshot: Snapshot, temporary: Path) -> bool:
    """Keep the snapshot, if each file still stands as it says; whether it was kept. Raises OSError.

    A file that was written within the last tick of the clock could be changed again without its time telling; a
    run that has just written some waits for the tick to pass.
    """
    newest = max((known[1] for known in snapshot.files.values() if known), default=0)
    wait_ns = newest + TICK_NS - time.time_ns()
    if 0 < wait_ns <= TICK_NS:
        time.sleep(wait_ns / 1e9 + 0.001)
    if not _holds(root, snapshot.files):
        return False
    fields = {
        "version": VERSION,
        "key": snapshot.key,
        "jobs": [asdict(job) for job in snapshot.jobs],
        "files": snapshot.files,
        "models": snapshot.models,
    }
    replace_file(memory, json.dumps(fields, separators=(",", ":")).encode("utf-8"), temporary)
    return True


def _holds(root: Path, files: Mapping[str, StatKey | None]) -> bool:
    return all(
        stat_key(root / path) == known and (known is None or is_settled(known[1])) for path, known in files.items()
    )
