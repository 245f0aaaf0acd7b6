"""What lies in jobs/: what is a job, what is named as none, and what is a copy of another one."""

from __future__ import annotations

from pathlib import Path

import pytest

from imagegen.config.job_files import copied_from, job_files, stray_files, task_names

JOB = "items:\n  - {name: a, prompt: b}\n"


def strays(root: Path, *names: str, extended: tuple[str, ...] = ()) -> list[str]:
    for name in names:
        path = root / "jobs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(JOB, encoding="utf-8")
    return [problem.where for problem in stray_files(root, extended)]


@pytest.mark.parametrize(
    "name",
    [
        "Icons.YAML", "a.Json", "a.yml2", "a.ymal", "a.yaml.txt2", "a.jsonc", "a.toml", "a.yaml~", "a.yaml.orig", "a.yaml.bak", "#a.yaml#",
        "._a.yaml", ".a.yaml", "a.yaml.disabled", "Makefile", "a", "old/a.yaml", "old/a.json",
    ],
)  # fmt: skip
def test_a_file_that_is_not_built_is_named(tmp_path: Path, name: str) -> None:
    assert strays(tmp_path, name, "sound.yaml") == [f"jobs/{name}"]


@pytest.mark.parametrize(
    "name",
    [
        "a.yaml", "a.yml", "a.json", "a.lock", "_base.yaml", "kin.md", "kin.csv", "notes.txt", ".gitkeep", ".DS_Store", ".a.yaml.swp",
        "shared/_base.yaml", "wildcards/hair.txt", "_old/a.yaml",
    ],
)  # fmt: skip
def test_what_nobody_takes_for_a_job_that_is_not_built_is_not_named(tmp_path: Path, name: str) -> None:
    assert strays(tmp_path, name) == []


def test_a_folder_that_has_the_name_of_a_job_is_named(tmp_path: Path) -> None:
    assert strays(tmp_path, "a.yaml/notes.txt") == ["jobs/a.yaml"]


def test_a_file_in_a_folder_that_a_job_extends_is_not_named(tmp_path: Path) -> None:
    assert strays(tmp_path, "shared/a.yaml", extended=("jobs/shared/a.yaml",)) == []


def test_a_link_that_leads_nowhere_is_a_job_which_can_be_reported(tmp_path: Path) -> None:
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs/a.yaml").symlink_to("nowhere")
    assert job_files(tmp_path) == [tmp_path / "jobs/a.yaml"]


def test_of_files_with_one_name_yaml_keeps_it(tmp_path: Path) -> None:
    files = [tmp_path / "jobs" / name for name in ("a.json", "a.yaml", "a.yml")]
    assert list(task_names(files, ()).values()) == ["jobs/a.json", "a", "jobs/a.yml"]


@pytest.mark.parametrize(
    "name",
    [
        "kin-DESKTOP-A1B2C3", "kin-LAPTOP-9XYZ12", "kin (Anna's conflicted copy 2026-11-01)", "kin.sync-conflict-20261101-101010-ABCDEFG",
        "kin (1)", "kin (conflicted copy 2026-11-01 101010)", "Copy of kin", "kin copy", "kin copy 2", "kin - Copy", "kin - Copy (2)",
        "kin 2", "kin-Annas-MacBook-Pro", "kin-copy", "kin_copy", "kin - Kopie",
        "kin (Konflikt 2026-11-01)", "kin [conflicted]", "kin(1)", "kin (copie)", "kin (3rd copy)", "Kopie von kin",
    ],
)  # fmt: skip
def test_a_copy_is_known_by_its_name(name: str) -> None:
    assert copied_from(name, ["kin", "king", name]) == "kin"
    assert copied_from("kin", ["king", name]) == ""


@pytest.mark.parametrize("name", ["kin-night", "kingdom", "kin2", "kin-v2", "my-kin", "kin-copycat"])
def test_a_job_of_a_similar_name_is_no_copy(name: str) -> None:
    assert copied_from(name, ["kin", name]) == ""
