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
import importlib.util
import json
import os
import re
import stat
import sys
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import PurePosixPath
from typing import Any

from imagegen.config.setting_types import StoreUrl, read_store_url

__all__ = [
    "MOST_BYTES",
    "Folders",
    "SharedEntry",
    "SharedStore",
    "missing_package",
    "open_shared",
]


VERSION = 1
"""Of an entry's format. Entries of a later version are passed over."""
MOST_BYTES = 256 * 1024**2
"""Of an image, as for those that servers send."""
_MOST_ENTRY_BYTES = 4096
_MOST_ENTRIES = 100
"""How many are read for one fingerprint: with `-a` there can be several, and this many only if somebody means harm."""
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
    """What a file system with real folders needs besides."""

    mode: int  # permissions of the store's own folder: who may use that may use what is in it
    chmod: Callable[[str, int], object]
    move: Callable[[str, str], object]  # renames a file in one step, replacing what had that name


@dataclass
class SharedStore:
    """What is at `root` of an fsspec file system. Raises OSError, and the library's own errors."""

    files: Any  # the file system, which keeps no listings
    root: str
    at_once: int = 8  # how many may use it at a time
    folders: Folders | None = None  # None in an object store, where a file is there once it is whole
    odd: list[str] = field(default_factory=list)  # what cannot be used and was passed over, each a sentence
    _listed: dict[str, dict[str, list[str]]] = field(default_factory=dict)

    def entries(self, fingerprint: str) -> list[SharedEntry]:
        """Return the images generated for a fingerprint, newest first. All that begin alike are listed once."""
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
        """Return the image of that hash, checked; None if there is none, or it is damaged."""
        data = self._read(_blob(sha256), MOST_BYTES)
        if data is not None and hashlib.sha256(data).hexdigest() != sha256:
            self.odd.append(f"the image {sha256[:12]}… is damaged: its bytes are not those of its name")
            return None
        return data

    def put(self, entry: SharedEntry, data: bytes) -> None:
        """Write the image, then its entry. A damaged image is replaced; anything else that is there is the same."""
        self.put_image(entry.sha256, data)
        raw = _dump(entry)
        self._write(f"index/{entry.fingerprint[:2]}/{_name(entry, raw)}", raw)

    def has(self, entry: SharedEntry, size: int) -> bool:
        """Return whether the entry is there, and a file of its image's size (bytes): somebody may have made room."""
        is_listed = _name(entry, _dump(entry)) in self._names(entry.fingerprint)
        return is_listed and self._size(_blob(entry.sha256)) == size

    def put_image(self, sha256: str, data: bytes) -> None:
        """Write the image without an entry: who asks for it knows its hash. A damaged one is replaced."""
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
        """Return at most so many bytes; None if there is no file, or it cannot be read while others can."""
        try:
            data: bytes = self.files.cat_file(f"{self.root}/{path}", start=0, end=most + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            # its writer's umask closed it, it is a folder, or (EINVAL) S3 says so of an empty file
            if not isinstance(error, (PermissionError, IsADirectoryError)) and error.errno != errno.EINVAL:
                raise
            self.odd.append(f"{path[:21]}… cannot be read: {error.strerror or error}")
            return None
        if len(data) > most:
            self.odd.append(f"{path[:21]}… is larger than {most:,} bytes")
            return None
        return data

    def _size(self, path: str) -> int:
        """Return its size in bytes; -1 if it is not there."""
        try:
            return int(self.files.info(f"{self.root}/{path}")["size"])
        except FileNotFoundError:
            return -1

    def _write(self, path: str, data: bytes) -> None:
        """Write the file whole, or not at all under this name."""
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
            _set_mode(f"{self.root}/{temporary}", self.folders.mode & 0o666, self.folders)
            self.folders.move(f"{self.root}/{temporary}", f"{self.root}/{path}")
        except BaseException:
            with contextlib.suppress(Exception):
                self.files.rm_file(f"{self.root}/{temporary}")
            raise

    def _make_folder_of(self, path: str, folders: Folders) -> None:
        """Make the folders below `root`, but never `root` itself: if that is gone, the share is not mounted."""
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
                _set_mode(folder, folders.mode, folders)


def _set_mode(path: str, mode: int, folders: Folders) -> None:
    """Set the mode whatever the umask: others read it, and write beside it."""
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
    """Return the entry. Raises ValueError with what is wrong."""
    try:
        fields = json.loads(raw)
    except (ValueError, RecursionError):
        raise ValueError("it is not valid JSON") from None
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
    """Return whether it is one line of text, as it goes into lock files and images."""
    return isinstance(value, str) and len(value) <= _LONGEST_TEXT and value.isprintable()


_CHECKS: dict[str, Callable[[Any], bool]] = {
    "fingerprint": _is(_SHA256),
    "sha256": _is(_SHA256),
    "model_digest": lambda value: value is None or _is_line(value),
    "backend_version": _is_line,
    "seconds": lambda value: type(value) in (int, float) and 0 <= value < 1e7,
    "time": _is(_TIME),
}


_CONNECT_S = 10.0
"""Seconds to reach a server."""


def missing_package(url: str) -> tuple[str, str] | None:
    """Return the package that the address needs and that is not installed, with the command that installs it."""
    pip = f"{sys.executable} -m pip install"
    if importlib.util.find_spec("fsspec") is None:
        return "fsspec", f"{pip} fsspec"
    package = {"s3": "s3fs", "ssh": "paramiko"}.get(read_store_url(url).protocol)
    if package is not None and importlib.util.find_spec(package) is None:
        return package, f"{pip} {package}"
    return None


def open_shared(url: str) -> SharedStore:
    """Open the shared store at this address. Raises as `SharedStore` does, or ModuleNotFoundError."""
    if missing := missing_package(url):
        package, command = missing
        raise ModuleNotFoundError(f"it needs the package {package}, which is not installed: {command}")
    address = read_store_url(url)
    return {"file": _file, "s3": _s3, "ssh": _ssh}[address.protocol](address)


def _file(address: StoreUrl) -> SharedStore:
    from fsspec.core import url_to_fs

    files, root = url_to_fs(f"file:///{address.folder}")
    mode = _mode(os.stat(root).st_mode, root)  # noqa: PTH116 - fsspec's paths are texts
    return SharedStore(files, root, folders=Folders(mode, os.chmod, os.replace))


def _mode(mode: int | None, root: str) -> int:
    """Return the permissions of a folder. Raises NotADirectoryError."""
    if mode is None or not stat.S_ISDIR(mode):
        raise NotADirectoryError(f"{root} is not a folder")
    return stat.S_IMODE(mode)


def _s3(address: StoreUrl) -> SharedStore:
    from fsspec.core import url_to_fs

    waits = {"connect_timeout": _CONNECT_S, "read_timeout": 30, "retries": {"max_attempts": 2}}
    url = f"s3://{address.bucket}/{address.folder}".rstrip("/")
    files, root = url_to_fs(url, skip_instance_cache=True, use_listings_cache=False, config_kwargs=waits)
    try:
        files.ls(root, detail=False)
    except FileNotFoundError as error:
        if error.__cause__ is not None:  # the server's own answer: there is no such bucket; else it is only empty
            raise
    return SharedStore(files, root)


def _ssh(address: StoreUrl) -> SharedStore:
    import logging

    import paramiko
    from fsspec.implementations.sftp import SFTPFileSystem

    class KnownHosts(SFTPFileSystem):  # type: ignore[misc]  # fsspec ships no types
        """Take only a server whose key is in ~/.ssh/known_hosts; fsspec by itself takes any key."""

        cachable = False

        def _connect(self) -> None:
            self.client = paramiko.SSHClient()
            self.client.load_system_host_keys()
            self.client.connect(self.host, **self.ssh_kwargs)
            self.ftp = self.client.open_sftp()

        def cat_file(self, path: str, start: int = 0, end: int | None = None, **_: Any) -> bytes:
            """Ask for the whole file at once: paramiko else waits for each 32 KiB before it asks for the next."""
            with self.ftp.open(path) as file:
                size = min(file.stat().st_size, sys.maxsize if end is None else end)
                file.prefetch(size)
                file.seek(start)
                found: bytes = file.read(size - start)
            return found

    # it logs each failure with a traceback, and raises it too: that is enough
    logging.getLogger("paramiko").addHandler(logging.NullHandler())
    user = {"username": address.user} if address.user else {}
    waits = dict.fromkeys(("timeout", "banner_timeout", "auth_timeout"), _CONNECT_S)
    files = KnownHosts(address.host, port=address.port, **user, **waits)
    root = f"/{address.folder}"
    # paramiko's SFTP client loses answers when several threads ask it at once
    folders = Folders(_mode(files.ftp.stat(root).st_mode, root), files.ftp.chmod, files.ftp.posix_rename)
    return SharedStore(files, root, at_once=1, folders=folders)
