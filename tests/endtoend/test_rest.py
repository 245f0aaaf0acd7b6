"""A run with nothing to do, and one of a job in which little changed: what a snapshot speaks for is not planned."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.project_folder import ProjectFolder, items

ALL = ["portraits:mallsing", "portraits:okka", "portraits:yrr"]


WATCH = """
import os, sys

def opened(event, arguments):
    if event == "open" and str(arguments[0]).endswith(".yaml"):
        with os.fdopen(os.open(os.environ["OPENED"], os.O_WRONLY | os.O_APPEND | os.O_CREAT), "w") as log:
            log.write(os.path.basename(arguments[0]) + "\\n")

sys.addaudithook(opened)
"""
"""A sitecustomize that notes which YAML files the process opens."""


class Watched:
    """A project whose doit notes the job files that it opens: what it does not open it cannot have planned."""

    def __init__(self, project: ProjectFolder, folder: Path) -> None:
        self.log = folder / "opened.txt"
        (folder / "sitecustomize.py").write_text(WATCH)
        project.environment |= {"PYTHONPATH": str(folder), "OPENED": str(self.log)}

    def opened(self) -> set[str]:
        """The job files that were opened since the last time of asking."""
        found = set(self.log.read_text().split()) if self.log.exists() else set()
        self.log.unlink(missing_ok=True)
        return found


@pytest.fixture
def watched(project: ProjectFolder, tmp_path: Path) -> Watched:
    (tmp_path / "watch").mkdir()
    return Watched(project, tmp_path / "watch")


def test_a_run_with_nothing_to_do_plans_nothing(project: ProjectFolder, watched: Watched) -> None:
    project.build_job()
    assert watched.opened() == {"portraits.yaml"}
    assert "3 fresh, nothing to do" in project.doit().closing
    assert "3 fresh, nothing to do" in project.doit("portraits").closing
    assert project.doit("portraits:yrr", "portraits:okka").closing.startswith("2 fresh, nothing to do")
    assert project.doit("list").code == 0
    assert watched.opened() == set()
    assert project.doit("portraits:nobody").code == 2
    assert watched.opened() == {"portraits.yaml"}
    assert project.doit("doctor").code == 0
    assert watched.opened() == {"portraits.yaml"}


def test_of_a_changed_job_only_the_changed_item_is_planned(project: ProjectFolder, watched: Watched) -> None:
    project.job("arms")
    project.build_job()
    watched.opened()
    for words, fresh in (([], ", 5 fresh"), (["portraits:okka", "portraits:yrr"], ", 1 fresh")):
        project.job(items=items(Yrr=f"a small figure with {len(words)} lanterns"))
        run = project.doit(*words)
        assert (run.code, run.tasks("generated")) == (0, ["portraits:yrr"])
        assert f"1 generated{fresh}" in run.closing
    project.job(items=items(Yrr="a small figure with many lanterns"))
    assert project.doit("portraits:okka").closing.startswith("1 fresh, nothing to do")
    assert project.doit("-r", "json", "portraits").code == 0
    assert "6 fresh, nothing to do" in project.doit().closing
    assert watched.opened() == {"portraits.yaml"}


def test_an_item_that_is_renamed_in_a_known_job_leaves_its_file_and_is_told(project: ProjectFolder) -> None:
    project.build_job()
    found = items()
    found[1]["name"] = "Yrre"
    project.job(items=found)
    run = project.doit()
    assert run.tasks("generated") == ["portraits:yrre"]
    assert "assets/portraits/yrr.png" in run.out
    assert "portraits/mallsing.png" not in run.out
    assert "3 fresh, nothing to do" in project.doit().closing


def test_a_changed_item_that_fails_is_told_again_and_the_rest_is_fresh(project: ProjectFolder) -> None:
    project.build_job()
    project.job(items=items(Yrr="another"))
    project.script(acts={"Yrr": [{"error": "CUDA out of memory"}]})
    for _ in range(2):
        run = project.doit()
        assert (run.code, run.tasks("failed")) == (1, ["portraits:yrr"])
        assert "2 fresh" in run.closing
    project.script()
    assert project.doit().tasks("generated") == ["portraits:yrr"]


def test_what_is_made_from_an_image_that_was_made_again_is_not_at_rest(project: ProjectFolder) -> None:
    project.build_job(derive={"thumb": {"width": 16}})
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


def test_with_nothing_to_do_dodo_py_and_the_commands_are_not_loaded(project: ProjectFolder) -> None:
    project.build_job()
    assert project.is_short()
    assert project.is_short("run")
    assert not project.is_short("portraits")
    assert not project.is_short("wait=1")
    assert not project.is_short(IMAGEGEN_STORE_WRITES="false")
    (project.root / "jobs/notes.txt").touch()
    assert not project.is_short()


@pytest.mark.parametrize(
    "dodo",
    [
        "from imagegen.tasks import *\nprint('run by doit')\n",
        "print('run by doit')\nfrom imagegen.tasks import DOIT_CONFIG, task_jobs\n",
        "from imagegen.tasks import *\ndef task_own():\n    return {'actions': ['echo run by doit'], 'verbosity': 2}\n",
    ],
)
def test_a_dodo_file_that_does_more_is_run_also_with_nothing_to_do(project: ProjectFolder, dodo: str) -> None:
    (project.root / "dodo.py").write_text(dodo + "DOIT_CONFIG = {**DOIT_CONFIG, 'default_tasks': None}\n")
    project.build_job()
    assert "run by doit" in project.doit("portraits", *(["own"] if "own" in dodo else [])).out
    (project.root / "dodo.py").write_text(dodo)
    project.doit()
    run = project.doit()
    assert "3 fresh, nothing to do" in run.out
    assert "own" in dodo or "run by doit" in run.out


@pytest.mark.long
def test_options_in_doits_configuration_hold_also_with_nothing_to_do(project: ProjectFolder) -> None:
    project.build_job()
    assert project.is_short()
    (project.root / "doit.cfg").write_text("[GLOBAL]\nverbosity = 0\n")
    assert not project.is_short()
    (project.root / "doit.cfg").unlink()
    assert project.is_short()
    project.environment["DOIT_SEEK_FILE"] = "1"
    project.doit()
    assert not project.is_short()
