"""`doit watch`: the real one on a project, and edits as editors make them."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from imagegen.state.mutex import hold
from tests.project_folder import SMALL_JOB, ProjectFolder
from tests.valid_results import occurring

ITEMS = [{"name": name, "prompt": f"a {name}"} for name in ("one", "two", "slow", "dear")]


class Watching:
    """A `doit watch --json` until it is ended."""

    def __init__(self, folder: ProjectFolder, *words: str) -> None:
        self.folder = folder
        self.process = folder.start("watch", "--json", *words)
        self.next("watching")

    def __enter__(self) -> Watching:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def next(self, name: str) -> dict[str, Any]:
        """Return the next event of this name, and drop those before it."""
        assert self.process.stdout
        for line in self.process.stdout:
            event: dict[str, Any] = json.loads(line)
            if event["event"] == name:
                return event
        raise AssertionError(f"it ended without {name}: {self.process.communicate()}")

    def built(self) -> dict[str, str]:
        """Return what became of each image of the next build."""
        return {one["task"].partition(":")[2]: one["state"] for one in self.next("built")["result"]["images"]}

    def end(self) -> dict[str, Any]:
        self.process.send_signal(signal.SIGINT)
        result = self.next("result")
        assert self.process.stdout
        assert self.process.stdout.read() == "", "it is the last line"
        assert self.process.wait(60) == result["exit_code"] == 0
        return result


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[ProjectFolder]:
    folder = ProjectFolder(tmp_path, SMALL_JOB | {"scripted": {"script": "script.json"}, "items": ITEMS})
    folder.script(acts={"slow": [{"until": str(tmp_path / "go")}]}, prices={"dear": "0.25", "*": "0"})
    folder.job()
    yield folder
    (tmp_path / "go").touch()


def edit(folder: ProjectFolder, **prompts: str) -> None:
    items = [{**item, "prompt": prompts.get(item["name"], item["prompt"])} for item in ITEMS]
    folder.job(items=items)


def test_each_edit_builds_what_it_makes_stale_and_nothing_else(folder: ProjectFolder) -> None:
    with Watching(folder) as watching:
        edit(folder, one="a red one")
        event = watching.next("edit")
        assert (event["files"], event["build"]) == (["jobs/portraits.yaml"], ["portraits:one"])
        assert watching.built() == {"one": "generated"}, "the others were stale before"

        with (folder.root / "jobs/portraits.yaml").open("a") as job:  # in the middle of typing
            job.write("derive: {")
        event = watching.next("edit")
        assert event["build"] == []
        assert [(one["file"], one["line"]) for one in event["problems"]] == [("jobs/portraits.yaml", 16)]

        # as many editors save: another file, renamed; what costs something waits for a budget
        temporary = folder.root / "jobs/.portraits.yaml.tmp"
        edit(folder, one="a red one", dear="a dear one, in red", slow="a slow one, in red")
        (folder.root / "jobs/portraits.yaml").rename(temporary)
        temporary.rename(folder.root / "jobs/portraits.yaml")
        event = watching.next("edit")
        assert event["build"] == ["portraits:slow"]
        assert "cost $0.25, and this watch has no budget" in event["problems"][0]["what"]

        # edits during a build are built after it, in one
        watching.next("started")
        edit(folder, one="a blue one", dear="a dear one, in red", slow="a slow one, in red")
        edit(folder, one="a red one", two="a blue two", dear="a dear one, in red", slow="a slow one, in red")
        (folder.root / "go").touch()
        assert watching.built() == {"slow": "generated"}
        assert watching.next("edit")["build"] == ["portraits:two"]
        assert watching.built() == {"two": "generated"}
        result = watching.end()["result"]
        assert (result["edits"], result["builds"], occurring(result["counts"]), result["spent"]) == (
            4,
            3,
            {"generated": 3},
            0.0,
        )
    assert "dear" not in folder.calls("started")


def test_a_budget_is_of_the_whole_watch_and_ctrl_c_lets_an_image_finish(folder: ProjectFolder) -> None:
    with Watching(folder, "budget=0.40") as watching:
        edit(folder, dear="in red")
        assert watching.built() == {"dear": "generated"}
        edit(folder, dear="in blue")
        event = watching.next("edit")
        assert event["build"] == []
        assert event["problems"][0]["what"].endswith("of this watch's budget of $0.40, $0.25 is spent")

        edit(folder, slow="in red")
        watching.next("started")
        watching.process.send_signal(signal.SIGINT)
        assert watching.process.stderr
        said = iter(watching.process.stderr.readline, "")
        assert any("stopping when the images in progress are done" in line for line in said)
        (folder.root / "go").touch()
        assert watching.built()["slow"] == "generated"
        assert watching.next("result")["result"]["spent"] == 0.25
        assert watching.process.wait(60) == 0


def test_lines_for_a_person_say_each_problem_once(folder: ProjectFolder) -> None:
    run = folder.doit("-a", "watch")
    assert (run.code, "-a would generate fresh images again with each edit" in run.err + run.out) == (2, True)
    with folder.start("watch") as process:
        try:
            check_lines(folder, process)
        finally:
            process.kill()


def check_lines(folder: ProjectFolder, process: subprocess.Popen[str]) -> None:
    assert process.stdout
    lines = iter(process.stdout.readline, "")
    assert next(lines) == "watching 1 job; Ctrl-C ends it\n"
    assert next(lines) == "4 images not up to date: left alone until an edit changes them; to build them: doit\n"
    for ending in ("derive: {", " "):
        with (folder.root / "jobs/portraits.yaml").open("a") as job:
            job.write(ending)
        assert re.fullmatch(r"\d\d:\d\d:\d\d  jobs/portraits.yaml: 1 broken job \(.+ s\)\n", next(lines))
        if ending != " ":
            assert next(lines).startswith("jobs/portraits.yaml:16:9: ")
            assert next(lines).startswith("    close the bracket with }")
    folder.job(items=ITEMS[:1])
    assert re.search(r"nothing to do \(.+ s\); 1 left stale$", next(lines).rstrip())
    with hold(folder.root / ".imagegen", 60):
        folder.job(items=[{"name": "one", "prompt": "a green one"}])
        assert next(lines).startswith("waiting for another doit: process ")
    assert re.search(r"jobs/portraits.yaml: 1 generated \(.+ s\)  assets/portraits/one.png$", next(lines).rstrip())
    folder.job(items=ITEMS[:1])
    assert "jobs/portraits.yaml: 1 generated (" in next(lines), "what was stale before, and changed, is ours now"
    folder.write("jobs/portraits.yaml.bak", "")
    folder.job(items=[{"name": "one", "prompt": "a blue one"}])
    assert "1 generated" in next(lines)
    assert ("portraits.yaml.bak" in next(lines), next(lines)[:4]) == (True, "    ")
    folder.write("jobs/portraits.yaml", "derive: {")
    assert "1 broken job" in next(lines)
    assert (next(lines)[:21], next(lines)[:4]) == ("jobs/portraits.yaml:1", "    ")
    folder.job(items=[{"name": "one", "prompt": "a red one"}])
    assert "1 generated" in next(lines), "and no word of the .bak again"
    folder.write("pyproject.toml", "[tool.imagegen]\nbackend = 'nobody'\n")
    assert next(lines).endswith("pyproject.toml: nothing was built\n")
    assert next(lines).startswith("pyproject.toml: [tool.imagegen]: there is no backend 'nobody'")
    process.terminate()
    assert process.wait(60) in (143, -signal.SIGTERM)
