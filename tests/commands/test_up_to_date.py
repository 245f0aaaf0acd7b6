"""What a snapshot rests on, besides the files that it holds, each with a build of a real project in this process."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import imagegen.tasks
from imagegen.backends.registry import registry
from imagegen.commands.build import Build, select
from imagegen.commands.command_line import Invocation, read_invocation
from imagegen.config.settings import Settings
from imagegen.execute.decisions import record_decision
from imagegen.plan.record import REROLL
from imagegen.project import Project

OLD = time.time_ns() - 10**12


def kin(**prompts: str) -> dict[str, Any]:
    """A job of two images, with these prompts."""
    items = [{"name": name, "prompt": prompt} for name, prompt in ({"yrr": "one", "okka": "two"} | prompts).items()]
    return {"backend": "scripted", "generate": {"width": 64, "height": 64}, "items": items}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of one job; its dodo file is what makes doit's tasks ours alone."""
    dodo = ModuleType("dodo")
    dodo.__dict__.update({name: getattr(imagegen.tasks, name) for name in ("task_jobs", "task_doctor")})
    monkeypatch.setitem(sys.modules, "dodo", dodo)
    (tmp_path / "jobs").mkdir()
    job(tmp_path, "kin", kin())
    return tmp_path


def job(root: Path, name: str, values: dict[str, Any]) -> None:
    """Long ago, as most are."""
    file = root / f"jobs/{name}.json"
    file.unlink(missing_ok=True)
    file.write_text(json.dumps(values))
    os.utime(file, ns=(OLD, OLD))


def build(root: Path, meanwhile: Callable[[Build], object] = lambda _: None) -> list[str]:
    """One `doit`; the images that it planned. meanwhile: done before the first of them is made."""
    found = Build(root, Invocation())
    if found.planned:
        meanwhile(found)
        found.run(list(found.planned), [], lambda _: None)
    return sorted(found.planned)


def test_nothing_is_planned_once_all_was_fresh(root: Path) -> None:
    assert build(root) == ["kin:okka", "kin:yrr"]
    assert build(root) == []


def test_a_job_that_is_added_during_a_run_is_planned_by_the_next_one(root: Path) -> None:
    build(root, lambda _: job(root, "arms", kin()))
    assert "arms:yrr" in build(root)
    assert build(root) == []


def test_what_another_build_decides_while_this_one_waits_is_seen_by_the_next_one(root: Path) -> None:
    """A reroll that failed: the lock file says another seed for an image that stands as it did."""
    job(root, "arms", kin())
    build(root)
    job(root, "kin", {**kin(okka="three"), "description": "all are planned"})
    other = Project(root, Settings(), registry())
    build(root, lambda _: record_decision(other, "arms", REROLL, "yrr", 7))
    assert Build(root, Invocation()).planned["arms:yrr"].verdict.state == "stale"


def test_an_image_that_is_painted_over_during_a_run_is_seen_by_the_next_one(root: Path) -> None:
    build(root)
    job(root, "kin", {**kin(okka="three"), "description": "all are planned"})
    painted = root / "assets/kin/yrr.png"

    def paint(_: object) -> None:
        painted.write_bytes(b"by hand")
        os.utime(painted, ns=(OLD, OLD))

    build(root, paint)
    assert Build(root, Invocation()).planned["kin:yrr"].verdict.state == "kept"


@pytest.mark.parametrize("words", [["models"], ["schema", "--out=-"], ["server:status"], ["models", "schema"]])
def test_commands_that_look_at_no_job_plan_none(root: Path, words: list[str]) -> None:
    (root / "jobs/kin.json").write_text("{")
    found = Build(root, read_invocation(words))
    assert (found.plans, found.problems) == ([], [])


@pytest.mark.parametrize("words", [["models", "doctor"], ["models", "kin"], ["doctor"], ["why", "kin:yrr"], []])
def test_whatever_looks_at_a_job_plans_it(root: Path, words: list[str]) -> None:
    assert sorted(Build(root, read_invocation(words)).planned) == ["kin:okka", "kin:yrr"]


@pytest.mark.parametrize(
    ("words", "needed"),
    [
        (["why"], []),
        (["why", "kin:yrr"], []),
        (["doctor", "kin"], []),
        (["doctor", "kin:yrr"], ["kin:okka", "kin:yrr"]),
    ],
)
def test_doit_has_tasks_for_fresh_images_only_if_one_is_named(root: Path, words: list[str], needed: list[str]) -> None:
    build(root)
    found = Build(root, read_invocation(words))
    assert sorted(task for task, one in found.planned.items() if found.needs_task(one)) == needed


class Counted(dict[str, Any]):
    """A mapping that counts how often all of it is looked at."""

    looks = 0

    def __iter__(self) -> Iterator[str]:
        self.looks += 1
        return super().__iter__()

    def items(self) -> Any:
        self.looks += 1
        return super().items()


def test_many_words_are_looked_up_as_quickly_as_one(root: Path) -> None:
    found = Build(root, read_invocation(["why"]))
    found.planned = Counted(found.planned)
    assert select(found, ["kin:yrr"]).images == ("kin:yrr",)
    once = found.planned.looks
    assert select(found, ["kin:yrr", "assets/kin/okka.png"] * 20).images == ("kin:yrr", "kin:okka")
    assert found.planned.looks == 2 * once


def test_an_image_that_is_left_as_it_is_is_planned_in_each_run_and_the_others_are_not(root: Path) -> None:
    build(root)
    (root / "assets/kin/yrr.png").write_bytes(b"by hand")
    for _ in range(3):
        assert build(root) == ["kin:yrr"]
    found = Build(root, Invocation())
    assert found.planned["kin:yrr"].verdict.state == "kept"
    assert [job.count for job in found.fresh_jobs] == [1]


def test_an_output_that_another_job_names_by_its_path_is_planned_with_that(root: Path) -> None:
    build(root)
    arms = kin()
    arms["items"][0]["scripted"] = {"images": {"a": "assets/kin/yrr.png"}}
    job(root, "arms", arms)
    build(root)
    assert build(root) == []
    (root / "assets/kin/yrr.png").write_bytes(b"by hand")
    assert {"arms:yrr", "kin:yrr"} <= set(build(root))
    assert Build(root, Invocation()).planned["kin:yrr"].verdict.state == "kept"


def test_an_output_that_is_generated_again_is_seen_by_a_job_that_names_it_by_its_path(root: Path) -> None:
    build(root)
    arms = kin()
    arms["items"][0]["scripted"] = {"images": {"a": "assets/kin/yrr.png"}}
    job(root, "arms", arms)
    build(root)
    assert build(root) == []
    job(root, "kin", kin(yrr="another"))
    build(root)
    assert Build(root, Invocation()).planned["arms:yrr"].verdict.state == "stale"
    build(root)
    assert build(root) == []


def test_a_wildcard_file_whose_name_a_mac_wrote_is_seen_when_it_changes(root: Path) -> None:
    file = root / "jobs/wildcards/e\u0301te\u0301.txt"
    file.parent.mkdir()
    file.write_text("sun\n")
    os.utime(file, ns=(OLD, OLD))
    os.utime(file.parent, ns=(OLD, OLD))
    job(root, "kin", kin(okka="in __\u00e9t\u00e9__"))
    build(root)
    assert build(root) == []
    file.write_text("rain\n")
    os.utime(file, ns=(OLD + 1, OLD + 1))
    assert build(root) == ["kin:okka"]
    assert build(root) == []


def test_outputs_below_the_wildcards_are_seen_when_they_are_gone(root: Path) -> None:
    (root / "jobs/wildcards").mkdir()
    job(root, "kin", {**kin(), "output": {"dir": "jobs/wildcards/preview"}})
    job(root, "arms", kin(okka="{red|blue}"))
    build(root)
    assert build(root) == []
    (root / "jobs/wildcards/preview/yrr.png").unlink()
    assert build(root) == ["kin:yrr"]


def test_a_job_that_was_renamed_is_refused_though_it_is_unfinished(root: Path) -> None:
    """Its lock file comes under its old name, by git."""
    job(root, "arms", kin())
    found = Build(root, Invocation())
    found.run(["arms:yrr", "arms:okka"], [], lambda _: None)
    assert build(root) == ["kin:okka", "kin:yrr"]
    lock = root / "jobs/kin.lock"
    lines = lock.read_bytes()
    for file in (lock, *(root / "assets/kin").iterdir()):
        file.unlink()
    build_nothing = Build(root, Invocation())
    build_nothing.run([], [], lambda _: None)
    (root / "jobs/old.lock").write_bytes(lines)
    plans = {plan.name: plan.problems for plan in Build(root, Invocation()).plans}
    assert "jobs/old.lock" in plans["kin"][0].what


@pytest.mark.parametrize("given", [{"wait": "1"}, {"budget": "5"}, {"store_writes": "false"}])
def test_settings_of_a_single_run_plan_nothing(root: Path, given: dict[str, str]) -> None:
    build(root)
    found = Build(root, read_invocation([f"{name}={value}" for name, value in given.items()]))
    assert (found.problems, found.plans) == ([], [])


def test_a_run_that_is_stopped_leaves_only_the_rest_to_plan(root: Path) -> None:
    found = Build(root, Invocation())
    found.run(["kin:yrr"], [], lambda _: None)
    assert build(root) == ["kin:okka"]
    assert build(root) == []


def test_for_an_image_that_is_gone_no_job_file_is_read(root: Path) -> None:
    job(root, "arms", kin())
    build(root)
    (root / "assets/kin/yrr.png").unlink()
    found = Build(root, Invocation())
    assert list(found.planned) == ["kin:yrr"]
    assert found.project.inputs.stats == {}
    assert list(found.project.locks) == ["kin"]


def test_for_a_changed_job_file_no_other_job_is_read(root: Path) -> None:
    job(root, "arms", kin())
    build(root)
    job(root, "kin", kin(okka="three"))
    found = Build(root, Invocation())
    assert list(found.planned) == ["kin:okka"]
    assert list(found.project.inputs.stats) == ["jobs/kin.json"]
    assert list(found.project.locks) == ["kin"]
