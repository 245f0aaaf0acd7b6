"""Symlinks in and out of the project: nothing is written, recorded or removed outside it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from imagegen.config.job import Encoding
from imagegen.errors import ImagegenError
from imagegen.execute.prune import find_orphans
from imagegen.plan.record import OutputLine
from imagegen.project import Project
from tests.project_folder import SMALL_JOB, ProjectFolder


@pytest.fixture
def folder(tmp_path: Path) -> ProjectFolder:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/precious").write_bytes(b"mine")
    return ProjectFolder(tmp_path / "project", SMALL_JOB)


def plan_problems(project: Project) -> list[str]:
    return [problem.what for plan in project.plans() for problem in plan.problems]


def untouched(folder: ProjectFolder) -> bool:
    elsewhere = folder.root.parent / "elsewhere"
    return [(path.name, path.read_bytes()) for path in elsewhere.iterdir()] == [("precious", b"mine")]


@pytest.mark.parametrize("link", ["assets", "assets/portraits"])
def test_a_folder_that_leads_out_is_refused(folder: ProjectFolder, link: str) -> None:
    folder.job()
    (folder.root / link).parent.mkdir(exist_ok=True)
    (folder.root / link).symlink_to(folder.root.parent / "elsewhere")
    assert "is outside the project" in plan_problems(folder.project())[0]
    assert untouched(folder)


def test_a_folder_of_derived_files_that_leads_out_further_down_is_refused(folder: ProjectFolder) -> None:
    folder.job(output={"name": "{item}/x"}, derive={"thumb": {"width": 8, "dir": "thumbs"}})
    (folder.root / "thumbs").mkdir()
    (folder.root / "thumbs/yrr").symlink_to(folder.root.parent / "elsewhere")
    assert "derive.thumb.dir: 'thumbs/yrr' is outside the project" in plan_problems(folder.project())[0]


def test_a_link_in_place_of_an_output_is_no_way_out(folder: ProjectFolder) -> None:
    folder.job(output={"overwrite": "always"})
    link = folder.root / "assets/portraits/yrr.png"
    link.parent.mkdir(parents=True)
    link.symlink_to(folder.root.parent / "elsewhere/precious")
    assert folder.build()["portraits:yrr"] == "generated"
    assert not link.is_symlink()
    assert untouched(folder)


def test_a_dangling_link_in_place_of_an_output_is_no_way_out(folder: ProjectFolder) -> None:
    folder.job()
    link = folder.root / "assets/portraits/yrr.png"
    link.parent.mkdir(parents=True)
    link.symlink_to(folder.root.parent / "elsewhere/new")
    folder.build()
    assert untouched(folder)


def test_two_folders_that_are_one_by_a_link_within_are_told(folder: ProjectFolder) -> None:
    folder.job("one", output={"dir": "a"})
    folder.job("two", output={"dir": "b"})
    (folder.root / "a").mkdir()
    (folder.root / "b").symlink_to("a")
    assert "would both be written to" in plan_problems(folder.project())[0]


@pytest.mark.parametrize("target", ["elsewhere/precious", "elsewhere/new"])
def test_a_lock_file_that_leads_out_is_neither_read_nor_written(folder: ProjectFolder, target: str) -> None:
    folder.job()
    (folder.root / "jobs/portraits.lock").symlink_to(folder.root.parent / target)
    (what,) = plan_problems(folder.project())
    assert "'jobs/portraits.lock' is outside the project" in what
    assert untouched(folder)


def test_a_source_that_leads_out_is_not_read(folder: ProjectFolder) -> None:
    folder.job(source="prompts.md")
    (folder.root / "prompts.md").symlink_to(folder.root.parent / "elsewhere/precious")
    assert "source: 'prompts.md' is outside the project" in plan_problems(folder.project())[0]


@pytest.mark.parametrize(
    "path", ["../elsewhere/precious", "/etc/passwd", "link/precious", "assets/../../elsewhere/precious"]
)
def test_a_lock_file_cannot_have_a_file_outside_removed(folder: ProjectFolder, path: str) -> None:
    folder.job()
    (folder.root / "link").symlink_to(folder.root.parent / "elsewhere")
    sha256 = hashlib.sha256(b"mine").hexdigest()
    line = OutputLine(
        path, "gone", "f", Encoding(), {"backend": "b"}, sha256, 4, None, "1", 0.1, "2026-01-01T00:00:00Z"
    )
    record(folder, line)
    with pytest.raises(ImagegenError, match="is outside the project"):
        list(find_orphans(folder.project(), []))
    assert untouched(folder)


@pytest.mark.parametrize(
    ("changes", "what"),
    [({"path": "a/.."}, "its 'path'"), ({"path": ""}, "its 'path'"), ({"path": "a\0b"}, "its 'path'"), ({"output": "../../x-v2"}, "its 'output'")],
)  # fmt: skip
def test_a_line_that_names_no_file_is_refused(folder: ProjectFolder, changes: dict[str, Any], what: str) -> None:
    folder.job()
    line = OutputLine("a/b.png", "b", "f", Encoding(), {}, "s", 4, None, "1", 0.1, "2026-01-01T00:00:00Z")
    record(folder, replace(line, **changes))
    assert what in plan_problems(folder.project())[0]


def record(folder: ProjectFolder, line: OutputLine) -> None:
    (folder.root / "jobs/portraits.lock").write_text(json.dumps({"v": 1, **asdict(line)}) + "\n")
