from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from imagegen.config.job import Encoding
from imagegen.state.store import Store, StoreEntry

ENTRY = StoreEntry("f" * 64, "", "digest", "1", 0.5, "2026-01-01T00:00:00Z", None, {"device": "cpu"})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store", tmp_path / "tmp")


def blob(store: Store, sha256: str) -> Path:
    return store.folder / "blobs" / sha256[:2] / sha256


def test_what_is_put_comes_back(store: Store) -> None:
    sha256 = store.put(b"data")
    assert (store.get(sha256), store.has(sha256)) == (b"data", True)
    assert (store.get("0" * 64), store.has("0" * 64), store.has("")) == (None, False, False)


def test_a_flipped_bit_is_noticed_and_mended_by_the_next_put(store: Store) -> None:
    sha256 = store.put(b"data")
    blob(store, sha256).write_bytes(b"dat4")
    assert store.get(sha256) is None
    assert store.put(b"data") == sha256
    assert store.get(sha256) == b"data"


def test_entries_come_newest_first_and_whole(store: Store) -> None:
    entries = [replace(ENTRY, sha256=store.put(data)) for data in (b"one", b"two")]
    entries.append(replace(ENTRY, sha256="cc", encoding=Encoding("webp", 90), model_digest=None, facts={}))
    for entry in entries:
        store.add(entry)
    assert store.entries(ENTRY.fingerprint) == entries[::-1]
    assert store.entries("0" * 64) == []


def test_an_entry_that_is_dropped_is_gone_and_its_blob_stays(store: Store) -> None:
    kept, dropped = (replace(ENTRY, sha256=store.put(data)) for data in (b"one", b"two"))
    store.add(kept)
    store.add(dropped)
    store.drop(dropped)
    assert store.entries(ENTRY.fingerprint) == [kept]
    assert store.get(dropped.sha256) == b"two"
    store.drop(kept)
    assert store.entries(ENTRY.fingerprint) == []


def test_a_torn_index_line_is_passed_over_and_harms_no_other(store: Store) -> None:
    store.add(replace(ENTRY, sha256="aa"))
    (index,) = (store.folder / "index").rglob("*.jsonl")
    index.write_bytes(index.read_bytes() + b'{"finger')
    assert [entry.sha256 for entry in store.entries(ENTRY.fingerprint)] == ["aa"]
    store.add(replace(ENTRY, sha256="bb"))
    assert [entry.sha256 for entry in store.entries(ENTRY.fingerprint)] == ["bb", "aa"]


def test_pruning_removes_what_was_used_longest_ago(store: Store) -> None:
    names = [store.put(bytes([n]) * 100) for n in range(5)]
    for age, name in enumerate(names):
        os.utime(blob(store, name), (1000 + age, 1000 + age))
    assert store.get(names[0]) is not None  # used now, so pruned last
    assert store.prune(250, ()) == 300
    assert [store.has(name) for name in names] == [True, False, False, False, True]
    assert store.prune(250, ()) == 0


def test_pruning_passes_over_what_is_needed_however_much_that_is(store: Store) -> None:
    names = [store.put(bytes([n]) * 100) for n in range(4)]
    for age, name in enumerate(names):
        os.utime(blob(store, name), (1000 + age, 1000 + age))
    assert store.prune(250, names[:1], only_look=True) == store.prune(250, names[:1]) == 200
    assert [store.has(name) for name in names] == [True, False, False, True]
    assert store.prune(0, names) == 0
