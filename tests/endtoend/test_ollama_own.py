"""An Ollama in tools/ollama: a run starts it, beside whatever serves already, and stops what it started."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from imagegen.backends.ollama.install import install
from imagegen.config.settings import read_settings
from tests.backends.ollama.parts import printing
from tests.endtoend.ollama import OllamaProject
from tests.marks import long
from tests.project_folder import press_ctrl_c
from tests.valid_results import check_lines

ALL = ["portraits:mallsing", "portraits:okka", "portraits:yrr"]


@pytest.fixture
def project(tmp_path: Path) -> Iterator[OllamaProject]:
    """Its own 0.32.5 is installed, with the default model there; the one on PATH is too new, and nothing serves."""
    project = OllamaProject(tmp_path)
    sha256 = project.ollama.archive(project.root / "ollama-darwin.tgz")
    lines = ["[tool.imagegen.ollama]", 'archive = "ollama-darwin.tgz"', f'archive_sha256 = "{sha256}"']
    project.write("pyproject.toml", "\n".join(lines))
    install(project.root, read_settings(project.root, {}, {}), printing())
    project.ollama.client("0.32.15")
    project.ollama.model()
    project.job()
    try:
        yield project
    finally:
        project.ollama.stop()


def servers(project: OllamaProject) -> list[int]:
    """The servers of the project's own that are alive."""
    own = str(project.root / "tools")
    return [call.pid for call in project.ollama.called("serve") if call.alive and own in call.cwd + str(call.argv)] or [
        call.pid for call in project.ollama.called("serve") if call.alive and call.version == "0.32.5"
    ]


def eventually(holds: Callable[[], object]) -> None:
    until = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_a_run_starts_it_where_none_answers_and_stops_it_at_the_end(project: OllamaProject) -> None:
    run = project.doit()
    assert run.tasks("generated") == ALL, run.out
    assert "starting Ollama 0.32.5 from tools/ollama" in run.out
    (serve,) = project.ollama.called("serve")
    assert serve.environment["OLLAMA_HOST"] == project.ollama.host
    assert servers(project) == []
    assert project.doit().out.startswith("3 fresh")
    assert len(project.ollama.called("serve")) == 1, "a run with nothing to do starts nothing"


def test_it_serves_beside_one_of_another_version_which_is_left_alone(project: OllamaProject) -> None:
    project.ollama.start_server("0.32.15")
    run = project.doit()
    assert run.tasks("generated") == ALL, run.out
    theirs, ours = project.ollama.called("serve")
    assert (theirs.version, ours.version) == ("0.32.15", "0.32.5")
    assert ours.environment["OLLAMA_HOST"] != project.ollama.host
    assert (theirs.alive, servers(project)) == (True, [])
    (digest,) = {line["model_digest"] for line in project.lines() if "request" in line}
    assert digest == project.ollama.model(), "they share their models"


@pytest.mark.long
def test_one_of_the_same_version_that_serves_already_is_used(project: OllamaProject) -> None:
    project.ollama.start_server("0.32.5")
    assert project.doit().tasks("generated") == ALL
    assert len(project.ollama.called("serve")) == 1
    assert project.ollama.ask("/api/version") == {"version": "0.32.5"}


def test_a_killed_run_leaves_its_server_and_the_next_one_collects_and_stops_it(project: OllamaProject) -> None:
    project.ollama.fault("slow", "tall", seconds=0.2, times=1)
    process = project.start()
    eventually(lambda: any(event["event"] == "start" for event in project.ollama.events))
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert len(servers(project)) == 1
    run = project.doit()
    assert run.tasks("generated") == ALL, run.out
    assert sorted(project.prompts()) == ["a broad figure", "a small figure", "a tall figure"]
    assert servers(project) == []
    assert len(project.ollama.called("serve")) == 1


@pytest.mark.long
def test_ctrl_c_twice_stops_it_too(project: OllamaProject) -> None:
    project.ollama.fault("hang", "tall")
    process = project.start()
    eventually(lambda: any(event["event"] == "start" for event in project.ollama.events))
    press_ctrl_c(process)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert "Traceback" not in out + err
    assert servers(project) == []


@pytest.mark.long
@pytest.mark.parametrize("written", ['"127.0.0.1:{}"', *map(long, (":{}", "http://127.0.0.1:{}/", "0.0.0.0:{}"))])
def test_the_address_may_be_written_as_ollama_takes_it(project: OllamaProject, written: str) -> None:
    port = project.ollama.host.rpartition(":")[2]
    run = project.doit("portraits:yrr", OLLAMA_HOST=written.format(port))
    assert run.tasks("generated") == ["portraits:yrr"], run.out
    assert project.ollama.called("serve")[0].environment["OLLAMA_HOST"] == f"127.0.0.1:{port}"


def test_doctor_says_that_a_run_starts_it(project: OllamaProject) -> None:
    run = project.doit("doctor")
    assert run.code == 0, run.out
    message = " ".join(run.out.split())
    assert f"command line {project.root}/tools/ollama/ollama (tools/ollama)" in message
    assert "a run with something stale starts its own 0.32.5" in message
    assert project.ollama.called("serve") == []


# doit ollama:setup


@pytest.mark.long
def test_setup_pulls_the_models_of_the_jobs_and_does_nothing_the_second_time(project: OllamaProject) -> None:
    project.ollama.model("x/flux2-klein", pulled=False)
    project.job("others", ollama={"model": "x/flux2-klein"})
    first, second = project.doit("ollama:setup", "--yes"), project.doit("ollama:setup", "--yes")
    assert (first.code, second.code) == (0, 0), first.out
    assert "pulled x/flux2-klein, 12 GB" in first.out
    assert [call.argv for call in project.ollama.called("pull")] == [["pull", "x/flux2-klein:latest"]]
    assert "x/flux2-klein is installed, 12 GB" in second.out
    assert "x/z-image-turbo is installed, 12 GB" in second.out
    (answer,) = check_lines(project.doit("ollama:setup", "--json"))
    assert (answer["result"]["path"], answer["result"]["version"]) == ("tools/ollama/ollama", "0.32.5")
    assert (answer["result"]["models"], answer["result"]["pulled"]) == (["x/flux2-klein", "x/z-image-turbo"], [])
    assert project.ollama.images == []
    assert servers(project) == []


@pytest.mark.long
def test_setup_elsewhere_than_on_apple_silicon_says_what_to_do_and_installs_nothing(tmp_path: Path) -> None:
    project = OllamaProject(tmp_path)
    project.job()
    project.ollama.client("0.32.15")
    run = project.doit("ollama:setup", "--yes")
    assert run.code != 0
    assert "Ollama 0.32.15 is too new to generate images" in run.out
    assert "install Ollama 0.32.5" in run.out
    (project.ollama.bin / "ollama").unlink()
    assert "Ollama is not installed" in project.doit("ollama:setup", "--yes").out
    assert not (project.root / "tools").exists()


@pytest.mark.long
def test_setup_with_wrong_settings_or_a_broken_pull_fails(project: OllamaProject) -> None:
    project.job(ollama={"model": "x/nothing"})
    run = project.doit("ollama:setup", "--yes")
    assert run.code != 0
    assert "Ollama knows no model x/nothing" in run.out
    assert servers(project) == []
    project.write("pyproject.toml", "[tool.imagegen.ollama]\nversion = 7\n")
    assert project.doit("ollama:setup", "--yes").code != 0


@pytest.mark.long
def test_setup_and_a_run_at_once_do_not_stop_each_others_server(project: OllamaProject) -> None:
    project.ollama.model("x/flux2-klein", pulled=False)
    project.job("others", ollama={"model": "x/flux2-klein"})
    project.ollama.fault("pull-slow", seconds=0.5)
    setup = project.start("ollama:setup", "--yes")
    eventually(lambda: project.ollama.called("pull"))
    run = project.doit("portraits")
    assert f"another doit is running here (process {setup.pid}: 'doit ollama:setup --yes', since " in run.out
    out, _ = setup.communicate()
    assert "pulled x/flux2-klein" in out
    waiting = project.start("portraits", "wait=60")
    assert "generated" in waiting.communicate()[0]
    assert project.doit("wait=60").code == 0
    assert servers(project) == []


@pytest.mark.long
def test_its_death_is_told_with_how_it_ended(project: OllamaProject) -> None:
    project.ollama.fault("server-dies", "small")
    run = project.doit()
    assert (
        run.out.count("Ollama ended with exit code 1; the end of .imagegen/ollama/server.log:\n    | level=INFO") == 1
    )
    assert "open the Ollama app" not in run.out


@pytest.mark.long
def test_one_that_does_not_start_is_started_once_and_not_again_for_each_job(project: OllamaProject) -> None:
    script = project.root / "tools/ollama/ollama"
    real = script.rename(project.root / "real")
    script.write_text(f'#!/bin/sh\nif [ "$1" = serve ]; then echo broken; exit 3; fi\nexec {real} "$@"\n')
    script.chmod(0o755)
    project.job("others")
    run = project.doit()
    assert (run.code, run.tasks("generated")) == (1, [])
    assert run.out.count("starting Ollama 0.32.5") == 1
    assert run.out.count("Ollama ended with exit code 3 while it started") == 1
    assert "    | broken" in run.out
