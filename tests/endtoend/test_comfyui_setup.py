"""`doit comfyui:setup` and `doit comfyui:update`, as commands."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.backends.comfyui.upstream import Upstream, git
from tests.project_folder import ProjectFolder
from tests.valid_results import check_lines

SETTINGS = """
[tool.imagegen.comfyui]
repository = "../upstream"
revision = "{revision}"
python = '{python}'
torch = "none"
"""


@pytest.fixture
def upstream(project: ProjectFolder, tmp_path: Path) -> Upstream:
    project.environment = {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1"}
    pin(project, "master")
    return Upstream(tmp_path / "upstream")


def pin(project: ProjectFolder, revision: str) -> None:
    project.write("pyproject.toml", SETTINGS.format(revision=revision, python=sys.executable))


@pytest.mark.long
def test_comfyui_is_set_up_and_updated(project: ProjectFolder, upstream: Upstream) -> None:
    commit = git(upstream.folder, "rev-parse", "HEAD")
    unasked = project.doit("comfyui:setup", "--torch=cpu")
    assert unasked.code == 3
    assert "GB to download" in unasked.out
    assert unasked.out.endswith(
        "there is no terminal to ask on\n    to go ahead without the question: doit comfyui:setup --torch=cpu --yes\n"
    )
    assert not (project.root / "tools").exists()
    run = project.doit("comfyui:setup", "--yes")
    assert run.code == 0, run.out
    assert "about 780 MB to download" in run.out
    assert f"ComfyUI is installed in tools/ComfyUI: master, git revision {commit}\n" in run.out
    assert (project.root / "tools/ComfyUI/main.py").exists()
    newer = upstream.release("v2")
    assert f"git revision {commit}\n" in project.doit("comfyui:setup", "--yes").out
    (answer,) = check_lines(project.doit("comfyui:update", "--yes", "--json"))
    assert (answer["result"]["commit"], answer["result"]["is_changed"]) == (newer, True)
    assert f"git revision {newer}\n" in project.doit("comfyui:update", "--yes").out


@pytest.mark.usefixtures("upstream")
def test_what_goes_wrong_is_told_once_and_in_the_exit_code(project: ProjectFolder) -> None:
    pin(project, "mastr")
    run = project.doit("comfyui:setup", "--yes")
    assert run.code != 0
    assert (run.out + run.err).count("has no tag, branch or commit 'mastr'; did you mean 'master'?\n") == 1
    (answer,) = check_lines(project.doit("comfyui:setup", "--yes", "--json"))
    assert [problem["where"] for problem in answer["problems"]] == ["comfyui.revision"]
    assert "did you mean 'cuda'?" in project.doit("comfyui:setup", "--torch", "cud").err


@pytest.mark.usefixtures("upstream")
def test_wrong_settings_set_nothing_up(project: ProjectFolder) -> None:
    project.write("pyproject.toml", '[tool.imagegen.comfyui]\nrevison = "v1"\n')
    run = project.doit("comfyui:setup", "--yes")
    assert run.code != 0
    assert "comfyui.revison: unknown key; did you mean 'comfyui.revision'?" in run.out
    assert not (project.root / "tools").exists()


def test_it_is_no_part_of_a_build_and_no_subtask(project: ProjectFolder) -> None:
    project.job()
    assert "comfyui:setup" in project.doit("list").out
    assert project.doit().code == 0
    assert project.doit("comfyui").code != 0
    assert not (project.root / "tools").exists()


def test_a_job_cannot_take_its_name(project: ProjectFolder) -> None:
    project.job("comfyui", items=[{"name": "setup", "prompt": "a"}])
    assert "jobs/comfyui.yaml" in project.doit("list").out
    run = project.doit()
    assert run.code != 0
    assert "jobs/comfyui.yaml: " in run.out
