"""A disk that is full, or takes no more writes, from any file operation of a build on."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from imagegen.execute import executor
from imagegen.execute.events import Event, Outcome
from imagegen.execute.run import RunResult, run
from imagegen.images.image_file import verify
from tests.faults.failing import FORBIDDEN, FULL, READ_ONLY, Failing
from tests.marks import long
from tests.project_folder import SMALL_JOB, ProjectFolder
from tests.scripted import Script, ScriptedBackend

EARLIER: dict[str, Any] = {"derive": {"thumb": {"width": 16}}}
LATER: dict[str, Any] = EARLIER | {"generate": {"width": 32, "height": 32, "steps": 9}}

KINDS = pytest.mark.parametrize(
    ("kind", "for_calls"),
    [(FULL, None), (FULL, 1), (READ_ONLY, None), long(FORBIDDEN, None)],
    ids=["full", "full once", "read-only", "forbidden"],
)
REPLACING = pytest.mark.parametrize("replacing", [False, True], ids=["new", "replacing"])


def prepare_folder(root: Path, replacing: bool) -> tuple[ProjectFolder, list[bytes]]:
    """With a build to come; and what must not be lost by it."""
    folder = ProjectFolder(root, SMALL_JOB)
    folder.backend = ScriptedBackend(Script(in_flight=1))
    folder.job(**EARLIER)
    if not replacing:
        return folder, []
    folder.build()
    earlier = list(folder.files().values())
    folder.job(**LATER)
    return folder, earlier


def built(folder: ProjectFolder) -> tuple[list[Outcome], RunResult]:
    project = folder.project()
    reported: list[Event] = []
    ending = run(project, list(folder.outputs(project).values()), reported.append)
    return [event for event in reported if isinstance(event, Outcome)], ending


def operations(root: Path, kind: tuple[int, frozenset[str]], replacing: bool) -> int:
    folder, _ = prepare_folder(root, replacing)
    counting = Failing(root, kind, after=10**6)
    with pytest.MonkeyPatch.context() as patch, counting.failing(patch):
        built(folder)
    assert counting.calls > 50
    return counting.calls


def survives(root: Path, kind: tuple[int, frozenset[str]], after: int, for_calls: int | None, replacing: bool) -> None:
    folder, earlier = prepare_folder(root, replacing)
    drawn_before = len(folder.calls())
    failing = Failing(root, kind, after, for_calls)
    with pytest.MonkeyPatch.context() as patch, failing.failing(patch):
        outcomes, ending = built(folder)
    reported = f"after {after}: {failing.failed[:3]}"
    # one that cannot begin, for want of room for its mutex, says so once
    assert {one.output.task for one in outcomes} == (set() if ending.refusal else set(folder.outputs())), reported
    for one in outcomes:
        assert (one.problem is not None) == (one.state == "failed"), reported
    refused = ending.refusal.problems if ending.refusal else ()
    problems = [*(one.problem for one in outcomes if one.problem), *refused, *ending.problems]
    for problem in problems:
        message = str(problem)
        assert "fault in imagegen" not in message, f"{reported}: {message}"
        assert os.strerror(kind[0]) in message or "failed" in message, f"{reported}: {message}"
        assert problem.hint or "failed" in message, f"{reported}: {message}"
    for path, data in folder.files().items():
        assert path.endswith(".png"), reported
        verify(data)
    assert all(folder.is_kept(data) for data in earlier), reported
    project = folder.project()
    lines = project.lock("portraits").lines
    recorded = {
        task
        for task, output in folder.outputs(project).items()
        if any(line.fingerprint == output.fingerprint for line in lines.get(output.path, ()))
        or any(project.store.peek(entry.sha256) for entry in project.store.entries(output.fingerprint))
    }
    lost = len(folder.calls()) - drawn_before - len(recorded & {"portraits:mallsing", "portraits:yrr"})
    assert lost <= (0 if not problems else 1), reported  # what has just been drawn, and there was no room to keep it
    became = folder.build()
    assert set(became.values()) <= {"generated", "derived", "restored"}, f"{reported}: {became}"
    assert not {task for task, state in became.items() if state == "generated"} & recorded, reported
    assert set(folder.states().values()) == {"fresh"}, reported
    assert folder.build() == {}, reported
    if became:  # a run that writes sweeps first
        assert not list((root / ".imagegen/tmp").glob("*")), reported


@pytest.mark.usefixtures("expensive")
@KINDS
@REPLACING
def test_nothing_is_lost_and_all_is_right_once_there_is_room(
    tmp_path: Path, kind: tuple[int, frozenset[str]], for_calls: int | None, replacing: bool
) -> None:
    for after in range(0, operations(tmp_path / "count", kind, replacing), 7):
        survives(tmp_path / str(after), kind, after, for_calls, replacing)


@pytest.mark.long
@pytest.mark.usefixtures("expensive")
@KINDS
@REPLACING
def test_nothing_is_lost_wherever_the_room_ends(
    tmp_path: Path, kind: tuple[int, frozenset[str]], for_calls: int | None, replacing: bool
) -> None:
    for after in range(operations(tmp_path / "count", kind, replacing)):
        survives(tmp_path / str(after), kind, after, for_calls, replacing)


@pytest.mark.usefixtures("expensive")
@pytest.mark.parametrize("in_flight", [1, 3])
def test_once_there_is_no_room_nothing_more_is_generated(tmp_path: Path, in_flight: int) -> None:
    folder = ProjectFolder(tmp_path, SMALL_JOB)
    folder.backend = ScriptedBackend(Script(in_flight=in_flight))
    folder.job(items=[{"name": f"item {number}", "prompt": f"figure {number}"} for number in range(12)])
    failing = Failing(tmp_path, FULL, after=30)
    with pytest.MonkeyPatch.context() as patch, failing.failing(patch):
        outcomes, _ = built(folder)
    store = folder.project().store
    kept = sum(any(store.peek(entry.sha256) for entry in store.entries(one.output.fingerprint)) for one in outcomes)
    assert kept < 6
    assert len(folder.calls()) - kept <= in_flight
    assert set(folder.build().values()) <= {"generated", "restored"}
    assert set(folder.states().values()) == {"fresh"}


def test_once_there_is_no_room_few_more_are_generated_of_images_that_take_no_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executor, "AT_A_TIME", 4)
    folder = ProjectFolder(tmp_path, SMALL_JOB)
    folder.backend = ScriptedBackend(Script(in_flight=1))
    folder.job(items=[{"name": f"item {number}", "prompt": f"figure {number}"} for number in range(20)])
    failing = Failing(tmp_path, FULL, after=30)
    with pytest.MonkeyPatch.context() as patch, failing.failing(patch):
        built(folder)
    project = folder.project()
    kept = sum(
        any(project.store.peek(entry.sha256) for entry in entries)
        for entries in (project.store.entries(output.fingerprint) for output in folder.outputs(project).values())
    )
    assert len(folder.calls()) - kept <= 1 + 4
    assert set(folder.build().values()) <= {"generated", "restored"}
    assert set(folder.states().values()) == {"fresh"}


def test_a_store_that_cannot_be_pruned_fails_no_image(tmp_path: Path) -> None:
    folder = ProjectFolder(tmp_path, SMALL_JOB)
    folder.job()
    project = folder.project()
    project.settings = replace(project.settings, store_bytes=0)
    failing = Failing(tmp_path, (READ_ONLY[0], frozenset({"unlink"})), after=0)
    with pytest.MonkeyPatch.context() as patch, failing.failing(patch):
        run(project, list(folder.outputs(project).values()), lambda _: None)
    assert any("store/blobs" in call for call in failing.failed)
    assert set(folder.states().values()) == {"fresh"}
