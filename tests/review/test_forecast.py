"""What the page asks about before it does it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from imagegen.review.forecast import forecast_action
from tests.project_folder import SMALL_JOB, ProjectFolder
from tests.scripted import Script, ScriptedBackend


@pytest.fixture
def folder(tmp_path: Path) -> ProjectFolder:
    folder = ProjectFolder(tmp_path / "project", SMALL_JOB)
    folder.job()
    return folder


def forecast(folder: ProjectFolder, command: str, *images: str, **options: Any) -> dict[str, Any]:
    project = folder.project()
    return forecast_action(project, project.plans(), {"command": command, "images": images, **options})


def test_what_is_not_known_is_asked_about(folder: ProjectFolder) -> None:
    found = forecast(folder, "build")
    assert (found["pictures"], found["seconds"], found["needs_question"]) == (2, None, True)
    assert not forecast(folder, "build", "portraits:yrr")["needs_question"], "one picture can be cancelled"
    assert forecast(folder, "reroll", "portraits:yrr", count=2)["needs_question"]
    folder.build()
    assert not forecast(folder, "build")["needs_question"], "there is nothing to generate"
    found = forecast(folder, "build", "portraits", always=True)
    assert (found["pictures"], found["needs_question"]) == (2, False)
    assert found["seconds"] is not None


@pytest.mark.parametrize(("price", "cost"), [("0.25", "cost $0.25"), (None, "cost unknown")])
def test_what_may_cost_something_is_asked_about(folder: ProjectFolder, price: str | None, cost: str) -> None:
    folder.backend = ScriptedBackend(Script(prices={"Yrr": price}))
    found = forecast(folder, "build", "portraits:yrr")
    assert (found["cost"], found["needs_question"]) == (cost, True)
    assert not forecast(folder, "build", "portraits:mallsing")["needs_question"]


def test_what_an_image_is_made_from_is_counted_if_it_is_generated_first(folder: ProjectFolder) -> None:
    folder.backend = ScriptedBackend(Script(prices={"Yrr": "0.25"}))
    folder.job(
        items=[
            {"name": "Yrr", "prompt": "a small figure"},
            {"name": "Okka", "prompt": "as Yrr", "scripted": {"images": {"face": "portraits:yrr"}}},
        ]
    )
    again = forecast(folder, "build", "portraits:okka", always=True)
    assert (again["pictures"], again["cost"]) == (2, "cost $0.25")
    rerolled = forecast(folder, "reroll", "portraits:okka", count=2)
    assert (rerolled["pictures"], rerolled["cost"]) == (3, "cost $0.25")
    folder.build()
    assert forecast(folder, "reroll", "portraits:okka")["cost"] == ""
