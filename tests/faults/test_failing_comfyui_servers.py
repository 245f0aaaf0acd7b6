"""One of several ComfyUI servers goes away: its images go to the others, which is said, and nothing else is drawn twice."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from imagegen.backends.comfyui import connection
from tests.backends.comfyui.fake_server import FakeComfyUI, Fault
from tests.faults.comfyui_project import comfyui_project
from tests.faults.middleman import Middleman, Trick
from tests.faults.test_misbehaving_comfyui import error_500
from tests.marks import long
from tests.project_folder import ProjectFolder

ITEMS = [f"fox{number}" for number in range(12)]


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[FakeComfyUI]]:
    """Three of them; a run waits 1 s for one that is away."""
    monkeypatch.setattr(connection, "PATIENCE_S", 1.0)
    with FakeComfyUI(seconds=0.3) as one, FakeComfyUI(seconds=0.3) as two, FakeComfyUI(seconds=0.3) as three:
        yield [one, two, three]


@pytest.fixture
def project(tmp_path: Path, servers: list[FakeComfyUI]) -> ProjectFolder:
    return comfyui_project(tmp_path / "project", [server.url for server in servers], ITEMS)


def when(holds: Callable[[], object], act: Callable[[], object]) -> threading.Thread:
    """Do something as soon as something is so."""

    def wait() -> None:
        until = time.monotonic() + 30
        while not holds() and time.monotonic() < until:
            time.sleep(0.01)
        act()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def count_executions(servers: list[FakeComfyUI]) -> Counter[str]:
    return Counter(prompt_id for server in servers for prompt_id in server.executions)


def lines(project: ProjectFolder, text: str) -> list[str]:
    return [line for line in project.report.splitlines() if text in line]


def test_the_images_of_a_server_that_dies_go_to_the_others(project: ProjectFolder, servers: list[FakeComfyUI]) -> None:
    dying = servers[1]
    thread = when(lambda: len(dying.executions) == 2, dying.stop)
    built = project.build()
    thread.join()
    assert set(built.values()) == {"generated"}, project.report
    assert len(built) == 12
    (out,) = lines(project, "gets no more images")
    assert f"{dying.url} gets no more images, they go to the other servers: the server at {dying.url} does not" in out
    again = lines(project, "is generated again")
    assert 1 <= len(again) <= 2
    assert all(f"{dying.url} may have it, but cannot be asked" in line for line in again)
    twice = [prompt_id for prompt_id, times in count_executions(servers).items() if times > 1]
    assert set(twice) <= set(dying.executions[-2:])
    assert len(count_executions(servers)) == 12
    assert (project.build(), project.report) == ({}, "")


def test_all_of_them_gone_fails_the_rest_for_one_cause_and_the_next_run_goes_on(
    project: ProjectFolder, servers: list[FakeComfyUI]
) -> None:
    def stop() -> None:
        for server in servers:
            server.stop()

    thread = when(lambda: sum(len(server.executions) for server in servers) == 6, stop)
    built = project.build()
    thread.join()
    made = [name for name, state in built.items() if state == "generated"]
    assert 1 <= len(made) < 12
    assert len(lines(project, "no server is left: ")) == 1, project.report
    assert all(server.url in project.report for server in servers)
    for server in servers:
        server.start()
    again = project.build()
    assert set(again.values()) == {"generated"}
    assert len(again) == 12 - len(made)


@pytest.mark.long
def test_what_servers_draw_while_they_cannot_be_asked_is_collected_by_the_next_run(
    project: ProjectFolder, servers: list[FakeComfyUI]
) -> None:
    for server in servers:
        server.faults.append(Fault("dropped", "/", skip=40, seconds=4))
    built = project.build()
    assert "failed" in built.values()
    time.sleep(4)
    for server in servers:
        server.faults.clear()
    reported = lines(project, "is generated again")
    again = project.build()
    assert sum(state == "generated" for state in [*built.values(), *again.values()]) == 12
    twice = [prompt_id for prompt_id, times in count_executions(servers).items() if times > 1]
    assert len(twice) <= len(reported) <= 4


def test_an_attempt_at_a_server_that_is_away_in_the_next_run_is_made_elsewhere_and_said_so(
    project: ProjectFolder, servers: list[FakeComfyUI]
) -> None:
    servers[0].faults.append(Fault("dropped", "/", skip=20, seconds=3600))
    for server in servers[1:]:
        server.faults.append(Fault("dropped", "/", skip=40, seconds=3600))
    built = project.build()
    assert "failed" in built.values()
    servers[0].stop()
    for server in servers[1:]:
        server.faults.clear()
    again = project.build()
    assert set(again.values()) == {"generated"}
    assert len(lines(project, f"no ComfyUI answers at {servers[0].url}")) == 1
    assert 1 <= len(lines(project, f"{servers[0].url} may have it, but cannot be asked: it is generated again")) <= 2


@pytest.mark.parametrize("path", ["/history", long("/view")])
def test_a_server_that_answers_with_errors_without_end_is_taken_out(
    tmp_path: Path, servers: list[FakeComfyUI], path: str
) -> None:
    with Middleman(servers[0].url) as unfit:
        unfit.tricks.append(Trick(path, error_500, skip=8 if path == "/history" else 0, times=None))
        project = comfyui_project(tmp_path / "unfit", [unfit.url, servers[1].url], ITEMS)
        built = project.build()
    assert set(built.values()) == {"generated"}, project.report
    (out,) = lines(project, "gets no more images")
    assert f"{unfit.url} gets no more images, they go to the other servers: " in out
    assert f"GET {path}" in out
    assert "was answered with 500 Internal Server Error" in out
    assert len(count_executions(servers)) == 12
    assert sum(count_executions(servers).values()) <= 14
    assert 1 <= len(lines(project, "is generated again")) <= 2


def test_a_server_that_is_back_in_time_keeps_its_images(project: ProjectFolder, servers: list[FakeComfyUI]) -> None:
    thread = when(lambda: len(servers[2].executions) == 2, lambda: servers[2].restart(away=0.3))
    built = project.build()
    thread.join()
    assert set(built.values()) == {"generated"}
    assert lines(project, "gets no more images") == []
    assert 1 <= len(lines(project, f"{servers[2].url} lost a prompt")) <= 2
