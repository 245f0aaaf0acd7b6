"""Several ComfyUI servers, with the real doit: the work is shared, and a kill or a death in the middle costs nothing.

What each of them draws, and what is told, is in `tests/faults/test_several_comfyui_servers.py`.
"""

from __future__ import annotations

import contextlib
import re
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.backends.comfyui.fake_server import FakeComfyUI
from tests.endtoend.comfyui import Server
from tests.project_folder import ProjectFolder, Run

CHECKPOINT = "fake.safetensors"
Serve = Callable[..., FakeComfyUI]


@pytest.fixture
def serve(project: ProjectFolder) -> Iterator[Serve]:
    """What starts one more server of the project."""
    with contextlib.ExitStack() as stack:
        urls: list[str] = []

        def started(**given: Any) -> FakeComfyUI:
            server = stack.enter_context(FakeComfyUI(**given))
            urls.append(server.url)
            project.environment["COMFYUI_URL"] = ", ".join(urls)
            return server

        yield started


def job(*items: str, **changes: Any) -> dict[str, Any]:
    return Server("", CHECKPOINT, set).job(*items, **changes)


def count_executions(*servers: FakeComfyUI) -> Counter[str]:
    return Counter(prompt_id for server in servers for prompt_id in server.executions)


def queued(server: FakeComfyUI) -> int:
    return sum(map(len, Server(server.url, "", set).queue()))


def eventually(holds: Callable[[], object]) -> None:
    until = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_the_work_is_shared_with_two_prompts_at_each_server(project: ProjectFolder, serve: Serve) -> None:
    servers = [serve(seconds=0.5) for _ in range(4)]
    project.job(**job("Fox", variants=24))
    process = project.start()
    eventually(lambda: all(queued(server) == 2 for server in servers))
    for server in servers:
        server.seconds = 0.1
    most = 0
    while process.poll() is None:
        most = max(most, *map(queued, servers))
        time.sleep(0.05)
    out, err = process.communicate()
    assert len(Run(process.returncode, out, err).tasks("generated")) == 24, out + err
    assert set(count_executions(*servers).values()) == {1}
    assert min(len(server.executions) for server in servers) >= 3
    assert most <= 2
    spans = [span for server in servers for span in Server(server.url, "", set).spans()]
    took = max(end for _, end in spans) - min(begin for begin, _ in spans)
    assert sum(end - begin for begin, end in spans) > 2 * took, "one would take four times as long"


def test_a_build_that_is_killed_draws_nothing_twice_whichever_server_has_it(
    project: ProjectFolder, serve: Serve
) -> None:
    servers = [serve(seconds=0.4) for _ in range(3)]
    project.job(**job("Fox", variants=12))
    process = project.start()
    eventually(lambda: all(queued(server) == 2 for server in servers))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    before = len(list((project.root / "assets/portraits").glob("*.png")))  # one with a line may not be in place yet
    project.environment["COMFYUI_URL"] = ",".join(server.url for server in reversed(servers))
    run = project.doit()
    assert run.code == 0, run.out
    assert len(run.tasks("generated")) + len(run.tasks("restored")) == 12 - before  # the latter had got to the store
    assert sorted(count_executions(*servers).values()) == [1] * 12


@pytest.mark.long  # waits as long as a run does for a server that is away
def test_the_images_of_a_server_that_dies_go_to_the_others(project: ProjectFolder, serve: Serve) -> None:
    servers = [serve(seconds=0.3) for _ in range(3)]
    project.job(**job("Fox", variants=20))
    process = project.start()
    eventually(lambda: len(servers[0].executions) == 3)
    servers[0].stop()
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 0, out
    assert "20 generated" in out
    assert out.count(f"{servers[0].url} gets no more images, they go to the other servers: ") == 1
    assert 1 <= out.count(f"{servers[0].url} may have it, but cannot be asked: it is generated again") <= 2
    twice = {prompt_id for prompt_id, times in count_executions(*servers).items() if times > 1}
    assert twice <= set(servers[0].executions[-1:])


@pytest.mark.long
def test_the_time_that_is_told_and_the_doctors_rows_are_of_all_servers(project: ProjectFolder, serve: Serve) -> None:
    one = serve(seconds=0.3)
    project.build_job(**job("Fox", "Bird"))
    project.job(**job("Fox", "Bird", variants=4))
    alone = project.doit("why", "--json").result["total"]["seconds"]
    lacking, gone = serve(checkpoints=["b.safetensors"]), serve()
    shared = project.doit("why", "--json").result["total"]["seconds"]
    assert shared == pytest.approx(alone / 3, abs=0.01)

    gone.stop()
    run = project.doit("doctor")
    assert run.code == 0, run.out
    lines = [re.sub(" +", " ", line) for line in run.out.splitlines()]
    (served,) = [line for line in lines if f"server {one.url}" in line]
    assert "ComfyUI 0.33.0" in served
    of_lacking = [line for line in lines if f"server {lacking.url}" in line]
    assert "cannot generate 8 images: comfyui.checkpoint: 'fake.safetensors' is not there" in of_lacking[1]
    (absent,) = [line for line in lines if f"server {gone.url}" in line]
    assert "no ComfyUI answers" in absent
    assert "preflight finds nothing wrong" in run.out

    status = project.doit("server:status")
    assert [line.split()[0] for line in status.out.splitlines() if "http://" in line] == [
        *("serving", "serving", "stopped"),
    ]
    assert status.code == 0
    assert f"{one.url}, {lacking.url}, {gone.url}" in project.doit("settings").out
