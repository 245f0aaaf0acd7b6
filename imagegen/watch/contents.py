"""What files and folders had in them when they were last looked at: a save that changes nothing is not an edit."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from imagegen.config.job_files import JOB_SUFFIXES
from imagegen.state.hashes import NEVER, StatKey, is_conclusive, stat_key

__all__ = ["JOBS", "Contents"]

JOBS = "jobs"
"""The folder in which only job files count: builds write lock files there."""
_TEMPORARY = re.compile(r"\..*|.*~|#.*#|4913|.*\.(?:sw[a-p]|tmp|part|bak|crdownload)|.*___jb_(?:tmp|old)___")
"""Files that editors and downloads write beside the one that is meant; Vim tries whether it may write 4913."""
_FOLDER = b"folder "
_OTHER = b"other"
"""In place of what a file had in it that has changed since."""
_LARGEST = 1 << 26
"""Bytes of a file that is read; of a larger one, a model most likely, its size and times are all that is known."""


class Contents:
    """Knows what each path had in it: a file its bytes, a folder the names of its entries."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._known: dict[str, tuple[StatKey | None, bytes]] = {}

    def follow(self, paths: Mapping[str, StatKey | None]) -> None:
        """Look at these from now on, and at nothing else.

        paths: each with its key when it was read, NEVER if that is not known: has it another one, it counts as changed.
        """
        self._known = {path: self._known.get(path) or self._begin(path, read) for path, read in paths.items()}

    def find_changed(self) -> dict[str, bytes]:
        """Return what has changed since it was noted, with what it has in it now: no bytes if it is empty or gone."""
        changed = {}
        for path, (key, content) in self._known.items():
            now = self._look(path, (key, content))
            if now[1] != content:
                changed[path] = now[1]
            else:
                self._known[path] = now
        return changed

    def note(self, changed: dict[str, bytes]) -> list[str]:
        """Take what `find_changed` returned for known. Return the files: of a folder, those that are new or gone."""
        files: dict[str, None] = {}
        for path, content in changed.items():
            before = self._known[path][1]
            self._known[path] = (None, content)
            if not (before + content).startswith(_FOLDER):
                files[path] = None
                continue
            names = _names(before) ^ _names(content)
            files |= dict.fromkeys(f"{path}/{name}" if path != "." else name for name in sorted(names))
        return list(files)

    def folders(self) -> set[str]:
        """Return the folders in which something happens if one of the paths changes, as they are on disk."""
        found: set[str] = set()
        for path in self._known:
            full = os.path.join(self._root, path)  # noqa: PTH118 - there may be thousands
            parts = [full] if self._known[path][1].startswith(_FOLDER) else []
            found.update(parts, [os.path.dirname(full)])  # noqa: PTH120
        return {_nearest(folder) for folder in found}

    def _begin(self, path: str, read: StatKey | None) -> tuple[StatKey | None, bytes]:
        found = self._look(path, None)
        with contextlib.suppress(OSError):
            is_other = read is not NEVER and stat_key(self._root / path) != read
            return (None, _OTHER) if is_other and not found[1].startswith(_FOLDER) else found
        return found

    def _look(self, path: str, known: tuple[StatKey | None, bytes] | None) -> tuple[StatKey | None, bytes]:
        full = self._root / path
        try:
            key = stat_key(full)
            if known and known[0] is not None and key == known[0]:
                return known
            if key is not None and not is_conclusive(key):
                key = None
            if full.is_dir():
                return None, _FOLDER + "\n".join(sorted(_entries(path, full))).encode("utf-8", "surrogateescape")
            size = full.stat().st_size
            if not size:
                return key, b""
            if size > _LARGEST:
                return None, repr(stat_key(full)).encode()
            with full.open("rb") as file:
                digest = hashlib.sha256()
                while data := file.read(1 << 20):
                    digest.update(data)
            return key, digest.digest()
        except OSError:
            return None, b""


def _entries(path: str, folder: Path) -> Iterable[str]:
    names = [name for name in os.listdir(folder) if not _TEMPORARY.fullmatch(name)]  # noqa: PTH208 - names
    return [name for name in names if name.endswith(JOB_SUFFIXES)] if path == JOBS else names


def _names(content: bytes) -> set[str]:
    return set(filter(None, content.removeprefix(_FOLDER).decode("utf-8", "surrogateescape").split("\n")))


def _nearest(folder: str) -> str:
    """Return the folder, or the nearest one above it that is there."""
    while not os.path.isdir(folder):  # noqa: PTH112
        above = os.path.dirname(folder)  # noqa: PTH120
        if above == folder:
            break
        folder = above
    return folder
