"""Ways in which a file could be replaced, or an image made in vain, that were once open."""

from __future__ import annotations

import os
import signal
import sys
import time

import pytest

from tests.marks import long
from tests.project_folder import DODO, ProjectFolder


def test_a_folder_has_one_spelling(project: ProjectFolder) -> None:
    project.write("assets/e/yrr.png", "precious")
    project.job(output={"dir": "assets/new/../e"})
    run = project.doit()
    assert "imagegen did not write this file" in run.out
    assert (project.root / "assets/e/yrr.png").read_text() == "precious"
    assert not (project.root / "assets/new").exists()


@pytest.mark.parametrize("other", ["./assets/s", "assets/x/../s", "assets//s"])
def test_two_spellings_of_one_folder_are_one(project: ProjectFolder, other: str) -> None:
    project.job(output={"dir": "assets/s"})
    project.job("zebra", output={"dir": other})
    assert "would both be written to assets/s/yrr.png" in project.doit().out


def test_two_folders_that_a_symlink_makes_one_are_one(project: ProjectFolder) -> None:
    (project.root / "assets/s").mkdir(parents=True)
    (project.root / "assets/t").symlink_to("s")
    project.job(output={"dir": "assets/s"})
    project.job("zebra", output={"dir": "assets/t"})
    assert "would both be written to assets/t/yrr.png" in project.doit().out


def test_an_absolute_path_into_the_project_is_refused_with_the_relative_one(project: ProjectFolder) -> None:
    project.job(output={"dir": str(project.root / "assets/s")})
    assert "write it as 'assets/s'" in project.doit().out


def test_one_off_images_do_not_climb_over_a_jobs_output(project: ProjectFolder) -> None:
    project.build_job()
    run = project.doit("image", "--prompt", "x", "--out", "nope/../assets/portraits/yrr.png")
    assert "belongs to portraits:yrr" in run.out


def test_no_seed_is_drawn_for_a_file_that_must_not_be_replaced(project: ProjectFolder) -> None:
    project.write("assets/portraits/yrr.png", "precious")
    project.job(generate={"width": 64, "height": 64, "seed": {"mode": "random"}})
    run = project.doit()
    assert run.tasks("failed") == ["portraits:yrr"]
    assert "Yrr" not in project.calls("started")
    assert "yrr" not in [line["output"] for line in project.lines() if "decision" in line]


def test_one_that_was_touched_up_is_not_replaced_because_it_is_asked_for_anew(project: ProjectFolder) -> None:
    project.build_job()
    project.image("yrr").write_text("touched up")
    run = project.doit("-a", "portraits:yrr")
    assert run.tasks("failed") == ["portraits:yrr"]
    assert "is not replaced: changed since it was generated, by hand or by git\n" in run.out
    assert project.image("yrr").read_text() == "touched up"


def test_an_earlier_take_that_was_put_back_by_hand_stays(project: ProjectFolder) -> None:
    project.script(acts={"Yrr": [{"format": "webp"}]})
    project.build_job()
    earlier = project.image("yrr").read_bytes()
    project.script(acts={"Yrr": [{"format": "jpeg"}]})
    project.doit("-a", "portraits:yrr")
    assert project.image("yrr").read_bytes() != earlier
    project.image("yrr").write_bytes(earlier)
    assert project.doit().tasks("kept") == ["portraits:yrr"]
    assert project.image("yrr").read_bytes() == earlier


def test_clean_keeps_git_lfs_pointers(project: ProjectFolder) -> None:
    project.build_job()
    line = project.lines()[0]
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{line['sha256']}\nsize {line['size']}\n"
    (project.root / line["path"]).write_text(pointer)
    run = project.doit("clean", "portraits")
    assert f"keep {line['path']}: a Git LFS pointer" in run.out
    assert (project.root / line["path"]).read_text() == pointer


def test_tasks_of_the_users_own_may_depend_on_images(project: ProjectFolder) -> None:
    own = (
        "\n\ndef task_sheet():\n    return {'actions': ['echo sheet'], 'task_dep': ['portraits:yrr'], 'verbosity': 2}\n"
    )
    project.write("dodo.py", DODO + own)
    project.build_job()
    for _ in range(2):
        assert "3 fresh" in project.doit().closing
        assert project.doit("sheet").code == 0
        assert project.doit("list").code == 0


@pytest.mark.parametrize(
    ("own", "message"),
    [
        (
            "def task_gallery():\n    return {'actions': ['echo mine'], 'task_dep': ['portraits:yrr'], 'verbosity': 2}\n",
            "3 fresh",
        ),
        ("DOIT_CONFIG = {**DOIT_CONFIG, 'default_tasks': ['portraits:yrr']}\n", "1 fresh"),
    ],
)
def test_what_the_user_put_in_place_of_ours_may_name_images(project: ProjectFolder, own: str, message: str) -> None:
    project.build_job()
    project.write("dodo.py", f"{DODO}\n\n{own}")
    run = project.doit()
    assert (run.code, message in run.closing) == (0, True), run.out + run.err


@pytest.mark.parametrize("words", [["bad:*"], ["nothing*"]])
def test_a_pattern_that_can_build_nothing_fails(project: ProjectFolder, words: list[str]) -> None:
    project.job()
    project.write("jobs/bad.yaml", "itemz: 3\n")
    run = project.doit(*words)
    assert run.code != 0
    message = run.out + run.err
    assert "itemz: unknown key" in message or "no task has a name like 'nothing*'" in message


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"value":', '"value":"x', "it is not valid JSON"),
        long('"time":"2', '"time":2', "it is not valid JSON"),
        long('"decision":"seed"', '"decision":["seed"]', "its decision, output or time is not text"),
    ],
)
def test_a_decision_that_was_edited_into_nonsense_breaks_its_job_only(
    project: ProjectFolder, old: str, new: str, message: str
) -> None:
    project.build_job(generate={"width": 64, "height": 64, "seed": {"mode": "random"}})
    lock = project.root / "jobs/portraits.lock"
    lock.write_text(lock.read_text().replace(old, new, 1))
    assert message in project.doit().out
    assert project.doit("list").code == 2


def test_an_empty_file_is_a_write_that_was_cut_off_and_restored(project: ProjectFolder) -> None:
    project.build_job()
    image = project.image("yrr").read_bytes()
    project.image("yrr").write_bytes(b"")
    assert project.doit("why", "--check").code == 1
    assert project.doit().tasks("restored") == ["portraits:yrr"]
    assert project.image("yrr").read_bytes() == image


def test_a_backend_that_cannot_name_its_model_breaks_its_job_only(project: ProjectFolder) -> None:
    project.job()
    project.job("other", backend="placeholder")
    project.write("script.json", "{")
    run = project.doit()
    assert "the script script.json cannot be read" in run.out
    assert len(run.tasks("generated")) == 3


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_project_can_be_looked_at(project: ProjectFolder) -> None:
    project.build_job()
    (project.root / ".imagegen").chmod(0o555)
    try:
        assert project.doit("list").code == 0
        assert "3 fresh" in project.doit().closing
    finally:
        (project.root / ".imagegen").chmod(0o755)


SAYS_THAT_IT_WAITS = """
from imagegen.state import mutex

acquire = mutex._acquire

def say(*arguments):
    print("at the mutex", flush=True)
    acquire(*arguments)

mutex._acquire = say
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_ctrl_c_while_waiting_for_another_build_leaves_quietly(project: ProjectFolder) -> None:
    project.script(acts={"*": [{"delay_s": 60}]})
    project.job()
    first = project.start()
    while not project.calls("started") and first.poll() is None:
        time.sleep(0.02)
    project.write("dodo.py", DODO + SAYS_THAT_IT_WAITS)
    second = project.start("wait=100")
    assert second.stdout is not None
    assert second.stdout.readline() == "at the mutex\n"
    os.kill(second.pid, signal.SIGINT)
    out, err = second.communicate(timeout=30)
    first.kill()
    first.communicate()
    assert "Traceback" not in out + err
    assert (second.returncode, "3 not built" in out) == (130, True)
