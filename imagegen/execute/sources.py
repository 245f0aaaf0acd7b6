"""Where an image can come from without asking a backend: the store, and other outputs that show it already."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from imagegen.config.encoding import Encoding
from imagegen.plan.output import Output
from imagegen.plan.record import OutputLine
from imagegen.project import Project

__all__ = ["Source", "Sources"]


@dataclass(frozen=True)
class Source:
    """An image made earlier for the fingerprint that is wanted.

    data: what the backend returned (encoding None), or an output file of that encoding.
    seconds, time, model_digest, backend_version: of its making.
    """

    data: bytes
    encoding: Encoding | None
    model_digest: str | None
    backend_version: str
    seconds: float
    time: str


class Sources:
    """The images that a run can restore from, as they are when it begins."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._lines: dict[str, list[OutputLine]] = defaultdict(list)
        for lock in project.locks.values():
            for lines in lock.lines.values():
                for line in lines:
                    self._lines[line.fingerprint].append(line)

    def find(self, output: Output, model_digest: str | None) -> Source | None:
        """An image that the output can be restored from without loss, or None. Raises OSError.

        One made by a model of another, known digest does not count. What a backend returned comes first, then a
        file that can be taken as it is.
        """
        best = None
        line = self._project.lock(output.job).line_of(output.path, None)
        # of several that were made for one request, the one that the lock file tells of
        for source in self._of(output.fingerprint, line.time if line else ""):
            if model_digest and source.model_digest and source.model_digest != model_digest:
                continue
            if source.encoding is None:
                return source
            if source.encoding == output.encoding or (best is None and source.encoding.lossless):
                best = source
        return best

    def _of(self, fingerprint: str, time: str) -> Iterator[Source]:
        store = self._project.store
        entries = [entry for entry in store.entries(fingerprint) if not entry.by_hand]
        for entry in sorted(entries, key=lambda entry: entry.time != time):
            data = store.get(entry.sha256)
            if data is not None:
                yield Source(data, entry.encoding, entry.model_digest, entry.backend_version, entry.seconds, entry.time)
        for line in self._lines.get(fingerprint, ()):
            try:
                data = (self._project.root / line.path).read_bytes()
            except OSError:
                continue
            if hashlib.sha256(data).hexdigest() == line.sha256:
                yield Source(data, line.encoding, line.model_digest, line.backend_version, line.seconds, line.time)
