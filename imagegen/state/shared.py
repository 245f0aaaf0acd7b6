"""A store shared with others, through fsspec: images by sha256, and for each an entry by fingerprint.

    blobs/ab/SHA256                                 what a backend returned
    index/ab/FINGERPRINT-SHA256.json                one entry; the sha256 is of the entry's own bytes
    tmp/                                            what is being written, where there are real folders

Each file is written once, whole, and never changed: nothing is appended, and nobody needs a lock. A blob is there
before its entry. What is read was written by others: it is data, bounded and checked, and no path comes from it.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import re
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import PurePosixPath
from typing import Any

__all__ = ["MOST_BYTES", "Folders", "SharedEntry", "SharedStore"]

VERSION = 1
"""Of an entry's format. Entries of a later version are passed over."""
MOST_BYTES = 256 * 1024**2
"""Of an image, as for those that servers send."""
_MOST_ENTRY_BYTES = 4096
_MOST_ENTRIES = 100
"""That are read for one fingerprint: with `-a` there can be several, and this many only where somebody means harm."""
_LONGEST_TEXT = 200


@dataclass(frozen=True)
class SharedEntry:
    """One image that somebody's backend made for a fingerprint; the fields are those of `state.store.StoreEntry`."""

    fingerprint: str
    sha256: str
    model_digest: str | None
    backend_version: str
    seconds: float
    time: str


@dataclass(frozen=True)
class Folders:
    """What a file system with real folders has besides.

    mode: the permissions of the store's own folder: who may use that may use what is made in it. move: gives a file
    another name in one step, and replaces what had that.
    """

    mode: int
    chmod: Callable[[str, int], object]
    move: Callable[[str, str], object]


@dataclass
class SharedStore:
    """What is at `root` of an fsspec file system. Raises what that raises: mostly OSError, but a library's own as well.

    files: the file system, which keeps no listings. at_once: how many may use it at a time. folders: None where there
    are none, and a file is there as soon as it is whole, as in an object store.
    odd: what was passed over because it is not as it should be; each a sentence.
    """

    files: Any
    root: str
    at_once: int = 8
    folders: Folders | None = None
    odd: list[str] = field(default_factory=list)
    _listed: dict[str, dict[str, list[str]]] = field(default_factory=dict)

    def entries(self, fingerprint: str) -> list[SharedEntry]:
        """The images that were made for a fingerprint, newest first. Listed once for all that begin alike."""
        found = []
        for name in self._names(fingerprint)[:_MOST_ENTRIES]:
            raw = self._read(f"index/{fingerprint[:2]}/{name}", _MOST_ENTRY_BYTES)
            if raw is None:
                continue
            try:
                if hashlib.sha256(raw).hexdigest() != name[65:129]:
                    raise ValueError("its bytes are not those of its name")
                entry = _parse(raw)
                if entry.fingerprint != fingerprint:
                    raise ValueError("it is of another fingerprint")
                found.append(entry)
            except ValueError as error:
                self.odd.append(f"the entry {name[:12]}… cannot be used: {error}")
        return sorted(found, key=lambda entry: entry.time, reverse=True)

    def fetch(self, sha256: str) -> bytes | None:
        """The image of that hash, checked; None where there is none, or another one."""
        data = self._read(_blob(sha256), MOST_BYTES)
        if data is not None and hashlib.sha256(data).hexdigest() != sha256:
            self.odd.append(f"the image {sha256[:12]}… has gone bad: its bytes are not those of its name")
            return None
        return data

    def put(self, entry: SharedEntry, data: bytes) -> None:
        """The image, then its entry. What is there already is the same, but for an image that has gone bad."""
        self.put_image(entry.sha256, data)
        raw = _dump(entry)
        self._write(f"index/{entry.fingerprint[:2]}/{_name(entry, raw)}", raw)

    def has(self, entry: SharedEntry, size: int) -> bool:
        """Whether this entry is there, and a file of its image's size, in bytes: somebody may have made room."""
        is_listed = _name(entry, _dump(entry)) in self._names(entry.fingerprint)
        return is_listed and self._size(_blob(entry.sha256)) == size

    def put_image(self, sha256: str, data: bytes) -> None:
        """The image without an entry: who asks for it knows its hash. One that has gone bad is replaced."""
        self._write(_blob(sha256), data)

    def _names(self, fingerprint: str) -> list[str]:
        start = fingerprint[:2]
        if start not in self._listed:
            try:
                paths = self.files.ls(f"{self.root}/index/{start}", detail=False)
            except FileNotFoundError:
                paths = []
            by_fingerprint: dict[str, list[str]] = {}
            for name in sorted(PurePosixPath(path).name for path in paths):
                if _ENTRY.fullmatch(name):
                    by_fingerprint.setdefault(name[:64], []).append(name)
            self._listed[start] = by_fingerprint
        return self._listed[start].get(fingerprint, [])

    def _read(self, path: str, most: int) -> bytes | None:
        """At most so many bytes; None where there is none, or it cannot be read while others can."""
        try:
            data: bytes = self.files.cat_file(f"{self.root}/{path}", start=0, end=most + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            # one that its writer's umask closed, a folder of this name, or what S3 says of a file with nothing in it
            if not isinstance(error, (PermissionError, IsADirectoryError)) and error.errno != errno.EINVAL:
                raise
            self.odd.append(f"{path[:21]}… cannot be read: {error.strerror or error}")
            return None
        if len(data) > most:
            self.odd.append(f"{path[:21]}… is larger than {most:,} bytes")
            return None
        return data

    def _size(self, path: str) -> int:
        """In bytes; -1 where it is not there."""
        try:
            return int(self.files.info(f"{self.root}/{path}")["size"])
        except FileNotFoundError:
            return -1

    def _write(self, path: str, data: bytes) -> None:
        """Whole, or not at all under this name."""
        if self.folders is None:  # to ask whether it is there takes as long
            self.files.pipe_file(f"{self.root}/{path}", data)
            return
        if self._size(path) == len(data) and self._read(path, MOST_BYTES) == data:
            return
        temporary = f"tmp/{uuid.uuid4().hex}.tmp"
        self._make_folder_of(temporary, self.folders)
        self._make_folder_of(path, self.folders)
        try:
            self.files.pipe_file(f"{self.root}/{temporary}", data)
            _open_up(f"{self.root}/{temporary}", self.folders.mode & 0o666, self.folders)
            self.folders.move(f"{self.root}/{temporary}", f"{self.root}/{path}")
        except BaseException:
            with contextlib.suppress(Exception):
                self.files.rm_file(f"{self.root}/{temporary}")
            raise

    def _make_folder_of(self, path: str, folders: Folders) -> None:
        """Below `root`, which is never made itself: where it is gone, the share is not mounted."""
        folder = self.root
        for part in path.split("/")[:-1]:
            folder = f"{folder}/{part}"
            if self.files.isdir(folder):
                continue
            try:
                self.files.mkdir(folder, create_parents=False)
            except OSError:
                if not self.files.isdir(folder):  # else somebody was faster
                    raise
            else:
                _open_up(folder, folders.mode, folders)


def _open_up(path: str, mode: int, folders: Folders) -> None:
    """Whatever this one's umask: others are to read it, and to write beside it."""
    with contextlib.suppress(OSError):  # not every file system has permissions
        folders.chmod(path, mode)


_ENTRY = re.compile(r"[0-9a-f]{64}-[0-9a-f]{64}\.json")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z")


def _blob(sha256: str) -> str:
    return f"blobs/{sha256[:2]}/{sha256}"


def _dump(entry: SharedEntry) -> bytes:
    fields = {"v": VERSION, **asdict(entry)}
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode("utf-8")


def _name(entry: SharedEntry, raw: bytes) -> str:
    return f"{entry.fingerprint}-{hashlib.sha256(raw).hexdigest()}.json"


def _parse(raw: bytes) -> SharedEntry:
    """Raises ValueError with what is wrong."""
    try:
        fields = json.loads(raw)
    except (ValueError, RecursionError):
        raise ValueError("it is no JSON") from None
    if not isinstance(fields, dict) or type(version := fields.pop("v", None)) is not int:
        raise ValueError("it has no version 'v'")
    if version > VERSION:
        raise ValueError(f"it was written by a newer imagegen (format {version})")
    if fields.keys() != _CHECKS.keys():
        raise ValueError("its fields are not those of an entry")
    for name, is_right in _CHECKS.items():
        if not is_right(fields[name]):
            raise ValueError(f"its '{name}' is {json.dumps(fields[name])[:40]}")
    return SharedEntry(**fields)


def _is(pattern: re.Pattern[str]) -> Callable[[object], bool]:
    return lambda value: isinstance(value, str) and bool(pattern.fullmatch(value))


def _is_line(value: object) -> bool:
    """It goes into lock files and images."""
    return isinstance(value, str) and len(value) <= _LONGEST_TEXT and value.isprintable()


_CHECKS: dict[str, Callable[[Any], bool]] = {
    "fingerprint": _is(_SHA256),
    "sha256": _is(_SHA256),
    "model_digest": lambda value: value is None or _is_line(value),
    "backend_version": _is_line,
    "seconds": lambda value: type(value) in (int, float) and 0 <= value < 1e7,
    "time": _is(_TIME),
}
