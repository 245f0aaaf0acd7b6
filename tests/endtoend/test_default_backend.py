"""The default backend, `placeholder`, where stable-diffusion.cpp is set up: a run says once how to have real images."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.project_folder import ProjectFolder

HINT = 'sd is set up: add backend = "sd" under [tool.imagegen] in pyproject.toml to use it by default'
JOB = {"generate": {"width": 64, "height": 64}, "items": [{"name": "Rope", "prompt": "a coil of rope"}]}


@pytest.fixture
def project(tmp_path: Path) -> ProjectFolder:
    """A project whose job names no backend, and where sd is set up."""
    project = ProjectFolder(tmp_path / "project", JOB)
    project.job("icons")
    project.write("tools/sd/sd-server", "")
    return project


def test_a_run_that_generates_placeholders_by_default_says_it_once(project: ProjectFolder) -> None:
    run = project.doit()
    assert run.tasks("generated") == ["icons:rope"]
    assert run.out.splitlines()[-2] == HINT
    project.job("icons", generate={"width": 96, "height": 64})
    assert HINT not in project.doit().out


def test_a_run_with_nothing_to_do_does_not_say_it(project: ProjectFolder) -> None:
    (project.root / "tools/sd/sd-server").unlink()
    assert HINT not in project.doit().out
    project.write("tools/sd/sd-server", "")
    assert HINT not in project.doit().out
    project.image("rope", job="icons").unlink()
    assert HINT not in project.doit().out, "it is restored"


def test_a_run_that_keeps_images_of_sd_says_it(project: ProjectFolder) -> None:
    project.doit()
    (project.root / ".imagegen/cache/sd-suggested").unlink()
    lock = project.root / "jobs/icons.lock"
    lock.write_text(lock.read_text().replace('"backend":"placeholder"', '"backend":"sd"'))
    project.job("icons", generate={"width": 96, "height": 64})
    run = project.doit()
    assert "made by sd, and placeholder does not replace it: doit backend=sd updates it" in run.out
    assert HINT in run.out
    assert HINT not in project.doit().out


@pytest.mark.long
def test_a_backend_that_was_chosen_is_not_questioned(project: ProjectFolder) -> None:
    assert HINT not in project.doit("backend=placeholder").out
    project.job("icons", backend="placeholder", generate={"width": 96, "height": 64})
    assert HINT not in project.doit().out
    project.job("icons", generate={"width": 128, "height": 64})
    assert HINT not in project.doit(IMAGEGEN_BACKEND="placeholder").out
    project.write("pyproject.toml", '[tool.imagegen]\nbackend = "placeholder"\n')
    project.job("icons", generate={"width": 160, "height": 64})
    assert HINT not in project.doit().out


def test_a_one_off_image_says_it_too(project: ProjectFolder) -> None:
    assert HINT not in project.doit("image", "--prompt=a raven", "--backend=placeholder").out
    assert HINT in project.doit("image", "--prompt=an owl").out
    assert HINT not in project.doit("image", "--prompt=an oak").out
