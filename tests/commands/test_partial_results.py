"""What commands on images answer with `--json`, above all where only a part of their work could be done."""

from __future__ import annotations

import hashlib
import json
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from imagegen.errors import BAD_INPUT, DONE, FAILED, NOT_BEGUN, STOPPED
from tests.project_folder import SMALL_JOB, ProjectFolder
from tests.state.waiting import wait_until
from tests.valid_results import check_lines


@pytest.fixture
def project(tmp_path: Path) -> ProjectFolder:
    project = ProjectFolder(tmp_path / "project", SMALL_JOB)
    project.job(scripted={"script": "script.json"})
    project.build()
    return project


def answer(project: ProjectFolder, *words: str, code: int = DONE) -> dict[str, Any]:
    """Return the last line of a command that ends with this exit code."""
    run = project.doit(*words, "--json")
    (found,) = check_lines(run)
    assert run.code == code, found
    return found


def test_a_reroll_says_what_waits_and_a_restore_where_it_went_back_to(project: ProjectFolder) -> None:
    first = project.image("yrr").read_bytes()
    refused = answer(project, "reroll", "portraits", code=NOT_BEGUN)["result"]
    assert (refused["images"], refused["forecast"]["pictures"], refused["forecast"]["price"]) == ([], 2, 0)
    project.script(acts={"Yrr": [{"error": "out of memory"}]})
    rerolled = answer(project, "reroll", "portraits", "--yes", code=FAILED)["result"]
    assert {one["task"]: one["state"] for one in rerolled["images"]} == {
        "portraits:mallsing": "generated",
        "portraits:yrr": "failed",
    }
    assert rerolled["waiting"] == ["portraits:yrr"]
    (failed,) = (one for one in rerolled["images"] if one["state"] == "failed")
    assert "out of memory" in failed["problems"][0]["what"]
    project.script()
    (yrr,) = answer(project, "reroll", "portraits:yrr", "--count", "2")["result"]["images"][1:]
    newest, *_, oldest = answer(project, "restore", "portraits:yrr", "--list")["result"]["versions"]
    assert (newest["number"], newest["seed"], newest["is_current"]) == (1, yrr["seed"], True)
    assert hashlib.sha256(first).hexdigest() in oldest["files"]
    assert [one["field"] for one in oldest["reasons"]] == ["seed"]
    to = ["--to=1", f"--to={oldest['sha256'][:12]}"]
    mallsing, yrr = answer(project, "restore", "portraits:mallsing", "portraits:yrr", *to)["result"]["images"]
    assert (mallsing["state"], mallsing["number"]) == ("fresh", 1)
    assert (yrr["state"], yrr["number"], yrr["seed"]) == ("restored", oldest["number"], oldest["seed"])
    assert yrr["sha256"] == hashlib.sha256(project.image("yrr").read_bytes()).hexdigest()
    result = answer(project, "restore", "portraits:yrr", "--to=1")["result"]
    assert [one["number"] for one in result["versions"] if one["is_current"]] == [result["images"][0]["number"]] == [1]
    assert answer(project, "restore", "portraits:yrr", "--to=9", code=BAD_INPUT)["result"] is None


def test_files_that_somebody_changed_are_in_the_data(project: ProjectFolder) -> None:
    project.touch_up("mallsing")
    project.image("yrr").write_bytes(b"no image")
    files = answer(project, "verify", code=FAILED)["result"]["files"]
    assert {one["task"]: (one["state"], one["is_right"]) for one in files} == {
        "portraits:mallsing": ("changed", False),
        "portraits:yrr": ("corrupt", False),
    }
    assert "doit accept portraits:mallsing" in files[0]["hint"]
    accepted = answer(project, "accept", "portraits", code=FAILED)
    assert [(one["task"], one["state"]) for one in accepted["result"]["images"]] == [("portraits:mallsing", "accepted")]
    assert [one["where"] for one in accepted["problems"]] == ["portraits:yrr"]
    gallery = answer(project, "gallery")
    assert gallery["problems"][0]["where"] == "assets/portraits/yrr.png"
    assert Path(gallery["result"]["url"].removeprefix("file://")).samefile(project.root / gallery["result"]["path"])
    answer(project, "mark", "portraits:mallsing", "--as=later", "--note=the hands")
    project.touch_up("mallsing", "green")
    (marked,) = answer(project, "mark")["result"]["images"]
    assert (marked["mark"], marked["note"]) == ("later", "the hands")
    assert marked["about_another_version"] == ["mark", "note"]
    assert answer(project, "accept", "nobody", code=BAD_INPUT)["result"] is None


def test_prune_says_what_it_would_remove_and_what_it_removed(project: ProjectFolder) -> None:
    project.touch_up("mallsing")
    project.job(items=[{"name": "Okka", "prompt": "a broad figure"}])
    size = project.image("yrr").stat().st_size
    looked = answer(project, "prune", "-n")["result"]
    assert [(one["path"], one["action"]) for one in looked["files"]] == [
        ("assets/portraits/mallsing.png", "keep"),
        ("assets/portraits/yrr.png", "remove"),
    ]
    assert (looked["is_removed"], looked["bytes"]) == (False, size)
    assert answer(project, "prune", code=NOT_BEGUN)["result"] == looked
    assert answer(project, "prune", "--yes")["result"] == looked | {"is_removed": True}
    assert not project.image("yrr").exists()
    assert answer(project, "prune", "--yes")["result"]["is_removed"] is False


def test_a_pick_says_what_became_of_all_that_follows_from_it(project: ProjectFolder) -> None:
    item = {"name": "Keep", "prompt": "a keep"}
    project.job("towers", variants=2, items=[item], derive={"small": {"width": 16}})
    project.build()
    small = project.image("keep-small", job="towers")
    small.write_bytes(b"mine")
    picked = answer(project, "pick", "towers:keep", "--variant=2", code=FAILED)["result"]
    assert (picked["item"], picked["variant"], picked["state"]) == ("towers:keep", 2, "fresh")
    assert [one["path"] for one in picked["images"]] == ["assets/towers/keep.png"]
    assert [(one["task"], one["variant"]) for one in picked["candidates"]] == [("towers:keep-v1", 1)]
    assert (project.root / picked["candidates"][0]["path"]).exists()
    assert [(one["task"], one["state"]) for one in picked["derived"]] == [("towers:keep:small", "failed")]
    assert small.read_bytes() == b"mine"
    unpicked = answer(project, "pick", "towers:keep", "--variant=0")["result"]
    assert (unpicked["variant"], len(unpicked["images"]), unpicked["candidates"]) == (None, 2, [])


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C is sent another way there")
def test_ctrl_c_leaves_what_was_done_until_then_in_the_answer(project: ProjectFolder) -> None:
    project.script(acts={"Yrr": [{}, {"hang": True}]})
    process = project.start("reroll", "portraits:yrr", "--count", "3", "--json")
    wait_until(lambda: project.calls("started")[:2] == ["Yrr", "Yrr"])
    process.send_signal(signal.SIGINT)
    assert process.stdout
    while "stopping" not in process.stdout.readline():
        pass
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=project.patience_s)
    found = json.loads(out.splitlines()[-1])
    assert (found["command"], found["exit_code"], process.returncode) == ("reroll", STOPPED, STOPPED)
    assert (found["result"]["pictures"], found["result"]["waiting"]) == (1, [])
    assert [one["state"] for one in found["result"]["images"]] == ["generated", "cancelled"]
