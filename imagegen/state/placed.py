"""What this checkout put in its outputs' places.

A lock file tells of the files that it was committed with. Where git brings another one, a file that is still here is in
none of its lines any more; that it is as we left it, and so nobody's work, only this checkout knows.
"""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass
from pathlib import Path

from imagegen.state.atomic import append_line, replace_file

__all__ = ["Placed", "Placement"]

_LINE = re.compile(r"([0-9a-f]{64}) ([0-9a-f]{64}|-) (\S+) (.+)")
_LEAST = 1000
"""Lines that are not worth folding."""


@dataclass(frozen=True)
class Placement:
    """A file that was put somewhere. fingerprint: what it answers, empty if nothing yet. backend: which made it."""

    sha256: str
    fingerprint: str
    backend: str


class Placed:
    """Placements by path relative to `root`, in the file `memory`, a line each, the last one of a path counting.

    Safe to share among threads. Whoever notes or folds holds the project's mutex.
    """

    def __init__(self, root: Path, memory: Path, temporary: Path) -> None:
        self._root, self._memory, self._temporary = root, memory, temporary
        self._mutex = threading.Lock()
        self._known: dict[str, Placement] | None = None
        self._lines = 0
        self._is_noted = False

    def of(self, path: str, sha256: str) -> Placement | None:
        """How the file of this sha256 came to the path; None where it is not what was put there last."""
        with self._mutex:
            found = self._read().get(path)
        return found if found and found.sha256 == sha256 else None

    def note(self, path: str, placement: Placement) -> None:
        """The file is about to come there. Raises OSError."""
        with self._mutex:
            if self._known is not None:
                self._known[path] = placement
                self._lines += 1
            self._is_noted = True
            # a line that a kill cut off must not run into this one
            append_line(self._memory, f"\n{_text(path, placement)}".encode())

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
            text = "".join(_text(path, one) + "\n" for path, one in self._known.items())
            replace_file(self._memory, text.encode(), self._temporary)

    def _read(self) -> dict[str, Placement]:
        if self._known is None:
            try:
                text = self._memory.read_text("utf-8", errors="replace")
            except OSError:  # without it, files that git knows nothing of are kept
                text = ""
            found = [match for line in text.split("\n") if (match := _LINE.fullmatch(line))]
            self._known = {match[4]: Placement(match[1], match[2].removeprefix("-"), match[3]) for match in found}
            self._lines = len(found)
        return self._known


def _text(path: str, placement: Placement) -> str:
    return f"{placement.sha256} {placement.fingerprint or '-'} {placement.backend} {path}"
