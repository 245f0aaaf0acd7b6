from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from imagegen.backends.guard import guard
from imagegen.config.settings import Settings
from imagegen.project import JobPlan, Project
from tests.scripted import ScriptedBackend


class BadOptions(ScriptedBackend):
    name = "bad"
    options = {"x": {"typo": "text"}}  # noqa: RUF012


def breaks() -> Any:
    raise RuntimeError("no such library")


def planned(root: Path, plug_in: Any, backend: str = "scripted") -> JobPlan:
    (root / "jobs").mkdir()
    job = f"backend: {backend}\nbad: {{x: 1}}\nitems: [{{name: A, prompt: a, bad: {{z: 2}}}}]"
    (root / "jobs/j.yaml").write_text(job)
    (plan,) = Project(root, Settings(), {"scripted": ScriptedBackend, "bad": partial(guard, "bad", plug_in)}).plans()
    return plan


@pytest.mark.parametrize(
    ("plug_in", "message"),
    [
        (breaks, "the backend bad: it cannot be made: RuntimeError: no such library"),
        (BadOptions, "the backend bad: its options are not a Cerberus schema"),
    ],
)
def test_a_plug_in_that_is_broken_is_named_in_the_jobs_that_use_it(tmp_path: Path, plug_in: Any, message: str) -> None:
    (problem,) = planned(tmp_path, plug_in, "bad").problems
    assert problem.where == "jobs/j.yaml:1:1"
    assert problem.what.startswith(message)
    assert "uninstall the package" in problem.hint


@pytest.mark.parametrize("plug_in", [breaks, BadOptions])
def test_it_costs_no_other_job_anything(tmp_path: Path, plug_in: Any) -> None:
    plan = planned(tmp_path, plug_in)
    assert ([output.path for output in plan.outputs], plan.problems) == (["assets/j/a.png"], ())
