"""What a snapshot rests on, besides the files that it holds, each with a build of a real project in this process."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import imagegen.tasks
from imagegen.backends.registry import registry
from imagegen.commands.build import Build
from imagegen.commands.command_line import Invocation
from imagegen.commands.up_to_date import (
    FreshJob,
    Snapshot,
    package_mtime_ns,
    read_snapshot,
    snapshot_key,
    write_snapshot,
)
from imagegen.config.settings import Settings
from imagegen.execute.decisions import record_decision
from imagegen.plan.record import REROLL
from imagegen.project import Project
from imagegen.state.hashes import stat_key

OLD = time.time_ns() - 10**12


def kin(**prompts: str) -> dict[str, Any]:
    """A job of two images, with these prompts."""
    items = [{"name": name, "prompt": prompt} for name, prompt in ({"yrr": "one", "okka": "two"} | prompts).items()]
    return {"backend": "scripted", "generate": {"width": 64, "height": 64}, "items": items}


@pytest.mark.parametrize("folder", [".", "plan", "backends/comfyui"])
def test_a_package_that_was_pulled_is_another_one(tmp_path: Path, folder: str) -> None:
    for name in ("plan/__pycache__", "backends/comfyui"):
        (tmp_path / name).mkdir(parents=True)
    for path in (tmp_path, *tmp_path.rglob("*")):
        os.utime(path, (1, 1))
    before = package_mtime_ns(tmp_path)
    (tmp_path / "plan/__pycache__/x.pyc").touch()
    assert package_mtime_ns(tmp_path) == before
    (tmp_path / folder / "new.py").touch()
    assert package_mtime_ns(tmp_path) > before


def test_where_the_project_and_the_users_own_folder_are_is_in_the_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Models are looked for in both."""
    keys = {snapshot_key(tmp_path / name, Settings()) for name in ("here", "there")}
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    keys.add(snapshot_key(tmp_path / "here", Settings()))
    assert len(keys) == 3


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
    before = snapshot_key(tmp_path, Settings())
    assert snapshot_key(tmp_path, Settings()) == before
    os.utime(file, ns=(OLD, OLD + 1))
    assert snapshot_key(tmp_path, Settings()) != before


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of one job; its dodo file is what makes doit's tasks ours alone."""
    dodo = ModuleType("dodo")
    dodo.__dict__.update({name: getattr(imagegen.tasks, name) for name in ("task_jobs", "task_doctor")})
    monkeypatch.setitem(sys.modules, "dodo", dodo)
    (tmp_path / "jobs").mkdir()
    job(tmp_path, "kin", kin())
    return tmp_path


def job(root: Path, name: str, values: dict[str, Any]) -> None:
    """Long ago, as most are."""
    file = root / f"jobs/{name}.json"
    file.unlink(missing_ok=True)
    file.write_text(json.dumps(values))
    os.utime(file, ns=(OLD, OLD))


def build(root: Path, meanwhile: Callable[[Build], object] = lambda _: None) -> list[str]:
    """One `doit`; the images that it planned. meanwhile: done before the first of them is made."""
    found = Build(root, Invocation())
    if found.planned:
        meanwhile(found)
        found.run(list(found.planned), [], lambda _: None)
    return sorted(found.planned)


def test_nothing_is_planned_once_all_was_fresh(root: Path) -> None:
    assert build(root) == ["kin:okka", "kin:yrr"]
    assert build(root) == []


def test_a_job_that_is_added_during_a_run_is_planned_by_the_next_one(root: Path) -> None:
    build(root, lambda _: job(root, "arms", kin()))
    assert "arms:yrr" in build(root)
    assert build(root) == []


def test_what_another_build_decides_while_this_one_waits_is_seen_by_the_next_one(root: Path) -> None:
    """A reroll that failed: the lock file says another seed for an image that stands as it did."""
    job(root, "arms", kin())
    build(root)
    job(root, "kin", {**kin(okka="three"), "description": "all are planned"})
    other = Project(root, Settings(), registry())
    build(root, lambda _: record_decision(other, "arms", REROLL, "yrr", 7))
    assert Build(root, Invocation()).planned["arms:yrr"].verdict.state == "stale"


def test_an_image_that_is_painted_over_during_a_run_is_seen_by_the_next_one(root: Path) -> None:
    build(root)
    job(root, "kin", {**kin(okka="three"), "description": "all are planned"})
    painted = root / "assets/kin/yrr.png"

    def paint(_: object) -> None:
        painted.write_bytes(b"by hand")
        os.utime(painted, ns=(OLD, OLD))

    build(root, paint)
    assert Build(root, Invocation()).planned["kin:yrr"].verdict.state == "kept"


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
