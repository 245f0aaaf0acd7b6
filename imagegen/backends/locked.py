"""One at a time, among all processes of this machine: the system frees the lock when its holder dies."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import filelock

from imagegen.errors import ImagegenError, Problem, not_written

__all__ = ["locked"]


@contextlib.contextmanager
def locked(path: Path, busy: Problem, timeout_s: float = 0.0) -> Iterator[None]:
    """Hold the lock at `path`, whose folder is made. timeout_s: seconds to wait for another who holds it.

    Raises ImagegenError: `busy` where it is not free by then, or why it cannot be written.
    """
    lock = filelock.FileLock(path, timeout=timeout_s)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except filelock.Timeout:
        raise ImagegenError(busy) from None
    except OSError as error:
        raise ImagegenError(not_written(error, path=str(path.parent))) from None
    try:
        yield
    finally:
        lock.release()
