"""How `sd-server` is started, and what settings must not add."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from imagegen.backends.sd.server import Launch, find_argument_problem, find_other_run, managed_server, start, stop
from imagegen.errors import ImagegenError
from tests.backends.sd.bench import NOBODY, edit_record
from tests.backends.sd.fake_sd_server.fixture import until
from tests.backends.sd.project import SdProject


def launch(project: SdProject, *more: str, ready_timeout_s: float = 60) -> Launch:
    model = str(project.models / "checkpoints/one.safetensors")
    return Launch(project.root, (str(project.fake.program), "--model", model, *more), ready_timeout_s)


def started(project: SdProject, *more: str) -> int:
    return start(launch(project, *more), lambda _: None, lambda: None).process.pid


@pytest.mark.parametrize(
    ("words", "name", "hint"),
    [
        (["--diffusion-fa", "-l", "10.0.0.1"], "-l", "others cannot reach it"),
        (["--listen-port", "80"], "--listen-port", "others cannot reach it"),
        (["--listen-ip=10.0.0.1"], "--listen-ip", "others cannot reach it"),
        (["-m", "x"], "-m", "sd.model"),
        (["--vae", "x"], "--vae", "sd.vae"),
        (["--rng", "cpu"], "--rng", "in the job"),
        (["--scheduler", "karras"], "--scheduler", "in the job"),
        (["--lora-model-dir", "x"], "--lora-model-dir", "sd.loras"),
        (["--lora-apply-mode", "auto"], "--lora-apply-mode", "at_runtime is always used"),
        (["--offload-to-cpu"], "--offload-to-cpu", "offload = true"),
    ],
)
def test_what_a_job_or_this_project_decides_is_no_argument_of_the_settings(
    words: list[str], name: str, hint: str
) -> None:
    problem = find_argument_problem(words)
    assert problem
    assert problem.what == f"sd.arguments must not have {name}"
    assert hint in problem.hint


def test_other_arguments_are_the_user_s_own() -> None:
    assert find_argument_problem(["--diffusion-fa", "--vae-tiling", "-t", "4", "--max-vram", "6"]) is None


def test_the_same_launch_is_the_same_server(project: SdProject) -> None:
    assert started(project) == started(project)
    assert started(project, "--threads", "1") != started(project)
    stop(project.root)
    assert not project.fake.running


def test_what_is_started_is_known_by_its_files_too(project: SdProject) -> None:
    before = launch(project).identity
    assert launch(project).identity == before
    path = project.models / "checkpoints/one.safetensors"
    os.utime(path, ns=(1, 1))
    assert launch(project).identity != before


def test_one_that_takes_too_long_is_ended(project: SdProject) -> None:
    project.fake.play(load_s=300)
    with pytest.raises(ImagegenError) as caught:
        start(launch(project, ready_timeout_s=0.5), lambda _: None, lambda: None)
    (problem,) = caught.value.problems
    assert problem.what.startswith("sd-server did not answer within 0.5 s")
    assert "ready_timeout_s" in problem.hint
    until(lambda: not project.fake.running)
    assert managed_server(project.root).read_record() is None


def test_one_that_is_killed_while_it_loads_ran_out_of_memory(project: SdProject) -> None:
    project.fake.fault("load", signal=9)
    with pytest.raises(ImagegenError, match="probably because memory ran out"):
        started(project)


def test_whoever_waits_can_give_up(project: SdProject) -> None:
    project.fake.play(load_s=300)

    def give_up() -> None:
        if project.fake.events("call"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        start(launch(project), lambda _: None, give_up)
    until(lambda: not project.fake.running)


def test_a_killed_run_s_server_is_of_no_other_run(project: SdProject) -> None:
    started(project)
    assert find_other_run(project.root) is None
    edit_record(project.root, NOBODY)
    assert find_other_run(project.root) is None
    stop(project.root)
    assert not project.fake.running


def test_where_nothing_was_started_there_is_nothing_to_stop(tmp_path: Path) -> None:
    (tmp_path / ".imagegen/sd").mkdir(parents=True)
    stop(tmp_path)
    assert find_other_run(tmp_path) is None


def test_it_gets_no_secrets(project: SdProject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "s3cret")
    pid = started(project)
    environment = Path(f"/proc/{pid}/environ")
    if environment.exists():
        assert b"s3cret" not in environment.read_bytes()
    stop(project.root)


def test_one_that_a_killed_run_left_is_shown_and_stopped_by_command(project: SdProject) -> None:
    pid = started(project)
    edit_record(project.root, NOBODY)
    record = managed_server(project.root).read_record()
    assert record
    shown = project.doit("server:status").out
    assert f"sd-server  {record.url}\nprocess    {pid}, since" in shown
    assert "started by a run that was killed" in shown
    assert project.doit("server:stop").out == f"sd-server at {record.url} is stopped (process {pid})\n"
    assert not project.fake.running
    assert project.doit("server:stop").out == "no server that this project started is running\n"
    assert "sd-server" not in project.doit("server:status").out
