"""Whatever changes in a project, planning what is affected agrees with planning everything.

A seeded random walk: after each step, a build that has a snapshot is compared with one that has none.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import imagegen.tasks
from imagegen.backends.registry import registry
from imagegen.commands.build import Build
from imagegen.commands.command_line import Invocation
from imagegen.config.settings import Settings
from imagegen.errors import ImagegenError
from imagegen.execute.decisions import record_decision
from imagegen.plan.record import PICK, REROLL
from imagegen.project import Project
from imagegen.state.snapshot_header import snapshot_file
from tests.project_folder import picture

NAMES = ("Yrr", "Okka", "Mall sing", "Tove", "Una", "Bjarn")
SIZE = {"width": 16, "height": 16}
FILES: dict[str, Any] = {
    "jobs/_style.json": {"backend": "scripted", "generate": SIZE, "prompt": {"suffix": "an etching"}},
    "jobs/base/_more.json": {"extends": "_style.json", "generate": {"steps": 5}},
    "jobs/kin.json": {"extends": "_style.json", "items": [{"name": name, "prompt": name} for name in NAMES[:4]]},
    "jobs/same.json": {"extends": ["base/_more.json", "kin.json"]},
    "jobs/page.json": {"backend": "scripted", "generate": SIZE, "source": "texts/page.md"},
    "jobs/table.json": {
        "backend": "scripted",
        "generate": SIZE,
        "source": "texts/table.csv",
        "matrix": {"mood": {"calm": "calm", "b": "in __mood__"}},
        "prompt": {"prefix": "{mood}"},
        "items": [{"name": "inline", "prompt": "one {x|y}"}],
    },
    "jobs/wild.json": {
        "backend": "scripted",
        "generate": SIZE,
        "items": [
            {"name": "Yrr", "prompt": "with __hair__"},
            {"name": "Okka", "prompt": "with __other/*__"},
            {"name": "Una", "prompt": "plain"},
            {"name": "Tove", "prompt": "plain", "negative": "{2$$__colour__}"},
        ],
    },
    "jobs/thumbs.json": {
        "extends": "_style.json",
        "variants": 2,
        "derive": {"thumb": {"width": 8}, "few": {"steps": [{"quantise": "art/palette.hex"}], "format": "webp"}},
        "items": [{"name": name, "prompt": name} for name in NAMES[:3]],
    },
    "jobs/atlas.json": {
        "backend": "scripted",
        "generate": {**SIZE, "seed": {"mode": "sequence", "base": 5}},
        "sheet": {"cell": 8},
        "items": [{"name": name, "prompt": name} for name in NAMES[:3]],
    },
    "jobs/chance.json": {
        "backend": "scripted",
        "generate": {**SIZE, "seed": {"mode": "random"}},
        "items": [{"name": name, "prompt": "{red|green|blue}"} for name in NAMES[:3]],
    },
    "jobs/refs.json": {
        "backend": "scripted",
        "generate": SIZE,
        "items": [
            {"name": "one", "prompt": "one", "scripted": {"images": {"a": "kin:yrr", "b": "texts/ref.png"}}},
            {"name": "two", "prompt": "two", "scripted": {"images": {"a": "refs:one"}}},
            {"name": "three", "prompt": "three", "scripted": {"images": {"a": "thumbs:okka-v1:thumb"}}},
            {"name": "four", "prompt": "four"},
        ],
    },
    "jobs/above.json": {
        "backend": "scripted",
        "generate": SIZE,
        "output": {"dir": "jobs/wildcards/preview"},
        "items": [{"name": "Yrr", "prompt": "in __\u00e9t\u00e9__"}, {"name": "Okka", "prompt": "plain"}],
    },
    "jobs/scans.json": {"items": {"folder": "art/scans/**"}, "derive": {"thumb": {"width": 4}}},
    "jobs/wall.json": {"items": {"folder": "art/scans/*"}, "sheet": {"cell": 8}, "derive": {"copy": {}}},
    "jobs/tokens.json": {
        "extends": "_style.json",
        "output": {"name": "{item} {variant}", "case": "keep"},
        "derive": {
            "token": {
                "preset": "token-foundry",
                "resize": {"width": 8, "height": 8},
                "frame": {"image": "texts/ring.png", "place": "under"},
            },
            "plain": {"preset": "thumbnail-web", "resize": {"width": 8}, "name": "{item} {name}", "dir": "assets/x"},
        },
        "sheet": {"preset": "atlas-godot", "of": "token"},
        "items": [{"name": name, "prompt": name} for name in NAMES[1:4]],
    },
    "jobs/painted.json": {
        "backend": "scripted",
        "generate": SIZE,
        "items": {"folder": "art/*/*.png", "prompt": "in __hair__"},
        "scripted": {"images": {"a": "{file}"}},
    },
    "art/scans/one.png": picture("red", (8, 8)),
    "art/scans/two.png": picture("green", (8, 8)),
    "art/scans/three.jpg": picture("blue", (8, 8), "jpeg"),
    "texts/page.md": "# Page\n\n" + "\n".join(f"## {name}\n\n```\n{name} in a page\n```\n" for name in NAMES[:4]),
    "texts/table.csv": "name,prompt,seed\n" + "".join(f"{name},{name} in a table,\n" for name in NAMES[:3]),
    "texts/ref.png": "no image, but a file",
    "art/palette.hex": "ff0000\n00ff00\n",
    "texts/ring.png": picture("gold", (8, 8)),
    "jobs/wildcards/hair.txt": "__colour__ hair\nno hair\n",
    "jobs/wildcards/colour.txt": "red\ngreen\nblue\n",
    "jobs/wildcards/mood.txt": "anger\nfear\n",
    "jobs/wildcards/e\u0301te\u0301.txt": "sun\nrain\n",  # as a Mac writes it
    "jobs/wildcards/other/a.txt": "apple\n",
    "jobs/wildcards/other/b.txt": "berry\nbread\n",
}
BY_PATH = {
    "backend": "scripted",
    "generate": SIZE,
    "items": [
        {"name": "one", "prompt": "one", "scripted": {"images": {"a": "assets/kin/okka.png"}}},
        {"name": "two", "prompt": "two", "scripted": {"images": {"a": "jobs/wildcards/preview/okka.png"}}},
        {"name": "three", "prompt": "three"},
    ],
}
"""A job whose reference images are outputs of others, by their paths."""


@pytest.fixture(autouse=True)
def dodo(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dodo file that makes doit's tasks ours alone."""
    module = ModuleType("dodo")
    module.__dict__.update({name: getattr(imagegen.tasks, name) for name in ("task_jobs", "task_doctor")})
    monkeypatch.setitem(sys.modules, "dodo", module)


class Walk:
    """A project, and random steps in it. seed: of all that is picked at random."""

    def __init__(self, root: Path, seed: int) -> None:
        self.root, self.random = root, random.Random(seed)  # noqa: S311 - it picks nothing secret
        self.tick = time.time_ns() - 10**13
        self.kept: list[dict[str, bytes]] = []
        self.partly = 0
        for name, content in FILES.items():
            self.write(name, content)

    def write(self, name: str, content: Any) -> None:
        data = content if isinstance(content, bytes) else content.encode() if isinstance(content, str) else None
        file = self.root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.unlink(missing_ok=True)
        file.write_bytes(json.dumps(content).encode() if data is None else data)
        self.touch(file)

    def touch(self, file: Path) -> None:
        """As if it was long ago, but at another time."""
        self.tick += 10**9 + 1
        os.utime(file, ns=(self.tick, self.tick))

    def pick(self, *patterns: str) -> Path:
        return self.random.choice(sorted(file for one in patterns for file in self.root.glob(one)))

    def step(self) -> str:
        """Change something; return what."""
        steps = [name for name in dir(self) if name.startswith("change_")]
        name = self.random.choice(steps)
        return f"{name} {getattr(self, name)()}"

    def _edit(self, file: Path, edit: Any) -> str:
        values = json.loads(file.read_text())
        said = edit(values)
        self.write(file.relative_to(self.root).as_posix(), values)
        return f"{file.name}: {said}"

    def _job_with_items(self) -> Path:
        jobs = [
            file
            for file in sorted(self.root.glob("jobs/*.json"))
            if isinstance(json.loads(file.read_text()).get("items"), list)
        ]
        return self.random.choice(jobs)

    def change_prompt(self) -> str:
        def edit(values: Any) -> str:
            item = self.random.choice(values["items"])
            item["prompt"] = self.random.choice(["another", "with __hair__", "{a|b}", "plain", "__colour__"])
            return f"{item['name']}: {item['prompt']}"

        return self._edit(self._job_with_items(), edit)

    def change_item(self) -> str:
        def edit(values: Any) -> str:
            items = values["items"]
            what = self.random.choice(["add", "add", "remove", "rename", "shuffle", "override"])
            at = self.random.randrange(len(items))
            name = self.random.choice([*NAMES, "yrr!", "New one", "calm"])
            if what == "add":
                items.insert(at, {"name": name, "prompt": f"a new {name}"})
            elif what == "remove" and len(items) > 1:
                del items[at]
            elif what == "rename":
                items[at]["name"] = name
            elif what == "shuffle":
                self.random.shuffle(items)
            else:
                items[at] |= self.random.choice([{"seed": 7}, {"steps": 9}, {"width": 32}, {"cfg": 7}, {"cfg": 7.0}])
            return f"{what} {name}"

        return self._edit(self._job_with_items(), edit)

    def change_head(self) -> str:
        def edit(values: Any) -> str:
            change = self.random.choice(
                [
                    {"prompt": {"suffix": self.random.choice(["an etching", "a photograph", "in __mood__"])}},
                    {"description": "something else"},
                    {"output": self.random.choice([{"name": "{slug}"}, {"name": "x-{slug}"}, {"dir": "assets/all"}])},
                    {"output": self.random.choice([{"case": "keep"}, {"name": "{item} {variant}", "separator": "_"}])},
                ]
            )
            values |= change
            return json.dumps(change)

        return self._edit(self.pick("jobs/*.json", "jobs/base/*.json"), edit)

    def change_page(self) -> str:
        file = self.root / "texts/page.md"
        name, text = self.random.choice(NAMES), file.read_text()
        text = self.random.choice(
            [
                text.replace(f"{name} in", f"{name} again in"),
                text + f"\n## {name}\n\n```\nnew\n```\n",
                text + "\nWords.\n",
            ]
        )
        self.write("texts/page.md", text)
        return name

    def change_table(self) -> str:
        rows = (self.root / "texts/table.csv").read_text().splitlines()
        what = self.random.choice(["add", "remove", "edit"])
        at = self.random.randrange(1, len(rows)) if len(rows) > 1 else 1
        if what == "add" or len(rows) < 3:
            rows.insert(at, f"{self.random.choice(NAMES)},something,{self.random.choice(['', 3])}")
        elif what == "remove":
            del rows[at]
        else:
            rows[at] = rows[at].replace(" in", " within")
        self.write("texts/table.csv", "\n".join([*rows, ""]))
        return what

    def change_wildcard(self) -> str:
        file = self.pick("jobs/wildcards/**/*.txt")
        name = file.relative_to(self.root).as_posix()
        what = self.random.choice(["line", "line", "line", "new", "gone"])
        if what == "line":
            lines = file.read_text().splitlines()
            self.write(name, "\n".join([*lines[self.random.randint(0, len(lines) > 1) :], f"line {self.tick}"]) + "\n")
        elif what == "new":
            name = f"jobs/wildcards/other/{self.random.choice('abcd')}.txt"
            self.write(name, "cherry\n")
        elif self.random.random() < 0.3:
            file.unlink()
        return f"{what} {name}"

    def change_reference(self) -> str:
        self.write("texts/ref.png", self.random.choice(["one", "two"]))
        self.write("art/palette.hex", f"{self.tick % 2**24:06x}\n")
        return ""

    def change_ring(self) -> str:
        self.write("texts/ring.png", picture(self.random.choice(["gold", "silver"]), (8, 8)))
        return ""

    def change_scan(self) -> str:
        what = self.random.choice(["add", "add below", "remove", "rename", "touch", "replace", "words"])
        file = self.pick("art/**/*.*")
        name = file.relative_to(self.root).as_posix()
        folder = "art/scans/more" if what == "add below" else "art/scans"
        new = f"{folder}/{self.random.choice(['four', 'five', 'Six 6', 'one'])}.{self.random.choice(['png', 'webp'])}"
        if what == "remove" and len(list(self.root.glob("art/scans/*.*"))) > 1:
            file.unlink()
        elif what == "rename":
            file.rename(self.root / f"art/scans/{self.random.choice(['seven', 'eight'])}{file.suffix}")
        elif what == "touch":
            self.touch(file)
        elif what == "replace":
            self.write(name, picture(self.random.choice(["pink", "black"]), (8, 8)))
        elif what == "words":
            self.write(new.replace("png", "txt").replace("webp", "txt"), "words")
        else:
            self.write(new, picture(self.random.choice(["white", "orange"]), (8, 8), new.rpartition(".")[2]))
        return f"{what} {name}, {new}"

    def change_output(self) -> str:
        outputs = sorted([*self.root.glob("assets/**/*.png"), *self.root.glob("jobs/wildcards/**/*.png")])
        if not outputs:
            return "none"
        what = self.random.choice(["delete", "touch", "paint"])
        for file in self.random.sample(outputs, min(len(outputs), self.random.choice([1, 1, 4]))):
            if what == "delete" and file.name != "okka.png":  # without those, the job that names them is broken
                file.unlink()
            elif what == "touch":
                self.touch(file)
            else:
                self.write(file.relative_to(self.root).as_posix(), b"by hand")
        return what

    def change_decision(self) -> str:
        job, slug = self.random.choice([("kin", "yrr"), ("chance", "okka"), ("thumbs", "yrr-v1")])
        project = Project(self.root, Settings(), registry())
        if job == "thumbs" and self.random.random() < 0.5:
            record_decision(project, job, PICK, "okka", self.random.choice([0, 1]))
        else:
            record_decision(project, job, REROLL, slug, self.random.choice([3, 4, None]))
        return f"{job}:{slug}"

    def change_lock(self) -> str:
        file = self.pick("jobs/*.lock")
        lines = file.read_text().splitlines(keepends=True)
        del lines[self.random.randrange(len(lines))]
        self.write(file.relative_to(self.root).as_posix(), "".join(lines))
        return file.name

    def change_by_git(self) -> str:
        """A checkout of some files, or all, as they were before."""
        if len(self.kept) < 2:
            return "nothing"
        then = self.random.choice(self.kept[-6:])
        share = self.random.choice([0.05, 0.3, 1.0])
        now = self.contents()
        for name in sorted({*then, *now}):
            if then.get(name) == now.get(name) or self.random.random() > share:
                continue
            if name in then:
                self.write(name, then[name])
            else:
                (self.root / name).unlink()
        return f"{share}"

    def undo(self) -> None:
        """Write all files again that the images follow from, as they were at first."""
        for name, data in self.kept[0].items():
            if not name.endswith(".lock") and not name.startswith("assets"):
                self.write(name, data)
        for file in [*(self.root / "jobs/wildcards").rglob("*.txt"), *(self.root / "art").rglob("*.*")]:
            if file.relative_to(self.root).as_posix() not in self.kept[0]:
                file.unlink()

    def contents(self) -> dict[str, bytes]:
        """Everything that git has."""
        files = (path for folder in ("jobs", "texts", "assets", "art") for path in (self.root / folder).rglob("*"))
        return {path.relative_to(self.root).as_posix(): path.read_bytes() for path in files if path.is_file()}

    def compare(self) -> None:
        """Compare what is planned with a snapshot, and without."""
        snapshot, aside = snapshot_file(self.root), self.root / "aside"
        partial = Build(self.root, Invocation())
        if snapshot.exists():
            snapshot.replace(aside)
        whole = Build(self.root, Invocation())
        if aside.exists():
            aside.replace(snapshot)
        fresh = {f"{job.task}:{slug}": doc for job in partial.fresh_jobs for slug, doc in job.outputs.items()}
        assert not fresh.keys() & partial.planned.keys()
        assert fresh.keys() | partial.planned.keys() == whole.planned.keys()
        for task, one in whole.planned.items():
            if task in fresh:
                assert one.verdict.state == "fresh", (task, one.verdict)
                assert one.doc == fresh[task]
            else:
                assert said(partial, task) == said(whole, task)
        assert sum(job.count for job in partial.fresh_jobs) == len(fresh)
        problems = {plan.file: plan.problems for plan in whole.plans if plan.problems}
        assert {plan.file: plan.problems for plan in partial.plans if plan.problems} == problems
        self.partly += bool(fresh)

    def build(self, share: float = 0.2) -> None:
        """A run of everything, or of some images, with this probability."""
        found = Build(self.root, Invocation())
        tasks = list(found.planned)
        if self.random.random() < share:
            tasks = self.random.sample(tasks, len(tasks) // 2)
        if found.plans:
            found.run(tasks, [], lambda _: None)
        self.kept.append(self.contents())


def said(build: Build, task: str) -> object:
    one = build.planned[task]
    origins = [(origin.key, origin.task, origin.path, origin.sha256) for origin in one.output.origins]
    verdict = (one.verdict.state, one.verdict.reasons, one.verdict.note, one.verdict.hint)
    return one.output.path, one.output.fields, one.output.fingerprint, origins, verdict


def walk(root: Path, seed: int, steps: int) -> Walk:
    """Go so many steps, with a build after some of them."""
    found = Walk(root, seed)
    found.build(0)
    found.write("jobs/paths.json", BY_PATH)
    found.build(0)
    del found.kept[0]
    trail = []
    for _ in range(steps):
        trail.append(found.step())
        try:
            found.compare()
            if found.random.random() < 0.7:
                found.build()
                trail.append("build")
                found.compare()
        except (AssertionError, ImagegenError, KeyError) as error:
            raise AssertionError(f"seed {seed}: {'; '.join(trail)}") from error
        if any(plan.problems for plan in Build(root, Invocation()).plans):  # nothing is partial while a job is broken
            trail.append("undo")
            found.undo()
    return found


def test_a_random_walk(tmp_path: Path) -> None:
    assert walk(tmp_path, 1, 8).partly > 8


@pytest.mark.long
@pytest.mark.parametrize("seed", range(2, 12))
def test_many_random_walks(tmp_path: Path, seed: int) -> None:
    assert walk(tmp_path, seed, 60).partly > 60
