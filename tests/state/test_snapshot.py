from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from imagegen.state.hashes import stat_key
from imagegen.state.snapshot import FreshJob, Snapshot, read_snapshot, write_snapshot

OLD = time.time_ns() - 10**12


def put(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    os.utime(path, ns=(OLD, OLD))
    return path


@pytest.fixture
def snapshot(tmp_path: Path) -> Snapshot:
    files = {name: stat_key(put(tmp_path / name, b"data")) for name in ("j.yaml", "a.png")}
    models = (({"backend": "b", "model": "m"}, ("aa",)),)
    return Snapshot("key", (FreshJob("j", "a job", {"a": "a.png", "b": "b.png"}),), files | {"j.lock": None}, models)


def write(root: Path, snapshot: Snapshot) -> bool:
    return write_snapshot(root, root / "cache/snapshot.json", snapshot, root / "tmp")


def read(root: Path, key: str = "key") -> Snapshot | None:
    return read_snapshot(root, root / "cache/snapshot.json", key)


def test_it_holds_while_nothing_changes(tmp_path: Path, snapshot: Snapshot) -> None:
    assert read(tmp_path) is None
    assert write(tmp_path, snapshot)
    found = read(tmp_path)
    assert found is not None
    assert (found.jobs, found.models) == (snapshot.jobs, snapshot.models)
    assert read(tmp_path, "another key") is None


@pytest.mark.parametrize(
    "change",
    [
        lambda root: put(root / "a.png", b"longer data"),
        lambda root: os.utime(root / "a.png", ns=(OLD + 1, OLD + 1)),
        lambda root: (root / "a.png").unlink(),
        lambda root: put(root / "j.lock", b""),
        lambda root: put(root / "new", b"data").replace(root / "a.png"),
        lambda root: (root / "cache/snapshot.json").write_bytes(b"{"),
        lambda root: (root / "cache/snapshot.json").write_bytes(b'{"version": 2, "key": "key", "folders": {}}'),
    ],
)
def test_any_change_ends_it(tmp_path: Path, snapshot: Snapshot, change: Callable[[Path], object]) -> None:
    write(tmp_path, snapshot)
    change(tmp_path)
    assert read(tmp_path) is None


def test_it_is_not_taken_of_files_that_changed_since_they_were_read(tmp_path: Path, snapshot: Snapshot) -> None:
    put(tmp_path / "a.png", b"other data")
    assert not write(tmp_path, snapshot)
    assert read(tmp_path) is None


def test_it_waits_for_the_clock_to_tick_after_a_file_was_written(tmp_path: Path, snapshot: Snapshot) -> None:
    (tmp_path / "a.png").write_bytes(b"just now")
    files = {**snapshot.files, "a.png": stat_key(tmp_path / "a.png")}
    assert write(tmp_path, Snapshot("key", snapshot.jobs, files))
    with (tmp_path / "a.png").open("r+b") as file:
        file.write(b"soon aft")
    assert read(tmp_path) is None


def test_a_file_from_the_future_is_never_trusted(tmp_path: Path, snapshot: Snapshot) -> None:
    future = time.time_ns() + 10**12
    os.utime(tmp_path / "a.png", ns=(future, future))
    assert not write(tmp_path, Snapshot("key", snapshot.jobs, {"a.png": stat_key(tmp_path / "a.png")}))
