"""What was made here and has yet to go up to the shared store. It survives a kill."""

from __future__ import annotations

import re
import threading
from pathlib import Path

from imagegen.state.atomic import append_line, replace_file

__all__ = ["Pending"]

_LINE = re.compile(r"([0-9a-f]{64}) ([0-9a-f]{64})")


class Pending:
    """Lines of fingerprint and sha256 in the file `path`: images of the local store. Safe to share among threads."""

    def __init__(self, path: Path, temporary: Path) -> None:
        self.path = path
        self.temporary = temporary
        self._mutex = threading.Lock()
        self._known: dict[tuple[str, str], None] | None = None

    def all(self) -> list[tuple[str, str]]:
        """Fingerprint and sha256 of each, in the order in which they came."""
        with self._mutex:
            return list(self._read())

    def add(self, fingerprint: str, sha256: str) -> None:
        """One more, on disk before this returns; before the store's index tells of it. Raises OSError."""
        with self._mutex:
            # a line that a kill cut off must not run into this one
            append_line(self.path, f"\n{fingerprint} {sha256}".encode())
            self._read()[fingerprint, sha256] = None

    def remove(self, fingerprint: str, sha256: str) -> None:
        """It is up, or cannot go up any more. On disk only after `fold`: to send it again does no harm."""
        with self._mutex:
            self._read().pop((fingerprint, sha256), None)

    def fold(self) -> None:
        """Rewrite the file with what is left. Raises OSError."""
        with self._mutex:
            if self._known:
                lines = "".join(f"{fingerprint} {sha256}\n" for fingerprint, sha256 in self._known)
                replace_file(self.path, lines.encode(), self.temporary)
            elif self._known is not None:
                self.path.unlink(missing_ok=True)

    def forget(self) -> None:
        """Another build may have written since."""
        with self._mutex:
            self._known = None

    def _read(self) -> dict[tuple[str, str], None]:
        if self._known is None:
            try:
                text = self.path.read_text("utf-8", errors="replace")
            except OSError:
                text = ""
            found = map(_LINE.fullmatch, text.splitlines())
            self._known = {(match[1], match[2]): None for match in found if match}
        return self._known
