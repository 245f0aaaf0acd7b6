"""`doit server:start`, `server:stop` and `server:status`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from tests.backends.comfyui.fake_program import ComfyFolder, runs
from tests.project_folder import ProjectFolder
from tests.valid_results import check_lines


@pytest.fixture
def comfy(project: ProjectFolder) -> Iterator[ComfyFolder]:
    folder = ComfyFolder(project.root)
    project.environment["COMFYUI_URL"] = folder.url
    yield folder
    folder.end()


def eventually(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_the_three_commands_from_start_to_stop(project: ProjectFolder, comfy: ComfyFolder) -> None:
    before = project.doit("server:status")
    assert (before.code, before.out) == (1, f"stopped  {comfy.url}  nothing answers there\n")
    started = project.doit("server:start")
    assert started.code == 0
    assert f"\nserving  {comfy.url}  ComfyUI 0.33.0, " in started.out
    status = project.doit("server:status")
    assert status.code == 0
    assert status.out in started.out
    again = project.doit("server:start")
    assert (again.code, again.out) == (0, f"ComfyUI is already running\n{status.out}")
    (answer,) = check_lines(project.doit("server:start", "--json"))
    data = answer["result"]
    server, process = data["server"], data["server"]["process"]
    assert (data["is_new"], server["state"], server["versions"]["ComfyUI"]) == (False, "serving", "0.33.0")
    assert (process["pid"], process["url"]) == (comfy.starts[0]["pid"], comfy.url)
    assert (process["started_by"], process["log"]) == ("server:start", ".imagegen/comfyui/server.log")
    assert project.doit("server:status", "--json").result == {"servers": [server], "is_serving": True}
    stopped = project.doit("server:stop")
    assert (stopped.code, stopped.out) == (
        0,
        f"ComfyUI at {comfy.url} is stopped (process {comfy.starts[0]['pid']})\n",
    )
    assert not runs(comfy.starts[0]["pid"])
    assert project.doit("server:stop", "--json").result == {"stopped": [], "left_alone": None}
    nothing = project.doit("server:stop")
    assert (nothing.code, nothing.out) == (0, "no server that this project started is running\n")


def test_a_server_by_hand_is_left_alone_and_told(project: ProjectFolder, comfy: ComfyFolder) -> None:
    other = comfy.by_hand()
    eventually(lambda: project.doit("server:status").code == 0)
    assert project.doit("server:start").out.startswith("ComfyUI is already running")
    stopped = project.doit("server:stop")
    assert stopped.code == 0
    assert "was not started by this project and is left alone" in stopped.out
    assert other.poll() is None


def test_ctrl_c_while_it_starts_stops_what_was_started(project: ProjectFolder, comfy: ComfyFolder) -> None:
    comfy.play(delay=60)
    process = project.start("server:start")
    eventually(lambda: bool(comfy.starts))
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert process.returncode != 0
    assert "Traceback" not in out + err
    assert not runs(comfy.starts[0]["pid"])
    assert project.doit("server:status").out == f"stopped  {comfy.url}  nothing answers there\n"


@pytest.mark.long
def test_a_start_beside_one_that_was_killed_waits_for_the_same_server(
    project: ProjectFolder, comfy: ComfyFolder
) -> None:
    comfy.play(delay=4)
    process = project.start("server:start")
    eventually(comfy.record.exists)
    process.kill()
    process.communicate()
    starting = project.doit("server:status")
    assert starting.code == 1
    assert starting.out.startswith("starting ")
    assert project.doit("server:start").code == 0
    assert len(comfy.starts) == 1
    assert project.doit("server:stop").code == 0


def test_a_start_that_fails_shows_why_and_fails(project: ProjectFolder, comfy: ComfyFolder) -> None:
    comfy.play(says=["\x1b[31mno GPU here\x1b[0m"], exit=1)
    run = project.doit("server:start")
    assert run.code != 0
    assert run.out.count("    | no GPU here\n    fix what its log says\n") == 1
    assert run.err == ""


def test_wrong_settings_start_nothing(project: ProjectFolder, comfy: ComfyFolder) -> None:
    for command in ("server:start", "server:status"):
        run = project.doit(command, COMFYUI_URL="somewhere")
        assert run.code != 0
        assert "COMFYUI_URL" in run.out
    assert comfy.starts == []


def test_broken_jobs_are_in_nobodys_way(project: ProjectFolder, comfy: ComfyFolder) -> None:
    project.write("jobs/portraits.yaml", "itemz: []\n")
    assert project.doit("server:start").code == 0
    assert project.doit("server:stop").out.startswith(f"ComfyUI at {comfy.url} is stopped")


def test_the_commands_are_listed_and_a_job_cannot_take_their_name(project: ProjectFolder) -> None:
    project.job("server")
    listed = project.doit("list").out.splitlines()
    assert [line.split()[0] for line in listed if line.startswith("server")] == [
        *("server:start", "server:status", "server:stop"),
    ]
    assert "jobs/server.yaml" in project.doit().out


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="this system has no terminals")
def test_on_a_terminal_the_seconds_are_told_in_one_line_that_goes_away(
    project: ProjectFolder, comfy: ComfyFolder
) -> None:
    comfy.play(delay=1.5)
    parent, child = os.openpty()
    environment = {**os.environ, **project.environment, "TERM": "xterm"}
    words = [sys.executable, "-m", "doit", "server:start"]
    with subprocess.Popen(words, cwd=project.root, env=environment, stdin=child, stdout=child, stderr=child) as process:
        os.close(child)
        message = b""
        while True:
            try:
                message += os.read(parent, 4096)
            except OSError:  # it has ended
                break
    os.close(parent)
    assert process.returncode == 0
    shown = message.decode()
    assert "\rstarting ComfyUI … 1 s\x1b[K" in shown
    assert "\r\x1b[Kserving" in shown
