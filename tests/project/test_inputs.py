from __future__ import annotations

from pathlib import Path

import pytest

from imagegen.backends.registry import registry
from imagegen.config.settings import Settings
from imagegen.project import Project

EXTRA = "tools/ComfyUI/extra_model_paths.yaml"


@pytest.mark.parametrize("is_there", [True, False])
def test_the_file_that_says_where_models_are_is_watched(tmp_path: Path, is_there: bool) -> None:
    root, elsewhere = tmp_path / "project", tmp_path / "elsewhere"
    for folder in (root / "jobs", root / "tools", elsewhere):
        folder.mkdir(parents=True)
    (root / "jobs/j.yaml").write_text("backend: comfyui\nitems: [{name: A, prompt: a}]")
    (root / "tools/ComfyUI").symlink_to(elsewhere)  # as many have it
    if is_there:
        (elsewhere / "extra_model_paths.yaml").write_text("mine: {checkpoints: x}")
    project = Project(root, Settings(), registry())
    assert not project.plans()[0].problems
    assert (project.inputs.stats[EXTRA] is not None) == is_there


def test_a_file_that_another_one_names_is_told_from_a_job_of_which_only_its_own_outputs_follow(tmp_path: Path) -> None:
    (tmp_path / "jobs").mkdir()
    for name in ("kin", "etch", "arms"):
        (tmp_path / f"jobs/{name}.yaml").write_text("items: [{name: A, prompt: a}]")
    (tmp_path / "jobs/etch.yaml").write_text("extends: ./kin.yaml")
    project = Project(tmp_path, Settings(), registry())
    assert not any(plan.problems for plan in project.plans())
    assert project.inputs.named == {"jobs/kin.yaml"}
    project.inputs.read_for_section("jobs/arms.yaml")  # as a reference image, if somebody likes
    assert project.inputs.named == {"jobs/kin.yaml", "jobs/arms.yaml"}
