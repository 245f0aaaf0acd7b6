"""`doit comfyui`: from nothing to drawn images in one command, and a run that starts the server by itself."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from tests.backends.comfyui.fake_program import free_port
from tests.backends.comfyui.fake_server import FakeComfyUI
from tests.backends.comfyui.upstream import Upstream
from tests.endtoend.comfyui import Server
from tests.project_folder import ProjectFolder
from tests.valid_results import check_lines, occurring

MAIN = f"""
import pathlib, signal, sys, threading
sys.path[:0] = {[path for path in sys.path if path]!r}
from tests.backends.comfyui.fake_server import FakeComfyUI
here = pathlib.Path(__file__).parent
names = sorted(path.name for path in (here / "models/checkpoints").glob("*.safetensors"))
pathlib.Path(here / "starts").open("a").write("start\\n")
server = FakeComfyUI(checkpoints=names, port=int(sys.argv[sys.argv.index("--port") + 1]), folder=here / "data", seconds=0.3)
ended = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: ended.set())
with server:
    ended.wait(120)
"""
SETTINGS = """
[tool.imagegen.comfyui]
repository = "../upstream"
revision = "v2"
python = '{python}'
torch = "none"
[tool.imagegen.comfyui.server]
url = "http://127.0.0.1:{port}"
ready_timeout_s = 60
"""


@pytest.fixture
def comfyui(project: ProjectFolder, tmp_path: Path) -> ProjectFolder:
    """A project whose ComfyUI, still to be set up, is the fake server in a process of its own."""
    Upstream(tmp_path / "upstream").release("v2", **{"main.py": MAIN})
    project.environment |= {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1"}
    project.write("pyproject.toml", SETTINGS.format(python=sys.executable, port=free_port()))
    project.write("tools/ComfyUI/models/checkpoints/only.safetensors", "weights")
    job = Server("", "", set).job()
    del job["comfyui"]
    project.job(**job)
    return project


def starts(project: ProjectFolder) -> int:
    path = project.root / "tools/ComfyUI/starts"
    return len(path.read_text().splitlines()) if path.exists() else 0


def test_one_command_sets_up_starts_draws_and_stops_and_a_replaced_checkpoint_is_noticed(
    comfyui: ProjectFolder,
) -> None:
    run = comfyui.doit("comfyui", "--yes")
    assert run.code == 0, run.out + run.err
    reported = [
        run.out.index(text)
        for text in ("about 780 MB to download", "ComfyUI is installed", "starting ComfyUI", "serves", "3 generated")
    ]
    assert reported == sorted(reported)
    assert comfyui.doit("server:status").out.startswith("stopped")
    decisions = [line for line in comfyui.lines() if "decision" in line]
    assert [line["value"] for line in decisions] == ["only.safetensors"]
    assert all(line["model_digest"] for line in comfyui.lines() if "sha256" in line)
    again = comfyui.doit("comfyui", "--yes", "--json")
    assert (again.code, starts(comfyui)) == (0, 1)
    here, build = check_lines(again)
    assert (here["command"], here["result"]["jobs"]) == ("comfyui", ["portraits"])
    assert (here["result"]["installed"]["path"], here["result"]["installed"]["is_changed"]) == ("tools/ComfyUI", False)
    assert (build["command"], occurring(build["result"]["counts"])) == ("run", {"fresh": 3})
    # a checkpoint that is replaced is noticed, and the earlier one restored
    model = comfyui.root / "tools/ComfyUI/models/checkpoints/only.safetensors"
    model.write_text("other weights, of another size")
    _, build = check_lines(comfyui.doit("comfyui", "--json"))
    assert build["result"]["counts"]["generated"] == 3
    assert "the model's files changed" in str(build["result"]["images"])
    model.write_text("weights")
    assert len(comfyui.doit().tasks("restored")) == 3


def test_without_set_up_a_plain_run_says_what_to_do(comfyui: ProjectFolder) -> None:
    run = comfyui.doit()
    assert run.code != 0
    assert "doit comfyui:setup" in run.out


@pytest.mark.long
def test_a_server_that_a_person_started_is_left_on(comfyui: ProjectFolder) -> None:
    assert comfyui.doit("comfyui:setup", "--yes").code == 0
    assert comfyui.doit("server:start").code == 0
    try:
        assert comfyui.doit("comfyui", "--yes").code == 0
        assert comfyui.doit("server:status").code == 0
        assert starts(comfyui) == 1
    finally:
        assert comfyui.doit("server:stop").code == 0


@pytest.mark.long
def test_a_killed_run_leaves_its_server_and_the_next_one_collects_and_stops_it(comfyui: ProjectFolder) -> None:
    assert comfyui.doit("comfyui:setup", "--yes").code == 0
    process = comfyui.start()
    assert process.stdout is not None
    while "generated" not in process.stdout.readline():
        assert process.poll() is None
    time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert comfyui.doit("server:status").code == 0
    run = comfyui.doit()
    assert run.code == 0, run.out
    assert starts(comfyui) == 1
    assert comfyui.doit("server:status").out.startswith("stopped")
    images = list((comfyui.root / "tools/ComfyUI/data/output").rglob("*.png"))
    assert len(images) == 3


def test_without_a_job_for_it_it_says_so(comfyui: ProjectFolder) -> None:
    comfyui.job(backend="placeholder")
    run = comfyui.doit("comfyui", "--yes")
    assert run.code != 0
    assert "no job uses comfyui" in run.out
    assert not (comfyui.root / "tools/ComfyUI/main.py").exists()


def test_a_server_elsewhere_is_not_set_up_here(comfyui: ProjectFolder) -> None:
    with FakeComfyUI() as server:
        run = comfyui.doit("comfyui", "--yes", COMFYUI_URL=server.url)
        assert run.code == 0, run.out
    assert not (comfyui.root / "tools/ComfyUI/main.py").exists()


@pytest.mark.parametrize("start", ["auto", "never"])
def test_nothing_is_set_up_for_jobs_with_a_server_of_their_own(comfyui: ProjectFolder, start: str) -> None:
    with FakeComfyUI() as server:
        own = {"url": server.url, "start": start}
        comfyui.job(**Server("", "", set).job(comfyui={"checkpoint": "fake.safetensors", "server": own}))
        run = comfyui.doit("comfyui", "--yes")
        assert (run.code, len(run.tasks("generated"))) == (0, 3), run.out
    assert not (comfyui.root / "tools/ComfyUI/main.py").exists()


@pytest.mark.long
def test_all_its_images_are_made_anew_where_that_is_asked_for(comfyui: ProjectFolder) -> None:
    with FakeComfyUI() as server:
        comfyui.environment["COMFYUI_URL"] = server.url
        assert comfyui.doit("comfyui", "--yes").code == 0
        run = comfyui.doit("-a", "comfyui", "--yes")
        assert len(run.tasks("generated")) == 3
        assert len(server.executions) == 6
