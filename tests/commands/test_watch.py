"""What `doit watch` follows, and how it says how far a build is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from imagegen.commands.watch import find_inputs, progress_text
from imagegen.library.planned_project import PlannedProject
from imagegen.report.run_progress import RunProgress
from tests.project_folder import ProjectFolder, picture


def test_all_that_a_plan_follows_from_is_watched_and_nothing_that_a_build_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = ProjectFolder(tmp_path)
    folder.write("jobs/bases/common.yaml", "generate: {width: 32, height: 32}")
    folder.write("jobs/wildcards/hair.txt", "red\nblack\n")
    folder.write("prompts/kins.csv", "name,prompt\nMallsing,a tall figure with __hair__ hair\n")
    folder.write("pages/kins.md", "## Yrr\n\n```\na small figure\n```\n")
    (tmp_path / "photos").mkdir()
    for path in ("pose.png", "mask.png", "photos/gate.png"):
        (tmp_path / path).write_bytes(picture())
    scripted = {"script": "script.json", "images": {"pose": "pose.png"}}
    head = f"backend: scripted\nextends: bases/common.yaml\nscripted: {json.dumps(scripted)}\n"
    folder.write("jobs/table.yaml", f"{head}source: prompts/kins.csv\n")
    folder.write("jobs/page.yaml", f"{head}source: pages/kins.md\n")
    folder.write(
        "jobs/follows.yaml", f"{head.replace('pose.png', 'table:mallsing')}items: [{{name: two, prompt: p}}]\n"
    )
    steps = "derive: {small: {steps: [{mask: mask.png}]}}"
    folder.write("jobs/photos.yaml", f"items: {{folder: 'photos/*.png'}}\n{steps}\n")
    monkeypatch.chdir(tmp_path)
    project = PlannedProject(tmp_path, {})
    project.open()
    project.plan_all()
    assert [problem for plan in project.plans for problem in plan.problems] == []
    found = {path for path in find_inputs(project) if "*" not in path}
    assert found >= {
        *("jobs/table.yaml", "jobs/page.yaml", "jobs/bases/common.yaml", "prompts/kins.csv", "pages/kins.md"),
        *("jobs/wildcards", "jobs/wildcards/hair.txt", "pose.png", "mask.png", "photos", "photos/gate.png"),
    }
    assert {path for path in found if path.startswith(("assets", ".imagegen")) or path.endswith(".lock")} == set()


def test_how_far_a_build_is_fits_on_a_line() -> None:
    progress = RunProgress()
    for event in (
        {"event": "run", "total": 3, "seconds_left": 75.0},
        {"event": "started", "task": "portraits:mallsing"},
        {"event": "steps", "task": "portraits:mallsing", "done": 12, "total": 28},
        {"event": "started", "task": "portraits:yrr"},
        {"event": "waiting", "task": "portraits:yrr", "text": "loading the model"},
    ):
        progress.take(event)
    text = progress_text({**progress.data, "left_s": 75.0})
    assert text == "0/3  portraits:mallsing 12/28  portraits:yrr loading the model  1:15 left"
