from __future__ import annotations

import os
from pathlib import Path

import pytest

from imagegen.tasks.rest import changed_ns


@pytest.mark.parametrize("folder", [".", "plan", "backends/comfyui"])
def test_a_package_that_was_pulled_is_another_one(tmp_path: Path, folder: str) -> None:
    for name in ("plan/__pycache__", "backends/comfyui"):
        (tmp_path / name).mkdir(parents=True)
    for path in (tmp_path, *tmp_path.rglob("*")):
        os.utime(path, (1, 1))
    before = changed_ns(tmp_path)
    (tmp_path / "plan/__pycache__/x.pyc").touch()
    assert changed_ns(tmp_path) == before
    (tmp_path / folder / "new.py").touch()
    assert changed_ns(tmp_path) > before
