from __future__ import annotations

from pathlib import Path

import pytest

from imagegen.commands.prune import list_waste, waste_lines
from imagegen.execute.prune import find_unused
from imagegen.report.results.storage import PrunedFiles
from tests.project_folder import SMALL_JOB, ProjectFolder

__all__ = []


@pytest.fixture
def folder(tmp_path: Path) -> ProjectFolder:
    return ProjectFolder(tmp_path / "project", SMALL_JOB)


def test_the_line_of_the_picked_variant_says_which_image_it_is_now(folder: ProjectFolder) -> None:
    folder.job(items=[{"name": "A", "prompt": "a"}], variants=2)
    folder.build()
    folder.pick("a", 1)
    project = folder.project()
    plans = project.plans()
    files = tuple(list_waste(project, plans, find_unused(project, plans, candidates=True)))
    lines = list(waste_lines(PrunedFiles(is_removed=False, files=files, store_bytes=0, bytes=0)))
    assert lines == [
        "remove  the line of assets/portraits/a-v1.png in jobs/portraits.lock: it was picked, and its image is assets/portraits/a.png now",
        "remove  .imagegen/candidates/portraits/a-v2.png: another variant was picked",
    ]
