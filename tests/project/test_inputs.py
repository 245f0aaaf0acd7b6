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
