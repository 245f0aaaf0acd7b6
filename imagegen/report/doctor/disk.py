"""What a build writes to: the state folder, the jobs' folder, the output folders; and the store's own health."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

from imagegen.backends.base import Diagnosis
from imagegen.report.console import counted
from imagegen.report.doctor.case import Case

__all__ = ["folders", "store"]

_ROOM = 32 * 1024**2
"""Bytes: a PNG of 2048×2048 can take a third of it, in the store and in its place."""
_SAMPLE = 50
"""Images of the store that are read in one go: enough to find a bad disk, and done in a moment."""


def folders(case: Case) -> Iterator[Diagnosis]:
    """Rows for each folder that a build of these jobs writes to."""
    root = case.project.root
    state = _existing(case.project.state)
    outputs = [output.path.rpartition("/")[0] or "." for output, _ in case.verdicts]
    for folder in dict.fromkeys([".imagegen", *(["jobs"] if outputs else []), *outputs]):
        existing = _existing(root / folder)
        what, shown = f"folder {folder}", os.path.relpath(existing, root)
        if not existing.is_dir():
            yield Diagnosis(False, what, f"{shown} is a file", f"move it away, to make room for the folder {shown}")
        elif _is_read_only(existing):
            yield Diagnosis(False, what, f"{shown} is on a file system that takes no writes", "mount it writable")
        elif not os.access(existing, os.W_OK | os.X_OK):
            yield Diagnosis(False, what, f"{shown} cannot be written to", f"chmod u+wx {shown}")
        elif (free := shutil.disk_usage(existing).free) < _ROOM:
            found = f"{_megabytes(free)} are free, too little for some images more"
            yield Diagnosis(False, what, found, "free disk space")
        elif existing.stat().st_dev != state.stat().st_dev:
            found = "writable, on another file system than .imagegen: images are first written beside their places"
            yield Diagnosis(True, what, found, "after a kill, a hidden file .*.tmp there can be deleted")
        else:
            yield Diagnosis(True, what, f"writable, {_megabytes(free)} free")


def store(case: Case) -> Iterator[Diagnosis]:
    """Rows for the store's size, and for each image of a random sample that has gone bad."""
    bound = case.project.settings.store_bytes
    try:
        blobs = list(case.project.store.blobs())
        sample = random.sample(blobs, min(_SAMPLE, len(blobs)))
        bad = [path for path, _ in sample if hashlib.sha256(path.read_bytes()).hexdigest() != path.name]
    except OSError as error:
        yield Diagnosis(False, "store", f"{error.filename} cannot be read: {error.strerror}", "fix its permissions")
        return
    size = sum(stat.st_size for _, stat in blobs)
    found = f"{counted(len(blobs), 'image')}, {_megabytes(size)} of at most {_megabytes(bound)}"
    found += f", {len(sample)} of them read and compared" if sample else ""
    hint = "the next build that makes an image prunes it; store_size in [tool.imagegen] is its bound"
    yield Diagnosis(True, "store", found, hint if size > bound else "")
    for path in bad:
        shown = os.path.relpath(path, case.project.root)
        found = f"{path.name[:12]}… has gone bad: its bytes are not those of its name"
        yield Diagnosis(False, "store", found, f"delete the file: rm {shown}", blocks=False)


def _is_read_only(folder: Path) -> bool:
    return hasattr(os, "statvfs") and bool(os.statvfs(folder).f_flag & os.ST_RDONLY)


def _existing(path: Path) -> Path:
    while not path.exists():
        path = path.parent
    return path


def _megabytes(count: int) -> str:
    return f"{count / 1024**2:.1f} MB" if count < 1024**3 else f"{count / 1024**3:.1f} GB"
