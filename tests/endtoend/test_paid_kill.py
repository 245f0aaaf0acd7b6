"""Killed with SIGKILL before any step of writing, while an image that costs something is generated.

It is paid for once; or twice, if it was not in the store yet, and then the second run says so.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.project_folder import DODO, JOB, ProjectFolder

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="/proc says which files are open")

SAID = "portraits:mallsing: may have been paid for once already: an earlier run ended before it arrived"


def prepare(project: ProjectFolder) -> None:
    shutil.copy(Path(__file__).with_name("faults.py"), project.root / "faults.py")
    project.write("dodo.py", f"import faults  # noqa: F401\n{DODO}")
    project.script(prices={"*": "0.04"})
    project.job(items=JOB["items"][:1])


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Every step of writing, from the note of the attempt on."""
    project = ProjectFolder(tmp_path_factory.mktemp("trace") / "project")
    prepare(project)
    trace = project.root / "trace"
    assert project.doit(FAULT_TRACE=str(trace)).code == 0
    return trace.read_text().splitlines()


@pytest.mark.parametrize(
    "step",
    [pytest.param(step, marks=[] if step in (11, 20) else pytest.mark.long) for step in range(40)],
)
def test_a_kill_costs_an_image_once_or_is_reported(project: ProjectFolder, steps: list[str], step: int) -> None:
    if step >= len(steps):
        pytest.skip("there are no more steps")
    prepare(project)
    process = project.start(FAULT_AT=str(step + 1), FAULT_HOW="before")
    out, err = process.communicate(timeout=project.patience_s)
    assert process.returncode == -9, (steps[step], out, err)
    before = project.calls().count("Mallsing")
    is_stored = any(file.read_bytes() for file in (project.root / ".imagegen/store/index").rglob("*.jsonl"))
    run = project.doit()
    assert run.code == 0, run.out
    again = project.calls().count("Mallsing") - before
    assert again == (not is_stored), steps[step]
    if before and again:
        assert SAID in run.out, (steps[step], run.out)
        assert "1 image may have been paid for without arriving" in run.closing
    assert project.doit("why").closing == "1 fresh, nothing to do"
