"""Killed with SIGKILL between any two steps of writing: nothing is lost, and nothing is generated twice."""

from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path

import pytest

from imagegen.images.image_file import verify
from tests.marks import long
from tests.project_folder import DODO, ProjectFolder

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="/proc says which files are open")

CHANGED = [{"name": name, "prompt": f"{name} anew"} for name in ("Mallsing", "Yrr", "Okka")]

ONE_AT_A_TIME = "from imagegen.execute import executor\nexecutor.AT_A_TIME = 0\n"
"""Each image is finished before the next one is begun, so that each run does the same in the same order."""


def prepare(project: ProjectFolder, *, replacing: bool) -> None:
    """A project that has three images to make: new ones, or such as replace earlier ones."""
    shutil.copy(Path(__file__).with_name("faults.py"), project.root / "faults.py")
    project.write("dodo.py", f"import faults  # noqa: F401\n{ONE_AT_A_TIME}{DODO}")
    project.job()
    if replacing:
        project.doit()
        project.log.unlink()
        project.job(items=CHANGED)


def stored(project: ProjectFolder) -> set[str]:
    """The fingerprints of the images that had reached the store."""
    found = set()
    for file in (project.root / ".imagegen/store/index").rglob("*.jsonl"):
        for line in file.read_bytes().splitlines(keepends=True):
            with contextlib.suppress(ValueError):
                found.add(json.loads(line)["fingerprint"])
    return found


def operations(folder: Path, *, replacing: bool) -> list[str]:
    project = ProjectFolder(folder / "project")
    prepare(project, replacing=replacing)
    trace = folder / "trace"
    assert project.doit(FAULT_TRACE=str(trace)).code == 0
    found = trace.read_text().splitlines()
    # what comes after the fold are memories in .imagegen/cache; how many are written depends on the clock
    folded = max(number for number, line in enumerate(found) if line.endswith("jobs/portraits.lock"))
    return found[: folded + 2]


@pytest.fixture(scope="module")
def traces(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, list[str]]:
    return {again: operations(tmp_path_factory.mktemp("trace"), replacing=again) for again in (False, True)}


PLACES = 26
"""In each of the two builds, each of its last operations: every step of the last image, and what follows it."""


@pytest.mark.parametrize("replacing", [False, True], ids=["new", "replacing"])
@pytest.mark.parametrize(
    "place",
    # at random instants builds are killed in tests/faults/test_kill_anytime.py
    [pytest.param(place, marks=[] if place == 8 else pytest.mark.long) for place in range(PLACES)],
)
def test_a_kill_between_any_two_steps_loses_nothing(
    project: ProjectFolder, traces: dict[bool, list[str]], place: int, replacing: bool
) -> None:
    kill_and_recover(project, traces[replacing], len(traces[replacing]) - place, replacing)


def test_the_places_cover_every_step_of_writing(traces: dict[bool, list[str]]) -> None:
    for trace in traces.values():
        hit = "\n".join(trace[-PLACES:])
        for step in ("store/blobs", "store/index", "write jobs/portraits.lock", "tmp → assets", "tmp → jobs"):
            assert step in hit, (step, hit)


@pytest.mark.parametrize("which", [2, *map(long, (0, 1, 3, 4, 5))])
def test_a_write_that_is_cut_in_half_is_mended(
    project: ProjectFolder, traces: dict[bool, list[str]], which: int
) -> None:
    writes = [number for number, line in enumerate(traces[True], start=1) if line.startswith("write ")]
    kill_and_recover(project, traces[True], writes[which * (len(writes) - 1) // 5], True, how="half")


def kill_and_recover(project: ProjectFolder, trace: list[str], at: int, replacing: bool, how: str = "before") -> None:
    prepare(project, replacing=replacing)
    before = stored(project)
    process = project.start(FAULT_AT=str(at), FAULT_HOW=how)
    out, err = process.communicate(timeout=60)
    assert process.returncode == -9, (trace[at - 1], out, err)

    for file in (project.root / "assets").rglob("*"):
        if file.is_file():
            assert file.suffix == ".png", file
            verify(file.read_bytes())
    reached = stored(project) - before
    calls = len(project.calls())

    run = project.doit()
    assert run.code == 0, run.out + run.err
    assert len(project.calls()) - calls == 3 - len(reached), (trace[at - 1], run.out)
    lines = project.lines()
    assert [line["output"] for line in lines] == ["mallsing", "okka", "yrr"]
    assert {line["fingerprint"] for line in lines} <= stored(project)
    for line in lines:
        verify((project.root / line["path"]).read_bytes(), 64, 64)
    # what a kill leaves of a temporary file lies where the next run that writes sweeps it up
    assert {file.parent.name for file in project.root.rglob("*.tmp")} <= {"tmp"}

    assert "3 fresh, nothing to do" in project.doit().closing
