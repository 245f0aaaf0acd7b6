"""docs/your-repository.md: its files, in a repository of their own, with imagegen from its built wheel."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from imagegen import DISTRIBUTION, __version__
from tests.docs.pages import files
from tests.marks import long
from tests.project_folder import ProjectFolder
from tests.wheels import ROOT, build, install

TEXT = (ROOT / "docs/your-repository.md").read_text("utf-8")
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
    return sorted(path.name for path in (project.root / "assets/icons").iterdir())


def imagegen(project: ProjectFolder, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command `imagegen`, of the wheel."""
    return subprocess.run(
        [sys.executable, "-m", "imagegen", *arguments],
        cwd=project.root,
        env={**os.environ, **project.environment, "CI": ""},
        capture_output=True,
        text=True,
        check=True,
    )


def test_it_is_the_wheel_that_is_imported(project: ProjectFolder, installed: Path) -> None:
    message = imagegen(project, "--version").stdout
    assert message.startswith(f"imagegen {__version__} ({DISTRIBUTION} from file:///")
    assert message.endswith(f", in {installed / 'imagegen'})\n")


def test_init_writes_the_files_of_the_page_and_says_what_is_shown_there(project: ProjectFolder) -> None:
    (shown,) = re.findall(r"^```\n(created  .*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    for path in FIRST:
        (project.root / path).unlink()
    project.git("init", "-q")
    project.write(".gitignore", ".venv/\n__pycache__/\n")
    run = imagegen(project, "init")
    assert run.stdout.splitlines()[:-1] == shown.splitlines()[:-1]
    for path in set(FIRST) - {".gitignore"}:
        assert (project.root / path).read_text("utf-8") == PAGE[path]
    assert set((project.root / ".gitignore").read_text("utf-8").split()) == set(PAGE[".gitignore"].split())


def test_the_files_of_the_page_are_enough(project: ProjectFolder) -> None:
    assert len(PAGE["dodo.py"].splitlines()) == 2
    run = project.doit()
    assert (run.code, run.tasks("generated")) == (0, OURS), run.out
    assert icons(project) == ["lantern.png", "rope.png"]
    assert "2 fresh, nothing to do" in project.doit().closing
    assert project.doit("doctor").code == 0


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
    clone = ProjectFolder(tmp_path / "clone")
    clone.environment = project.environment
    assert "2 fresh, nothing to do" in clone.doit().closing
    assert clone.git("status", "--porcelain") == ""


def test_doit_in_a_subfolder_says_that_there_is_no_dodo_file_and_writes_nothing(project: ProjectFolder) -> None:
    folder = below(project)
    run = folder.doit()
    assert run.code != 0
    assert "there is no dodo.py in this folder\n    in a subfolder of a project: doit -k" in run.err
    assert list(folder.root.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "environment"),
    [
        (["-k"], {}),
        long([], {"DOIT_SEEK_FILE": "1"}),
        long(["run", "-k", "icons"], {}),
        (["-k", "assets/icons/rope.png"], {}),
    ],
    ids=["option", "environment", "job", "target"],
)
def test_seeking_from_a_subfolder_builds_in_the_root(
    project: ProjectFolder, arguments: list[str], environment: dict[str, str]
) -> None:
    folder = below(project)
    run = folder.doit(*arguments, **environment)
    expected = ["icons:rope"] if "assets/icons/rope.png" in arguments else OURS
    assert (run.code, run.tasks("generated")) == (0, expected), run.out + run.err
    assert icons(project) == [f"{task.partition(':')[2]}.png" for task in expected]
    assert list(folder.root.iterdir()) == []
    assert folder.doit("list", "-k").code == 0
    assert folder.doit("clean", "-k", "icons").code == 0
    assert not (project.root / "assets/icons").exists() or icons(project) == []
    assert list(folder.root.iterdir()) == []


def test_forcing_from_a_subfolder_generates_the_image_again(project: ProjectFolder) -> None:
    project.doit()
    assert below(project).doit("-k", "-a", "icons:rope").tasks("generated") == ["icons:rope"]


def test_own_tasks_stand_beside_the_jobs(project: ProjectFolder) -> None:
    project.write("dodo.py", PAGE["with-own-tasks/dodo.py"])
    assert project.doit().tasks("generated") == OURS
    assert not (project.root / "atlas.txt").exists()
    assert project.doit("atlas").code == 0
    assert (project.root / "atlas.txt").read_text("utf-8").split() == ["lantern.png", "rope.png"]


def test_a_pointer_of_git_lfs_counts_as_its_image(project: ProjectFolder) -> None:
    project.doit()
    project.write(".gitattributes", PAGE["lfs/.gitattributes"])
    project.git("init", "-q")
    assert "filter: lfs" in project.git("check-attr", "filter", "assets/icons/rope.png")
    assert "filter: unspecified" in project.git("check-attr", "filter", "jobs/icons.lock")
    for line in project.lines("icons"):
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{line['sha256']}\nsize {line['size']}\n"
        project.write(line["path"], pointer)
    assert "2 fresh, nothing to do" in project.doit().closing


def test_ci_generates_placeholders_and_finds_out_what_is_stale(project: ProjectFolder) -> None:
    (check,) = re.findall(r"^doit (why .*)$", TEXT, re.MULTILINE)
    job = project.root / "jobs/icons.yaml"
    job.write_text(job.read_text("utf-8") + "backend: comfyui\n", encoding="utf-8")
    assert project.doit(*check.split()).code == 1
    assert project.doit("backend=placeholder").tasks("generated") == OURS
    assert project.doit(*check.split(), "backend=placeholder").code == 0
    project.write("jobs/broken.yaml", "items: 1\n")
    assert project.doit(*check.split()).code == 2


def test_the_readme_begins_with_the_same_steps() -> None:
    """Its first two commands are CI's; then those for a repository of one's own."""
    steps = re.findall(r"^(?:python3 -m venv|\.venv/bin/).*$", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE)
    own = " && ".join(steps[2:4]).split(" && ")
    assert f"```\n{chr(10).join(own)}\n```" in TEXT


def test_each_way_of_installing_names_this_distribution() -> None:
    commands = re.findall(r"pip install ([^`\n]+)", TEXT)
    assert {re.split(r"[ '\[]", command.lstrip("'"))[0] for command in commands if not command.startswith("-")} == {
        "/path/to/imagegen",
        f"doit_imagegen-{__version__}-py3-none-any.whl",
        DISTRIBUTION,
    }
