"""The project's mutex: whoever writes holds it, one process at a time. The system frees it when that process dies."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import filelock

from imagegen.errors import ImagegenError, Problem, not_written
from imagegen.state.atomic import make_folder

__all__ = ["hold"]


@contextlib.contextmanager
def hold(folder: Path, wait_s: float) -> Iterator[None]:
    """Hold the mutex of the project whose state is in `folder` (`.imagegen`).

    Args:
        folder: of the state.
        wait_s: seconds to wait for another build.

    Raises:
        ImagegenError: somebody else holds it still, and who.

    """
    holder = folder / "build.json"
    lock = filelock.FileLock(folder / "build.lock", timeout=wait_s)
    try:
        make_folder(folder)
        _check_locks(folder)
        lock.acquire()
    except filelock.Timeout:
        raise ImagegenError(
            Problem(
                "",
                f"another doit is running here{_describe(holder)}",
                "wait for it, or let this one wait: doit wait=600 (seconds)",
            )
        ) from None
    except OSError as error:
        error.filename = str(folder)  # not the file that is tried there
        raise ImagegenError(not_written(error)) from None
    try:
        note = {"pid": os.getpid(), "command": " ".join(sys.argv[1:]), "since": time.strftime("%H:%M:%S")}
        with contextlib.suppress(OSError):  # on a full disk, say: without it the message to others says less
            holder.write_text(json.dumps(note), encoding="utf-8")
        yield
    finally:
        with contextlib.suppress(OSError):
            holder.unlink(missing_ok=True)
        lock.release()


def _check_locks(folder: Path) -> None:
    """Raise ImagegenError if the file system has no locks: filelock waits there, or leaves one behind if killed."""
    if sys.platform == "win32":  # its locks are the system's, not the file system's
        return
    import fcntl

    with tempfile.TemporaryFile(dir=folder) as file:  # not the lock's own: others would find it held meanwhile
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            what = f"the file system of {folder.name} has no locks ({error.strerror}): two builds could write at once"
            hint = (
                "mount it with locks (NFS: local_lock=flock), or make .imagegen a symlink to a folder on another disk"
            )
            raise ImagegenError(Problem("", what, hint)) from None


def _describe(holder: Path) -> str:
    try:
        note = json.loads(holder.read_bytes())
        command = f"doit {note['command']}".rstrip()
        return f" (process {note['pid']}: '{command}', since {note['since']})"
    except (OSError, ValueError, KeyError, TypeError):
        return ""
