"""The parts of a job that can be planned by themselves, as texts that show whether a part has changed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from imagegen.state.details import write_json
from imagegen.state.lockfile import LockFile

__all__ = ["NO_PARTS", "JobParts", "find_files", "find_folder", "hash_decisions", "hash_lines", "split_job"]


class JobParts(NamedTuple):
    """A job in parts."""

    head: str  # all that it says but its items, as JSON; empty if the job is one part
    parts: list[str]  # each item, as JSON; or else all that the job says


NO_PARTS = JobParts("", [])
"""Of a job that was not planned."""


def find_folder(head: str, parts: Sequence[str]) -> str:
    """Return the pattern of the files that are a job's items; empty if it names no folder."""
    if '"folder":' not in (head or parts[0]):
        return ""
    values = json.loads(head) if head else json.loads(parts[0])[0]
    items = values.get("items")
    return str(items["folder"]) if isinstance(items, dict) else ""


def find_files(head: str, parts: Sequence[str]) -> Iterator[tuple[str, int]]:
    """Yield the files that are items of a job, and the index of the part that each belongs to."""
    if find_folder(head, parts):
        items = map(json.loads, parts) if head else json.loads(parts[0])[1]
        yield from ((item["file"], at if head else 0) for at, item in enumerate(items))


def split_job(values: object, source_items: Sequence[Mapping[str, Any]]) -> JobParts:
    """Return the parts of a job. It is one part if outputs follow from more than their own item.

    A sheet shows all images, and seeds in sequence follow from the items' positions. What is not valid is one part too.

    Args:
        values: what the job file says, with what it extends.
        source_items: what its prompt source says of items, each as an item of a job file; or the files of its folder.
    """
    try:
        if isinstance(values, dict) and not ("sheet" in values or _has_sequence_seeds(values)):
            own = values.get("items", ())
            head = {key: value for key, value in values.items() if key != "items" or isinstance(own, dict)}
            items = [*(() if isinstance(own, dict) else own), *source_items]
            if items and all(isinstance(item, dict) for item in items):
                return JobParts(write_json(head), list(map(write_json, items)))
        return JobParts("", [write_json([values, list(source_items)])])
    except TypeError:  # it has a value that JSON has not
        return JobParts("", [write_json(repr([values, list(source_items)]))])


def _has_sequence_seeds(values: Mapping[str, Any]) -> bool:
    generate = values.get("generate")
    seed = generate.get("seed") if isinstance(generate, dict) else None
    return isinstance(seed, dict) and seed.get("mode") == "sequence"


def hash_lines(lock: LockFile, paths: Iterable[str]) -> str:
    """Hash what a lock file says of the outputs at these paths."""
    lines = [(one.sha256, one.fingerprint, one.time) for path in paths for one in lock.lines.get(path, ())]
    return hashlib.blake2b(repr(lines).encode("utf-8"), digest_size=8).hexdigest()


def hash_decisions(lock: LockFile) -> str:
    """Hash the decisions of a lock file that count."""
    decisions = sorted(map(repr, lock.decisions.values()))
    return hashlib.blake2b(repr(decisions).encode("utf-8"), digest_size=8).hexdigest() if decisions else ""
