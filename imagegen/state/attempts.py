"""Attempts at images: which is under way for an output, known again after a kill.

A generator that is handed an attempt's UUID can be asked later what became of it, so that nothing is made twice. This
is only about images that are on their way: once one is in the store, nothing of its attempt is needed.
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

from imagegen.state.atomic import append_line, replace_file

__all__ = [
    "Attempts",
    "Failure",
    "read_failures",
    "update_failures",
]


_NAMESPACE = uuid.UUID("5f0b3f6e-3c86-5d0f-9a9e-0f6b8a1d2c47")


class Attempts:
    """JSON Lines in the file `path`, the last one of an image counting. Safe to share among threads."""

    def __init__(self, path: Path, temporary: Path) -> None:
        self.path = path
        self.temporary = temporary
        self._mutex = threading.Lock()
        self._known: dict[str, _Attempt] | None = None

    def open(self, image: str, *, anew: bool, done: Container[str], place: str = "") -> str:
        """The UUID of the attempt at an image: of the one that a kill cut off, else of a new one, on disk by then.

        image: what it is an attempt at: fingerprint, path, model digest. anew: whether an image made earlier must not
        do. done: the UUIDs of attempts whose images are in the store. place: where it is made from now on, as `place`
        tells; empty where it stays. Raises OSError.
        """
        with self._mutex:
            number, is_open, before = self._read().get(image, _NONE)
            attempt = _uuid(image, number)
            if is_open and attempt not in done:
                if place and place != before:
                    self._write(image, _Attempt(number, True, place))
                return attempt
            # the first number is the same everywhere, the others are no one else's: so the clock
            number = 1 if number == 0 and not anew and not is_open else max(number + 1, time.time_ns() // 1_000_000)
            self._write(image, _Attempt(number, True, place))
            return _uuid(image, number)

    def place(self, image: str, done: Container[str]) -> str:
        """Where the image's open attempt was made last; empty where none is open, or no place was told."""
        with self._mutex:
            number, is_open, place = self._read().get(image, _NONE)
            return place if is_open and _uuid(image, number) not in done else ""

    def close(self, image: str, *, made: bool) -> None:
        """The attempt is over. made: its image is in the store; else the next attempt is a new one. Raises OSError."""
        with self._mutex:
            number, is_open, _ = self._read().get(image, _NONE)
            if not is_open:
                return
            self._write(image, _Attempt(number, False))
            if made:
                self._read().pop(image)

    def fold(self) -> None:
        """Rewrite the file with what is still needed: attempts under way, and those that failed. Raises OSError."""
        with self._mutex:
            if self._known is None:
                return
            lines = "".join(_line(image, state) + "\n" for image, state in sorted(self._known.items()))
            if lines:
                replace_file(self.path, lines.encode("utf-8"), self.temporary)
            else:
                self.path.unlink(missing_ok=True)

    def _read(self) -> dict[str, _Attempt]:
        if self._known is None:
            self._known = {}
            try:
                lines = self.path.read_bytes().splitlines()
            except FileNotFoundError:
                lines = []
            for line in lines:
                try:
                    fields = json.loads(line)
                    attempt = _Attempt(int(fields["number"]), bool(fields["open"]), str(fields.get("place", "")))
                    self._known[fields["image"]] = attempt
                except (ValueError, TypeError, KeyError):
                    continue  # cut off by a kill: what it would say was not told to anybody yet
        return self._known

    def _write(self, image: str, attempt: _Attempt) -> None:
        # a line that a kill cut off must not run into this one
        append_line(self.path, b"\n" + _line(image, attempt).encode("utf-8"))
        self._read()[image] = attempt


class _Attempt(NamedTuple):
    """The last one at an image. place: where it is made, as far as that was told."""

    number: int
    is_open: bool
    place: str = ""


_NONE = _Attempt(0, False)


def _uuid(image: str, number: int) -> str:
    return str(uuid.uuid5(_NAMESPACE, f"{image} {number}"))


def _line(image: str, attempt: _Attempt) -> str:
    place = {"place": attempt.place} if attempt.place else {}
    fields = {"image": image, "number": attempt.number, "open": attempt.is_open, **place}
    return json.dumps(fields, separators=(",", ":"))


@dataclass(frozen=True)
class Failure:
    """Why an image was not made. fingerprint: of what was asked for then. what, hint: as in a `Problem`."""

    fingerprint: str
    what: str
    hint: str = ""


def read_failures(path: Path) -> dict[str, Failure]:
    """By the task's name; none where the file is missing or cannot be read."""
    try:
        return {task: Failure(**fields) for task, fields in json.loads(path.read_bytes()).items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def update_failures(path: Path, temporary: Path, failed: Mapping[str, Failure], settled: Collection[str]) -> None:
    """Add those that failed, drop those that are settled; the file is written where that changes it. Raises OSError."""
    known = read_failures(path)
    now = {task: failure for task, failure in known.items() if task not in settled} | dict(failed)
    if now == known:
        return
    if not now:
        path.unlink(missing_ok=True)
        return
    text = json.dumps({task: asdict(failure) for task, failure in sorted(now.items())}, ensure_ascii=False)
    replace_file(path, text.encode("utf-8", "backslashreplace"), temporary)  # as JSON has it
