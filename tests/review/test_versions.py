"""All versions of an image, as the page compares them."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest

from imagegen.review.versions import list_versions
from tests.project_folder import ProjectFolder


@pytest.fixture
def project(tmp_path: Path) -> ProjectFolder:
    return ProjectFolder(tmp_path / "project")


def listed(folder: ProjectFolder, task: str) -> list[tuple[int, str, bool]]:
    project = folder.project()
    versions = list_versions(project, folder.outputs(project)[task])
    return [(one["number"], one["sha256"], one["is_now"]) for one in versions]


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_each_has_its_number_and_the_file_that_it_is_restored_by(project: ProjectFolder) -> None:
    project.job(items=[{"name": "Yrr", "prompt": "a small figure"}])
    project.build()
    first = sha256(project.image("yrr"))
    project.reroll("portraits:yrr")
    project.build()
    second = sha256(project.image("yrr"))
    now, before = listed(project, "portraits:yrr")
    assert (now[0], now[2], before) == (1, True, (2, first, False))
    project.restore("portraits:yrr", 2)
    before, now = listed(project, "portraits:yrr")
    assert (before, now[0], now[2]) == ((1, second, False), 2, True)


def test_what_the_store_no_longer_has_is_left_out(project: ProjectFolder) -> None:
    project.job(items=[{"name": "Yrr", "prompt": "a small figure"}])
    project.build()
    shutil.rmtree(project.root / ".imagegen/store")
    assert listed(project, "portraits:yrr") == []
