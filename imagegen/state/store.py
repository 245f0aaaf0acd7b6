"""The store: what backends returned and what was replaced, by content, with an index by fingerprint.

Nothing here is the truth about an output; it is what makes sure that nothing is generated twice or lost.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from imagegen.config.job import Encoding
from imagegen.state.atomic import replace_file
from imagegen.state.journal import Journal

__all__ = ["Store", "StoreEntry"]


@dataclass(frozen=True)
class StoreEntry:
    """One image that was generated for a fingerprint."""

    fingerprint: str
    sha256: str  # of its blob
    model_digest: str | None
    backend_version: str
    seconds: float  # that generating took
    time: str  # of generating
    encoding: Encoding | None = None  # of an output file that was replaced; None for what a backend returned
    facts: Mapping[str, Any] = field(default_factory=dict)  # what else the backend reported
    name: str = ""  # `Output.store_name` of its output; empty in entries of earlier releases
    request: Mapping[str, Any] = field(default_factory=dict)  # the canonical fields; likewise
    by_hand: bool = False  # somebody made or changed it: it is never restored by its fingerprint, only on request

    @property
    def is_made(self) -> bool:
        """Whether a backend returned it."""
        return self.encoding is None and not self.by_hand


class Store:
    """Blobs by sha256 in `folder/blobs`, entries by fingerprint in `folder/index`. Safe to share among threads."""

    def __init__(self, folder: Path, temporary: Path) -> None:
        self.folder = folder
        self.temporary = temporary
        self._mutex = threading.Lock()
        self._made_here: dict[str, bool] = {}
        """Of each blob in the index: whether any entry says that a build made it."""
        self._is_read = False
        self._indexes: WeakValueDictionary[str, Journal[StoreEntry]] = WeakValueDictionary()
        """Of the fingerprints whose images are being added, for the threads that add to the same one."""
        self.has_grown = False
        """Whether this process kept anything that was not there before."""

    def put(self, data: bytes) -> str:
        """Keep the bytes; return their sha256. Raises OSError."""
        sha256 = hashlib.sha256(data).hexdigest()
        if self.get(sha256) is None:
            self.has_grown = True
            replace_file(self.path(sha256), data, self.temporary)
        return sha256

    def get(self, sha256: str) -> bytes | None:
        """Return the bytes of that hash, checked; None if there are none, or they are damaged."""
        data = self.peek(sha256)
        if data is not None:
            os.utime(self.path(sha256))  # what was used last is pruned last
        return data

    def peek(self, sha256: str) -> bytes | None:
        """Return the bytes of that hash, checked, without marking them as used: nothing is written."""
        try:
            data = self.path(sha256).read_bytes()
        except OSError:
            return None
        return data if hashlib.sha256(data).hexdigest() == sha256 else None

    def has(self, sha256: str) -> bool:
        """Whether there is a blob of that hash, unchecked."""
        return bool(sha256) and self.path(sha256).exists()

    def is_ours(self, sha256: str) -> bool:
        """Whether there is a blob of that hash that a build made: not one that somebody made or changed."""
        if not self.has(sha256):
            return False
        # blobs without entries predate the index
        return self._read_index().get(sha256, True)

    def is_listed(self, sha256: str) -> bool:
        """Whether an entry has a blob of that hash."""
        return sha256 in self._read_index()

    def _read_index(self) -> Mapping[str, bool]:
        """Of each blob in the index, whether a build made it. All of it is read once in a run."""
        with self._mutex:
            if not self._is_read:
                self._is_read = True
                for entry in self.all_entries():
                    self._note(entry)
            return self._made_here

    def forget(self) -> None:
        """Read the index again when it is needed: another build may have written since."""
        with self._mutex:
            self._is_read = False

    def _note(self, entry: StoreEntry) -> None:
        self._made_here[entry.sha256] = self._made_here.get(entry.sha256, False) or not entry.by_hand

    def add(self, entry: StoreEntry) -> None:
        """Index an image whose blob is there already. Raises OSError."""
        self._shared_index(entry.fingerprint).append(entry)
        with self._mutex:
            if self._is_read:  # else it is read with all others
                self._note(entry)

    def drop(self, entry: StoreEntry) -> None:
        """Remove an image from the index, as if it had not been added; its blob stays. Raises OSError."""
        index = self._shared_index(entry.fingerprint)
        index.leave_out(lambda one: one.sha256 == entry.sha256, self.temporary)

    def _shared_index(self, fingerprint: str) -> Journal[StoreEntry]:
        """Return the index of a fingerprint that all threads share which write to it at the same time."""
        with self._mutex:
            return self._indexes.setdefault(fingerprint, self._index(fingerprint))

    def entries(self, fingerprint: str) -> list[StoreEntry]:
        """Return the images made for a fingerprint, newest first. Lines that cannot be read are passed over."""
        try:
            return self._index(fingerprint).read().entries[::-1]
        except OSError:
            return []

    def all_entries(self) -> Iterator[StoreEntry]:
        """Return every entry, in no order."""
        for path, _ in self.index_files():
            yield from self.read_entries(path)

    def index_files(self) -> Iterator[tuple[str, os.stat_result]]:
        """Return each file of the index, its path below the store's folder, and its stat."""
        for name in _list_names(self.folder / "index"):
            folder = f"index/{name}"
            with contextlib.suppress(OSError), os.scandir(self.folder / folder) as found:
                for entry in found:
                    if entry.name.endswith(".jsonl"):
                        with contextlib.suppress(FileNotFoundError):
                            yield f"{folder}/{entry.name}", entry.stat()

    def read_entries(self, path: str) -> list[StoreEntry]:
        """Return the entries in a file of the index; none if it cannot be read."""
        try:
            with open(f"{self.folder}/{path}", "rb", buffering=0) as file:  # noqa: PTH123 - there may be thousands
                lines = file.read().splitlines()
        except OSError:
            return []
        return [entry for line in lines if (entry := _parse_or_none(line))]

    def prune(self, bound: int, needed: Collection[str], *, only_look: bool = False) -> int:
        """Remove the least recently used blobs until all take at most `bound` bytes; the bytes freed.

        needed: the sha256 of those that stay, whatever they take. only_look: nothing is removed; the bytes that would
        be.
        """
        excess = sum(stat.st_size for _, stat in self.blobs()) - bound
        freed = 0
        if excess <= 0:
            return freed
        blobs = sorted((stat.st_mtime_ns, stat.st_size, path) for path, stat in self.blobs())
        for _, size, path in blobs:
            if freed >= excess:
                break
            if path.name in needed:
                continue
            if not only_look:
                path.unlink(missing_ok=True)
            freed += size
        return freed

    def blobs(self) -> Iterator[tuple[Path, os.stat_result]]:
        """Return each blob's file and its stat."""
        for folder in sorted((self.folder / "blobs").glob("??")):
            with os.scandir(folder) as found:
                for entry in found:
                    yield Path(entry.path), entry.stat()

    def path(self, sha256: str) -> Path:
        """Return the file that has the bytes of that hash, if there are any."""
        return self.folder / "blobs" / sha256[:2] / sha256

    def _index(self, fingerprint: str) -> Journal[StoreEntry]:
        return Journal(self.folder / "index" / fingerprint[:2] / f"{fingerprint}.jsonl", _parse, _dump)


def _parse_or_none(line: bytes) -> StoreEntry | None:
    try:
        return _parse(line)
    except (ValueError, TypeError, KeyError, AttributeError):  # it is passed over, as a journal does
        return None


def _list_names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)  # noqa: PTH208 - a Path for each name costs more than the rest
    except OSError:
        return []


_ABSENT: Mapping[str, Any] = {
    "model_digest": None,
    "encoding": None,
    "facts": {},
    "name": "",
    "request": {},
    "by_hand": False,
}
"""What a field is that is left out of an entry's line."""


def _dump(entry: StoreEntry) -> bytes:
    fields = {name: value for name, value in vars(entry).items() if value != _ABSENT.get(name)}
    if entry.encoding:
        fields["encoding"] = vars(entry.encoding)
    if entry.request:
        fields["request"] = dict(entry.request)
    try:
        text = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    except (TypeError, ValueError):  # the image is worth more than what a faulty backend says of it
        text = json.dumps(fields | {"facts": {}}, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode("utf-8", "backslashreplace")  # half of a surrogate pair, which JSON writes just so


def _parse(line: bytes) -> StoreEntry:
    fields = json.loads(line)
    encoding = Encoding(**fields.pop("encoding")) if "encoding" in fields else None
    entry = StoreEntry(**({"model_digest": None, "encoding": encoding} | fields))
    # of an image that a faulty backend made, which is worth no less
    digest = None if entry.model_digest is None else str(entry.model_digest)
    seconds = entry.seconds if entry.seconds >= 0 else 0.0
    return replace(entry, model_digest=digest, backend_version=str(entry.backend_version), seconds=seconds)
