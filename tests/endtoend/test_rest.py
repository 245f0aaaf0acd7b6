"""A run with nothing to do, and one of a job in which little changed: what a snapshot speaks for is not planned."""

from __future__ import annotations

import os
from pathlib import Path

from tests.endtoend.project import ProjectFolder, items

ALL = ["portraits:mallsing", "portraits:okka", "portraits:yrr"]


def test_a_run_with_nothing_to_do_plans_nothing(project: ProjectFolder) -> None:
    project.built()
    spoil(project.root / "jobs/portraits.yaml")
    assert "3 fresh, nothing to do" in project.doit().closing
    assert "3 fresh, nothing to do" in project.doit("portraits").closing
    assert project.doit("portraits:yrr", "portraits:okka").closing.startswith("2 fresh, nothing to do")
    assert "control character" in project.doit("portraits:nobody").out
    assert project.doit("list").code == 0
    assert "control character" in project.doit("doctor").out


def spoil(file: Path) -> None:
    """Its time is put back: a snapshot speaks for it, though it could not be planned."""
    stat = file.stat()
    with file.open("r+b") as opened:
        opened.write(b"\x00")
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def test_of_a_changed_job_only_the_changed_item_is_planned(project: ProjectFolder) -> None:
    project.job("arms")
    project.built()
    spoil(project.root / "jobs/arms.yaml")
    for number, words in enumerate([[], ["portraits"], ["portraits:yrr"], ["portraits:okka", "portraits:yrr"]]):
        project.job(items=items(Yrr=f"a small figure with {number} lanterns"))
        run = project.doit(*words)
        assert (run.code, run.tasks("generated")) == (0, ["portraits:yrr"])
        fresh = {0: ", 5 fresh", 1: ", 2 fresh", 2: " (", 3: ", 1 fresh"}[number]
        assert f"1 generated{fresh}" in run.closing
    project.job(items=items(Yrr="a small figure with many lanterns"))
    assert project.doit("portraits:okka").closing.startswith("1 fresh, nothing to do")
    assert project.doit("-r", "json", "portraits").code == 0
    assert "6 fresh, nothing to do" in project.doit().closing


def test_an_item_that_is_renamed_in_a_known_job_leaves_its_file_and_is_told(project: ProjectFolder) -> None:
    project.built()
    found = items()
    found[1]["name"] = "Yrre"
    project.job(items=found)
    run = project.doit()
    assert run.tasks("generated") == ["portraits:yrre"]
    assert "assets/portraits/yrr.png" in run.out
    assert "portraits/mallsing.png" not in run.out
    assert "3 fresh, nothing to do" in project.doit().closing


def test_a_changed_item_that_fails_is_told_again_and_the_rest_is_fresh(project: ProjectFolder) -> None:
    project.built()
    project.job(items=items(Yrr="another"))
    project.script(acts={"Yrr": [{"error": "CUDA out of memory"}]})
    for _ in range(2):
        run = project.doit()
        assert (run.code, run.tasks("failed")) == (2, ["portraits:yrr"])
        assert "2 fresh" in run.closing
    project.script()
    assert project.doit().tasks("generated") == ["portraits:yrr"]


def test_what_is_made_from_an_image_that_was_made_again_is_not_at_rest(project: ProjectFolder) -> None:
    project.built(derive={"thumb": {"width": 16}})
    assert "6 fresh, nothing to do" in project.doit().closing
    project.script(acts={"Yrr": [{"format": "webp"}]})  # another file of the same image
    assert project.doit("-a", "portraits:yrr").tasks("generated") == ["portraits:yrr"]
    assert project.doit().tasks("derived") == ["portraits:yrr:thumb"]
    assert "6 fresh, nothing to do" in project.doit().closing


def test_settings_that_change_end_what_a_snapshot_says(project: ProjectFolder) -> None:
    project.job(backend="placeholder")
    job = project.root / "jobs/portraits.yaml"
    job.write_text(job.read_text().replace("backend: placeholder\n", ""))
    project.doit()
    assert "3 fresh" in project.doit().closing
    assert project.doit(IMAGEGEN_BACKEND="scripted").tasks("generated") == ALL
