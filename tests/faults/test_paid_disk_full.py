"""A disk that fails at any file operation of a build whose images cost something: none is paid for twice, or lost."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path

import pytest

from tests.faults.failing import FULL, Failing
from tests.project_folder import SMALL_JOB, ProjectFolder
from tests.scripted import Script, ScriptedBackend

FOR_CALLS = pytest.mark.parametrize("for_calls", [None, 1], ids=["full", "full once"])


def prepare_folder(root: Path) -> ProjectFolder:
    folder = ProjectFolder(root, SMALL_JOB)
    folder.backend = ScriptedBackend(Script(in_flight=1, prices={"*": "0.04"}))
    folder.job()
    return folder


def operations(root: Path) -> int:
    folder = prepare_folder(root)
    counting = Failing(root, FULL, after=10**6)
    with pytest.MonkeyPatch.context() as patch, counting.failing(patch):
        folder.build()
    assert counting.calls > 30
    return counting.calls


def survives(root: Path, after: int, for_calls: int | None) -> None:
    """Build while the disk fails after so many operations, then again; what was kept as a file is looked at between."""
    folder = prepare_folder(root / "project")
    elsewhere = root / "elsewhere"
    elsewhere.mkdir()
    failing = Failing(folder.root, FULL, after, for_calls)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(elsewhere))
        with failing.failing(patch):
            folder.build()
        what = f"after {after}: {failing.failed[:3]}"
        folder.build()
        kept = [path for path in (elsewhere, folder.root / ".imagegen/paid") if path.exists() and any(path.iterdir())]
        paid = Counter(folder.calls())
        assert set(paid) == {"Mallsing", "Yrr"}, what
        assert max(paid.values()) == 1, f"{what}: paid for {paid}"
        missing = [task for task, state in folder.states().items() if state != "fresh"]
        assert len(missing) == sum(len(list(path.iterdir())) for path in kept), f"{what}: {folder.problems}"
        for task in missing:
            assert "it was paid for already" in folder.problems[task].what, what


@FOR_CALLS
def test_nothing_is_paid_for_twice_or_lost(tmp_path: Path, for_calls: int | None) -> None:
    for after in range(0, operations(tmp_path / "count"), 5):
        survives(tmp_path / str(after), after, for_calls)


@pytest.mark.long
@FOR_CALLS
def test_nothing_is_paid_for_twice_or_lost_wherever_the_room_ends(tmp_path: Path, for_calls: int | None) -> None:
    for after in range(operations(tmp_path / "count")):
        survives(tmp_path / str(after), after, for_calls)
