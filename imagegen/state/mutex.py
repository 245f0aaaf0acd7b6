"""The project's mutex: whoever writes holds it, one process at a time. The system frees it when that process dies."""

from __future__ import annotations

import contextlib
import json
import os
import stat
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import filelock

from imagegen.errors import ImagegenError, NotBegunError, Problem, not_written
from imagegen.state.atomic import make_folder

__all__ = ["ASKS", "WAIT_HINT", "Holder", "hold", "read_holder"]

ASKS = "IMAGEGEN_ASKS"
"""The variable with the number of a socket, which the program that starts a `doit` is asked by whether it may begin."""
WAIT_HINT = "wait for it, or let this one wait: doit wait=600 (seconds)"
"""What to do if somebody else holds it."""
_LOOK_S = 0.5
"""Seconds between two looks at whether who waits was stopped."""


@dataclass(frozen=True)
class Holder:
    """Who holds the mutex: its process, and the time of day when it got it.

    Attributes:
        command: its command line from `doit` on; of another program, its name.
        is_of_page: `doit review` has started it.

    """

    pid: int
    command: str
    since: str
    is_of_page: bool = False

    def __str__(self) -> str:
        """Return it as a message to others has it."""
        from_page = ", from the page of doit review" if self.is_of_page else ""
        return f"process {self.pid}: '{self.command}', since {self.since}{from_page}"


@contextlib.contextmanager
def hold(folder: Path, wait_s: float, stop: threading.Event | None = None) -> Iterator[None]:
    """Hold the mutex of the project whose state is in `folder` (`.imagegen`).

    Args:
        folder: of the state.
        wait_s: seconds to wait for another build.
        stop: ends the waiting.

    Raises:
        ImagegenError: somebody else holds it still, and who.
        KeyboardInterrupt: the program that has started this one says that nothing is to begin, or has ended meanwhile;
            or `stop` was set.

    """
    holder = folder / "build.json"
    lock = filelock.FileLock(folder / "build.lock")
    try:
        make_folder(folder)
        _check_locks(folder)
        _acquire(lock, wait_s, stop)
    except filelock.Timeout:
        raise NotBegunError(Problem("", f"another doit is running here{_describe(holder)}", WAIT_HINT)) from None
    except OSError as error:
        error.filename = str(folder)  # not the file that is tried there
        raise ImagegenError(not_written(error)) from None
    try:
        note = {
            "pid": os.getpid(),
            "command": _command(),
            "since": time.strftime("%H:%M:%S"),
            "is_of_page": ASKS in os.environ,
        }
        with contextlib.suppress(OSError):  # on a full disk, say: without it the message to others says less
            holder.write_text(json.dumps(note), encoding="utf-8")
        _ask_to_begin()
        yield
    finally:
        with contextlib.suppress(OSError):
            holder.unlink(missing_ok=True)
        lock.release()


def _acquire(lock: filelock.BaseFileLock, wait_s: float, stop: threading.Event | None) -> None:
    """Get the lock. Raises filelock.Timeout, or KeyboardInterrupt if `stop` is set meanwhile."""
    end_s = time.monotonic() + wait_s
    while True:
        left_s = max(end_s - time.monotonic(), 0.0)
        try:
            lock.acquire(timeout=min(left_s, _LOOK_S))
        except filelock.Timeout:
            if stop is not None and stop.is_set():
                raise KeyboardInterrupt from None
            if not left_s:
                raise
        else:
            return


def _ask_to_begin() -> None:
    """Ask the program that has started this one, if it wants to be. Raises KeyboardInterrupt if it does not agree."""
    try:
        number = int(os.environ[ASKS])
        is_asked = stat.S_ISSOCK(os.fstat(number).st_mode)
    except (KeyError, ValueError, OSError):  # what a `doit` starts is given the variable, but not the socket
        return
    if is_asked:
        answer = b""
        with contextlib.suppress(OSError):  # the process that would answer has ended
            os.write(number, b"?")
            answer = os.read(number, 1)
        if not answer:
            raise KeyboardInterrupt


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
            raise NotBegunError(Problem("", what, hint)) from None


def _command() -> str:
    """Return what this process was asked to do; how long it would have waited for others is of no use to them."""
    file = Path(sys.argv[0])
    program = file.parent.name if file.stem == "__main__" else file.name
    if program.removesuffix(".exe") != "doit":  # one that uses imagegen: what it is called with is its own
        return program
    return " ".join(["doit", *(word for word in sys.argv[1:] if not word.startswith("wait="))])


def _describe(holder: Path) -> str:
    found = _read(holder)
    return f" ({found})" if found else ""


def _read(holder: Path) -> Holder | None:
    try:
        note = json.loads(holder.read_bytes())
        is_of_page = note.get("is_of_page") is True
        return Holder(int(note["pid"]), str(note["command"]), str(note["since"]), is_of_page)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def read_holder(folder: Path) -> Holder | None:
    """Return who holds the mutex of the project whose state is in `folder`, as far as one sees without trying it.

    Trying it would hold it for an instant, and somebody who doesn't wait would be refused.
    """
    found = _read(folder / "build.json")
    if found is None:
        return None
    import psutil

    try:
        started_s = psutil.Process(found.pid).create_time()
        is_old = started_s > (folder / "build.json").stat().st_mtime + 2  # another one has the number of one killed
    except (OSError, psutil.Error):
        return None
    return None if is_old else found
