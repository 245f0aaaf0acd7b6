"""Images that can be restored without asking a backend: those in the store, and in outputs that show them already."""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from imagegen.config.job import Encoding
from imagegen.images.image_file import ImageFile
from imagegen.plan.output import Output
from imagegen.plan.record import OutputLine
from imagegen.project import Project
from imagegen.state.shared_store import SharedEntry
from imagegen.state.store import StoreEntry
from imagegen.state.timestamps import timestamp

__all__ = [
    "ImageCopy",
    "StoredImage",
    "StoredImages",
    "store_current_file",
    "store_file",
    "store_recorded_file",
]

ImageCopy = StoreEntry | OutputLine
"""What records a file that shows an image: an entry of the store, or the line of an output."""


@dataclass(frozen=True)
class StoredImage:
    """An image that was generated earlier, its bytes read and checked."""

    data: bytes
    record: ImageCopy | SharedEntry
    """How it was made."""
    encoding: Encoding | None = None
    """Of the bytes; None if they are what a backend returned."""
    is_shared: bool = False
    """Whether it came from the shared store just now."""
    file: ImageFile | None = None
    """The bytes read as an image, if that was done already."""


class StoredImages:
    """The images that a run can restore from. What lock files record is read when it is first wanted.

    Args:
        find_shared: Asked for an output's image if there is none here, with the model's digest and the time of the
            image that the lock file records.
    """

    def __init__(
        self, project: Project, find_shared: Callable[[Output, str | None, str], StoredImage | None] = lambda *_: None
    ) -> None:
        self._project = project
        self._find_shared = find_shared
        self._recorded: dict[str, list[tuple[str, str]]] | None = None
        """By fingerprint, the job and the path of each line that any lock file has."""
        self._files: dict[str, dict[str, str]] = {}
        """By job, the path of the first line of each file, by its sha256."""
        self._mutex = threading.Lock()

    def line_of_file(self, job: str, sha256: str) -> OutputLine | None:
        """Return the lock file's line on a file of this content, wherever the file was then."""
        lock = self._project.lock(job)
        with self._mutex:
            if job not in self._files:
                self._files[job] = dict(reversed(lock.peek("sha256")))
            path = self._files[job].get(sha256)
        return next((line for line in lock.lines.get(path or "", ()) if line.sha256 == sha256), None)

    def _lines(self, fingerprint: str) -> Iterator[OutputLine]:
        """Yield the lines of images of this fingerprint, whose ever they are."""
        with self._mutex:
            if self._recorded is None:
                self._recorded = defaultdict(list)
                self._project.read_all_locks()
                for job, lock in self._project.locks.items():
                    for known, path in lock.peek("fingerprint"):
                        self._recorded[known].append((job, path))
            found = dict.fromkeys(self._recorded.get(fingerprint, ()))
        for job, path in found:
            yield from (line for line in self._project.lock(job).lines.get(path, ()) if line.fingerprint == fingerprint)

    def find(self, output: Output, model_digest: str | None, *, only_recorded: bool = False) -> StoredImage | None:
        """Read an image that the output can be restored from without loss. Raises OSError.

        What a backend returned comes first, then a file that can be taken as it is, last the shared store.

        Args:
            model_digest: An image of a model with another, known digest does not count.
            only_recorded: None but the one that the lock file records.
        """
        for copy in self._copies(output, model_digest, only_recorded=only_recorded):
            if image := self.read(copy, self._project.store.get):
                return image
        time = self._recorded_time(output)
        shared = self._find_shared(output, model_digest, time)
        return None if shared and only_recorded and shared.record.time != time else shared

    def find_copy(self, output: Output, model_digest: str | None, *, only_recorded: bool = False) -> ImageCopy | None:
        """Find where `find` would take it from. Reads no blob, so a damaged one counts; writes nothing."""
        copies = self._copies(output, model_digest, only_recorded=only_recorded)
        return next(filter(self._exists, copies), None)

    def read(self, copy: ImageCopy, read_blob: Callable[[str], bytes | None]) -> StoredImage | None:
        """Read a copy's image. read_blob: of the store, `get` or, if that is not to count as a use, `look`."""
        if not isinstance(copy, OutputLine):
            data = read_blob(copy.sha256)
        else:
            with contextlib.suppress(OSError):
                data = (self._project.root / copy.path).read_bytes()
                if hashlib.sha256(data).hexdigest() == copy.sha256:
                    return StoredImage(data, copy, copy.encoding)
            data = self._project.committed(copy.path, copy.sha256)
        return None if data is None else StoredImage(data, copy, copy.encoding)

    def _exists(self, copy: ImageCopy) -> bool:
        if not isinstance(copy, OutputLine):
            return self._project.store.has(copy.sha256)
        with contextlib.suppress(OSError):
            state = self._project.hashes.state(copy.path)
            if state is not None and state.sha256 == copy.sha256 and not state.is_pointer:
                return True
        return self._project.committed(copy.path, copy.sha256) is not None

    def _copies(self, output: Output, model_digest: str | None, *, only_recorded: bool) -> list[ImageCopy]:
        """Return the copies that can be used, best first, beginning with the one that the lock file records."""
        time = self._recorded_time(output)
        entries = [entry for entry in self._project.store.entries(output.fingerprint) if not entry.by_hand]
        entries.sort(key=lambda entry: entry.time != time)
        found: list[ImageCopy] = []
        copies: list[ImageCopy] = [*entries, *self._lines(output.fingerprint)]
        for copy in copies:
            is_other_model = model_digest and copy.model_digest and copy.model_digest != model_digest
            is_lossless = copy.encoding is None or copy.encoding == output.encoding or copy.encoding.is_lossless
            if is_lossless and not is_other_model and (copy.time == time or not only_recorded):
                found.append(copy)
        return sorted(found, key=lambda copy: (None, output.encoding, copy.encoding).index(copy.encoding))

    def _recorded_time(self, output: Output) -> str:
        line = self._project.lock(output.job).line_of(output.path, None)
        return line.time if line else ""


def store_current_file(project: Project, output: Output) -> None:
    """Put the output's file into the store, before it is replaced or removed. Raises OSError."""
    state = project.hashes.state(output.path)
    if state is None or state.is_pointer:
        return
    line = project.lock(output.job).line_of(output.path, state.sha256)
    store_file(project, output, (project.root / output.path).read_bytes(), line)


def store_file(project: Project, output: Output, data: bytes, line: OutputLine | None) -> str:
    """Put an output's file into the store, so that it can be restored, and return its sha256. Raises OSError.

    line: the one that counts for the output. If it is of another file, or there is none, the file was made by hand.
    """
    sha256 = hashlib.sha256(data).hexdigest()
    if line is not None and line.sha256 == sha256:
        store_recorded_file(project, output.store_name, data, line)
        return sha256
    if project.store.get(sha256) is None:
        project.store.put(data)
    elif project.store.is_listed(sha256):
        return sha256  # it is listed as what it was when it came
    fingerprint, request = (line.fingerprint, line.request) if line else (output.fingerprint, output.fields)
    if fingerprint:
        made = (None, "", 0.0, timestamp(), output.encoding)
        _index(
            project,
            StoreEntry(fingerprint, sha256, *made, name=output.store_name, request=request, by_hand=True),
        )
    return sha256


def store_recorded_file(project: Project, name: str, data: bytes, line: OutputLine) -> None:
    """Put a file into the store that is as its line says. name: of its output (`Output.store_name`). Raises OSError."""
    project.store.put(data)
    made = (line.model_digest, line.backend_version, line.seconds, line.time, line.encoding)
    _index(project, StoreEntry(line.fingerprint, line.sha256, *made, name=name, request=line.request))


def _index(project: Project, entry: StoreEntry) -> None:
    known = project.store.entries(entry.fingerprint)
    if all((one.sha256, one.name) != (entry.sha256, entry.name) for one in known):  # each name has versions of its own
        project.store.add(entry)
