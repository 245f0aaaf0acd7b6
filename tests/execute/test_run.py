"""A run of outputs that are made from each other: each after those, each to one outcome, whatever fails meanwhile."""

from __future__ import annotations

import json
import os
import random
import shutil
import threading
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from imagegen.backends.base import Progress
from imagegen.config.settings import Settings
from imagegen.errors import ImagegenError, Problem
from imagegen.execute.events import Event, Outcome, StaleOutput
from imagegen.execute.forecast import forecast
from imagegen.execute.run import BuildScheduler, run
from imagegen.plan.origins import sort_by_origin
from imagegen.plan.request import Request
from imagegen.project import Project
from tests.marks import long
from tests.project_folder import SMALL_JOB, ProjectFolder, picture
from tests.scripted import Script, ScriptedBackend

__all__ = []


class Preparing(ScriptedBackend):
    """One that is prepared, once or more, and closed once."""

    name = "preparing"

    def __init__(self, script: Script, fails: str) -> None:
        super().__init__(script)
        self.fails = fails
        self.preflighted: list[str] = []
        self.closed = 0

    def preflight(self, requests: Sequence[Request]) -> Sequence[Problem]:
        self.preflighted += [request.name for request in requests]
        return super().preflight(requests)

    def choose_model(self, request: Request) -> str:
        raise AssertionError(request)

    def prepare(self, requests: Sequence[Request], progress: Progress) -> Sequence[Problem]:
        progress.wait(0.02)
        names = {request.name for request in requests}
        return [Problem("", "cannot be prepared")] if self.fails in names else []

    def close(self) -> None:
        self.closed += 1


class Bench:
    """Jobs whose images are made from each other at random, with derived files, and a run of all of them."""

    def __init__(self, root: Path, seed: int, stops: bool = False) -> None:
        draw = random.Random(seed)  # noqa: S311 - no secret
        names = [(f"j{draw.randrange(4)}", f"i{number}") for number in range(14)]
        acts = {name: [{"error": "no luck"}] for _, name in names if draw.random() < 0.08}
        script = Script(acts={**acts, "*": [{"delay_s": 0.01}]}, in_flight=2)
        self.preparing = Preparing(script, draw.choice(["", "", names[-1][1]]))
        self.scripted = ScriptedBackend(script)
        jobs: dict[str, list[dict[str, object]]] = {}
        for number, (job, name) in enumerate(names):
            images = {
                f"p{other}": ":".join(names[other]) + draw.choice(["", ":thumb"])
                for other in range(number)
                if draw.random() < 0.15
            }
            backend = "preparing" if job in ("j0", "j1") else "scripted"
            own = {backend: {"images": images}} if images else {}
            jobs.setdefault(job, []).append({"name": name, "prompt": name, **own})
        (root / "jobs").mkdir()
        for job, items in jobs.items():
            backend = "preparing" if job in ("j0", "j1") else "scripted"
            found = {"backend": backend, "generate": {"width": 16, "height": 16}, "items": items[::-1]}
            found |= {"derive": {"thumb": {"width": 8}}, "sheet": {"cell": 8}}
            (root / f"jobs/{job}.yaml").write_text(yaml.safe_dump(found))
        self.project = Project(
            root, Settings(), {"scripted": lambda: self.scripted, "preparing": lambda: self.preparing}
        )
        self.outcomes: list[Outcome] = []
        self.stop = threading.Event()
        self.stops = stops

    def on_event(self, event: Event) -> None:
        if isinstance(event, Outcome):
            self.outcomes.append(event)
            if self.stops and len(self.outcomes) == 5:
                self.stop.set()

    def run(self) -> dict[str, str]:
        plans = self.project.plans()
        assert not [plan.problems for plan in plans if plan.problems]
        self.outputs = sort_by_origin([output for plan in plans for output in plan.outputs])
        works = [StaleOutput(output, self.project.verdict(output)) for output in self.outputs]
        flow = BuildScheduler(self.project, works, self.on_event, self.stop, threading.Event())
        runner = threading.Thread(target=flow.run, daemon=True)
        runner.start()
        runner.join(60)
        assert not runner.is_alive(), "it hangs"
        return {outcome.output.task: outcome.state for outcome in self.outcomes}


SEEDS = [pytest.param(seed, marks=[] if seed < 6 else pytest.mark.long) for seed in range(100)]


@pytest.mark.parametrize("seed", SEEDS)
def test_each_has_one_outcome_after_those_that_it_is_made_from(tmp_path: Path, seed: int) -> None:
    bench = Bench(tmp_path, seed)
    states = bench.run()
    reported = [outcome.output.task for outcome in bench.outcomes]
    assert sorted(reported) == sorted(output.task for output in bench.outputs)
    for output in bench.outputs:
        before = [origin.task for origin in output.origins]
        if states[output.task] != "failed":
            assert all(reported.index(task) < reported.index(output.task) for task in before)
        if any(states[task] == "failed" for task in before):
            assert states[output.task] == "failed"
        elif not output.is_derived and output.request.backend == "scripted":
            assert (states[output.task] == "failed") == ("no luck" in str(_acts(bench, output.request.name)))
        elif output.is_derived:
            assert states[output.task] == "derived"
    assert bench.preparing.closed == (1 if bench.preparing.preflighted else 0)


def _acts(bench: Bench, name: str) -> object:
    script = bench.scripted._script
    assert script is not None
    return script.acts.get(name)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_run_that_is_stopped_ends_and_says_of_each_what_became_of_it(tmp_path: Path, seed: int) -> None:
    bench = Bench(tmp_path, seed, stops=True)
    start = time.monotonic()
    states = bench.run()
    assert time.monotonic() - start < 30
    assert sorted(states) == sorted(output.task for output in bench.outputs)
    assert len(bench.outcomes) == len(bench.outputs)
    assert "cancelled" in states.values()


def test_all_that_may_be_drawn_is_preflighted_once_before_anything_is(tmp_path: Path) -> None:
    bench = Bench(tmp_path, 3)
    bench.run()
    drawn_by_it = [output.request.name for output in bench.outputs if output.request.backend == "preparing"]
    assert sorted(bench.preparing.preflighted) == sorted(drawn_by_it)


def test_a_chain_of_any_length_fails_with_its_first_image_and_by_that_cause(tmp_path: Path) -> None:
    length = 1500
    items: list[dict[str, object]] = [{"name": "i0", "prompt": "p"}]
    for number in range(1, length):
        images = {"images": {"ref": f"chain:i{number - 1}"}}
        items.append({"name": f"i{number}", "prompt": "p", "scripted": images})
    (tmp_path / "jobs").mkdir()
    job = {"backend": "scripted", "generate": {"width": 16, "height": 16}, "items": items[::-1]}
    (tmp_path / "jobs/chain.json").write_text(json.dumps(job))
    backend = ScriptedBackend(Script(acts={"i0": [{"error": "no luck"}]}))
    project = Project(tmp_path, Settings(), {"scripted": lambda: backend})
    (plan,) = project.plans()
    reported: list[Event] = []
    run(project, plan.outputs, reported.append)
    failed = [event for event in reported if isinstance(event, Outcome) and event.problem]
    assert [outcome.state for outcome in failed] == ["failed"] * length
    causes = {outcome.problem.what for outcome in failed if outcome.problem}
    assert causes == {"no luck", "not built, because chain:i0 failed"}


BECOMES = {
    "generate": {"generated"},
    "derive": {"derived", "restored"},
    "restore": {"restored"},
    "keep": {"kept"},
    "keep or fail": {"kept", "failed"},
    "fail": {"failed"},
    "fresh": {"fresh"},
    "follow": {"derived", "restored", "fresh", "kept", "failed"},
}
"""What may come of an output of which this was foreseen. follow: nobody knows yet. keep or fail: as its note says.

derive: where its image is yet to be there, only then it shows that the store has what is derived from that."""


class Walk:
    """Two jobs of a project, changed step by step."""

    def __init__(self, root: Path, seed: int) -> None:
        self.folder = ProjectFolder(root, SMALL_JOB)
        self.random = random.Random(seed)  # noqa: S311 - a walk that can be repeated
        self.prompts = {"mallsing": "tall", "yrr": "small", "okka": "broad"}
        self.job: dict[str, Any] = {"derive": {"thumb": {"width": 16}}, "sheet": {"cell": 16}}
        self.write()

    def write(self) -> None:
        items = [{"name": name, "prompt": prompt} for name, prompt in self.prompts.items()]
        self.folder.job(items=items, **self.job)

    def step(self) -> str:
        act: Callable[[], object] = self.random.choice(
            [self.edit, self.delete, self.touch_up, self.reroll, self.accept, self.go_back, self.encode, self.pick, self.lose,
             self.rename, self.stamp, self.force]
        )  # fmt: skip
        try:
            return f"{act.__name__} {act()}"
        except ImagegenError as error:
            return f"{act.__name__}: {error}"

    def any_file(self) -> Path:
        files = sorted(path for path in (self.folder.root / "assets").rglob("*") if path.is_file())
        return self.random.choice(files) if files else self.folder.image("mallsing")

    def any_task(self) -> str:
        return self.random.choice(sorted(self.folder.outputs()))

    def edit(self) -> str:
        name = self.random.choice(sorted(self.prompts))
        self.prompts[name] = self.random.choice(["tall", "small", "broad", "green"])
        self.write()
        return f"{name}: {self.prompts[name]}"

    def delete(self) -> str:
        path = self.any_file()
        path.unlink(missing_ok=True)
        return path.name

    def touch_up(self) -> str:
        path = self.any_file()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(self.random.choice(["red", "blue"])))
        return path.name

    def stamp(self) -> str:
        """The job file keeps its size and time, and is another."""
        path = self.folder.root / "jobs/portraits.yaml"
        before, name = path.stat(), self.random.choice(sorted(self.prompts))
        self.prompts[name] = {"tall": "thin", "small": "giant"}.get(self.prompts[name], self.prompts[name])
        self.write()
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        return f"{name}: {self.prompts[name]}"

    def reroll(self) -> str:
        task = self.any_task()
        if task.count(":") > 1 or ":sheet" in task:
            return "nothing"
        self.folder.reroll(task)
        return task

    def accept(self) -> str:
        task = self.any_task()
        return f"{task} {self.folder.accept(task).state}"

    def go_back(self) -> str:
        task = self.any_task()
        count = len(self.folder.list_versions(task))
        return f"{task} {self.folder.restore(task, self.random.randint(1, count)) if count else 'nothing'}"

    def encode(self) -> str:
        self.job["output"] = {
            "format": self.random.choice(["png", "webp"]),
            "metadata": self.random.choice(["full", "none"]),
        }
        self.write()
        return str(self.job["output"])

    def pick(self) -> str:
        self.job["variants"] = self.random.choice([1, 2])
        self.write()
        if self.job["variants"] == 2:
            self.folder.build()
            self.folder.pick("yrr", self.random.choice([1, 2]))
        return str(self.job["variants"])

    def lose(self) -> str:
        """What a clone has not, or somebody deletes."""
        what = self.random.choice(["cache", "store", "placed.txt", "."])
        path = self.folder.root / ".imagegen" / what
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        return what

    def rename(self) -> str:
        name = self.random.choice(sorted(self.prompts))
        new = {"mallsing": "tharn", "tharn": "mallsing"}.get(name, name)
        self.prompts[new] = self.prompts.pop(name)
        self.write()
        return f"{name} → {new}"

    def force(self) -> str:
        task = self.any_task()
        return f"{task} {self.folder.build(task, forced=True)}"

    def foreseen(self) -> dict[str, str]:
        project = self.folder.project()
        standing = []
        unsettled: set[str] = set()
        for output in sort_by_origin(list(self.folder.outputs(project).values())):
            output = project.with_origins(output, unsettled)
            verdict = project.verdict(output)
            standing.append((output, verdict))
            if verdict.state not in ("fresh", "kept"):
                unsettled.add(output.task)
        return {
            one.output.task: "keep or fail" if one.act == "keep" and one.verdict.state == "blocked" else one.act
            for one in forecast(project, standing, ()).images
        }


def walk(root: Path, seed: int, steps: int) -> None:
    walk = Walk(root, seed)
    walk.folder.build()
    path: list[str] = []
    for _ in range(steps):
        path += [walk.step() for _ in range(walk.random.randint(1, 3))]
        foreseen = walk.foreseen()
        became = walk.folder.build()
        for task, act in foreseen.items():
            assert became.get(task, "fresh") in BECOMES[act], (task, act, became.get(task), walk.folder.problems, path)
        again, acts = walk.folder.build(), walk.foreseen()
        assert settled(again.values()), (again, path)
        assert {acts[task] for task in acts if task not in again} <= {"fresh", "follow"}, (acts, path)


def settled(states: Collection[str]) -> bool:
    """Whether nothing was written: what fails or is kept does so again."""
    return set(states) <= {"kept", "failed"}


@pytest.mark.parametrize(("seed", "steps"), [(1, 6), (2, 6), *(long(seed, 40) for seed in range(3, 13))])
def test_what_is_foreseen_is_what_the_next_run_does(tmp_path: Path, seed: int, steps: int) -> None:
    walk(tmp_path / "project", seed, steps)
