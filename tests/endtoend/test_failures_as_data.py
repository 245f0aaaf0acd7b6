"""What a program learns of images that failed: the kind of each failure, its place, and what it cost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.project_folder import SMALL_JOB, ProjectFolder, items
from tests.valid_results import check_lines


def failures(answer: dict[str, Any]) -> dict[str, str | None]:
    return {one["task"]: one["failure"] for one in answer["result"]["images"] if one["state"] == "failed"}


def test_each_failure_has_its_kind_its_place_and_its_price(tmp_path: Path) -> None:
    folder = ProjectFolder(tmp_path, SMALL_JOB | {"scripted": {"script": "script.json"}})
    folder.job(items=items(Yrr="a small figure"), derive={"thumb": {"width": 16}})
    folder.write("checked.json", '{"problems": {"Yrr": "too small"}}')
    folder.job("checked", scripted={"script": "checked.json"})
    folder.touch_up("mallsing")
    acts = {"Yrr": [{"data": "no image"}]}
    folder.script(acts=acts, prices={"Yrr": "0.02", "Okka": "0.05"})
    run = folder.doit("--json", "budget=0.06")
    (answer,) = check_lines(run)
    assert failures(answer) == {
        "portraits:mallsing": "not_replaced",
        "portraits:mallsing:thumb": "origin",
        "portraits:yrr": "failed",
        "portraits:yrr:thumb": "origin",
        "portraits:okka": "budget",
        "portraits:okka:thumb": "origin",
        "checked:mallsing": "held_back",
        "checked:yrr": "preflight",
    }
    images = {one["task"]: one for one in answer["result"]["images"]}
    assert (images["portraits:yrr"]["price"], images["portraits:okka"]["price"]) == (0.02, 0.0)
    assert answer["result"]["cost"]["spent"] == sum(one["price"] for one in images.values())
    for one in images.values():
        for problem in one["problems"]:
            assert problem in answer["problems"], "a problem of an image is one of the whole"
            assert problem["where"] == one["task"]
            assert {key: problem[key] for key in one["source"]} == one["source"]
    assert images["checked:yrr"]["source"]["file"] == "jobs/checked.yaml"
    outcomes = {one["task"]: one for one in run.events if one["event"] == "outcome"}
    for one in outcomes.values():
        one.pop("event"), one.pop("seconds_left", None)
    assert outcomes == images, "an event says what the result says"

    for words in (["reroll", "checked:yrr"], ["preview", "checked:yrr"]):
        (answer,) = check_lines(folder.doit(words[0], "--json", words[1]))
        assert "checked:yrr" in answer["problems"][0]["where"]
        assert answer["problems"][0]["what"] == "too small"
