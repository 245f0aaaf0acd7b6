"""The build's own mutex: whoever writes holds it, one process at a time. The system frees it when that one dies."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import filelock

from imagegen.errors import ImagegenError, Problem
from imagegen.state.atomic import make_folder

__all__ = ["hold"]


@contextlib.contextmanager
def hold(folder: Path, wait_s: float) -> Iterator[None]:
    """Hold the mutex of the project whose state is in `folder` (`.imagegen`).

    wait_s: seconds to wait for another build. Raises ImagegenError, naming who holds it, after that.
    """
    holder = folder / "build.json"
    lock = filelock.FileLock(folder / "build.lock", timeout=wait_s)
    try:
        make_folder(folder)
        lock.acquire()
    except filelock.Timeout:
        raise ImagegenError(
            Problem(
                "",
                f"another build is at work here{_describe(holder)}",
                "wait for it, or have this one wait: doit wait=600 (seconds)",
            )
        ) from None
    except OSError as error:
        what = f"cannot write: {error.strerror}: {error.filename or folder}"
        raise ImagegenError(Problem("", what, "mend its permissions")) from None
    try:
        note = {"pid": os.getpid(), "command": " ".join(sys.argv[1:]), "since": time.strftime("%H:%M:%S")}
        with contextlib.suppress(OSError):  # of a full disk, say: without it others are told less
            holder.write_text(json.dumps(note), encoding="utf-8")
        yield
    finally:
        with contextlib.suppress(OSError):
            holder.unlink(missing_ok=True)
        lock.release()


def _describe(holder: Path) -> str:
    try:
        note = json.loads(holder.read_bytes())
        command = f"doit {note['command']}".rstrip()
        return f" (process {note['pid']}: '{command}', since {note['since']})"
    except (OSError, ValueError, KeyError, TypeError):
        return ""
