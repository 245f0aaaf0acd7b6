from __future__ import annotations

from pathlib import Path

import pytest

from imagegen.config.paths import check_path


@pytest.mark.parametrize("path", ["assets/a", "assets", "a/b/c.png", "./assets", "a/../b", "ä/ö"])
def test_paths_in_the_project_serve(tmp_path: Path, path: str) -> None:
    assert check_path(tmp_path, path, ()) == ""


@pytest.mark.parametrize("path", ["../x", "/etc", "a/../../x", "a/b/../../../x"])
def test_paths_that_leave_the_project_are_refused(tmp_path: Path, path: str) -> None:
    assert "is outside the project" in check_path(tmp_path / "project", path, ())
    assert "is outside the project" in check_path(tmp_path / "project", path, (), writes=False)


def test_a_symlink_that_leaves_the_project_is_refused_unless_allowed(tmp_path: Path) -> None:
    (tmp_path / "project").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "project/assets").symlink_to(tmp_path / "elsewhere")
    assert "is outside the project" in check_path(tmp_path / "project", "assets/kins", ())
    assert check_path(tmp_path / "project", "assets/kins", ["../elsewhere"]) == ""
    assert check_path(tmp_path / "project", "assets/kins", [str(tmp_path / "elsewhere")]) == ""
    assert "is outside the project" in check_path(tmp_path / "project", "assets/kins", ["../else"])


@pytest.mark.parametrize(
    "path",
    [
        "a\\b",
        "a:b",
        "a/b?",
        "a/b.",
        "a/b ",
        "con",
        "a/NUL.txt",
        "com1/x",
        ".git/x",
        ".imagegen",
        "a\x1bb",
        ".GIT/x",
        "assets/gallery",
        "assets/x/../Gallery/y",
    ],
)
def test_paths_that_not_every_system_takes_are_refused(tmp_path: Path, path: str) -> None:
    assert check_path(tmp_path, path, ())
