"""A lock among all processes of this machine: the system frees it when its holder dies."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import filelock

from imagegen.errors import ImagegenError, NotBegunError, Problem, not_written

__all__ = ["hold_file_lock"]


@contextlib.contextmanager
def hold_file_lock(path: Path, busy: Problem, timeout_s: float = 0.0) -> Iterator[None]:
    """Hold the lock at `path`, whose folder is made.

    Args:
        busy: what is raised if another process holds it for longer than that.
        timeout_s: seconds to wait for it.

    Raises:
        ImagegenError: `busy`, or why it cannot be written.
    """
    lock = filelock.FileLock(path, timeout=timeout_s)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except filelock.Timeout:
        raise NotBegunError(busy) from None
    except OSError as error:
        raise ImagegenError(not_written(error, path=str(path.parent))) from None
    try:
        yield
    finally:
        lock.release()
