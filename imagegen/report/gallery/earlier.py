"""The earlier versions of each picture: what the store has of its output, read again as far as it has changed."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable

from imagegen.plan.record import OutputLine
from imagegen.report.gallery.picture import Version
from imagegen.report.gallery.provenance import provenance_of
from imagegen.state.hashes import NEVER, StatKey, is_conclusive, key_of
from imagegen.state.store import Store, StoreEntry

__all__ = ["MOST_EARLIER", "EarlierVersions"]

MOST_EARLIER = 8
"""Earlier versions of one picture that are shown: the newest ones. `.imagegen/store` has the others."""


class EarlierVersions:
    """What a store has of each output, and which of the images are there. `update` reads it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._files: dict[str, tuple[StatKey, list[StoreEntry]]] = {}
        """Of each file of the index, how it was when it was read, and its entries."""
        self._of_output: dict[str, list[StoreEntry]] = defaultdict(list)
        self._blobs: dict[str, tuple[StatKey, frozenset[str]]] = {}
        """Of each folder of blobs likewise."""

    def update(self) -> tuple[set[str], set[str]]:
        """Read what has changed. Return the outputs and the images of which the store says something else now."""
        images = self._list_blobs()
        names = {name for name, entries in self._of_output.items() if any(one.sha256 in images for one in entries)}
        gone = set(self._files)
        for path, found in self._store.index_files():
            gone.discard(path)
            key = key_of(found)
            if path not in self._files or self._files[path][0] != key:
                entries = self._store.read_entries(path)
                names |= self._replace(path, entries)
                images.update(entry.sha256 for entry in entries)
                self._files[path] = (key if is_conclusive(key) else NEVER), entries
        for path in gone:
            names |= self._replace(path, [])
            images.update(entry.sha256 for entry in self._files.pop(path)[1])
        return names, images

    def of(self, name: str, line: OutputLine | None) -> tuple[Version, ...]:
        """Return the versions, newest first, without the one that `line` records, and each image once."""
        entries = sorted(self._of_output.get(name, ()), key=lambda entry: (entry.time, entry.sha256), reverse=True)
        now = (line.fingerprint, line.time) if line else None
        seen = {entry.sha256 for entry in entries if (entry.fingerprint, entry.time) == now}
        times = {now}
        versions = []
        for entry in entries:
            made = (entry.fingerprint, entry.time)  # the same for what a backend returned and for the file it became
            if made != now and not self._has(entry.sha256):
                continue
            if made not in times and entry.sha256 not in seen:
                versions.append(Version(entry.sha256, provenance_of(entry, entry.request)))
            times.add(made)
            seen.add(entry.sha256)
        return tuple(versions[:MOST_EARLIER])

    def _has(self, sha256: str) -> bool:
        _, names = self._blobs.get(sha256[:2], (NEVER, frozenset()))
        return sha256 in names

    def _replace(self, path: str, entries: Iterable[StoreEntry]) -> set[str]:
        """Put entries in the place of those of a file of the index. Return the names of both."""
        _, before = self._files.get(path, (NEVER, []))
        old, new = ({entry.name for entry in some if entry.name} for some in (before, entries))
        for name in old:
            self._of_output[name] = [
                entry for entry in self._of_output[name] if not any(entry is one for one in before)
            ]
        for entry in entries:
            if entry.name:
                self._of_output[entry.name].append(entry)
        return old | new

    def _list_blobs(self) -> set[str]:
        """List the folders of blobs that have changed. Return the blobs that came or went."""
        changed: set[str] = set()
        now = dict(self._blob_folders())
        for folder in self._blobs.keys() - now.keys():
            changed |= self._blobs.pop(folder)[1]
        for folder, key in now.items():
            old, names = self._blobs.get(folder, (NEVER, frozenset()))
            if old != key:
                found = frozenset(os.listdir(self._store.folder / "blobs" / folder))  # noqa: PTH208 - only names
                changed |= names ^ found
                self._blobs[folder] = key, found
        return changed

    def _blob_folders(self) -> Iterable[tuple[str, StatKey]]:
        """Yield the folders of blobs; NEVER for one that can still change unnoticed."""
        try:
            with os.scandir(self._store.folder / "blobs") as found:
                for entry in found:
                    key = key_of(entry.stat())
                    yield entry.name, key if is_conclusive(key) else NEVER
        except FileNotFoundError:
            return
