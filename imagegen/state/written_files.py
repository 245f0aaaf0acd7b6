"""What this checkout put in its outputs' places.

A lock file tells of the files that it was committed with. Where git brings another one, a file that is still here is in
none of its lines any more; that it is as we left it, and so nobody's work, only this checkout knows.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from imagegen.state.atomic import make_folder, replace_file

__all__ = [
    "BY_HAND",
    "WrittenFile",
    "WrittenFiles",
]


_LINE = re.compile(r"([0-9a-f]{64}) (\d+) ([0-9a-f]{64}|-) (\S+) (\S+) (.+)")
_LEAST = 1000
"""Lines that are not worth folding."""
BY_HAND = "-"
"""In place of a backend."""


@dataclass(frozen=True)
class WrittenFile:
    """A file that was put somewhere.

    mtime_ns: as it was written; git, or whoever copies it back, writes another. fingerprint: what it answers, empty if
    nothing yet. time: of its image's making, `-` where that is not known. backend: what made it, or BY_HAND.
    """

    sha256: str
    mtime_ns: int
    fingerprint: str
    time: str
    backend: str


class WrittenFiles:
    """Placements by path relative to `root`, in the file `memory`, a line each, the last one of a path counting.

    It is a memory: what it does not know counts as changed by hand. Safe to share among threads.
    """

    def __init__(self, root: Path, memory: Path, temporary: Path) -> None:
        self._root, self._memory, self._temporary = root, memory, temporary
        self._mutex = threading.Lock()
        self._known: dict[str, WrittenFile] | None = None
        self._lines = 0
        self._is_noted = False

    def last(self, path: str) -> WrittenFile | None:
        """What was put there last, whatever is there now."""
        with self._mutex:
            return self._read().get(path)

    def note(self, placements: Mapping[str, WrittenFile]) -> None:
        """These files were put at these paths. Raises OSError."""
        with self._mutex:
            if self._known is not None:
                self._known.update(placements)
                self._lines += len(placements)
            self._is_noted = True
            make_folder(self._memory.parent)
            # a line that a kill cut off must not run into these; it is a memory, and not waited for until it is on disk
            with self._memory.open("ab") as file:
                file.write("".join(f"\n{_text(one)}" for one in placements.items()).encode() + b"\n")

    def forget(self) -> None:
        """Another build may have written since."""
        with self._mutex:
            self._known = None

    def fold(self) -> None:
        """Leave out what is not true any more, once that is most of it. Raises OSError."""
        with self._mutex:
            if not self._is_noted:
                return
            self._is_noted = False
            known = self._read()
            if self._lines <= max(_LEAST, 2 * len(known)):
                return
            self._known = {path: one for path, one in known.items() if (self._root / path).exists()}
            self._lines = len(self._known)
            text = "".join(f"{_text(one)}\n" for one in self._known.items())
            replace_file(self._memory, text.encode(), self._temporary)

    def _read(self) -> dict[str, WrittenFile]:
        if self._known is None:
            try:
                text = self._memory.read_text("utf-8", errors="replace")
            except OSError:
                text = ""
            found = [match.groups() for line in text.split("\n") if (match := _LINE.fullmatch(line))]
            self._known = {
                path: WrittenFile(sha256, int(mtime_ns), fingerprint.removeprefix("-"), time, backend)
                for sha256, mtime_ns, fingerprint, time, backend, path in found
            }
            self._lines = len(found)
        return self._known


def _text(one: tuple[str, WrittenFile]) -> str:
    path, placed = one
    return f"{placed.sha256} {placed.mtime_ns} {placed.fingerprint or '-'} {placed.time} {placed.backend} {path}"
