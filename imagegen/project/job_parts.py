"""The parts of a job that can be planned by themselves, as texts that show whether a part has changed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from imagegen.state.details import write_json
from imagegen.state.lockfile import LockFile

__all__ = ["NO_PARTS", "JobParts", "hash_decisions", "hash_lines", "split_job"]


class JobParts(NamedTuple):
    """A job in parts."""

    head: str  # all that it says but its items, as JSON; empty if the job is one part
    parts: list[str]  # each item, as JSON; or else all that the job says


NO_PARTS = JobParts("", [])
"""Of a job that was not planned."""


def split_job(values: object, source_items: Sequence[Mapping[str, Any]]) -> JobParts:
    """Return the parts of a job. It is one part if outputs follow from more than their own item.

    A sheet shows all images, and seeds in sequence follow from the items' positions. What is not valid is one part too.

    Args:
        values: what the job file says, with what it extends.
        source_items: what its prompt source says of items, each as an item of a job file.
    """
    try:
        if isinstance(values, dict) and not ("sheet" in values or _has_sequence_seeds(values)):
            head = {key: value for key, value in values.items() if key != "items"}
            items = [*values.get("items", ()), *source_items]
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
