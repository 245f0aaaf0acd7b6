"""How `doit review` ends, whatever it is doing: by Ctrl-C, by signals, with its terminal, and killed."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from imagegen.state.mutex import hold, read_holder
from tests.project_folder import ProjectFolder
from tests.review.served import Listener, Served, post, wait_until

DEAF = """\
import os, signal
from imagegen.tasks import *
if "IMAGEGEN_ASKS" in os.environ:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
"""
HANGS = {"Mallsing": [{"hang": True}]}

Serve = Callable[..., Served]


@pytest.fixture
def project(tmp_path: Path) -> ProjectFolder:
    folder = ProjectFolder(tmp_path / "project")
    folder.job(generate={"width": 48, "height": 64})
    return folder


@pytest.fixture
def gate(project: ProjectFolder) -> Path:
    """The file that `slow` waits for."""
    return project.root.with_name("gate")


@pytest.fixture
def slow(gate: Path) -> dict[str, Any]:
    return {"Mallsing": [{"until": str(gate)}]}


@pytest.fixture
def serve(project: ProjectFolder) -> Iterator[Serve]:
    """Start `doit review` with these acts of the backend."""
    served: list[Served] = []

    def start(acts: dict[str, Any] | None = None) -> Served:
        project.script(acts=acts or {}, in_flight=1)
        served.append(Served(project))
        return served[-1]

    yield start
    for one in served:
        one.end()


def begin(review: Served) -> None:
    """Have the page build everything, and wait until the first image has begun."""
    review.run("build", "portraits")
    wait_until(lambda: review.folder.calls("started"), lambda: review.output)


def child_of(review: Served) -> psutil.Process:
    (child,) = psutil.Process(review.process.pid).children()
    return child


def is_gone(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def is_free(folder: ProjectFolder) -> bool:
    """Whether nobody holds the mutex, and every file is as its lock file has it."""
    with hold(folder.root / ".imagegen", 0):
        return not [state for state in folder.states().values() if state not in ("fresh", "missing", "stale")]


def test_with_nothing_running_ctrl_c_ends_it_at_once(serve: Serve) -> None:
    review = serve()
    heard, other = review.listen(), review.listen()
    heard.wait_for("hello", actions=[])
    review.press_ctrl_c()
    assert review.wait() == 0
    heard.wait_for("bye")
    wait_until(lambda: heard.is_over and other.is_over)


def test_what_is_running_is_finished_and_what_waits_is_cancelled(
    serve: Serve, project: ProjectFolder, slow: dict[str, Any], gate: Path
) -> None:
    review = serve(slow)
    begin(review)
    review.run("reroll", "portraits:yrr")
    heard = review.listen()
    review.press_ctrl_c()
    heard.wait_for("note")  # it has heard of it
    gate.touch()
    heard.wait_for("action", number=1, state="cancelled")
    assert review.wait() == 0
    assert "cancelled  doit reroll portraits:yrr, which had not begun" in review.output
    assert "stopping when the images in progress are done" in review.output
    assert project.calls() == project.calls("started") == ["Mallsing"]
    assert [line["path"] for line in project.lines()] == ["assets/portraits/mallsing.png"]
    assert is_free(project)


def test_the_second_ctrl_c_cancels_what_is_running(serve: Serve, project: ProjectFolder) -> None:
    review = serve(HANGS)
    heard = review.listen()
    begin(review)
    review.press_ctrl_c()
    heard.wait_for("note")  # two signals that come at once are one
    review.press_ctrl_c()
    assert review.wait() == 0
    assert "cancelling" in review.output
    assert project.calls("cancelled") == ["Mallsing"]
    assert is_free(project)


def test_what_does_not_hear_ctrl_c_is_killed_by_the_third(serve: Serve, project: ProjectFolder) -> None:
    project.write("dodo.py", DEAF)
    review = serve(HANGS)
    begin(review)
    for said in ("stopping", "cancelling", "killed"):
        review.press_ctrl_c()
        review.wait_until_it_says(said)
    assert review.wait() == 0
    assert is_free(project)


def test_a_signal_is_like_ctrl_c_however_often_it_comes(
    serve: Serve, project: ProjectFolder, slow: dict[str, Any], gate: Path
) -> None:
    review = serve(slow)
    heard = review.listen()
    begin(review)
    for _ in range(3):  # timeout(1) sends each twice
        review.process.send_signal(signal.SIGTERM)
    heard.wait_for("note")
    gate.touch()
    assert review.wait() == -signal.SIGTERM
    assert project.calls() == ["Mallsing"]
    assert is_free(project)


def test_it_ends_with_its_terminal(project: ProjectFolder, slow: dict[str, Any], gate: Path) -> None:
    import pty

    project.script(acts=slow, in_flight=1)
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(project.root)
        os.execve(  # noqa: S606 - the real one, with a terminal of its own
            sys.executable, [sys.executable, "-m", "doit", "review", "--no-open"], project.process_environment()
        )
    shown = b""
    while b"Ctrl-C ends it" not in shown:
        shown += os.read(terminal, 4096)
    url = shown.decode().split()[1]
    assert post(url, "run", {"command": "build", "images": ["portraits"]}).status == 200
    wait_until(lambda: project.calls("started"))
    heard = Listener(url)
    os.close(terminal)
    heard.wait_for("note")
    gate.touch()
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGHUP
    heard.close()
    assert project.calls() == ["Mallsing"]
    assert is_free(project)


def test_after_kill_9_what_was_begun_is_finished_once_and_nothing_else_begins(
    serve: Serve, project: ProjectFolder, slow: dict[str, Any], gate: Path
) -> None:
    review = serve(slow)
    begin(review)
    busy = child_of(review)
    review.process.kill()
    review.wait()
    again = serve(slow)
    again.listen().wait_for("holder", holder={**vars(read_holder(project.root / ".imagegen"))})
    again.run("reroll", "portraits:okka")
    wait_until(lambda: psutil.Process(again.process.pid).children())
    waiting = child_of(again)
    again.process.kill()
    again.wait()
    gate.touch()
    wait_until(lambda: is_gone(busy) and is_gone(waiting))
    assert project.doit("portraits").code == 0
    assert sorted(project.calls()) == sorted(project.calls("started")) == ["Mallsing", "Okka", "Yrr"]
    assert len(project.lines()) == 3
    assert is_free(project)


def test_an_action_that_is_killed_says_so_and_the_next_one_runs(serve: Serve, project: ProjectFolder) -> None:
    review = serve(HANGS)
    heard = review.listen()
    begin(review)
    child_of(review).kill()
    ended = heard.wait_for("action", number=1, state="failed")
    assert ended["lines"][-1] == "its process was ended by SIGKILL"
    review.run("build", "portraits:yrr")
    heard.wait_for("action", number=2, state="done")
    assert project.calls() == ["Yrr"]


def test_what_cannot_be_read_is_said_until_it_can(serve: Serve, project: ProjectFolder) -> None:
    review = serve()
    heard = review.listen()
    away = project.root.with_name("away")
    project.root.rename(away)
    trouble = heard.wait_for("trouble")
    assert "the project's folder is gone" in trouble["text"]
    review.run("build", "portraits:yrr")
    heard.wait_for("action", number=1, state="failed")
    away.rename(project.root)
    heard.wait_for("trouble", text="")
    review.run("build", "portraits:yrr")
    heard.wait_for("action", number=2, state="done")
    assert "the project can be read again" in review.output
    project.write("pyproject.toml", "[tool.imagegen]\nsteps_ahead = 3\n")
    wait_until(lambda: [one for one in heard.events if "steps_ahead: unknown key" in one.get("text", "")])
    assert "steps_ahead: unknown key" in review.listen().wait_for("hello")["trouble"]
    project.root.rename(away)
    review.wait_until_it_says("the project's folder is gone")
    review.press_ctrl_c()
    assert review.wait() == 1
    away.rename(project.root)
