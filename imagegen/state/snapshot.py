"""A snapshot of a project in which everything is fresh: while no file of it changes, there is nothing to plan.

It holds how each file stood that the last plan was made from, and each output. Like all memories in
`.imagegen/cache`, it may be deleted at any time, which only costs time.
"""

from __future__ import annotations

import json
import os
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from imagegen.state.atomic import replace_file
from imagegen.state.hashes import TICK_NS, StatKey, is_settled, stat_key

__all__ = ["FreshJob", "Snapshot", "read_snapshot", "write_snapshot"]

VERSION = 2


@dataclass(frozen=True)
class FreshJob:
    """A job all of whose outputs are fresh. task: what doit calls it. outputs: what is told of each, by its slug."""

    task: str
    description: str
    outputs: Mapping[str, str]


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

    Its `files` are left out. Whether the models are the same is left to the caller.
    """
    try:
        found = json.loads(memory.read_bytes())
        if found["version"] != VERSION or found["key"] != key:
            return None
        if not all(_stand(root, folder, files.items()) for folder, files in found["folders"].items()):
            return None
        jobs = tuple(FreshJob(job["task"], job["description"], job["outputs"]) for job in found["jobs"])
        models = tuple((request, tuple(digests)) for request, digests in found["models"])
        return Snapshot(key, jobs, {}, models)
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
    folders: dict[str, dict[str, StatKey | None]] = defaultdict(dict)
    for path, known in snapshot.files.items():
        folder, _, name = path.rpartition("/")
        folders[folder][name] = known
    if not all(is_settled(known[1]) for known in snapshot.files.values() if known) or not all(
        _stand(root, folder, files.items()) for folder, files in folders.items()
    ):
        return False
    fields = {
        "version": VERSION,
        "key": snapshot.key,
        "jobs": [asdict(job) for job in snapshot.jobs],
        "folders": folders,
        "models": snapshot.models,
    }
    replace_file(memory, json.dumps(fields, separators=(",", ":")).encode("utf-8"), temporary)
    return True


def _stand(root: Path, folder: str, files: Iterable[tuple[str, Sequence[int] | None]]) -> bool:
    """Whether each file of the folder stands as it did. Raises OSError.

    It is asked for each output at every run: by its name in the open folder, where the system can, which is half as
    dear as by its path.
    """
    if os.stat not in os.supports_dir_fd:
        return all(stat_key(root / folder / name) == (known and tuple(known)) for name, known in files)
    try:
        opened = os.open(root / folder, os.O_RDONLY)
    except (FileNotFoundError, NotADirectoryError):
        return all(known is None for _, known in files)
    try:
        for name, known in files:
            try:
                found = os.stat(name, dir_fd=opened)
            except (FileNotFoundError, NotADirectoryError):
                if known is not None:
                    return False
                continue
            if known is None:
                return False
            size, mtime_ns, inode = known
            if found.st_mtime_ns != mtime_ns or found.st_size != size or found.st_ino != inode:
                return False
        return True
    finally:
        os.close(opened)
