"""The first line of a snapshot: it answers whether everything is fresh, with little more than a look at each file.

A run with nothing to do imports no other module of ours that does any work.
"""

from __future__ import annotations

import json
from pathlib import Path

from imagegen.state.snapshot_files import find_changed
from imagegen.state.snapshot_key import snapshot_key

__all__ = ["VERSION", "count_fresh", "snapshot_file", "take_last_look"]

VERSION = 7


def snapshot_file(root: Path) -> Path:
    """Return the file that has a project's snapshot."""
    return root / ".imagegen" / "cache" / "snapshot.json"


_last_look: tuple[Path, bytes, list[str]] | None = None
"""What `count_fresh` found: the project, the first line of its snapshot, and the files that have changed."""


def count_fresh(root: Path) -> int | None:
    """Return how many outputs the project has, if all of them are known to be fresh; else None.

    For `doit` alone: without variables of the command line.
    """
    global _last_look
    try:
        with snapshot_file(root).open("rb") as file:
            first = file.readline()
        header = json.loads(first)
        if header["version"] != VERSION or header["is_unfinished"]:
            return None
        if header["key"] != snapshot_key(root, {}, header["environment"]):
            return None
        if changed := find_changed(root, header["folders"]):
            _last_look = root, first.rstrip(b"\n"), changed
            return None
        return int(sum(count for _, _, count in header["jobs"]))
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def take_last_look(root: Path, first: bytes) -> list[str] | None:
    """Return which files have changed, if this process has just looked at those of this line; once.

    Args:
        root: the project.
        first: the first line of its snapshot, without its end.

    """
    global _last_look
    looked, _last_look = _last_look, None
    return looked[2] if looked and looked[:2] == (root, first) else None
