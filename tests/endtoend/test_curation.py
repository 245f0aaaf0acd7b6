"""Deciding which image it shall be, verifying and pruning, as one types it."""

from __future__ import annotations

import hashlib
import os
import shlex
import signal
import subprocess
import sys
from typing import Any

from imagegen.errors import BAD_INPUT, NOT_BEGUN
from tests.project_folder import JOB, ProjectFolder, picture, press_ctrl_c
from tests.state.waiting import wait_until

VARIED: dict[str, Any] = {"variants": 3, "items": [{"name": "Mallsing", "prompt": "a tall figure"}]}


def test_a_pick_is_told_and_everything_is_fresh_after_it(project: ProjectFolder) -> None:
    project.build_job(**VARIED)
    third = project.image("mallsing-v3").read_bytes()
    run = project.doit("pick", "portraits:mallsing", "--variant", "3")
    assert run.code == 0
    assert "picked     portraits:mallsing  assets/portraits/mallsing.png  (variant 3)" in run.out
    assert "candidates mallsing-v1, mallsing-v2  in .imagegen/candidates/portraits" in run.out
    assert project.image("mallsing").read_bytes() == third
    run = project.doit()
    assert "1 fresh, nothing to do" in run.closing
    assert project.doit("pick", "portraits:mallsing", "--variant=0").out.startswith("unpicked")
    assert "portraits:mallsing-v2" in project.doit("pick", "portraits:mallsing-v2").out.replace(
        "mallsing  ", "mallsing-v2 "
    )


def test_what_cannot_be_picked_is_told_with_what_can(project: ProjectFolder) -> None:
    project.build_job(**VARIED)
    for words, message in (
        (["portraits:mallsing"], "--variant N (there are 1, 2, 3; 0: all are images again)"),
        (["portraits:mallsing", "--variant", "7"], "choose one of 1, 2, 3"),
        (["portraits:malsing", "--variant", "1"], "did you mean 'portraits:mallsing"),
        (["portraits:mallsing", "--variant", "x"], "--variant=x: expected a whole number"),
        ([], "doit pick JOB:IMAGE --variant N"),
    ):
        run = project.doit("pick", *words)
        assert run.code != 0
        assert message in run.out + run.err, (words, run.out, run.err)
    assert len(project.lines()) == 3


def test_several_images_go_back_together_or_none_does(project: ProjectFolder) -> None:
    project.build_job(derive={"small": {"width": 16}})
    first = project.files()
    project.doit("reroll", "portraits:yrr", "portraits:mallsing")
    project.doit()
    second = project.files()
    for words, message in (
        (["portraits:yrr", "portraits:yrr"], "portraits:yrr: it is named twice"),
        (["portraits:yrr", "portraits:mallsing", "--to", "1"], "there are 2 images and 1 --to"),
        (["portraits:yrr", "portraits:mallsing", "--list"], "that is 2 images, and the versions of one are shown"),
        (["portraits:yrr", "portraits"], "portraits: that is 6 images, and here each goes by its own name"),
        (["portraits:yrr", "portraits:okka"], "portraits:okka: there is no earlier version to go back to"),
        (
            ["portraits:yrr", "portraits:mallsing", "--to", "2", "--to", "9"],
            "portraits:mallsing: there is no version 9",
        ),
    ):
        run = project.doit("restore", *words)
        assert run.code != 0
        assert message in run.out + run.err, (words, run.out, run.err)
        assert project.files() == second
    project.touch_up("mallsing")
    edited = project.files()
    assert project.doit("restore", "portraits:yrr", "portraits:mallsing").code != 0
    assert project.files() == edited, "nobody accepted the edited file, and so the other one stays too"
    project.image("mallsing").write_bytes(second["assets/portraits/mallsing.png"])
    for part, file in (("", ""), (":small", "-small")):
        tasks = [f"portraits:{name}{part}" for name in ("yrr", "mallsing")]
        earlier = [first[f"assets/portraits/{name}{file}.png"] for name in ("yrr", "mallsing")]
        run = project.doit("restore", *tasks, *(f"--to={hashlib.sha256(data).hexdigest()[:12]}" for data in earlier))
        assert (run.code, run.tasks("restored")) == (0, sorted(tasks))
    assert project.files() == first
    assert "6 fresh" in project.doit().closing


def test_a_reroll_generates_right_away_and_going_back_lists_what_there_is(project: ProjectFolder) -> None:
    project.build_job()
    before = project.image("yrr").read_bytes()
    run = project.doit("reroll", "portraits:yrr")
    assert (run.code, run.tasks("generated")) == (0, ["portraits:yrr"])
    assert "  seed " in run.out
    rerolled = project.image("yrr").read_bytes()
    listed = project.doit("restore", "portraits:yrr", "--list").out.splitlines()
    assert listed.pop(0).split() == ["no.", "generated", "(UTC)", "seed", "backend", "prompt"]
    assert [line.split()[:2] for line in listed] == [["→", "1"], ["2", listed[1].split()[1]]]
    assert "a small figure  (differs from now: seed " in listed[1]
    run = project.doit("restore", "portraits:yrr")
    assert run.code == 0
    assert "restored   portraits:yrr  assets/portraits/yrr.png  (version 2 of " in run.out
    assert project.image("yrr").read_bytes() == before
    assert "3 fresh" in project.doit().closing
    assert "there is no earlier version" in project.doit("restore", "portraits:yrr").out
    assert "there is no version 9" in project.doit("restore", "portraits:yrr", "--to", "9").out
    by_sha256 = hashlib.sha256(rerolled).hexdigest()[:12]
    assert project.doit("restore", "portraits:yrr", "--to", by_sha256).code == 0
    assert project.image("yrr").read_bytes() == rerolled
    for unknown in ("f" * 12, by_sha256[:7], "-1"):
        assert f"there is no version: {unknown}" in project.doit("restore", "portraits:yrr", f"--to={unknown}").out
    assert len(project.calls()) == 4


def test_a_reroll_of_a_whole_job_asks_first(project: ProjectFolder) -> None:
    project.build_job()
    for words, number in ((["portraits"], 3), (["portraits:m*", "portraits:o*"], 2)):
        run = project.doit("reroll", *words)
        assert run.code == NOT_BEGUN
        assert f"doit reroll {shlex.join(words)} --yes" in run.out
        assert f"{number} images get a new seed and are generated again (under 1 s)\n" in run.out
    if sys.platform != "win32":
        assert answered(project, "n", "reroll", "portraits") == NOT_BEGUN
    assert len(project.calls()) == 3
    assert project.doit("reroll", "portraits", "--yes").tasks("generated") == [
        "portraits:mallsing",
        "portraits:okka",
        "portraits:yrr",
    ]
    assert project.doit("reroll", "portraits:yrr", "portraits:okka").code == 0, "each is named"


def test_a_reroll_with_a_count_keeps_every_picture_and_the_last_is_the_image(project: ProjectFolder) -> None:
    project.build_job()
    run = project.doit("reroll", "portraits:yrr", "--count", "2")
    assert run.code == 0
    assert run.tasks("generated") == ["portraits:yrr"] * 2
    assert "2 pictures; the last is the image: doit restore portraits:yrr --list shows all" in run.out
    versions = project.list_versions("portraits:yrr")
    assert len({version.request["seed"] for version in versions}) == 3
    assert [version.is_now for version in versions] == [True, False, False]
    lock = project.lock()
    for words, message in (
        (["portraits:yrr", "--count", "0"], "--count is 0, and must be at least 1"),
        (["portraits", "--count", "2"], "3 images get a new seed and are generated again, 2 times (under 1 s)"),
        (["portraits", "--count", "2"], "doit reroll portraits --count 2 --yes"),
        (["portraits:y*", "--count", "2"], "doit reroll 'portraits:y*' --count 2 --yes"),
    ):
        run = project.doit("reroll", *words)
        assert run.code != 0
        assert message in run.out
    assert project.lock() == lock


def test_a_reroll_with_a_count_that_fails_later_stays_with_the_last_picture(project: ProjectFolder) -> None:
    project.build_job()
    acts = {"Yrr": [{}, {}, {"error": "out of memory"}]}
    project.script(acts=acts)
    calls = len(project.calls())
    run = project.doit("reroll", "portraits:yrr", "--count", "4")
    assert run.code != 0
    assert "out of memory" in run.out
    done = len(project.calls()) - calls
    if done:  # the script counts the calls of each process
        assert f"{done} of 4 pictures; the last is the image" in run.out
        assert project.states()["portraits:yrr"] == "fresh"
    assert len(project.list_versions("portraits:yrr")) == 1 + done


def test_ctrl_c_ends_a_reroll_with_a_count_with_the_pictures_there_are(project: ProjectFolder) -> None:
    project.build_job()
    project.script(acts={"Yrr": [{}, {"hang": True}]})
    process = project.start("reroll", "portraits:yrr", "--count", "3")
    wait_until(lambda: project.calls("started")[-2:] == ["Yrr", "Yrr"])
    press_ctrl_c(process)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "1 of 3 pictures; the last is the image: doit restore portraits:yrr --list shows all" in out
    assert project.states()["portraits:yrr"] == "fresh", "no seed is asked for that nobody has a picture of"
    assert len(project.list_versions("portraits:yrr")) == 2


def test_an_accept_is_taken_back(project: ProjectFolder) -> None:
    project.build_job()
    mine = project.touch_up("yrr")
    before = project.states()
    project.doit("accept", "portraits:yrr")
    run = project.doit("accept", "portraits:yrr", "--undo")
    assert run.code == 0
    assert "unaccepted portraits:yrr  assets/portraits/yrr.png  (changed since it was generated" in run.out
    assert project.states() == before
    run = project.doit()
    assert "kept       portraits:yrr" in run.out
    assert project.image("yrr").read_bytes() == mine
    assert "had no accepted file" in project.doit("accept", "portraits", "--undo").out


def test_a_reroll_that_fails_keeps_the_image_and_says_how_it_goes_on(project: ProjectFolder) -> None:
    project.build_job()
    before = project.image("yrr").read_bytes()
    project.script(acts={"Yrr": [{"error": "out of memory"}]})
    run = project.doit("reroll", "portraits:yrr")
    assert run.code == 1
    assert "out of memory" in run.out
    message = "the next doit generates portraits:yrr; to go back to the earlier image: doit restore portraits:yrr"
    assert message in run.out
    assert project.image("yrr").read_bytes() == before
    assert project.doit("restore", "portraits:yrr").code == 0
    assert "3 fresh" in project.doit().closing


def test_a_whole_job_is_accepted_after_a_cosmetic_change_and_shown_so(project: ProjectFolder) -> None:
    project.build_job()
    project.job(prompt={"suffix": "fine art"})
    run = project.doit("accept", "portraits")
    assert run.code == 0
    assert "accepted   portraits:yrr  assets/portraits/yrr.png  (accepted as it is: prompt changed)" in run.out
    assert "3 accepted" in run.closing
    shown = project.doit("list", "--all", "--status").out
    assert "U portraits:yrr" in shown
    assert "assets/portraits/yrr.png (accepted as it is: prompt changed)" in shown
    assert "accepted as it is: prompt changed" in project.doit("info", "portraits:yrr").out
    assert "3 fresh" in project.doit().closing
    assert "0 accepted, 3 fresh already" in project.doit("accept", "portraits").closing
    assert len(project.calls()) == 3


def test_a_job_of_a_file_that_was_there_rests_in_its_snapshot(project: ProjectFolder) -> None:
    project.build_job()
    project.image("yrr").write_bytes(project.image("okka").read_bytes())
    lock = project.root / "jobs/portraits.lock"
    lock.write_text("".join(line for line in lock.read_text().splitlines(keepends=True) if '"yrr"' not in line))
    assert project.doit("accept", "portraits:yrr").code == 0
    assert "3 fresh" in project.doit().closing
    assert (project.root / ".imagegen/cache/snapshot.json").exists()
    assert "3 fresh" in project.doit().closing


def test_verify_says_what_is_wrong_with_what_to_do_and_its_code_says_so_too(project: ProjectFolder) -> None:
    project.build_job()
    run = project.doit("verify")
    assert (run.code, run.closing) == (0, "3 intact; the store: 3 files, all intact")
    project.image("yrr").write_bytes(project.image("yrr").read_bytes()[:-9])
    project.image("okka").unlink()
    run = project.doit("verify")
    assert run.code == 1
    assert "corrupt   portraits:yrr  assets/portraits/yrr.png: " in run.out
    assert (
        "missing   portraits:okka  assets/portraits/okka.png: its file is missing\n    doit portraits:okka" in run.out
    )
    assert "1 intact, 1 missing, 1 corrupt" in run.closing
    assert project.doit("verify", "portraits:mallsing").code == 0
    assert project.doit("verify", "portraits:m*", "nothing").code == BAD_INPUT


def test_prune_asks_first_and_elsewhere_needs_a_yes(project: ProjectFolder) -> None:
    project.build_job()
    project.job(items=JOB["items"][:1])
    run = project.doit("prune", "-n")
    assert run.code == 0
    assert "remove  assets/portraits/yrr.png: it no longer belongs to any item" in run.out
    assert project.image("yrr").exists()
    run = project.doit("prune")
    assert run.code == NOT_BEGUN
    assert "doit prune --yes" in run.out
    assert project.image("yrr").exists()
    if sys.platform != "win32":
        assert answered(project, "n", "prune") == NOT_BEGUN
        assert project.image("yrr").exists()
        assert answered(project, "y", "prune") == 0
        assert not project.image("yrr").exists()
    assert "nothing to remove" in project.doit("prune", "--yes").out
    assert [line["output"] for line in project.lines()] == ["mallsing"]


KINDS = {
    "yrr": ".png",
    "yrr:small": ".png",
    "sheet:index": ".json",
    "sheet": ".png",
    "sheet:css": ".css",
    "sheet:unity": "-unity.json",
}
"""An output of each kind, with the end of its file's name: image, derived picture, index, page, converted indexes."""


def test_every_verb_is_for_every_kind_of_output(project: ProjectFolder) -> None:
    project.build_job(derive={"small": {"width": 16}}, sheet={"layout": "packed", "index": ["css", "unity"]})
    tasks = [f"portraits:{name}" for name in KINDS]
    files = [project.image(name.replace(":small", "-small").partition(":")[0], end) for name, end in KINDS.items()]
    made = [file.read_bytes() for file in files]
    edited = [picture("blue") if file.suffix == ".png" else file.read_bytes() + b"\n" for file in files]
    for file, data in zip(files, edited, strict=True):
        file.write_bytes(data)
    assert f"{len(files)} accepted" in project.doit("accept", *tasks).closing
    for file in files:
        file.unlink()
    assert project.doit().tasks("restored") == sorted(tasks)
    assert [file.read_bytes() for file in files] == edited
    assert project.doit("verify").code == 0
    originals = [*zip(tasks, files, made, strict=True)]
    for task, file, data in originals:  # each after what it is made from
        assert project.doit("restore", task).code == 0
        assert file.read_bytes() == data
    assert project.doit().code == 0
    assert [file.read_bytes() for file in files] == made
    for verb in (["reroll"], ["pick", "--variant=1"]):
        run = project.doit(*verb, tasks[-1])
        assert (run.code != 0, "a fault" in run.out) == (True, False)


def test_an_index_that_cannot_be_used_is_refused_with_its_place_and_the_hint_helps(project: ProjectFolder) -> None:
    project.build_job(sheet={"layout": "packed", "index": "css"})
    index, page = project.image("sheet", ".json"), project.image("sheet")
    made = index.read_bytes()
    index.write_bytes(b"{\n")
    run = project.doit("accept", "portraits:sheet:index")
    assert run.code != 0
    assert "assets/portraits/sheet.json:2:1: not valid JSON: expected a key in double quotes" in run.out
    # one that got into the lock file all the same: from a merge, or an earlier release
    broken = made.replace(b'"yrr"', b'"nobody"')
    index.write_bytes(made + b"\n")
    assert project.doit("accept", "portraits:sheet:index").code == 0
    good, bad = (hashlib.sha256(data).hexdigest() for data in (made + b"\n", broken))
    lock = project.root / "jobs/portraits.lock"
    lock.write_bytes(lock.read_bytes().replace(good.encode(), bad.encode()))
    index.write_bytes(broken)
    page.unlink()
    run = project.doit()
    assert "sheet.json:" in run.out
    assert "the sheet has no image 'nobody'" in run.out
    assert "or go back: doit restore portraits:sheet:index" in run.out
    assert "a fault" not in run.out
    assert project.doit("restore", "portraits:sheet:index").code == 0
    assert (project.doit().code, index.read_bytes().rstrip()) == (0, made.rstrip())


def answered(project: ProjectFolder, answer: str, *words: str) -> int:
    """The exit code of doit on a terminal, where somebody answers what it asks."""
    import pty

    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "doit", *words], cwd=project.root, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    message = b""
    while b"[y/N]" not in message:
        message += os.read(ours, 4096)
    os.write(ours, f"{answer}\n".encode())
    try:
        while os.read(ours, 4096):
            pass
    except OSError:  # Linux says so where nobody writes any more
        pass
    os.close(ours)
    return process.wait(30)
