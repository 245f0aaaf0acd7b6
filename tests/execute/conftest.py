from __future__ import annotations

from pathlib import Path

import pytest

from tests.project_folder import SMALL_JOB, ProjectFolder


@pytest.fixture
def folder(tmp_path: Path) -> ProjectFolder:
    return ProjectFolder(tmp_path / "project", SMALL_JOB)
