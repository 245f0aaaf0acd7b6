from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.project_folder import ProjectFolder


def test_what_is_mistyped_builds_nothing(project: ProjectFolder) -> None:
    project.job()
    for words, message in (
        (["backnd=placeholder"], "there is no setting 'backnd'; did you mean 'backend'?"),
        (["portrait"], "did you mean 'portraits'?"),
        (["info", "portraits:malsing"], "did you mean 'portraits:mallsing'?"),
        (["--stpes"], "unknown option --stpes; did you mean doit image --steps?"),
        (["list", "--stauts"], "unknown option --stauts; did you mean --status?"),
    ):
        run = project.doit(*words)
        assert run.code == 2
        assert message in run.err
        assert "CmdOption" not in run.err
    assert project.calls("started") == []
    assert not (project.root / "assets").exists()


@pytest.mark.parametrize(
    ("word", "message"),
    [("dumpdb", "doit's own database is the JSON file"), ("--backend=placeholder", "for images: doit backend=NAME")],
)
def test_what_is_of_doits_database_is_explained(project: ProjectFolder, word: str, message: str) -> None:
    project.job()
    assert project.doit("list").code == 0
    run = project.doit(word)
    assert (run.code, message in run.err) == (2, True)


def test_a_prompt_may_have_an_equals_sign(project: ProjectFolder) -> None:
    run = project.doit("image", "--prompt", "E=mc2", "--width=64", "--height=64", "--out", "signs/", "--format=webp")
    assert run.code == 0, run.out + run.err
    with Image.open(project.root / "signs/e-mc2.webp") as image:
        assert image.size == (64, 64)


@pytest.mark.parametrize(
    "dodo",
    [
        'from imagegen.tasks import *\nDOIT_CONFIG = {"verbosity": 2}\n',
        "from mytools.build import *\n",
        "import imagegen.tasks as t\ntask_jobs, task_why, task_store = t.task_jobs, t.task_why, t.task_store\n",
    ],
)
def test_doit_alone_builds_the_jobs_and_nothing_else_whatever_dodo_says(project: ProjectFolder, dodo: str) -> None:
    project.write("jobs/portraits.yaml", "generate: {width: 64, height: 64}\nitems: [{name: a, prompt: x}]\n")
    project.write("mytools/build.py", "from imagegen.tasks import *\n")
    project.write("dodo.py", dodo)
    run = project.doit()
    assert (run.code, run.tasks("generated")) == (0, ["portraits:a"])
    assert "did you mean 'portraits'?" in project.doit("portrait").err
    assert not (project.root / "assets/gallery").exists()


def test_help_lists_our_commands_in_our_projects_alone(project: ProjectFolder, tmp_path: Path) -> None:
    message = project.doit("help").out
    assert "run tasks" in message
    assert "doit why  " in message
    assert "doit server:start" in message
    assert project.doit("help", "why").out == project.doit("why", "-h").out
    other = tmp_path / "other"
    other.mkdir()
    (other / "dodo.py").write_text("def task_x():\n    return {'actions': ['true']}\n", "utf-8")
    run = [
        subprocess.run([sys.executable, "-m", "doit", word], cwd=other, capture_output=True, text=True, check=False)
        for word in ("help", "--stpes")
    ]
    assert "run tasks" in run[0].stdout
    assert "why" not in run[0].stdout
    assert "CmdOption" in run[1].stderr
    assert sorted(path.name for path in other.iterdir() if path.name != "__pycache__") == ["dodo.py"]
