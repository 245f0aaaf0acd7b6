"""What takes an action back, and that everything is as it was before it then."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from imagegen.review.actions import Actions
from imagegen.review.undo import (
    Undo,
    explain_change,
    find_remarks_undo,
    find_undo,
    read_remarks_state,
    read_state,
)
from tests.project_folder import SMALL_JOB, ProjectFolder
from tests.review.served import Answer, Served, small_project

__all__ = []

YRR, MALLSING = "portraits:yrr", "portraits:mallsing"


@pytest.fixture
def folder(tmp_path: Path) -> ProjectFolder:
    folder = ProjectFolder(tmp_path / "project", SMALL_JOB)
    folder.job()
    folder.build()
    return folder


def undo_of(folder: ProjectFolder, act: Callable[[], object], *touched: str) -> Undo:
    project = folder.project()
    before = read_state(project, project.plans())
    act()
    project = folder.project()
    return find_undo(before, project, project.plans(), touched)


def take_back(folder: ProjectFolder, undo: Undo) -> None:
    project = folder.project()
    assert explain_change(undo, project, project.plans()) == ""
    for words in undo.commands:
        run = folder.doit(*words)
        assert (run.code, run.tasks("generated")) == (0, []), (words, run.out)


def standing(folder: ProjectFolder) -> tuple[dict[str, str], dict[str, str]]:
    return {path: hashlib.sha256(data).hexdigest() for path, data in folder.files().items()}, folder.states()


def reroll_and_build(folder: ProjectFolder) -> None:
    folder.reroll(YRR)
    folder.build(YRR)


def test_a_reroll_goes_back_to_the_image_that_was_there(folder: ProjectFolder) -> None:
    before = standing(folder)
    undo = undo_of(folder, lambda: reroll_and_build(folder), YRR)
    assert [words[:3] for words in undo.commands] == [["restore", YRR, "--to"]]
    take_back(folder, undo)
    assert standing(folder) == before
    assert folder.build() == {}


def test_a_build_of_stale_images_leaves_them_stale_again(folder: ProjectFolder) -> None:
    folder.job(prompt={"suffix": "at dusk"})
    before = standing(folder)
    undo = undo_of(folder, folder.build, "portraits")
    assert [[words[0], len(words)] for words in undo.commands] == [["restore", 7], ["accept", 4]]
    take_back(folder, undo)
    assert standing(folder) == before
    assert set(folder.build().values()) == {"restored"}, "nothing is generated twice"


def test_what_was_not_there_before_cannot_be_gone_back_to(folder: ProjectFolder) -> None:
    folder.image("yrr").unlink()
    undo = undo_of(folder, folder.build, YRR)
    assert (undo.commands, undo.problem) == ((), "1 new image stays")


def test_an_accepted_file_counts_as_edited_again(folder: ProjectFolder) -> None:
    folder.touch_up("yrr")
    before = standing(folder)
    undo = undo_of(folder, lambda: folder.accept(YRR), YRR)
    assert undo.commands == (["accept", YRR, "--undo"],)
    take_back(folder, undo)
    assert standing(folder) == before
    assert folder.build() == {YRR: "kept"}


def test_an_accepted_edit_comes_back_accepted(folder: ProjectFolder) -> None:
    folder.touch_up("yrr")
    folder.accept(YRR)
    before = standing(folder)
    undo = undo_of(folder, lambda: folder.restore(YRR, 2), YRR)
    take_back(folder, undo)
    assert standing(folder) == before
    assert folder.build() == {}


def test_a_pick_goes_back_to_the_variant_that_was_picked(folder: ProjectFolder) -> None:
    for file in folder.root.glob("assets/portraits/*"):
        file.unlink()
    folder.job(variants=3)
    folder.build()
    for before_number, number in ((0, 2), (2, 3)):
        before = standing(folder)
        undo = undo_of(folder, lambda number=number: folder.pick("yrr", number), YRR)  # type: ignore[misc]
        assert undo.commands == (["pick", YRR, "--variant", str(before_number)],)
        take_back(folder, undo)
        assert standing(folder) == before
        folder.pick("yrr", 2)


@pytest.mark.parametrize("is_stale", [pytest.param(False, marks=pytest.mark.long), True])
def test_nothing_is_generated_and_everything_is_as_before(folder: ProjectFolder, is_stale: bool) -> None:
    derive: dict[str, Any] = {
        "derive": {"small": {"width": 16}},
        "sheet": {"layout": "packed", "index": ["css"], "of": "small"},
    }
    for file in folder.root.glob("assets/portraits/*"):
        file.unlink()
    folder.job(variants=3, **derive)
    folder.build()
    folder.doit("pick", YRR, "--variant", "1")
    folder.build()
    if is_stale:
        folder.job(variants=3, **{**derive, "derive": {"small": {"width": 20}}}, prompt={"suffix": "at dusk"})
    third = f"{MALLSING}-v3"
    actions: dict[str, Callable[[], object]] = {
        "build": folder.build,
        "build of one": lambda: folder.build(third),
        "build of a derived file": lambda: folder.build(f"{MALLSING}-v2:small", f"{MALLSING}-v2"),
        "reroll": lambda: (folder.reroll(third), folder.build(third)),
        "reroll that was cancelled": lambda: folder.reroll(third),
        "pick": lambda: folder.doit("pick", YRR, "--variant", "2"),
        "unpick": lambda: folder.doit("pick", YRR, "--variant", "0"),
        "accept": lambda: folder.doit("accept", "portraits"),
    }
    for name, act in actions.items():
        before = standing(folder)
        undo = undo_of(folder, act, "portraits")
        if name == "reroll that was cancelled" and is_stale:
            assert (undo.commands, undo.problem) == ((), "the seed of 1 image stays decided")
        else:
            assert undo.commands or (not is_stale and name.startswith(("build", "accept")))
        take_back(folder, undo)
        assert standing(folder) == before, (name, undo)


def test_what_cannot_come_back_is_counted(folder: ProjectFolder) -> None:
    folder.job(items=[{"name": f"n{number}", "prompt": f"{number}"} for number in range(30)])
    undo = undo_of(folder, folder.build, "portraits")
    assert (undo.commands, undo.problem) == ((), "30 new images stay")


def test_it_is_for_what_the_action_touched_and_for_nothing_that_has_changed_since(folder: ProjectFolder) -> None:
    undo = undo_of(folder, lambda: reroll_and_build(folder), MALLSING)
    assert undo.commands == (), "somebody else rerolled it meanwhile"
    undo = undo_of(folder, lambda: reroll_and_build(folder), YRR)
    reroll_and_build(folder)
    project = folder.project()
    assert explain_change(undo, project, project.plans()) == f"{YRR} has another image by now"


def test_a_mark_of_another_version_comes_back_as_one_of_that_and_as_who_said_it(folder: ProjectFolder) -> None:
    folder.doit("mark", YRR, "--as", "keep", "--note=the hands", "--by=Ada")
    looked_at = hashlib.sha256(folder.image("yrr").read_bytes()).hexdigest()
    folder.touch_up("yrr")
    for words in (["--as", "reject"], ["--as", "none"], ["--note=", "--as", "later"]):
        project = folder.project()
        before = read_remarks_state(project, project.plans())
        folder.doit("mark", YRR, *words)
        project = folder.project()
        undo = find_remarks_undo(before, project, project.plans(), [YRR])
        assert undo.commands[0] == ["mark", YRR, "--of", looked_at, "--as", "keep", "--by=Ada"]
        take_back(folder, undo)
        project = folder.project()
        assert read_remarks_state(project, project.plans()) == before


def test_marks_and_notes_are_as_before(folder: ProjectFolder) -> None:
    folder.doit("mark", YRR, "--as", "later", "--note=the hands")
    project = folder.project()
    before = read_remarks_state(project, project.plans())
    folder.doit("mark", YRR, MALLSING, "--as", "keep")
    folder.doit("mark", YRR, "--note=fine now = good")
    project = folder.project()
    undo = find_remarks_undo(before, project, project.plans(), [YRR, MALLSING])
    assert undo.commands == (
        ["mark", YRR, "--as", "later"],
        ["mark", MALLSING, "--as", "none"],
        ["mark", YRR, "--note=the hands"],
    )
    take_back(folder, undo)
    project = folder.project()
    assert read_remarks_state(project, project.plans()) == before
    assert explain_change(undo, project, project.plans()) == f"{MALLSING} has another mark by now"


def test_what_has_not_ended_is_what_was_done_last() -> None:
    actions = Actions(Path(), [], lambda _event: None, lambda: pytest.fail("it opens no project"))
    pick = actions.add([["pick", YRR, "--variant", "2"]])
    pick.state, pick.undo = "done", Undo((["pick", YRR, "--variant", "1"],))
    build = actions.add([[YRR]])
    assert actions.find_last() is build, "whoever presses u means this one, and not the pick"
    build.state = "done"
    assert actions.find_last() is pick, "it has changed nothing"
    undo = actions.add(pick.undo.commands, undoes=pick.number)
    assert actions.find_last() is None
    undo.state = "failed"
    assert actions.find_last() is pick, "it is not undone"


def test_whatever_was_done_last_is_taken_back_first_edits_among_it(tmp_path: Path) -> None:
    folder = small_project(tmp_path / "project")
    job = folder.root / "jobs/places.yaml"
    review = Served(folder)
    try:
        heard = review.listen()

        def undo(*number: int) -> Answer:
            return review.post("undo", {"number": number[0]} if number else {})

        def run(command: str, *images: str, **options: object) -> None:
            heard.wait_for("action", number=review.run(command, *images, **options), state="done")

        before = folder.files(), job.read_bytes()
        run("pick", "portraits:mallsing-v3", variant=3)
        edit = {"task": "places:gate", "values": {"prompt": "a gate at night"}}
        assert review.post("edit/write", edit).json["written"]["number"] == 2
        edited = job.read_bytes()
        run("build", "places:gate")

        heard.wait_for("action", number=undo().json["number"], state="done", undoes=3)
        assert job.read_bytes() == edited
        assert undo().json["undone"]["file"] == "jobs/places.yaml"
        assert heard.wait_for("action", number=5, undoes=2)["can_be_undone"], "it can be done again"
        heard.wait_for("action", number=undo().json["number"], state="done", undoes=1)
        assert (folder.files(), job.read_bytes()) == before
        assert undo().json == {"problem": "there is nothing to undo"}

        assert undo(5).status == 200
        assert job.read_bytes() == edited
        job.write_bytes(before[1])
        assert "has changed since it was edited here" in undo().json["problem"]
        assert undo().json == {"problem": "there is nothing to undo"}, "what is too late is not in the way"
    finally:
        review.end()
