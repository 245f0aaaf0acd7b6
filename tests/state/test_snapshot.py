"""What a snapshot rests on."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from imagegen.state.details import Details, JobDetails, PartResult
from imagegen.state.hashes import stat_key
from imagegen.state.snapshot import FreshJob, Snapshot, read_snapshot, write_snapshot
from imagegen.state.snapshot_files import SnapshotFiles, _pack, _unpack
from imagegen.state.snapshot_header import count_fresh
from imagegen.state.snapshot_key import package_mtime_ns, snapshot_key

OLD = time.time_ns() - 10**12


@pytest.mark.parametrize("folder", [".", "plan", "backends/comfyui"])
def test_a_package_that_was_pulled_is_another_one(tmp_path: Path, folder: str) -> None:
    for name in ("plan/__pycache__", "backends/comfyui"):
        (tmp_path / name).mkdir(parents=True)
    for path in (tmp_path, *tmp_path.rglob("*")):
        os.utime(path, (1, 1))
    before = package_mtime_ns(str(tmp_path))
    (tmp_path / "plan/__pycache__/x.pyc").touch()
    assert package_mtime_ns(str(tmp_path)) == before
    (tmp_path / folder / "new.py").touch()
    assert package_mtime_ns(str(tmp_path)) > before


def test_where_the_project_and_the_users_own_folder_are_is_in_the_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Models are looked for in both."""
    keys = {snapshot_key(tmp_path / name, {}, ()) for name in ("here", "there")}
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    keys.add(snapshot_key(tmp_path / "here", {}, ()))
    assert len(keys) == 3


def test_the_review_file_of_a_job_is_not_in_the_key_and_one_without_a_job_is(tmp_path: Path) -> None:
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs/icons.yaml").touch()
    before = snapshot_key(tmp_path, {}, ())
    (tmp_path / "jobs/icons.review").touch()
    assert snapshot_key(tmp_path, {}, ()) == before, "a mark decides no plan"
    (tmp_path / "jobs/others.review").touch()
    assert snapshot_key(tmp_path, {}, ()) != before, "somebody should be told"


@pytest.mark.parametrize("module", ["plug/drawing.py", "plug/__init__.py", "plug.py"])
def test_a_package_with_a_backend_that_is_written_to_is_another_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    """Whoever develops one has it installed to be edited."""
    (tmp_path / "plug-1.dist-info").mkdir()
    (tmp_path / "plug-1.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: plug\nVersion: 1\n")
    (tmp_path / "plug-1.dist-info/entry_points.txt").write_text("[imagegen.backends]\nplug = plug:Plug\n")
    file = tmp_path / module
    file.parent.mkdir(exist_ok=True)
    for path in (file, *([file.with_name("__init__.py")] if "/" in module else [])):
        path.touch()
        os.utime(path, ns=(OLD, OLD))
    monkeypatch.syspath_prepend(str(tmp_path))
    before = snapshot_key(tmp_path, {}, ())
    assert snapshot_key(tmp_path, {}, ()) == before
    os.utime(file, ns=(OLD, OLD + 1))
    assert snapshot_key(tmp_path, {}, ()) != before


def put(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    os.utime(path, ns=(OLD, OLD))
    return path


@pytest.fixture
def snapshot(tmp_path: Path) -> Snapshot:
    files = {name: stat_key(put(tmp_path / name, b"data")) for name in ("j.yaml", "a.png")}
    job = JobDetails("jobs/j.yaml", "j", "{}", ["{}"], notes={"b": "accepted"})
    job.results = [PartResult({"a": "a.png", "b": "b.png"})]
    jobs = (FreshJob("j", "a job", 2, job),)
    kept = SnapshotFiles({}).replaced((), files | {"j.lock": None})
    return Snapshot("key", jobs, kept, Details({job.file: job}))


def write(root: Path, snapshot: Snapshot) -> bool:
    return write_snapshot(root, snapshot, (), root / "tmp")


def read(root: Path, key: str = "key") -> Snapshot | None:
    return read_snapshot(root, key)


def test_it_holds_while_nothing_changes(tmp_path: Path, snapshot: Snapshot) -> None:
    assert read(tmp_path) is None
    assert write(tmp_path, snapshot)
    found = read(tmp_path)
    assert found is not None
    assert [(job.task, job.description, job.count, job.outputs) for job in found.jobs] == [
        ("j", "a job", 2, {"a": "a.png", "b": "b.png (accepted)"})
    ]
    assert found.jobs[0].outputs is found.jobs[0].outputs, "doit asks once for each of them"
    assert read(tmp_path, "another key") is None


@pytest.mark.parametrize(
    "change",
    [
        lambda root: put(root / "a.png", b"longer data"),
        lambda root: os.utime(root / "a.png", ns=(OLD + 1, OLD + 1)),
        lambda root: (root / "a.png").unlink(),
        lambda root: put(root / "j.lock", b""),
        lambda root: put(root / "new", b"data").replace(root / "a.png"),
        lambda root: (root / ".imagegen/cache/snapshot.json").write_bytes(b"{"),
        lambda root: (root / ".imagegen/cache/snapshot.json").write_bytes(
            b'{"version": 4, "key": "key", "folders": {}}'
        ),
    ],
)
def test_any_change_ends_it(tmp_path: Path, snapshot: Snapshot, change: Callable[[Path], object]) -> None:
    write_current(tmp_path, snapshot)
    assert count_fresh(tmp_path) == 2
    change(tmp_path)
    assert count_fresh(tmp_path) is None
    found = read_snapshot(tmp_path, snapshot_key(tmp_path, {}, ()))
    assert found is None or found.changed


def test_it_says_which_files_changed(tmp_path: Path, snapshot: Snapshot) -> None:
    write(tmp_path, snapshot)
    put(tmp_path / "j.lock", b"")
    (tmp_path / "a.png").unlink()
    found = read(tmp_path)
    assert found is not None
    assert sorted(found.changed) == ["a.png", "j.lock"]
    assert found.files == snapshot.files


def write_current(root: Path, snapshot: Snapshot) -> None:
    """As a run does: with the key of everything else, and no model."""
    assert write(root, replace(snapshot, key=snapshot_key(root, {}, ())))


@pytest.mark.parametrize("inode", [0, 2**63, 2**64 - 1])
def test_a_file_may_have_any_inode_and_a_time_before_1970(inode: int) -> None:
    """Network file systems make inodes of 64 bits."""
    key = (7, -(10**18), inode, 10**18)
    assert _unpack(_pack([key, None])) == [key, None]


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("new.yaml", True),
        ("notes.txt", True),  # it is said that it is not a job
        (".hidden.yaml", True),  # likewise
        ("gone.lock", True),  # it may record the images of a job that was renamed
        ("_kin.lock", True),
        ("kin.lock", False),  # the run itself writes it
        ("image.lock", False),  # so does one that makes an image of no job
        ("kin.yaml~", False),
        (".kin.yaml.swp", False),
        (".#kin.yaml", False),
    ],
)
def test_what_may_be_taken_for_a_job_ends_it(tmp_path: Path, name: str, counts: bool) -> None:
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs/kin.yaml").touch()
    (tmp_path / "jobs/_kin.yaml").touch()
    before = snapshot_key(tmp_path, {}, ())
    (tmp_path / "jobs" / name).touch()
    assert (snapshot_key(tmp_path, {}, ()) != before) is counts


def test_settings_are_in_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = {snapshot_key(tmp_path, {}, ()), snapshot_key(tmp_path, {"backend": "sd"}, ())}
    monkeypatch.setenv("IMAGEGEN_BACKEND", "sd")
    keys.add(snapshot_key(tmp_path, {}, ["IMAGEGEN_BACKEND"]))
    (tmp_path / "pyproject.toml").write_text("[tool.imagegen]")
    keys.add(snapshot_key(tmp_path, {}, ()))
    assert len(keys) == 4


def test_a_file_that_changed_before_it_was_written_is_one_that_has_changed(tmp_path: Path, snapshot: Snapshot) -> None:
    put(tmp_path / "a.png", b"other data")
    assert write(tmp_path, snapshot)
    found = read(tmp_path)
    assert found is not None
    assert found.changed == ("a.png",)


def test_files_are_replaced_and_left_out(snapshot: Snapshot) -> None:
    now = snapshot.files.replaced(["a.png", "b/none"], {"b/new.png": (1, 2, 3, 4), "j.lock": (5, 6, 7, 8)})
    assert dict(now) == {"j.yaml": snapshot.files["j.yaml"], "j.lock": (5, 6, 7, 8), "b/new.png": (1, 2, 3, 4)}
    assert len(now) == 3
    assert "a.png" not in now
    assert len(now.replaced([*now], {})) == 0


def test_it_waits_for_the_clock_to_tick_after_a_file_was_written(tmp_path: Path, snapshot: Snapshot) -> None:
    (tmp_path / "a.png").write_bytes(b"just now")
    files = snapshot.files.replaced((), {"a.png": stat_key(tmp_path / "a.png")})
    assert write(tmp_path, replace(snapshot, files=files))
    with (tmp_path / "a.png").open("r+b") as file:
        file.write(b"soon aft")
    found = read(tmp_path)
    assert found is not None
    assert found.changed == ("a.png",)


def test_a_file_that_is_dated_in_the_future_can_be_in_it(tmp_path: Path, snapshot: Snapshot) -> None:
    future = time.time_ns() + 10**13
    os.utime(tmp_path / "a.png", ns=(future, future))
    assert write(
        tmp_path, replace(snapshot, files=SnapshotFiles({}).replaced((), {"a.png": stat_key(tmp_path / "a.png")}))
    )
    (tmp_path / "a.png").write_bytes(b"date")
    found = read(tmp_path)
    assert found is not None
    assert found.changed == ("a.png",)


def test_a_file_of_a_server_whose_clock_is_ahead_is_not_trusted(tmp_path: Path, snapshot: Snapshot) -> None:
    ahead = time.time_ns() + 10**10
    files = SnapshotFiles({}).replaced((), {"a.png": (4, ahead, 7, ahead)})
    assert not write(tmp_path, replace(snapshot, files=files))


def test_keys_that_are_damaged_say_nothing(tmp_path: Path, snapshot: Snapshot) -> None:
    write_current(tmp_path, snapshot)
    file = tmp_path / ".imagegen/cache/snapshot.json"
    first, _, rest = file.read_bytes().partition(b"\n")
    header = json.loads(first)
    header["folders"][""][1] = header["folders"][""][1][:-4]
    file.write_bytes(json.dumps(header).encode() + b"\n" + rest)
    assert count_fresh(tmp_path) is None
    assert read_snapshot(tmp_path, snapshot_key(tmp_path, {}, ())) is None
