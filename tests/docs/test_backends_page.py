"""The example of docs/backends.md: built, installed as a plug-in and used by the real `doit`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from imagegen.backends.base import Backend
from imagegen.plan.request import Request
from imagegen.testing import BackendContract
from tests.docs.pages import files, table
from tests.project_folder import ProjectFolder
from tests.wheels import build, install

PAGE = files("docs/backends.md")
JOB = "jobs/skies.yaml"
OURS = ["skies:dawn", "skies:dusk"]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The plug-in's own project, as the page shows it."""
    folder = tmp_path_factory.mktemp("source")
    for path, text in PAGE.items():
        if path.startswith("imagegen-gradient/"):
            (folder / Path(path).name).write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def installed(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    wheel = build(source, "wheel", tmp_path_factory.mktemp("wheel"))
    return install(wheel, tmp_path_factory.mktemp("installed"))


@pytest.fixture
def project(tmp_path: Path, installed: Path) -> ProjectFolder:
    project = ProjectFolder(tmp_path / "project")
    project.environment["PYTHONPATH"] = str(installed)
    project.write(JOB, PAGE[JOB])
    return project


def change(project: ProjectFolder, old: str, new: str) -> None:
    assert old in PAGE[JOB]
    project.write(JOB, PAGE[JOB].replace(old, new))


def checked(source: Path, *command: str) -> None:
    result = subprocess.run([sys.executable, "-m", *command], cwd=source, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def corners(path: Path) -> list[object]:
    with Image.open(path) as image:
        right, bottom = image.width - 1, image.height - 1
        return [image.getpixel(at) for at in ((0, 0), (right, 0), (0, bottom), (right, bottom))]


def test_the_images_are_generated_and_a_second_run_generates_none(project: ProjectFolder) -> None:
    run = project.doit()
    assert (run.code, run.tasks("generated")) == (0, OURS), run.out
    assert len(set(corners(project.image("dusk", job="skies")))) == 4, "it is turned"
    assert "2 fresh, nothing to do" in project.doit().closing


def test_a_changed_option_makes_its_images_stale(project: ProjectFolder) -> None:
    project.doit()
    before = corners(project.image("dusk", job="skies"))
    change(project, "angle: 30", "angle: 200")
    run = project.doit()
    assert run.tasks("generated") == OURS
    assert "(angle 30 → 200)" in run.out
    assert corners(project.image("dusk", job="skies")) != before


def test_a_field_that_it_does_not_honour_makes_nothing_stale_and_is_reported(project: ProjectFolder) -> None:
    project.doit()
    change(project, "height: 200}", "height: 200, steps: 50}")
    run = project.doit()
    assert "2 fresh, nothing to do" in run.closing
    assert "gradient ignores steps" in run.out


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("angel: 30", "gradient.angel: unknown key; did you mean 'angle'?"),
        ("angle: 400", "gradient.angle: 400 is too large: at most 359"),
        ("angle: steep", "gradient.angle: expected a whole number, found the text 'steep'"),
    ],
)
def test_a_wrong_option_is_refused_in_its_place(project: ProjectFolder, option: str, message: str) -> None:
    change(project, "angle: 30", option)
    run = project.doit()
    assert run.code != 0
    assert message in run.out
    assert f"{JOB}:3:" in run.out


def test_its_preflight_holds_the_job_and_says_what_to_do(project: ProjectFolder) -> None:
    change(project, "from navy to gold", "a dark sky")
    run = project.doit()
    assert run.code != 0
    assert run.tasks("generated") == []
    assert "its prompt does not name two or three colours" in run.out
    assert "'navy to gold'" in run.out


def test_without_the_package_the_problem_names_the_backends_there_are(project: ProjectFolder) -> None:
    project.environment.clear()
    run = project.doit()
    assert run.code != 0
    assert "backend: 'gradient' is not one of a1111, comfyui, ollama, openai, placeholder" in run.out


def test_its_own_tests_pass(source: Path) -> None:
    checked(source, "pytest", "-p", "no:cacheprovider")


def test_it_fits_the_base_class_in_the_eyes_of_a_type_checker(source: Path, tmp_path: Path) -> None:
    use = (
        "from imagegen.backends.base import Backend\n"
        "from imagegen_gradient import GradientBackend\n"
        "backend: Backend = GradientBackend()\n"
    )
    checked(source, "mypy", "--strict", "--cache-dir", str(tmp_path), "-c", use)


def test_the_smallest_backend_is_one() -> None:
    defined: dict[str, Any] = {}
    exec(PAGE["red.py"], defined)  # noqa: S102 - our own page
    red = defined["RedBackend"]

    class Contract(BackendContract):
        def backend(self) -> Backend:
            found: Backend = red()
            return found

        def request(self) -> Request:
            return Request("red", "One", "", width=32, height=16)

    for test in (name for name in dir(BackendContract) if name.startswith("test_")):
        getattr(Contract(), test)()


def test_the_page_tells_of_each_member_of_the_base_class() -> None:
    listed = "".join(row[0] for row in table("docs/backends.md", "member"))
    assert [name for name in vars(Backend) if not name.startswith("_") and f"`{name}" not in listed] == []
