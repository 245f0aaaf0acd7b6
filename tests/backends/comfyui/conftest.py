from __future__ import annotations

from pathlib import Path

import pytest

from tests.backends.comfyui.sections import Sections


@pytest.fixture
def sections(tmp_path: Path) -> Sections:
    return Sections(tmp_path)
