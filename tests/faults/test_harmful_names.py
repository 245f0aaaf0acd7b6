"""Names that a server gives: none of them is a place on this disk, and none steers a terminal."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.backends.comfyui.fake_server import FakeComfyUI, Fault
from tests.faults.comfyui_project import comfyui_project
from tests.faults.middleman import Middleman, Trick, answer
from tests.marks import long
from tests.project_folder import ProjectFolder

NAMES = [
    "../../../../etc/passwd",
    "/etc/passwd",
    "C:\\Windows\\win.ini",
    "a\0b.png",
    "\x1b[2J\x1b]0;owned\x07.png",
    "fox.png\nportraits:bird: all is well",
    "\u202egnp.exe",
    "\ud800.png",
    "x" * 200_000,
    "",
]


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
@pytest.mark.parametrize("place", ["filename", long("subfolder")])
def test_a_files_name_on_the_server_is_no_place_here(place: str, name: str, tmp_path: Path) -> None:
    def renamed(body: bytes) -> Iterable[bytes]:
        found = json.loads(body)
        for entry in found.values():
            for output in entry["outputs"].values():
                for image in output["images"]:
                    image[place] = name
        return [answer(json.dumps(found).encode())]

    with FakeComfyUI(seconds=0.01) as comfy, Middleman(comfy.url) as middleman:
        project = comfyui_project(tmp_path / "project", [middleman.url], ["fox"])
        middleman.tricks.append(Trick("/history", renamed, times=None, arrives=True))
        before = {path for path in tmp_path.rglob("*") if path.is_file()}
        project.build()
        made = {path for path in tmp_path.rglob("*") if path.is_file()} - before
    assert all(path.is_relative_to(project.root) for path in made)
    assert project.files().keys() <= {"assets/portraits/fox.png"}
    assert all(line.isprintable() and len(line) < 1000 for line in project.report.splitlines()), project.report
    assert not any(line.startswith("portraits:bird: all") for line in project.report.splitlines())


EVIL = "\x1b[2J\x1b]0;owned\x07\x9b31m\u202e"


def test_no_name_that_a_server_lists_steers_a_terminal(tmp_path: Path) -> None:
    project = ProjectFolder(tmp_path / "project")
    with FakeComfyUI(checkpoints=[f"{EVIL}{at}.safetensors" for at in "ab"], version=f"0.33.0{EVIL}") as comfy:
        project.environment["COMFYUI_URL"] = comfy.url
        job = {"backend": "comfyui", "items": [{"name": "fox", "prompt": "a fox"}], "generate": {"width": 64}}
        project.write("jobs/portraits.yaml", json.dumps(job))
        runs = [project.doit(), project.doit("doctor"), project.doit("server:status")]
        project.write("jobs/portraits.yaml", json.dumps(job | {"comfyui": {"checkpoint": "c.safetensors"}}))
        runs.append(project.doit())
        comfy.version = "0.33.0"
        comfy.checkpoints = {f"{EVIL}.safetensors": ""}
        comfy.faults.append(Fault("error", message=f"{EVIL}\nportraits:bird: all is well"))
        project.write("jobs/portraits.yaml", json.dumps(job))
        runs.append(project.doit())
    assert "ComfyUI failed in node sampler" in runs[-1].out
    for run in runs:
        assert all(line.isprintable() for line in (run.out + run.err).splitlines()), repr(run.out + run.err)
