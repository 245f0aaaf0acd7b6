"""A snapshot of a project in which everything is fresh: while no file of it changes, there is nothing to plan.

It holds how each file stood that the last plan was made from, and each output; and of what items, so that where only
job files change, what did not change in them is fresh still. Like all memories in `.imagegen/cache`, it may be deleted
at any time, which only costs time.
"""

from __future__ import annotations

import json
import os
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from imagegen.state.atomic import replace_file
from imagegen.state.hashes import TICK_NS, StatKey, is_settled, stat_key

__all__ = ["FreshJob", "Parts", "Snapshot", "read_snapshot", "write_snapshot"]

VERSION = 4


@dataclass(frozen=True)
class FreshJob:
    """A job's outputs that are fresh. task: what doit calls it. outputs: what is told of each, by its slug."""

    task: str
    description: str
    outputs: Mapping[str, str]


@dataclass(frozen=True)
class Parts:
    """What a job was planned from. head: the key of all but its items. items: by the key of each, paths by slug."""

    head: str
    items: Mapping[str, Mapping[str, str]]


@dataclass(frozen=True)
class Snapshot:
    """key: of all that is no file: settings, version, names of jobs. files: by path relative to the project.

    models: for each model whose digest was recorded, a request that names it, and the digests. parts: by job file, of
    those whose outputs each follow from their own item. touched: the job files that changed since.
    """

    key: str
    jobs: tuple[FreshJob, ...]
    files: Mapping[str, StatKey | None]
    models: tuple[tuple[Mapping[str, Any], tuple[str, ...]], ...] = ()
    parts: Mapping[str, Parts] = field(default_factory=dict)
    touched: tuple[str, ...] = ()

    def keeping(self, file: str, items: Collection[str]) -> Snapshot:
        """What it still says, where of a job file only the items of these keys are as they were."""
        parts = self.parts[file]
        kept = {key: outputs for key, outputs in parts.items.items() if key in items}
        gone = {slug: path for key, outputs in parts.items.items() if key not in kept for slug, path in outputs.items()}
        paths = {file, *gone.values()}
        return replace(
            self,
            jobs=tuple(_without(job, gone) if job.task == Path(file).stem else job for job in self.jobs),
            files={path: known for path, known in self.files.items() if path not in paths},
            parts={**self.parts, file: replace(parts, items=kept)},
        )


def _without(job: FreshJob, slugs: Collection[str]) -> FreshJob:
    return replace(job, outputs={slug: doc for slug, doc in job.outputs.items() if slug not in slugs})


def read_snapshot(root: Path, memory: Path, key: str, may_change: Collection[str] = ()) -> Snapshot | None:
    """The snapshot in the file `memory`, where it still holds: same key, and no file touched since.

    may_change: job files that may have been. Its `files` and `parts` are left out where none was. Whether the models
    are the same is left to the caller.
    """
    try:
        first, _, second = memory.read_bytes().partition(b"\n")
        found = json.loads(first)
        if found["version"] != VERSION or found["key"] != key:
            return None
        touched: list[str] = []
        for folder, files in found["folders"].items():
            for name in _touched(root, folder, files.items()):
                touched.append(_path(folder, name))
                if touched[-1] not in may_change:
                    return None
        jobs = tuple(FreshJob(job["task"], job["description"], job["outputs"]) for job in found["jobs"])
        models = tuple((request, tuple(digests)) for request, digests in found["models"])
        if not touched:
            return Snapshot(key, jobs, {}, models)
        stats = {
            _path(folder, name): known and (known[0], known[1], known[2], known[3])
            for folder, files in found["folders"].items()
            for name, known in files.items()
        }
        parts = {file: Parts(one["head"], one["items"]) for file, one in json.loads(second).items()}
        return Snapshot(key, jobs, stats, models, parts, tuple(touched))
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def _path(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


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
    if not all(is_settled(known[1]) for known in snapshot.files.values() if known) or any(
        True for folder, files in folders.items() for _ in _touched(root, folder, files.items())
    ):
        return False
    fields = {
        "version": VERSION,
        "key": snapshot.key,
        "jobs": [vars(job) for job in snapshot.jobs],
        "folders": folders,
        "models": snapshot.models,
    }
    parts = {file: vars(one) for file, one in snapshot.parts.items()}
    lines = (json.dumps(one, separators=(",", ":")) for one in (fields, parts))  # the second is only read where needed
    replace_file(memory, "\n".join(lines).encode("utf-8"), temporary)
    return True


def _touched(root: Path, folder: str, files: Iterable[tuple[str, Sequence[int] | None]]) -> Iterator[str]:
    """The files of the folder that do not stand as they did. Raises OSError.

    It is asked for each output at every run: by its name in the open folder, where the system can, which is half as
    dear as by its path.
    """
    if os.stat not in os.supports_dir_fd:
        yield from (name for name, known in files if stat_key(root / folder / name) != (known and tuple(known)))
        return
    try:
        opened = os.open(root / folder, os.O_RDONLY)
    except (FileNotFoundError, NotADirectoryError):
        yield from (name for name, known in files if known is not None)
        return
    try:
        for name, known in files:
            try:
                found = os.stat(name, dir_fd=opened)
            except (FileNotFoundError, NotADirectoryError):
                if known is not None:
                    yield name
                continue
            if known is None:
                yield name
                continue
            size, mtime_ns, inode, ctime_ns = known
            if (
                found.st_mtime_ns != mtime_ns
                or found.st_ctime_ns != ctime_ns
                or found.st_size != size
                or found.st_ino != inode
            ):
                yield name
    finally:
        os.close(opened)
