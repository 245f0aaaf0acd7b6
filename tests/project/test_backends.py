from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from imagegen.backends.scripted import ScriptedBackend
from imagegen.config.settings import Settings
from imagegen.project import JobPlan, Project


class BadOptions(ScriptedBackend):
    options = {"x": {"typo": "text"}}  # noqa: RUF012


def breaks() -> Any:
    raise RuntimeError("no such library")


def planned(root: Path, **registry: Any) -> JobPlan:
    (root / "jobs").mkdir()
    (root / "jobs/j.yaml").write_text("backend: scripted\nitems: [{name: A, prompt: a}]")
    (plan,) = Project(root, Settings(), {"scripted": ScriptedBackend, **registry}).plans()
    return plan


@pytest.mark.parametrize(
    ("plug_in", "said"),
    [(breaks, "the backend bad cannot be used: RuntimeError: no such library"), (BadOptions, "no Cerberus schema")],
)
def test_a_plug_in_that_is_broken_is_named_with_what_to_do(tmp_path: Path, plug_in: Any, said: str) -> None:
    (problem,) = planned(tmp_path, bad=plug_in).problems
    assert said in problem.what
    assert "uninstall the package" in problem.mend


def test_a_sound_job_is_planned(tmp_path: Path) -> None:
    plan = planned(tmp_path)
    assert ([output.path for output in plan.outputs], plan.problems) == (["assets/j/a.png"], ())
