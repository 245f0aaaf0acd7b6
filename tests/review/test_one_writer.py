"""A page and terminals on one project: one writes at a time, the others wait, or name who it is."""

from __future__ import annotations

import hashlib
import re
import signal
from pathlib import Path

import pytest

from tests.project_folder import ProjectFolder, press_ctrl_c
from tests.review.served import Served, wait_until

pytestmark = pytest.mark.xdist_group("review-one-writer")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> ProjectFolder:
    """Mallsing takes until it is cancelled."""
    folder = ProjectFolder(tmp_path_factory.mktemp("review") / "project")
    folder.job(generate={"width": 48, "height": 64})
    folder.script(acts={"Mallsing": [{"hang": True}]})
    return folder


@pytest.fixture(autouse=True)
def forget_calls(folder: ProjectFolder) -> None:
    folder.log.unlink(missing_ok=True)


def cancel(review: Served, number: int) -> None:
    """Cancel an action as often as it takes."""
    wait_until(lambda: review.post("cancel", {"number": number}).status == 404)


def test_an_action_waits_for_a_terminal_and_says_for_which(review: Served, folder: ProjectFolder) -> None:
    terminal = folder.start("portraits:mallsing")
    wait_until(lambda: folder.calls("started"))
    heard = review.listen()
    holder = heard.wait_for("holder")["holder"]
    about = {"pid": terminal.pid, "command": "doit portraits:mallsing", "is_of_page": False}
    assert holder == {**about, "since": holder["since"]}
    assert re.fullmatch(r"\d\d:\d\d:\d\d", holder["since"])
    given_up = review.run("build", "portraits:yrr")
    patient = review.run("build", "portraits:okka")
    heard.wait_for("action", number=given_up, state="running")
    assert review.post("cancel", {"number": given_up}).status == 200
    heard.wait_for("action", number=given_up, state="cancelled")
    assert review.post("cancel", {"number": given_up}).status == 404
    press_ctrl_c(terminal)
    terminal.send_signal(signal.SIGINT)
    terminal.communicate(timeout=60)
    heard.wait_for("action", number=patient, state="done")
    assert folder.calls() == ["Okka"]
    heard.wait_for("holder", holder=None)


def test_a_terminal_is_told_which_action_it_is_and_may_wait(review: Served, folder: ProjectFolder) -> None:
    number = review.run("build", "portraits:mallsing")
    wait_until(lambda: folder.calls("started"))
    run = folder.doit("portraits:yrr")
    assert run.code == 3
    assert "another doit is running here (process " in run.out
    assert re.search(r": 'doit portraits:mallsing', since [\d:]+, from the page of doit review\)", run.out)
    patient = folder.start("portraits:yrr", "wait=600")
    cancel(review, number)
    patient.communicate(timeout=60)
    assert patient.returncode == 0
    assert folder.calls() == ["Yrr"]


def test_two_reviews_of_one_project_wait_for_each_other(review: Served, folder: ProjectFolder, tmp_path: Path) -> None:
    heard = review.listen()
    other = Served(folder, "budget=3", log=tmp_path / "other.log")  # which each of its actions is given too
    try:
        number = other.run("build", "portraits:mallsing")
        wait_until(lambda: folder.calls("started"))
        wait_until(lambda: any("'doit budget=3 portraits:mallsing'" in str(one) for one in heard.events))
        waiting = review.run("reroll", "portraits:okka")
        cancel(other, number)
        heard.wait_for("action", number=waiting, state="done")
    finally:
        other.end()


def test_an_undo_goes_back_to_what_was_there_when_the_action_got_its_turn(
    review: Served, folder: ProjectFolder, tmp_path: Path
) -> None:
    acts = {"Mallsing": [{"hang": True}], "Yrr": [{"until": str(tmp_path / "gate")}]}
    assert folder.doit("portraits:yrr").code == 0
    first = folder.image("yrr").read_bytes()
    folder.script(acts=acts)
    folder.log.unlink(missing_ok=True)
    terminal = folder.start("reroll", "portraits:yrr")
    wait_until(lambda: folder.calls("started"))
    heard = review.listen()
    number = review.run("reroll", "portraits:yrr")
    heard.wait_for("action", number=number, state="running")
    (tmp_path / "gate").touch()
    terminal.communicate(timeout=60)
    done = heard.wait_for("action", number=number, state="done")
    _, second, third = (one["sha256"] for one in review.ask("GET", "versions?image=portraits:yrr").json[:3])
    assert done["undo"] == [f"doit restore portraits:yrr --to {second[:12]}"]
    assert third == hashlib.sha256(first).hexdigest()


def test_what_is_asked_for_twice_at_once_is_done_once(review: Served, folder: ProjectFolder) -> None:
    busy = review.run("build", "portraits:mallsing")
    first, second = review.run("reroll", "portraits:yrr"), review.run("reroll", "portraits:yrr")
    assert first == second != busy
    other = review.run("reroll", "portraits:okka")
    assert review.run("reroll", "portraits:yrr") not in (first, other)  # something else was asked for in between
    for number in range(busy + 1, other + 2):  # none of them has begun
        assert review.post("cancel", {"number": number}).status == 200
    wait_until(lambda: folder.calls("started"))
    cancel(review, busy)
    assert folder.calls() == []
