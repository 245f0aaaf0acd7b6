"""docs/your-repository.md: its files, in a repository of their own, with imagegen from its built wheel."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import files
from tests.endtoend.project import ProjectFolder
from tests.marks import long
from tests.wheels import ROOT, build, install

PAGE = files("docs/your-repository.md")
OURS = ["icons:lantern", "icons:rope"]
FIRST = ("dodo.py", "jobs/icons.yaml", ".gitattributes", ".gitignore")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    wheel = build(ROOT, "wheel", tmp_path_factory.mktemp("wheel"))
    return install(wheel, tmp_path_factory.mktemp("installed"))


@pytest.fixture
def project(tmp_path: Path, installed: Path) -> ProjectFolder:
    project = ProjectFolder(tmp_path / "project")
    (project.root / "script.json").unlink()
    project.environment["PYTHONPATH"] = str(installed)
    for path in FIRST:
        project.write(path, PAGE[path])
    return project


def below(project: ProjectFolder) -> ProjectFolder:
    """The same project, where doit is started in a folder below it."""
    folder = ProjectFolder(project.root / "game/scenes")
    for file in (folder.root / "dodo.py", folder.root / "script.json"):
        file.unlink()
    (folder.root / "jobs").rmdir()
    folder.environment = dict(project.environment)
    return folder


def icons(project: ProjectFolder) -> list[str]:
    return sorted(path.name for path in (project.root / "game/icons").iterdir())


def test_it_is_the_wheel_that_is_imported(project: ProjectFolder, installed: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-c", "import imagegen; print(imagegen.__file__)"],
        cwd=project.root,
        env={**os.environ, **project.environment, "CI": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(result.stdout.strip()).is_relative_to(installed)


def test_two_lines_and_a_job_are_enough(project: ProjectFolder) -> None:
    assert len(PAGE["dodo.py"].splitlines()) == 2
    run = project.doit()
    assert (run.code, run.tasks("generated")) == (0, OURS), run.out
    assert icons(project) == ["lantern.webp", "rope.webp"]
    assert "2 fresh, nothing to do" in project.doit().closing
    assert project.doit("doctor").code == 0


def test_the_readme_shows_the_same_two_lines() -> None:
    assert f"```python\n{PAGE['dodo.py']}```" in (ROOT / "README.md").read_text("utf-8")


def test_the_two_lines_bring_every_task_that_this_repository_has(project: ProjectFolder) -> None:
    def tasks(folder: ProjectFolder) -> set[str]:
        return {line.split()[0] for line in folder.doit("list").out.splitlines()}

    ours = ProjectFolder(project.root.parent / "ours")
    ours.write("dodo.py", (ROOT / "dodo.py").read_text("utf-8"))
    assert tasks(project) == tasks(ours) | {"icons"}


def test_a_clone_of_it_generates_nothing(project: ProjectFolder, tmp_path: Path) -> None:
    project.doit()
    project.git("init", "-q")
    project.git("add", ".")
    project.git("commit", "-qm", "Icons")
    assert ".imagegen" not in project.git("ls-files")
    assert "merge: union" in project.git("check-attr", "merge", "jobs/icons.lock")
    assert "merge: unspecified" in project.git("check-attr", "merge", "uv.lock")
    project.git("clone", "-q", ".", str(tmp_path / "clone"))
    clone = ProjectFolder.__new__(ProjectFolder)
    clone.root, clone.environment = tmp_path / "clone", project.environment
    assert "2 fresh, nothing to do" in clone.doit().closing
    assert clone.git("status", "--porcelain") == ""


def test_doit_in_a_subfolder_says_that_there_is_no_dodo_file_and_makes_nothing(project: ProjectFolder) -> None:
    folder = below(project)
    run = folder.doit()
    assert run.code != 0
    assert "Could not find dodo file" in run.err
    assert list(folder.root.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "environment"),
    [
        (["-k"], {}),
        long([], {"DOIT_SEEK_FILE": "1"}),
        long(["run", "-k", "icons"], {}),
        (["-k", "game/icons/rope.webp"], {}),
    ],
    ids=["option", "environment", "job", "target"],
)
def test_seeking_from_a_subfolder_builds_in_the_root(
    project: ProjectFolder, arguments: list[str], environment: dict[str, str]
) -> None:
    folder = below(project)
    run = folder.doit(*arguments, **environment)
    expected = ["icons:rope"] if "game/icons/rope.webp" in arguments else OURS
    assert (run.code, run.tasks("generated")) == (0, expected), run.out + run.err
    assert icons(project) == [f"{task.partition(':')[2]}.webp" for task in expected]
    assert list(folder.root.iterdir()) == []
    assert folder.doit("list", "-k").code == 0
    assert folder.doit("clean", "-k", "icons").code == 0
    assert not (project.root / "game/icons").exists() or icons(project) == []
    assert list(folder.root.iterdir()) == []


def test_forcing_from_a_subfolder_makes_the_image_anew(project: ProjectFolder) -> None:
    project.doit()
    assert below(project).doit("-k", "-a", "icons:rope").tasks("generated") == ["icons:rope"]


def test_own_tasks_stand_beside_the_jobs(project: ProjectFolder) -> None:
    project.write("dodo.py", PAGE["with-own-tasks/dodo.py"])
    assert project.doit().tasks("generated") == OURS
    assert not (project.root / "game/atlas.txt").exists()
    assert project.doit("atlas").code == 0
    assert (project.root / "game/atlas.txt").read_text("utf-8").split() == ["lantern.webp", "rope.webp"]


def test_a_pointer_of_git_lfs_counts_as_its_image(project: ProjectFolder) -> None:
    project.doit()
    project.write(".gitattributes", PAGE["lfs/.gitattributes"])
    project.git("init", "-q")
    assert "filter: lfs" in project.git("check-attr", "filter", "game/icons/rope.webp")
    assert "filter: unspecified" in project.git("check-attr", "filter", "jobs/icons.lock")
    for line in project.lines("icons"):
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{line['sha256']}\nsize {line['size']}\n"
        project.write(line["path"], pointer)
    assert "2 fresh, nothing to do" in project.doit().closing


def test_ci_draws_stand_ins_and_can_tell_what_is_stale(project: ProjectFolder) -> None:
    project.write("jobs/icons.yaml", f"backend: comfyui\n{PAGE['jobs/icons.yaml']}")
    stale = project.doit("list", "--all", "--status").out
    assert [line.split()[1] for line in stale.splitlines() if line.startswith("R icons:")] == OURS
    assert project.doit("backend=placeholder").tasks("generated") == OURS
