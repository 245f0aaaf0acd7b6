"""A lock file that is missing while images of its job are there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.project_folder import SMALL_JOB, ProjectFolder, picture

COMMANDS = ((), ("why",), ("verify",), ("doctor",))


@pytest.fixture
def folder(tmp_path: Path) -> ProjectFolder:
    return ProjectFolder(tmp_path / "project", SMALL_JOB)


def lose(folder: ProjectFolder) -> None:
    (folder.root / "jobs/portraits.lock").unlink()


def problems(folder: ProjectFolder) -> list[tuple[str, str, str]]:
    [plan] = folder.project().plans()
    return [(one.where, one.what, one.hint) for one in plan.problems]


def commit(folder: ProjectFolder) -> None:
    folder.git("init")
    folder.git("add", "-A")
    folder.git("commit", "-m", "images")


def test_if_git_has_it_git_brings_it_back_and_nothing_is_built_until_then(folder: ProjectFolder) -> None:
    folder.job(variants=2)
    folder.build()
    folder.pick("mallsing", 2)
    folder.reroll("portraits:yrr-v1")
    assert folder.doit().code == 0  # and it knows what is fresh
    commit(folder)
    before = folder.files()
    lock = folder.lock()
    lose(folder)
    for command in COMMANDS:
        run = folder.doit(*command)
        said = run.out + run.err
        assert said.count("portraits.lock: is missing, and 3 files of the job are there") == 1
        assert "git restore jobs/portraits.lock" in said
        assert "imagegen did not write" not in said
    assert folder.files() == {path: data for path, data in before.items() if path != "jobs/portraits.lock"}
    folder.git("rm", "--cached", "jobs/portraits.lock")
    [(_, _, hint)] = problems(folder)
    folder.git(*hint.split()[1:])
    assert folder.lock() == lock
    assert folder.build() == {}


def test_without_git_what_was_decided_is_not_lost_either(folder: ProjectFolder) -> None:
    folder.job()
    folder.build()
    lose(folder)
    assert problems(folder) == []  # the same images are written again, from the store
    folder.build()
    folder.reroll("portraits:yrr")
    folder.build()
    before = folder.image("yrr").read_bytes()
    lose(folder)
    [(where, what, hint)] = problems(folder)
    assert (where, what) == ("jobs/portraits.lock", "is missing, and 2 files of the job are there")
    assert "create it empty: then doit accept portraits keeps the files" in hint
    folder.write("jobs/portraits.lock", "")
    assert folder.doit("accept", "portraits").code == 0
    assert folder.image("yrr").read_bytes() == before
    assert folder.build() == {}


def test_a_job_that_never_had_one_needs_none(folder: ProjectFolder) -> None:
    folder.job()
    commit(folder)
    assert problems(folder) == []  # it is new
    for slug in ("mallsing", "yrr"):  # pictures that are to be adopted
        folder.image(slug).parent.mkdir(parents=True, exist_ok=True)
        folder.image(slug).write_bytes(picture())
    assert problems(folder) == []
    assert folder.doit("accept", "portraits").code == 0
    lose(folder)  # a team that doesn't commit it, in another clone
    assert problems(folder) == []


def test_adopted_files_have_nothing_but_decisions(folder: ProjectFolder) -> None:
    folder.job()
    folder.image("yrr").parent.mkdir(parents=True)
    folder.image("yrr").write_bytes(picture())
    folder.accept("portraits:yrr")
    commit(folder)
    lose(folder)
    assert [one[1] for one in problems(folder)] == ["is missing, and a file of the job is there"]
    folder.git("commit", "-am", "begin again")
    assert problems(folder) == []


def test_of_a_clone_without_images_the_lock_file_may_go(folder: ProjectFolder) -> None:
    folder.job()
    folder.build()
    commit(folder)
    lose(folder)
    for slug in ("mallsing", "yrr"):
        folder.image(slug).unlink()
    assert problems(folder) == []
