"""Where an image can come from without asking a backend: the store, and other outputs that show it already."""

from __future__ import annotations

import contextlib
import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from imagegen.config.job import Encoding
from imagegen.execute.decisions import timestamp
from imagegen.images.image_file import ImageFile
from imagegen.plan.output import Output
from imagegen.plan.record import OutputLine
from imagegen.project import Project
from imagegen.state.store import StoreEntry

__all__ = [
    "ImageCopy",
    "StoredImage",
    "StoredImages",
    "store_current_file",
    "store_file",
    "store_recorded_file",
]


@dataclass(frozen=True)
class ImageCopy:
    """A file that is said to hold an image made earlier for the fingerprint that is wanted.

    path: of the output that it is, empty where it is in the store. encoding: of that output; None for what the
    backend returned. seconds, time, model_digest, backend_version: of its making.
    """

    sha256: str
    path: str
    encoding: Encoding | None
    model_digest: str | None
    backend_version: str
    seconds: float
    time: str


@dataclass(frozen=True)
class StoredImage:
    """An image made earlier, its bytes read and checked. The other fields are its copy's.

    is_shared: it came from the shared store just now. file: its bytes, where they were read as an image already.
    """

    data: bytes
    encoding: Encoding | None
    model_digest: str | None
    backend_version: str
    seconds: float
    time: str
    is_shared: bool = False
    file: ImageFile | None = None


class StoredImages:
    """The images that a run can restore from, as they are when it begins.

    beyond: asked for the image of an output where there is none here; with the model's digest, and the time of the one
    that the lock file tells of.
    """

    def __init__(
        self, project: Project, beyond: Callable[[Output, str | None, str], StoredImage | None] = lambda *_: None
    ) -> None:
        self._project = project
        self._beyond = beyond
        self._lines: dict[str, list[OutputLine]] = defaultdict(list)
        self._files: dict[tuple[str, str], OutputLine] = {}
        """The first line of each file, by job and sha256."""
        project.read_all_locks()
        for job, lock in project.locks.items():
            for line in lock.every_line():
                self._lines[line.fingerprint].append(line)
                self._files.setdefault((job, line.sha256), line)

    def line_of_file(self, job: str, sha256: str) -> OutputLine | None:
        """The line in the job's lock file that says what made a file of this content, wherever it was then."""
        return self._files.get((job, sha256))

    def find(self, output: Output, model_digest: str | None, *, only_recorded: bool = False) -> StoredImage | None:
        """An image that the output can be restored from without loss, or None. Raises OSError.

        One made by a model of another, known digest does not count. What a backend returned comes first, then a
        file that can be taken as it is; last what others have. only_recorded: none but the one that the lock file
        tells of.
        """
        copies = self._copies(output, model_digest, only_recorded=only_recorded)
        if here := next(filter(None, map(self._read, copies)), None):
            return here
        time = self._time(output)
        beyond = self._beyond(output, model_digest, time)
        return None if beyond and only_recorded and beyond.time != time else beyond

    def foresee(self, output: Output, model_digest: str | None, *, only_recorded: bool = False) -> ImageCopy | None:
        """Where `find` would find it. Reads no blob and writes nothing: one that has gone bad passes for a good one."""
        copies = self._copies(output, model_digest, only_recorded=only_recorded)
        return next(filter(self._is_there, copies), None)

    def look(self, copy: ImageCopy) -> StoredImage | None:
        """The image of a copy, read without its counting as a use."""
        return _source(copy, self._project.store.look(copy.sha256) if not copy.path else self._file(copy))

    def _read(self, copy: ImageCopy) -> StoredImage | None:
        return _source(copy, self._project.store.get(copy.sha256) if not copy.path else self._file(copy))

    def _file(self, copy: ImageCopy) -> bytes | None:
        with contextlib.suppress(OSError):
            data = (self._project.root / copy.path).read_bytes()
            if hashlib.sha256(data).hexdigest() == copy.sha256:
                return data
        return self._project.committed(copy.path, copy.sha256)

    def _is_there(self, copy: ImageCopy) -> bool:
        if not copy.path:
            return self._project.store.has(copy.sha256)
        with contextlib.suppress(OSError):
            state = self._project.hashes.state(copy.path)
            if state is not None and state.sha256 == copy.sha256 and not state.is_pointer:
                return True
        return self._project.committed(copy.path, copy.sha256) is not None

    def _copies(self, output: Output, model_digest: str | None, *, only_recorded: bool) -> list[ImageCopy]:
        """Those that would do, best first."""
        ranked = []
        time = self._time(output)
        for copy in self._of(output.fingerprint, time):
            if only_recorded and copy.time != time:
                continue
            if model_digest and copy.model_digest and copy.model_digest != model_digest:
                continue
            if copy.encoding is None:
                ranked.append((0, copy))
            elif copy.encoding == output.encoding:
                ranked.append((1, copy))
            elif copy.encoding.is_lossless:
                ranked.append((2, copy))
        return [copy for _, copy in sorted(ranked, key=lambda one: one[0])]

    def _time(self, output: Output) -> str:
        line = self._project.lock(output.job).line_of(output.path, None)
        return line.time if line else ""

    def _of(self, fingerprint: str, time: str) -> Iterator[ImageCopy]:
        """time: of several that were made for one request, the one that the lock file tells of comes first."""
        entries = [entry for entry in self._project.store.entries(fingerprint) if not entry.by_hand]
        for one in sorted(entries, key=lambda entry: entry.time != time):
            yield ImageCopy(one.sha256, "", one.encoding, one.model_digest, one.backend_version, one.seconds, one.time)
        for line in self._lines.get(fingerprint, ()):
            yield ImageCopy(
                line.sha256,
                line.path,
                line.encoding,
                line.model_digest,
                line.backend_version,
                line.seconds,
                line.time,
            )


def _source(copy: ImageCopy, data: bytes | None) -> StoredImage | None:
    if data is None:
        return None
    return StoredImage(data, copy.encoding, copy.model_digest, copy.backend_version, copy.seconds, copy.time)


def store_current_file(project: Project, output: Output) -> None:
    """What is about to be replaced or removed goes into the store first. Raises OSError."""
    state = project.hashes.state(output.path)
    if state is None or state.is_pointer:
        return
    line = project.lock(output.job).line_of(output.path, state.sha256)
    store_file(project, output, (project.root / output.path).read_bytes(), line)


def store_file(project: Project, output: Output, data: bytes, line: OutputLine | None) -> str:
    """Keep an output's file, so that it can be gone back to; its sha256. Raises OSError.

    line: the one that counts for it. Where that is of another file, or there is none, the file was made by hand.
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
        name = output.store_name
        entry = StoreEntry(
            fingerprint, sha256, None, "", 0.0, timestamp(), output.encoding, {}, name, request, by_hand=True
        )
        _index(project, entry)
    return sha256


def store_recorded_file(project: Project, name: str, data: bytes, line: OutputLine) -> None:
    """Keep a file that is as its line says. name: of its output (`Output.store_name`). Raises OSError."""
    project.store.put(data)
    entry = StoreEntry(
        line.fingerprint,
        line.sha256,
        line.model_digest,
        line.backend_version,
        line.seconds,
        line.time,
        line.encoding,
        name=name,
        request=line.request,
    )
    _index(project, entry)


def _index(project: Project, entry: StoreEntry) -> None:
    if all(known.sha256 != entry.sha256 for known in project.store.entries(entry.fingerprint)):
        project.store.add(entry)
