"""ComfyUI behind SwarmUI, with the real doit: in everything, its address is one with a path."""

from __future__ import annotations

import json

import pytest

from imagegen.backends.comfyui.swarmui import START
from tests.backends.comfyui.fake_program import free_port
from tests.backends.comfyui.fake_server import FakeComfyUI
from tests.backends.comfyui.fake_server.talk import png
from tests.backends.comfyui.fake_swarmui import FakeSwarmUI
from tests.endtoend.comfyui import Server
from tests.project_folder import ProjectFolder


@pytest.mark.long
def test_a_workflow_with_a_reference_image_is_generated_behind_swarmui_and_beside_it(project: ProjectFolder) -> None:
    with FakeComfyUI(seconds=0.2) as behind, FakeComfyUI(seconds=0.2) as beside, FakeSwarmUI(behind) as swarm:
        (project.root / "face.png").write_bytes(png())
        project.write("jobs/workflows/x.json", json.dumps(Server("", "fake.safetensors", set).from_image()))
        job = Server("", "fake.safetensors", set).job("Fox", variants=6)
        job["generate"] = {}
        job["comfyui"] = {"workflow": "jobs/workflows/x.json", "images": {"10.image": "face.png"}}
        project.environment["COMFYUI_URL"] = f"{swarm.comfyui}/, {beside.url}"
        run = project.build_job(**job)
        assert len(run.tasks("generated")) == 6, run.out
        assert behind.executions
        assert beside.executions
        assert "nothing to do" in project.doit(COMFYUI_URL=swarm.comfyui).out, "where it is generated does not count"
        job["comfyui"]["server"] = {"url": f"{swarm.comfyui}/"}
        project.job(**job)
        run = project.doit("-a", "portraits", COMFYUI_URL=f"http://127.0.0.1:{free_port()}")
        assert len(run.tasks("generated")) == 6, run.out
        assert not [path for path in swarm.log if "//" in path]


@pytest.mark.long
def test_the_commands_for_servers_know_swarmui(project: ProjectFolder) -> None:
    with FakeComfyUI() as behind, FakeSwarmUI(behind) as swarm:
        project.job(**Server("", "fake.safetensors", set).job("Fox"))
        project.environment["COMFYUI_URL"] = swarm.comfyui
        rows = project.doit("doctor").out
        assert f"server {swarm.comfyui}" in rows
        assert "Python for ComfyUI" not in rows, "none is needed here"
        assert project.doit("server:status").out.startswith(f"serving  {swarm.comfyui}")
        assert f"make it {swarm.comfyui}" in project.doit("server:start", COMFYUI_URL=swarm.url).out
        swarm.backends = []
        run = project.doit("comfyui", "--yes")
    assert run.code != 0
    assert "SwarmUI has no ComfyUI backend that runs" in run.out
    run = project.doit("comfyui", "--yes")
    assert run.code != 0
    assert START in run.out
    assert START in project.doit("server:start").out
    assert not (project.root / "tools/ComfyUI").exists()
