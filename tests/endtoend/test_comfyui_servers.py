"""Several ComfyUI servers: who draws what, and that nothing is drawn twice or lost when one of them fails.

Against stand-ins, each a server of its own with its own checkpoints and speed. Each run is the real doit.
"""

from __future__ import annotations

import contextlib
import json
import re
import signal
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest

from imagegen.backends.comfyui.standin import Fault, StandIn
from tests.endtoend.comfyui import Server
from tests.endtoend.project import ProjectFolder, Run

CHECKPOINT = "stand-in.safetensors"
Serve = Callable[..., StandIn]


@pytest.fixture
def serve(project: ProjectFolder) -> Iterator[Serve]:
    """What starts one more server of the project."""
    with contextlib.ExitStack() as stack:
        urls: list[str] = []

        def started(**given: Any) -> StandIn:
            server = stack.enter_context(StandIn(**{"seconds": 0.1, **given}))
            urls.append(server.url)
            project.environment["COMFYUI_URL"] = ", ".join(urls)
            return server

        yield started


def job(*items: str, **changes: Any) -> dict[str, Any]:
    return Server("", CHECKPOINT, set).job(*items, **changes)


def drawn(*servers: StandIn) -> list[int]:
    return [len(server.executions) for server in servers]


def ids(*servers: StandIn) -> list[str]:
    return [prompt_id for server in servers for prompt_id in server.executions]


def checkpoints(server: StandIn) -> list[str]:
    bodies = [body for method, path, body in server.log if (method, path) == ("POST", "/prompt")]
    return [body["prompt"]["checkpoint"]["inputs"]["ckpt_name"] for body in bodies]


def eventually(holds: Callable[[], object]) -> None:
    until = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.02)


def ended(process: Any) -> Run:
    out, err = process.communicate(timeout=120)
    assert "Traceback" not in out + err, out + err
    return Run(process.returncode, out, err)


def test_the_work_is_shared_and_each_image_drawn_once(project: ProjectFolder, serve: Serve) -> None:
    servers = [serve(seconds=0.3) for _ in range(3)]
    project.job(**job("Fox", variants=18))
    process = project.start()
    most = [0, 0, 0]
    while process.poll() is None:
        for at, server in enumerate(servers):
            queued = sum(map(len, Server(server.url, "", set).queue()))
            most[at] = max(most[at], queued)
        time.sleep(0.02)
    run = ended(process)
    assert len(run.tasks("generated")) == 18, run.out
    assert drawn(*servers) == [6, 6, 6]
    assert most == [2, 2, 2]
    assert "18 fresh" in project.doit().out


def test_a_slow_server_among_fast_ones_does_not_hold_up_the_end(project: ProjectFolder, serve: Serve) -> None:
    slow = serve(seconds=3)
    fast = [serve(seconds=0.1), serve(seconds=0.1)]
    project.job(**job("Fox", variants=30))
    assert len(project.doit().tasks("generated")) == 30
    assert drawn(slow) == [1]
    assert sum(drawn(*fast)) == 29


def test_a_server_without_the_checkpoint_gets_none_of_its_images(project: ProjectFolder, serve: Serve) -> None:
    both = serve(checkpoints=["a.safetensors", "b.safetensors"])
    only_b = serve(checkpoints=["b.safetensors"])
    for name in ("a", "b"):
        project.job(name, **job("Fox", variants=6, comfyui={"checkpoint": f"{name}.safetensors"}))
    run = project.doit()
    assert len(run.tasks("generated")) == 12, run.out
    assert checkpoints(both) == ["a.safetensors"] * 6
    assert checkpoints(only_b) == ["b.safetensors"] * 6


def test_a_server_without_a_lora_or_a_node_class_gets_none_of_its_images(project: ProjectFolder, serve: Serve) -> None:
    plain, able = serve(), serve(loras=["ink.safetensors"])
    project.job(**job("Fox", variants=4, comfyui={"loras": {"ink.safetensors": 1.0}}))
    project.job("others", **job("Bird", variants=4))
    assert len(project.doit().tasks("generated")) == 8
    assert all("ink" not in str(body) for _, _, body in plain.log)
    assert sum(drawn(plain, able)) == 8


def test_what_no_server_has_is_told_with_each_server_before_anything_is_queued(
    project: ProjectFolder, serve: Serve
) -> None:
    one, two = serve(), serve(checkpoints=["b.safetensors"])
    project.job(**job("Fox", "Bird", comfyui={"checkpoint": "nope.safetensors"}))
    run = project.doit()
    assert run.code != 0
    assert run.out.count("'nope.safetensors' is not there") == 2
    assert (
        f"comfyui.checkpoint: 'nope.safetensors' is not there, at {one.url}\n    there is only {CHECKPOINT}" in run.out
    )
    assert f"'nope.safetensors' is not there, at {two.url}\n    there is only b.safetensors" in run.out
    assert drawn(one, two) == [0, 0]


def test_images_of_one_checkpoint_stay_at_the_servers_that_loaded_it(project: ProjectFolder, serve: Serve) -> None:
    servers = [serve(checkpoints=["a.safetensors", "b.safetensors"], loading=1.5) for _ in range(2)]
    for name, images in (("a", 16), ("b", 6)):
        project.job(name, **job("Fox", variants=images, comfyui={"checkpoint": f"{name}.safetensors"}))
    assert len(project.doit().tasks("generated")) == 22
    changes = [sum(one != other for one, other in pairwise(checkpoints(server))) for server in servers]
    assert sum(changes) == 1, [checkpoints(server) for server in servers]


def test_a_server_that_is_not_there_takes_no_part_which_is_said_once(project: ProjectFolder, serve: Serve) -> None:
    gone, one = serve(), serve()
    gone.stop()
    project.job(**job("Fox", variants=4))
    project.job("others", **job("Bird", variants=2))
    run = project.doit()
    assert run.code == 0, run.out
    assert len(run.tasks("generated")) == 6
    (line,) = [line for line in run.out.splitlines() if gone.url in line]
    says = f"{gone.url} is taken out, its images go to the other servers: no ComfyUI answers at {gone.url} ("
    assert line.startswith(says)
    assert drawn(one) == [6]


def test_none_that_is_there_is_told_before_anything_is_begun(project: ProjectFolder, serve: Serve) -> None:
    servers = [serve(), serve()]
    for server in servers:
        server.stop()
    project.job(**job("Fox", variants=4))
    run = project.doit()
    assert run.code != 0
    assert [run.out.count(f"no ComfyUI answers at {server.url}") for server in servers] == [1, 1]


def test_a_build_that_is_killed_draws_nothing_twice_whichever_server_has_it(
    project: ProjectFolder, serve: Serve
) -> None:
    servers = [serve(seconds=0.5) for _ in range(3)]
    project.job(**job("Fox", variants=12))
    process = project.start()
    eventually(lambda: all(sum(map(len, Server(server.url, "", set).queue())) == 2 for server in servers))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    before = len(project.lines()) if (project.root / "jobs/portraits.lock").exists() else 0
    project.environment["COMFYUI_URL"] = ",".join(server.url for server in reversed(servers))
    run = project.doit()
    assert run.code == 0, run.out
    assert len(run.tasks("generated")) == 12 - before
    assert len(ids(*servers)) == len(set(ids(*servers))) == 12


def test_a_server_that_keeps_forgetting_its_prompts_is_taken_out(project: ProjectFolder, serve: Serve) -> None:
    bad, good = serve(), serve(seconds=0.3)
    bad.faults.append(Fault("lost", times=None))
    project.job(**job("Fox", variants=8))
    run = project.doit()
    assert run.code == 0, run.out
    assert len(run.tasks("generated")) == 8
    assert drawn(good) == [8]
    (line,) = [line for line in run.out.splitlines() if "is taken out" in line]
    assert f"{bad.url} is taken out, its images go to the other servers: wait: the server lost the prompt twice" in line


def test_what_fails_at_one_server_is_tried_at_another_and_a_broken_one_taken_out(
    project: ProjectFolder, serve: Serve
) -> None:
    broken, good = serve(), serve(seconds=0.2)
    broken.faults.append(Fault("out of memory", times=None))
    project.job(**job("Fox", variants=10))
    run = project.doit()
    assert run.code == 0, run.out
    assert len(run.tasks("generated")) == 10
    assert drawn(good) == [10]
    says = "is taken out, its images go to the other servers: 2 images failed there that other servers made"
    assert f"{broken.url} {says}" in run.out
    assert len(drawn(broken)) <= 4


def test_what_fails_at_two_servers_fails_and_says_where(project: ProjectFolder, serve: Serve) -> None:
    servers = [serve(), serve(), serve()]
    for server in servers:
        server.faults.append(Fault("error", "a bird", times=None))
    project.job(**job("Fox", "Bird", "Stone"))
    run = project.doit()
    assert (run.tasks("generated"), run.tasks("failed")) == (["portraits:fox", "portraits:stone"], ["portraits:bird"])
    said = "wait: ComfyUI failed in node sampler \\(KSampler\\): RuntimeError: the stand-in was told to fail, at (http\\S+)"
    first, second = re.findall(rf"portraits:bird: {said}", run.out)
    assert len({first.rstrip(";"), second, *(server.url for server in servers)}) == 3
    assert project.doit().tasks("failed") == ["portraits:bird"]


def test_an_image_that_cannot_be_used_says_which_server_made_it(project: ProjectFolder, serve: Serve) -> None:
    servers = [serve(), serve()]
    for server in servers:
        server.faults.append(Fault("black", "a bird"))
    project.job(**job("Bird"))
    assert f"of one flat colour, #000000 (made at {servers[0].url})" in project.doit().out


def test_the_authorization_goes_to_the_servers_of_the_settings_alone(project: ProjectFolder, serve: Serve) -> None:
    ours = [serve(auth="Bearer hush"), serve(auth="Bearer hush")]
    with StandIn(auth="Bearer hush") as other:
        urls = [ours[1].url, other.url]
        project.job(**job("Fox", variants=4, comfyui={"server": {"url": urls}}))
        project.job("others", **job("Bird", variants=8))
        run = project.doit(COMFYUI_AUTH="Bearer hush")
        assert run.code == 0, run.out
        assert f"{other.url} asks for authorization (401" in run.out
        assert f"{other.url} is taken out" in run.out
        assert drawn(other) == [0]
        assert sum(drawn(*ours)) == 12


def test_the_only_checkpoint_is_that_of_all_the_servers(project: ProjectFolder, serve: Serve) -> None:
    one, two = serve(), serve()
    named = job("Fox")
    del named["comfyui"]["checkpoint"]
    two.checkpoints["other.safetensors"] = ""
    project.job(**named)
    run = project.doit()
    assert f"the job names no checkpoint, and there are 2 at the servers {one.url}, {two.url}" in run.out
    del two.checkpoints["other.safetensors"]
    assert project.doit().tasks("generated") == ["portraits:fox"]


def test_the_time_that_is_told_counts_the_servers(project: ProjectFolder, serve: Serve) -> None:
    serve(seconds=0.5)
    project.built(**job("Fox", variants=4))
    project.job(**job("Fox", "Bird", variants=4))
    alone = json.loads(project.doit("why", "--json").out)["total"]["seconds"]
    serve(seconds=0.5)
    shared = json.loads(project.doit("why", "--json").out)["total"]["seconds"]
    assert shared == pytest.approx(alone / 2, abs=0.01)


def test_doctor_status_and_settings_show_each_server(project: ProjectFolder, serve: Serve) -> None:
    one, lacking, gone = serve(), serve(checkpoints=["b.safetensors"]), serve()
    gone.stop()
    project.job(**job())
    run = project.doit("doctor")
    assert run.code == 0, run.out
    lines = [re.sub(" +", " ", line) for line in run.out.splitlines()]
    (served,) = [line for line in lines if f"server {one.url}" in line]
    assert "ComfyUI 0.33.0" in served
    of_lacking = [line for line in lines if f"server {lacking.url}" in line]
    assert "draws none of 3 images: comfyui.checkpoint: 'stand-in.safetensors' is not there" in of_lacking[1]
    (absent,) = [line for line in lines if f"server {gone.url}" in line]
    assert "no ComfyUI answers" in absent
    assert "preflight finds nothing wrong" in run.out
    status = project.doit("server:status")
    assert [line.split()[0] for line in status.out.splitlines() if "http://" in line] == [
        "serving",
        "serving",
        "stopped",
    ]
    assert status.code == 0
    assert f"{one.url}, {lacking.url}, {gone.url}" in project.doit("settings").out
