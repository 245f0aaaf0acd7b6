"""What git is asked, with real repositories."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from imagegen.project.git import git_attribute, git_top, ignore_rules

PATHS = ["jobs/a.lock", "jobs/a.yaml", "assets/a/b.png"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q")
    git(tmp_path, "config", "core.excludesFile", str(tmp_path / "none"))
    return tmp_path


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=folder, check=True)


def rules(root: Path, paths: list[str]) -> dict[str, tuple[str, str]]:
    found = ignore_rules(root, paths)
    assert found is not None
    return {path: (str(rule), rule.hint) for path, rule in found.items()}


def added(line: str) -> str:
    return f"add this line at the end of .gitignore: {line}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("*.log\n", {}),
        ("*.log\n*.lock\n", {"jobs/a.lock": ("'*.lock' (.gitignore:2)", added("!jobs/*.lock"))}),
        ("*.lock\n!jobs/*.lock\n", {}),
        ("/assets/a/*.png\n", {"assets/a/b.png": ("'/assets/a/*.png' (.gitignore:1)", added("!assets/a/*.png"))}),
        (
            "assets\n",
            {"assets/a/b.png": ("'assets' (.gitignore:1)", "edit line 1 of .gitignore so that it leaves assets/a/*.png alone")},
        ),
        (
            "jobs/\n",
            {
                path: ("'jobs/' (.gitignore:1)", f"edit line 1 of .gitignore so that it leaves jobs/*{path[6:]} alone")
                for path in ("jobs/a.lock", "jobs/a.yaml")
            },
        ),
    ],
)  # fmt: skip
def test_an_ignored_file_has_its_rule_and_what_brings_it_back(
    root: Path, text: str, expected: dict[str, tuple[str, str]]
) -> None:
    (root / ".gitignore").write_text(text)
    assert rules(root, PATHS) == expected


def test_the_hint_works(root: Path) -> None:
    (root / ".gitignore").write_text("*.lock\n")
    hint = rules(root, PATHS)["jobs/a.lock"][1]
    (root / ".gitignore").write_text(f"*.lock\n{hint.partition(': ')[2]}\n")
    assert rules(root, PATHS) == {}


def test_the_users_own_excludes_are_named_with_their_file(root: Path, tmp_path: Path) -> None:
    (tmp_path / "none").write_text("*.lock\n")
    assert rules(root, PATHS)["jobs/a.lock"] == (f"'*.lock' ({tmp_path / 'none'}:1)", added("!jobs/*.lock"))
    (root / ".git/info/exclude").write_text("\na.*\n")
    assert rules(root, PATHS)["jobs/a.yaml"][0] == "'a.*' (.git/info/exclude:2)"


def test_rules_of_a_folder_above_and_of_one_below_are_named_from_the_project(root: Path) -> None:
    project = root / "game/art"
    (project / "jobs").mkdir(parents=True)
    (root / ".gitignore").write_text("*.lock\n")
    (project / "jobs/.gitignore").write_text("a.yaml\n")
    assert rules(project, PATHS) == {
        "jobs/a.lock": ("'*.lock' (../../.gitignore:1)", added("!jobs/*.lock")),
        "jobs/a.yaml": (
            "'a.yaml' (jobs/.gitignore:1)",
            "edit line 1 of jobs/.gitignore so that it leaves jobs/*.yaml alone",
        ),
    }


def test_a_tracked_file_is_not_ignored(root: Path) -> None:
    (root / "jobs").mkdir()
    (root / "jobs/a.lock").touch()
    git(root, "add", "jobs/a.lock")
    (root / ".gitignore").write_text("*.lock\n")
    assert list(rules(root, ["jobs/a.lock", "jobs/b.lock"])) == ["jobs/b.lock"]


def test_however_many_files_there_are_git_is_asked_twice(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "assets").mkdir()
    for number in range(40):
        (root / f"assets/{number}.png").touch()
    git(root, "add", "assets/7.png")
    (root / ".gitignore").write_text("/assets\n")
    log, program = tmp_path / "asked.txt", tmp_path / "bin/git"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$1" >> "{log}"\nexec "{shutil.which("git")}" "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    found = rules(root, [f"assets/{number}.png" for number in range(40)])
    assert sorted(found) == sorted(f"assets/{number}.png" for number in range(40) if number != 7)
    assert log.read_text().split() == ["check-ignore", "ls-files"]


def test_paths_that_leave_the_project_hold_up_no_others(root: Path, tmp_path: Path) -> None:
    (root / "jobs").mkdir()
    (root / "link").symlink_to(tmp_path.parent)
    (root / ".gitignore").write_text("*\n")
    git(root, "init", "-q", "sub")
    git(
        root,
        "-c",
        "advice.addEmbeddedRepo=false",
        "-C",
        "sub",
        "-c",
        "user.name=t",
        "-c",
        "user.email=t@example.org",
        "commit",
        "-q",
        "--allow-empty",
        "-m",
        "x",
    )
    git(root, "-c", "advice.addEmbeddedRepo=false", "add", "-f", "sub")
    paths = ["../x.png", "/x.png", "/etc/x.png", "link/x.png", "sub/a/x.png", "jobs/ü\n.lock"]
    assert list(rules(root, paths)) == ["jobs/ü\n.lock"]


def test_outside_of_git_there_is_nothing_to_say(tmp_path: Path) -> None:
    assert git_top(tmp_path) is None
    assert ignore_rules(tmp_path, PATHS) is None
    assert git_attribute(tmp_path, "merge", "x") is None


def test_a_broken_repository_says_nothing(tmp_path: Path) -> None:
    (tmp_path / ".git").write_text("gitdir: /nowhere\n")
    assert git_top(tmp_path) == tmp_path
    assert ignore_rules(tmp_path, PATHS) is None
