"""`doit doctor`: what is wrong, its hint, and whether it blocks a job."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.project_folder import JOB, ProjectFolder


def examined(project: ProjectFolder, *words: str, **environment: str) -> tuple[int, list[dict[str, Any]]]:
    """The exit code, and the rows that are not well."""
    run = project.doit("doctor", "--json", *words, **environment)
    rows = [row for row in run.result["checks"] if row["state"] != "ok"]
    assert all(row["hint"] for row in rows)
    assert (run.code != 0) == any(row["blocks"] for row in rows)
    return run.code, rows


def only(project: ProjectFolder, *words: str, **environment: str) -> tuple[int, str, str, str]:
    """The exit code, and the one row that is not well: its state, what was found, and the hint."""
    code, (row,) = examined(project, *words, **environment)
    return code, row["state"], row["found"], row["hint"]


def test_a_sound_project_is_well_and_nothing_is_changed(project: ProjectFolder) -> None:
    project.build_job()
    before = contents(project.root)
    run = project.doit("doctor")
    assert (run.code, run.closing) == (0, "everything is in place")
    assert {line.split()[0] for line in run.out.splitlines()[:-2]} == {"✓"}
    assert contents(project.root) == before


def contents(root: Path) -> dict[str, tuple[int, bytes]]:
    files = [path for path in root.rglob("*") if path.is_file() and path.name != "doit.json"]
    return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


def test_the_table_has_the_mend_below_and_the_signs_of_the_data(project: ProjectFolder) -> None:
    project.job()
    project.write("jobs/bad.yaml", "generate: {stepz: 20}\nitems:\n  - {name: A, prompt: a}\n")
    project.write("jobs/gone.lock", "")
    run = project.doit("doctor")
    lines = run.out.splitlines()
    (at,) = [index for index, line in enumerate(lines) if line.startswith("✗")]
    assert "jobs/bad.yaml:1:12: generate.stepz: unknown key; did you mean 'steps'?" in lines[at]
    assert lines[at + 1] == "     → edit jobs/bad.yaml, line 1"
    assert run.closing == "1 problem to fix, 1 warning"
    answer = project.doit("doctor", "--json").answer
    places = [(one["file"], one["line"], one["column"]) for one in answer["problems"]]
    assert (answer["exit_code"], answer["result"]["blocks"], places) == (2, True, [("jobs/bad.yaml", 1, 12)])
    data = answer["result"]["checks"]
    signs = {"ok": "✓", "warning": "!", "wrong": "✗"}
    assert [signs[row["state"]] for row in data] == [line[0] for line in lines if line[:1] in signs.values()]


def test_wrong_settings_are_told_once(project: ProjectFolder) -> None:
    project.job()
    project.job("other")
    code, state, found, _ = only(project, IMAGEGEN_BACKEND="ollamma")
    assert (code, state) == (2, "wrong")
    assert "environment variable IMAGEGEN_BACKEND: there is no backend 'ollamma'" in found


def test_a_file_in_an_outputs_place_is_told_before_a_build_fails_on_it(project: ProjectFolder) -> None:
    project.build_job()
    project.image("yrr").write_bytes(b"touched up")
    assert examined(project) == (0, [])  # kept as it is
    project.job(generate={"width": 64, "height": 64, "steps": 33})
    code, state, found, hint = only(project)
    assert (code, state) == (1, "wrong")
    assert "assets/portraits/yrr.png is not replaced: changed since it was generated" in found
    assert "output: {overwrite: always}" in hint


def test_a_file_where_a_folder_should_be_blocks(project: ProjectFolder) -> None:
    project.job()
    project.write("assets", "not a folder")
    code, state, found, hint = only(project)
    assert (code, state, found) == (1, "wrong", "assets is a file")
    assert "move it away" in hint


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="this user may write everywhere")
def test_a_folder_that_cannot_be_written_to_blocks(project: ProjectFolder) -> None:
    project.job()
    (project.root / "assets").mkdir(mode=0o500)
    assert only(project) == (1, "wrong", "assets cannot be written to", "chmod u+wx assets")


def test_outputs_on_another_file_system_are_a_warning(project: ProjectFolder, tmp_path: Path) -> None:
    other = Path("/dev/shm")  # noqa: S108 - nothing is written there
    if not other.is_dir() or other.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no other file system")
    project.write("pyproject.toml", f'[tool.imagegen]\nallow_outside = ["{other}"]\n')
    project.job(output={"dir": os.path.relpath(other / "imagegen-doctor", project.root)})
    code, state, found, _ = only(project)
    assert (code, state) == (0, "warning")
    assert "on another file system" in found


def test_an_image_of_the_store_that_went_bad_is_told_with_its_file(project: ProjectFolder) -> None:
    project.build_job()
    blob = next(path for path in (project.root / ".imagegen/store/blobs").rglob("*") if path.is_file())
    blob.write_bytes(b"rot")
    code, state, found, hint = only(project)
    assert (code, state) == (0, "wrong")  # no job needs it
    assert "is corrupt" in found
    assert project.doit("doctor").closing == "1 problem to fix; no job is blocked"
    subprocess.run(hint.partition(": ")[2].split(), cwd=project.root, check=True)
    assert not blob.exists()
    assert examined(project) == (0, [])


def test_a_store_past_its_bound_is_a_warning(project: ProjectFolder) -> None:
    project.build_job()
    data = b"\0" * 1024**2
    name = hashlib.sha256(data).hexdigest()
    blob = project.root / ".imagegen/store/blobs" / name[:2] / name
    blob.parent.mkdir(exist_ok=True)
    blob.write_bytes(data)
    project.write("pyproject.toml", '[tool.imagegen]\nstore_size = "1 MB"\n')
    code, state, found, hint = only(project)
    assert (code, state) == (0, "warning")
    assert "of at most 1 MB" in found
    assert "store_size" in hint


def test_a_run_and_doctor_send_those_who_deleted_a_job_to_prune(project: ProjectFolder) -> None:
    project.build_job()
    (project.root / "jobs/portraits.yaml").rename(project.root / "jobs/_portraits.yaml")
    run = project.doit()
    assert "there is no job 'portraits' any more, but 3 of its images are still there" in run.out
    _, state, found, hint = only(project)
    assert (state, found) == ("warning", "there is no job 'portraits' any more, but 3 of its images are still there")
    assert hint.startswith("doit prune removes images and lock file")
    assert project.doit("prune", "--yes").code == 0
    assert (project.files(), examined(project)) == ({}, (0, []))


def test_a_lock_file_without_a_job_is_foreign(project: ProjectFolder) -> None:
    project.build_job()
    project.write("jobs/gone.lock", "whatever")
    code, state, found, hint = only(project)
    assert (code, state) == (0, "warning")
    assert found == "there is no job 'gone', and none of its images can be removed"
    assert hint == "if the job is gone for good: rm jobs/gone.lock"


@pytest.mark.parametrize("job", ["portraits", "image"])
@pytest.mark.parametrize(
    ("line", "message", "hint"),
    [
        ("<<<<<<< HEAD\n", "has unresolved merge-conflict markers", "delete the marker lines"),
        ('{"v": 99}\n', "written by a newer imagegen", "upgrade imagegen here: docs/your-repository.md"),
        ("what is this\n", "not a line of a lock file", "restore the file from git"),
    ],
    ids=["conflicted", "newer", "unreadable"],
)
def test_a_lock_file_that_cannot_be_read_is_told_in_its_place(
    project: ProjectFolder, job: str, line: str, message: str, hint: str
) -> None:
    project.job()
    project.write(f"jobs/{job}.lock", line)
    code, state, found, how = only(project)
    assert (code, state) == (2 if job == "portraits" else 1, "wrong")  # the other is of one-off images
    assert found.startswith(f"jobs/{job}.lock:1: {message}")
    assert hint in how


def test_outputs_of_no_item_any_more_are_a_warning_while_they_are_there(project: ProjectFolder) -> None:
    project.build_job()
    project.job(items=JOB["items"][:2])
    code, state, found, hint = only(project)
    assert (code, state, found) == (0, "warning", "1 file no longer belongs to any item: assets/portraits/okka.png")
    assert "doit prune" in hint
    project.image("okka").unlink()
    assert examined(project) == (0, [])


def test_the_outputs_of_a_broken_job_are_not_taken_for_unwanted_ones(project: ProjectFolder) -> None:
    project.build_job()
    project.write("jobs/portraits.yaml", "itemz: []\n")
    assert {row["what"] for row in examined(project)[1]} == {"job portraits"}


@pytest.mark.parametrize("folder", [".", "below/it"])
def test_git_attributes_that_do_not_merge_lock_files_or_review_files_are_a_warning(tmp_path: Path, folder: str) -> None:
    repository = ProjectFolder(tmp_path / "repository")
    repository.git("init", "-q")
    project = ProjectFolder(repository.root / folder) if folder != "." else repository
    project.job()
    code, state, found, hint = only(project)
    assert (code, state, found) == (0, "warning", "merges lock files with conflict markers")
    subprocess.run(hint, shell=True, cwd=project.root, check=True)  # noqa: S602 - the hint is a line for a shell
    project.write("jobs/portraits.review", "")  # as long as there is none, nothing is said of them
    code, state, found, hint = only(project)
    assert (code, state, found) == (0, "warning", "merges review files with conflict markers")
    subprocess.run(hint, shell=True, cwd=project.root, check=True)  # noqa: S602 - likewise
    assert examined(project) == (0, [])


def test_git_lfs_pointers_are_counted(project: ProjectFolder) -> None:
    project.build_job()
    for line in project.lines()[:2]:
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{line['sha256']}\nsize {line['size']}\n"
        (project.root / line["path"]).write_text(pointer)
    code, state, found, hint = only(project)
    assert (code, state, hint) == (0, "warning", "git lfs pull")
    assert found.startswith("2 images of 3 not fetched")


def test_a_backend_tells_its_own_rows_and_blocks_while_images_are_stale(project: ProjectFolder) -> None:
    project.job()
    project.script(problems={"Yrr": "no such checkpoint"})
    assert only(project) == (1, "wrong", "no such checkpoint", "this is only a script")
    project.script()
    project.doit()
    project.script(problems={"Yrr": "no such checkpoint"})
    assert only(project)[:3] == (0, "wrong", "no such checkpoint")


def test_without_jobs_all_is_well(project: ProjectFolder) -> None:
    assert examined(project) == (0, [])
