"""Power lost after any file operation of a build: no partial image, no unreadable record, nothing recorded is made twice."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from imagegen.images.image_file import verify
from tests.faults.disk import Recorder, after_power_cut
from tests.project_folder import SMALL_JOB, ProjectFolder

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot sync a folder")

EARLIER: dict[str, Any] = {"derive": {"thumb": {"width": 16}}}
LATER: dict[str, Any] = EARLIER | {"generate": {"width": 32, "height": 32, "steps": 9}}


@pytest.fixture(scope="module")
def recorders(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, Recorder]:
    """Of a first build, and of one that replaces what the first one made."""
    found = {}
    for replacing in (False, True):
        folder = ProjectFolder(tmp_path_factory.mktemp("recorded") / "project", SMALL_JOB)
        folder.job(**(LATER if replacing else EARLIER))
        if replacing:
            folder.job(**EARLIER)
            folder.build()
            folder.job(**LATER)
        recorder = Recorder(folder.root)
        with pytest.MonkeyPatch.context() as patch, recorder.watching(patch):
            folder.build()
        found[replacing] = recorder
    return found


@pytest.mark.parametrize("keeps_names", [False, True], ids=["only what was synced", "names at once"])
@pytest.mark.parametrize("replacing", [False, True], ids=["new", "replacing"])
def test_nothing_recorded_is_lost_or_made_twice(
    recorders: dict[bool, Recorder], tmp_path: Path, replacing: bool, keeps_names: bool
) -> None:
    recorder = recorders[replacing]
    for count in range(0, len(recorder.operations) + 1, 5):
        survives(recorder, tmp_path / str(count), count, replacing, keeps_names)


@pytest.mark.parametrize("keeps_names", [False, True], ids=["only what was synced", "names at once"])
@pytest.mark.parametrize("replacing", [False, True], ids=["new", "replacing"])
def test_what_a_build_has_made_outlasts_it(
    recorders: dict[bool, Recorder], tmp_path: Path, replacing: bool, keeps_names: bool
) -> None:
    recorder = recorders[replacing]
    survives(recorder, tmp_path, len(recorder.operations), replacing, keeps_names, became={})


@pytest.mark.long
@pytest.mark.parametrize("keeps_names", [False, True], ids=["only what was synced", "names at once"])
@pytest.mark.parametrize("replacing", [False, True], ids=["new", "replacing"])
def test_nothing_recorded_is_lost_or_made_twice_after_any_operation(
    recorders: dict[bool, Recorder], tmp_path: Path, replacing: bool, keeps_names: bool
) -> None:
    recorder = recorders[replacing]
    for count in range(len(recorder.operations) + 1):
        survives(recorder, tmp_path / str(count), count, replacing, keeps_names)


def survives(
    recorder: Recorder,
    root: Path,
    count: int,
    replacing: bool,
    keeps_names: bool,
    became: dict[str, str] | None = None,
) -> None:
    """became: what the next build makes of each image, where that is known."""
    reported = f"after {count}: {recorder.operations[count - 1] if count else 'nothing'}"
    root.mkdir(exist_ok=True)
    for path, data in sorted(after_power_cut(recorder, count, keeps_names=keeps_names).items()):
        if data is None:
            (root / path).mkdir(parents=True)
        else:
            (root / path).write_bytes(data)
    folder = ProjectFolder(root, SMALL_JOB)
    folder.job(**(LATER if replacing else EARLIER))
    for path, data in folder.files().items():
        assert path.endswith(".png"), reported
        verify(data)
    if replacing:  # what was there before the build is there still, as a file or in the store
        earlier = [data for path, data in recorder.before.items() if data and path.startswith("assets")]
        assert all(folder.is_kept(data) for data in earlier), reported
    project = folder.project()
    outputs = folder.outputs(project)
    lines = project.lock("portraits").lines
    recorded = {
        task
        for task, output in outputs.items()
        if any(line.fingerprint == output.fingerprint for line in lines.get(output.path, ()))
    }
    for entry in project.store.all_entries():
        assert project.store.peek(entry.sha256), f"{reported}: the index tells of what is not there"
    made = folder.build()
    assert became in (None, made), reported
    assert set(made.values()) <= {"generated", "derived", "restored"}, reported
    again = {task for task, state in made.items() if state == "generated"}
    assert not again & recorded, reported
    assert set(folder.states().values()) == {"fresh"}, reported
    assert folder.build() == {}, reported
