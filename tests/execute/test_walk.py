"""A walk through all that one does to a project: what is foreseen is what the next run does, and then all is fresh."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import pytest

from imagegen.errors import ImagegenError
from imagegen.execute.forecast import forecast
from imagegen.plan.origins import sort_by_origin
from tests.execute.workshop import Workshop, picture
from tests.marks import long

BECOMES = {
    "generate": {"generated"},
    "derive": {"derived", "restored"},
    "restore": {"restored"},
    "keep": {"kept"},
    "fail": {"failed"},
    "fresh": {"fresh"},
    "follow": {"derived", "restored", "fresh", "kept", "failed"},
}
"""What may come of an output of which this was foreseen. follow: nobody knows yet.

derive: where its image is yet to be there, only then it shows that the store has what is derived from that."""


class Walk:
    """Two jobs in a workshop, changed step by step."""

    def __init__(self, root: Path, seed: int) -> None:
        self.shop = Workshop(root)
        self.random = random.Random(seed)  # noqa: S311 - a walk that can be repeated
        self.prompts = {"mallsing": "tall", "yrr": "small", "okka": "broad"}
        self.job: dict[str, Any] = {"derive": {"thumb": {"width": 16}}, "sheet": {"cell": 16}}
        self.write()

    def write(self) -> None:
        items = [{"name": name, "prompt": prompt} for name, prompt in self.prompts.items()]
        self.shop.job(items=items, **self.job)

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
        files = sorted(path for path in (self.shop.root / "assets").rglob("*") if path.is_file())
        return self.random.choice(files) if files else self.shop.path("mallsing")

    def any_task(self) -> str:
        return self.random.choice(sorted(self.shop.outputs()))

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
        path = self.shop.root / "jobs/portraits.yaml"
        before, name = path.stat(), self.random.choice(sorted(self.prompts))
        self.prompts[name] = {"tall": "thin", "small": "giant"}.get(self.prompts[name], self.prompts[name])
        self.write()
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        return f"{name}: {self.prompts[name]}"

    def reroll(self) -> str:
        task = self.any_task()
        if task.count(":") > 1 or ":sheet" in task:
            return "nothing"
        self.shop.reroll(task)
        return task

    def accept(self) -> str:
        task = self.any_task()
        return f"{task} {self.shop.accept(task).state}"

    def go_back(self) -> str:
        task = self.any_task()
        count = len(self.shop.list_versions(task))
        return f"{task} {self.shop.restore(task, self.random.randint(1, count)) if count else 'nothing'}"

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
            self.shop.build()
            self.shop.pick("yrr", self.random.choice([1, 2]))
        return str(self.job["variants"])

    def lose(self) -> str:
        """What a clone has not, or somebody deletes."""
        what = self.random.choice(["cache", "store", "placed.txt", "."])
        path = self.shop.root / ".imagegen" / what
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
        return f"{task} {self.shop.build(task, forced=True)}"

    def foreseen(self) -> dict[str, str]:
        project = self.shop.project()
        standing = []
        unsettled: set[str] = set()
        for output in sort_by_origin(list(self.shop.outputs(project).values())):
            output = project.with_origins(output, unsettled)
            verdict = project.verdict(output)
            standing.append((output, verdict))
            if verdict.state not in ("fresh", "kept"):
                unsettled.add(output.task)
        return {one.output.task: one.act for one in forecast(project, standing, ()).images}


def walk(root: Path, seed: int, steps: int) -> None:
    walk = Walk(root, seed)
    walk.shop.build()
    path: list[str] = []
    for _ in range(steps):
        path += [walk.step() for _ in range(walk.random.randint(1, 3))]
        foreseen = walk.foreseen()
        became = walk.shop.build()
        for task, act in foreseen.items():
            assert became.get(task, "fresh") in BECOMES[act], (task, act, became.get(task), walk.shop.problems, path)
        again, acts = walk.shop.build(), walk.foreseen()
        assert settled(again.values()), (again, path)
        assert {acts[task] for task in acts if task not in again} <= {"fresh", "follow"}, (acts, path)


def settled(states: Collection[str]) -> bool:
    """Whether nothing was written: what fails or is kept does so again."""
    return set(states) <= {"kept", "failed"}


@pytest.mark.parametrize(("seed", "steps"), [(1, 6), (2, 6), *(long(seed, 40) for seed in range(3, 13))])
def test_what_is_foreseen_is_what_the_next_run_does(tmp_path: Path, seed: int, steps: int) -> None:
    walk(tmp_path / "project", seed, steps)
