"""Attempts at images: which is under way, so that it is known again after a kill; and why the last ones failed.

A generator that is handed an attempt's UUID can be asked later what became of it, so that nothing is generated twice.
This is only about images that are on their way: once one is in the store, nothing of its attempt is needed.
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Collection, Container, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

from imagegen.state.atomic import replace_file
from imagegen.state.journal import Journal

__all__ = ["Attempts", "Failure", "read_failures", "update_failures"]

_NAMESPACE = uuid.UUID("5f0b3f6e-3c86-5d0f-9a9e-0f6b8a1d2c47")


class _Attempt(NamedTuple):
    """The last attempt at an image."""

    image: str
    number: int
    is_open: bool
    server: str = ""  # where it was begun, if that was given


class Attempts:
    """The attempts in the file `path`, the last one at an image counting. Safe to share among threads."""

    def __init__(self, path: Path, temporary: Path) -> None:
        self._journal = Journal(path, _parse, _dump)
        self._temporary = temporary
        self._mutex = threading.Lock()
        self._known: dict[str, _Attempt] | None = None

    def open(self, image: str, *, forced: bool, done: Container[str], server: str = "") -> str:
        """Return the UUID of the attempt at an image: the one that a kill cut off, or a new one, already on disk.

        Args:
            image: what it is an attempt at: fingerprint, path, model digest. Only one thread at a time is at it.
            forced: whether an image generated earlier doesn't count.
            done: the UUIDs of attempts whose images are in the store.
            server: where the image is generated from now on; empty if that stays.

        Raises:
            OSError: it could not be written.

        """
        _, number, is_open, before = self._last(image)
        attempt = _uuid(image, number)
        if is_open and attempt not in done:
            if server and server != before:
                self._write(_Attempt(image, number, True, server))
            return attempt
        # the first number is the same everywhere, the others are no one else's: so the clock
        is_first = number == 0 and not forced and not is_open
        number = 1 if is_first else max(number + 1, time.time_ns() // 1_000_000)
        self._write(_Attempt(image, number, True, server))
        return _uuid(image, number)

    def is_open(self, image: str, done: Container[str]) -> bool:
        """Return whether an attempt at the image was begun whose end is not known. done: as for `open`."""
        _, number, is_open, _ = self._last(image)
        return is_open and _uuid(image, number) not in done

    def server(self, image: str, done: Container[str]) -> str:
        """Return where the image's open attempt was begun last; empty if none is open, or no server was given."""
        _, number, is_open, server = self._last(image)
        return server if is_open and _uuid(image, number) not in done else ""

    def close(self, image: str, *, made: bool) -> None:
        """End the attempt. made: its image is in the store; else the next attempt is a new one. Raises OSError."""
        _, number, is_open, _ = self._last(image)
        if is_open:
            # nothing depends on it if the image is in the store, which knows the attempt
            self._write(_Attempt(image, number, False), is_durable=not made)
            if made:
                with self._mutex:
                    self._read().pop(image)

    def compact(self) -> None:
        """Rewrite the file with what is still needed: attempts under way, and those that failed. Raises OSError."""
        with self._mutex:
            if self._known is not None:
                self._journal.compact(sorted(self._known.values()), self._temporary)

    def _last(self, image: str) -> _Attempt:
        with self._mutex:
            return self._read().get(image, _Attempt(image, 0, False))

    def _read(self) -> dict[str, _Attempt]:
        if self._known is None:
            self._known = {attempt.image: attempt for attempt in self._journal.read().entries}
        return self._known

    def _write(self, attempt: _Attempt, *, is_durable: bool = True) -> None:
        self._journal.append(attempt, is_durable=is_durable)
        with self._mutex:
            self._read()[attempt.image] = attempt


def _uuid(image: str, number: int) -> str:
    return str(uuid.uuid5(_NAMESPACE, f"{image} {number}"))


def _parse(line: bytes) -> _Attempt:
    fields = json.loads(line)
    return _Attempt(fields["image"], int(fields["number"]), bool(fields["open"]), str(fields.get("place", "")))


def _dump(attempt: _Attempt) -> bytes:
    server = {"place": attempt.server} if attempt.server else {}
    fields = {"image": attempt.image, "number": attempt.number, "open": attempt.is_open, **server}
    return json.dumps(fields, separators=(",", ":")).encode("utf-8")


@dataclass(frozen=True)
class Failure:
    """Why an image was not built."""

    fingerprint: str  # of what was requested then
    what: str  # as in a `Problem`
    hint: str = ""


def read_failures(path: Path) -> dict[str, Failure]:
    """Return them by task; none if the file is missing or cannot be read. They are a hint, and may be deleted."""
    try:
        return {task: Failure(**fields) for task, fields in json.loads(path.read_bytes()).items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def update_failures(path: Path, temporary: Path, failed: Mapping[str, Failure], fixed: Collection[str]) -> None:
    """Add those that failed, drop those that are fixed; the file is written if that changes it. Raises OSError."""
    known = read_failures(path)
    now = {task: failure for task, failure in known.items() if task not in fixed} | dict(failed)
    if now == known:
        return
    if not now:
        path.unlink(missing_ok=True)
        return
    text = json.dumps({task: asdict(failure) for task, failure in sorted(now.items())}, ensure_ascii=False)
    replace_file(path, text.encode("utf-8", "backslashreplace"), temporary)  # as JSON has it
