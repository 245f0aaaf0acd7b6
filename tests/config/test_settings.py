from __future__ import annotations

from pathlib import Path

import pytest

from imagegen.config.settings import read_settings
from imagegen.errors import ImagegenError


def test_without_anything_the_built_in_values_hold(tmp_path: Path) -> None:
    settings = read_settings(tmp_path, {}, {})
    assert (settings.forced_backend, settings.backend) == (None, "placeholder")
    assert settings.store_bytes == 5 * 1024**3


def test_the_environment_is_stronger_than_pyproject(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.imagegen]\nbackend = "comfyui"\nstore_size = "1.5 GB"\n')
    assert read_settings(tmp_path, {}, {}).backend == "comfyui"
    assert read_settings(tmp_path, {}, {"IMAGEGEN_BACKEND": "ollama"}).backend == "ollama"
    assert read_settings(tmp_path, {}, {}).store_bytes == int(1.5 * 1024**3)


def test_the_command_line_is_stronger_than_a_job(tmp_path: Path) -> None:
    settings = read_settings(tmp_path, {"backend": "ollama", "wait": "3"}, {"IMAGEGEN_BACKEND": "comfyui"})
    assert (settings.forced_backend, settings.wait_s) == ("ollama", 3.0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("bakend = 'x'", "bakend: unknown key; did you mean 'backend'?"),
        ("store_size = 5", "store_size: expected a size such as '5 GB'"),
        ("allow_outside = 'x'", "allow_outside: expected a list of folders"),
        ("wait_s = true", "wait_s: expected a number of seconds"),
        ("backend = ''", "backend: expected text"),
    ],
)
def test_what_is_wrong_in_pyproject_is_told(tmp_path: Path, text: str, expected: str) -> None:
    (tmp_path / "pyproject.toml").write_text(f"[tool.imagegen]\n{text}\n")
    with pytest.raises(ImagegenError) as caught:
        read_settings(tmp_path, {}, {})
    assert [problem.what for problem in caught.value.problems] == [expected]


def test_a_pyproject_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.imagegen\n")
    with pytest.raises(ImagegenError, match=r"pyproject\.toml: cannot be read"):
        read_settings(tmp_path, {}, {})


def test_a_wait_that_is_no_number_is_told(tmp_path: Path) -> None:
    with pytest.raises(ImagegenError, match="wait=soon: expected a number of seconds"):
        read_settings(tmp_path, {"wait": "soon"}, {})
