"""Images that are made from other images of the project: in order, over jobs, and never out of step."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from typing import Any

import pytest

from tests.marks import long
from tests.project_folder import ProjectFolder

CHILD = "children:child"


def children(project: ProjectFolder, face: str = "portraits:mallsing", **images: str) -> None:
    """Two items, of which one is made from an output of the job `portraits`."""
    items: list[dict[str, Any]] = [
        {"name": "child", "prompt": "a child", "scripted": {"images": {"face": face, **images}}},
        {"name": "alone", "prompt": "alone"},
    ]
    project.job("children", items=items)


def portraits(project: ProjectFolder, prompt: str = "a tall figure", **keys: Any) -> None:
    items = [{"name": "Mallsing", "prompt": prompt}, {"name": "Yrr", "prompt": "a small figure"}]
    project.job(items=items, **keys)


def test_what_is_made_from_a_portrait_follows_it_in_one_run(project: ProjectFolder) -> None:
    portraits(project)
    children(project)
    assert project.doit().code == 0
    assert project.calls().index("Mallsing") < project.calls().index("child")
    assert "4 fresh, nothing to do" in project.doit().closing
    assert "4 fresh, nothing to do" in project.doit("children:*", "portraits:*").closing
    portraits(project, "a very tall figure")
    assert f"R {CHILD} " in project.doit("list", "--all", "--status").out
    assert "may change with portraits:mallsing" in project.doit("info", CHILD).out
    run = project.doit()
    assert run.tasks("generated") == [CHILD, "portraits:mallsing"]
    assert f"{CHILD}  assets/children/child.png  0.0 s  (portraits:mallsing changed)" in run.out
    assert "4 fresh, nothing to do" in project.doit().closing
    portraits(project)
    run = project.doit()
    assert (run.tasks("generated"), run.tasks("restored")) == ([], [CHILD, "portraits:mallsing"])


def test_a_clone_is_fresh_and_the_portraits_content_decides_not_its_making(project: ProjectFolder) -> None:
    portraits(project)
    children(project)
    project.doit()
    shutil.rmtree(project.root / ".imagegen")
    assert "4 fresh, nothing to do" in project.doit().closing
    calls = project.calls()
    project.image("mallsing").unlink()
    run = project.doit()  # the portrait is drawn again, and comes out as it was: nothing else is
    assert run.tasks("generated") == ["portraits:mallsing"]
    assert project.calls() == [*calls, "Mallsing"]


def test_a_portrait_by_its_path_gets_a_note_that_says_its_name(project: ProjectFolder) -> None:
    portraits(project)
    project.doit()
    (project.root / "art").symlink_to("assets/portraits")
    children(project, "art/mallsing.png")
    note = "art/mallsing.png is written by the job portraits, and may be read before that: name it portraits:mallsing"
    assert f"children: {note}, and it is built first\n" in project.doit("why").out
    run = project.doit()
    assert run.out.count(note) == 1
    assert run.tasks("generated") == ["children:alone", CHILD]
    children(project)
    assert note not in project.doit().out


def test_a_job_builds_what_its_images_are_made_from_in_other_jobs_and_no_more(project: ProjectFolder) -> None:
    portraits(project)
    children(project)
    assert project.doit("children").tasks("generated") == ["children:alone", CHILD, "portraits:mallsing"]
    project.doit()
    portraits(project, "a very tall figure")
    assert project.doit("children").tasks("generated") == [CHILD, "portraits:mallsing"]
    assert "4 fresh, nothing to do" in project.doit().closing


def test_a_task_builds_what_it_is_made_from_and_no_more(project: ProjectFolder) -> None:
    portraits(project, derive={"square": {"width": 32}})
    children(project, icon="portraits:yrr:square")
    run = project.doit(CHILD)
    assert run.tasks("generated") == [CHILD, "portraits:mallsing", "portraits:yrr"]
    assert run.tasks("derived") == ["portraits:yrr:square"]
    portraits(project, "a very tall figure", derive={"square": {"width": 32}})
    assert project.doit("portraits:mallsing").tasks("generated") == ["portraits:mallsing"]
    run = project.doit("-a", CHILD)
    assert run.tasks("generated") == [CHILD]


@pytest.mark.parametrize(
    "how", [long(["-r", "json"]), long(["-n", "2"]), long(["-n", "2", "-P", "thread"]), ["-n", "2", "-r", "json"]]
)
def test_the_order_holds_with_doits_own_reporters_and_workers(project: ProjectFolder, how: list[str]) -> None:
    project.script(acts={"Mallsing": [{"delay_s": 0.3}]})
    portraits(project)
    children(project)
    run = project.doit("run", *how)
    assert run.code == 0, run.out + run.err
    assert sorted(project.calls()) == ["Mallsing", "Yrr", "alone", "child"]
    assert "4 fresh, nothing to do" in project.doit().closing


def test_the_source_is_drawn_first_by_whatever_backend(project: ProjectFolder) -> None:
    portraits(project, backend="placeholder")
    children(project)
    run = project.doit(CHILD)
    assert run.tasks("generated") == [CHILD, "portraits:mallsing"]
    assert project.calls() == ["child"]


def test_what_follows_a_failed_portrait_fails_with_one_line_and_the_others_go_on(project: ProjectFolder) -> None:
    project.script(acts={"Mallsing": [{"error": "no luck"}]})
    portraits(project)
    children(project)
    run = project.doit()
    assert run.code != 0
    assert run.tasks("generated") == ["children:alone", "portraits:yrr"]
    assert run.out.count(f"{CHILD}: not built, because portraits:mallsing failed") == 1
    assert "child" not in project.calls("started")


def test_preflight_finds_what_is_wrong_with_what_follows_before_anything_of_its_job_is_drawn(
    project: ProjectFolder,
) -> None:
    project.script(problems={"child": "no such checkpoint"})
    portraits(project)
    children(project)
    run = project.doit()
    assert run.out.count("no such checkpoint") == 1
    assert "alone" not in project.calls("started")
    assert "child" not in project.calls("started")


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_ctrl_c_finishes_what_runs_and_leaves_what_follows(project: ProjectFolder) -> None:
    project.script(acts={"*": [{"delay_s": 1}]})
    portraits(project, derive={"square": {"width": 32}})
    children(project)
    process = project.start(CHILD, "portraits:mallsing:square")
    while not project.calls("started"):
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in out + err
    assert "1 generated, 2 not built" in out


def test_a_touched_up_portrait_is_kept_and_what_follows_is_drawn_from_it(project: ProjectFolder) -> None:
    portraits(project)
    children(project)
    project.doit()
    project.image("mallsing").write_bytes(project.image("yrr").read_bytes())
    run = project.doit()
    assert (run.code, run.tasks("kept"), run.tasks("generated")) == (0, ["portraits:mallsing"], [CHILD])


@pytest.mark.parametrize(
    ("named", "message"),
    [
        long("portraits:malsing", "there is no output 'malsing' in the job portraits; did you mean 'mallsing'?"),
        long("portrait:mallsing", "portrait:mallsing: there is no job 'portrait'; did you mean 'portraits'?"),
        long("portraits:mallsing:thumb", "there is no output 'mallsing:thumb' in the job portraits"),
        long("children:child", "children:child is made from itself"),
        long("children:sheet:index", "children:sheet:index is not an image"),
        ("children:sheet", "made in a circle: children:child from children:sheet, children:sheet from children:child"),
        long("broken:it", "broken:it: the job broken has problems of its own"),
        long("./portraits:mallsing", "there is no such file"),
    ],
)
def test_a_reference_that_cannot_be_is_refused_in_its_place(project: ProjectFolder, named: str, message: str) -> None:
    portraits(project)
    children(project, named)
    file = project.root / "jobs/children.yaml"
    file.write_text(file.read_text() + "sheet: {}\n")
    project.write("jobs/broken.yaml", "items: 5\n")
    run = project.doit("children")
    assert run.code != 0
    assert "jobs/children.yaml:" in run.out
    assert f"scripted.images.face: {message}" in run.out
    assert run.out.count("scripted.images.face") == 1
    assert project.calls("started") == []


def test_a_circle_over_two_jobs_breaks_both_and_what_follows_them_and_no_other(project: ProjectFolder) -> None:
    children(project, "parents:parent")
    parent = {"name": "parent", "prompt": "x", "scripted": {"images": {"face": CHILD}}}
    project.job("parents", items=[parent])
    cousin = {"name": "cousin", "prompt": "x", "scripted": {"images": {"face": CHILD}}}
    project.job("cousins", items=[cousin])
    portraits(project)
    run = project.doit()
    assert run.tasks("generated") == ["portraits:mallsing", "portraits:yrr"]
    assert run.out.count("made in a circle: ") == 2
    assert f"{CHILD}: the job children has problems of its own" in run.out
    assert "3 broken jobs" in run.closing


def test_a_reroll_draws_first_what_it_is_made_from(project: ProjectFolder) -> None:
    portraits(project)
    children(project)
    project.doit()
    portraits(project, "a very tall figure")
    run = project.doit("reroll", CHILD)
    assert run.tasks("generated") == [CHILD, "portraits:mallsing"]
    assert "4 fresh, nothing to do" in project.doit().closing
