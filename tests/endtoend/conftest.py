from __future__ import annotations

from pathlib import Path

import pytest

from tests.project_folder import ProjectFolder


@pytest.fixture
def project(tmp_path: Path) -> ProjectFolder:
    return ProjectFolder(tmp_path / "project")
