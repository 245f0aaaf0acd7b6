"""Whole runs of doit with the fake sd-server: what goes wrong reaches the user in words, and what changes is rebuilt."""

from __future__ import annotations

import hashlib
import signal
import time
from typing import Any

import pytest

from tests.backends.sd.project import JOB, SdProject
from tests.marks import long

ALL = ["portraits:mallsing", "portraits:okka", "portraits:yrr"]
OTHERS = ["portraits:mallsing", "portraits:okka"]


@pytest.mark.parametrize(
    ("fault", "words", "loads"),
    [
        ("run_out_of_memory", "out of memory: ggml_aligned_malloc: insufficient memory", 1),
        long("lose_device", "the GPU failed: ", 2),
        ("crash", "sd-server ended by signal 11", 2),
    ],
)
def test_what_fails_an_image_is_said_and_costs_no_other(project: SdProject, fault: str, words: str, loads: int) -> None:
    getattr(project.fake, fault)("small")
    project.job()
    run = project.doit()
    assert (run.tasks("generated"), run.tasks("failed")) == (OTHERS, ["portraits:yrr"])
    assert words in run.out
    assert len(project.fake.loads) == loads
    again = project.doit()
    assert (again.code, again.tasks("generated")) == (0, ["portraits:yrr"])
    assert project.fake.running == []


def test_a_run_that_is_killed_while_the_model_is_loaded_leaves_it_to_the_next(project: SdProject) -> None:
    project.job()
    gate = project.fake.fault("load", wait=True)
    process = project.start()
    project.fake.wait_held(gate)
    process.kill()
    process.communicate()
    project.fake.open(gate)
    assert project.doit().tasks("generated") == ALL
    assert len(project.fake.loads) == 1
    assert project.fake.running == []


def test_a_run_with_nothing_to_do_ends_the_server_that_a_killed_run_left(project: SdProject) -> None:
    project.job()
    assert project.doit().code == 0
    gate = project.fake.hold("another")
    project.job(items=[{"name": "Another", "prompt": "another"}, *JOB["items"]])
    process = project.start()
    project.fake.wait_held(gate)
    process.kill()
    process.communicate()
    (pid,) = project.fake.running
    project.job()
    run = project.doit()
    assert f"stopped sd-server, which a killed run had left (process {pid})" in run.out
    assert project.fake.running == []
    assert "stopped" not in project.doit().out


def test_after_three_crashes_in_a_row_no_other_server_is_started(project: SdProject) -> None:
    project.fake.crash(times=None)
    project.job(items=[{"name": f"n{at}", "prompt": f"number {at}"} for at in range(6)])
    run = project.doit()
    assert (run.code == 0, len(run.tasks("failed"))) == (False, 6)
    assert "ended 3 times in a row" in run.out
    assert len(project.fake.begun) == 3
    assert project.fake.running == []


def test_a_server_that_cannot_load_its_model_is_started_once(project: SdProject) -> None:
    words = "[ERROR] model.cpp:876  - read tensor data failed: 'one.safetensors'"
    project.fake.fault("load", times=None, lines=[words], code=1)
    project.job()
    run = project.doit()
    assert run.tasks("failed") == ALL
    assert "cannot load the model: read tensor data failed" in run.out
    assert len([call for call in project.fake.events("call") if "--model" in call["argv"]]) == 1


def test_a_lora_that_the_server_leaves_out_fails_the_image(project: SdProject) -> None:
    """It says so in its log alone: the job is completed, with the picture that has no LoRA."""
    project.model("other.safetensors", "lora").write_bytes(b"not a LoRA")
    project.job(sd={"model": "one.safetensors", "loras": {"other.safetensors": 1.0}})
    run = project.doit()
    assert run.tasks("generated") == [], run.out
    assert "other.safetensors" in run.out


@pytest.mark.parametrize("number", [signal.SIGTERM, long(signal.SIGHUP)])
def test_a_run_that_is_ended_from_outside_ends_its_server(project: SdProject, number: signal.Signals) -> None:
    project.job()
    gate = project.fake.hold()
    process = project.start()
    project.fake.wait_held(gate)
    process.send_signal(number)
    out, err = process.communicate(timeout=project.patience_s)
    assert process.returncode != 0
    assert "Traceback" not in out + err
    assert project.fake.running == []


def test_a_run_that_is_ended_twice_in_a_row_ends_its_server(project: SdProject) -> None:
    """As timeout(1) does it."""
    project.job()
    gate = project.fake.hold()
    process = project.start()
    project.fake.wait_held(gate)
    for _ in range(20):
        process.send_signal(signal.SIGTERM)
        time.sleep(0.01)
    process.communicate(timeout=project.patience_s)
    assert process.returncode == -signal.SIGTERM
    assert project.fake.running == []


def test_an_image_that_a_cancelled_run_left_at_a_server_of_the_user_s_own_is_not_generated_twice(
    project: SdProject,
) -> None:
    url = project.fake.start("--model", str(project.models / "checkpoints/one.safetensors"))
    project.job(items=[{"name": "Yrr", "prompt": "a small figure"}], sd={"server": {"url": url}})
    gate = project.fake.hold()
    process = project.start()
    project.fake.wait_held(gate)
    project.wait_until_noted()
    process.send_signal(signal.SIGTERM)  # as a second Ctrl-C
    out, err = process.communicate(timeout=project.patience_s)
    assert "goes on with it" in out + err
    assert "cancelled  portraits:yrr" in out
    project.fake.open(gate)
    run = project.doit()
    assert run.tasks("generated") == ["portraits:yrr"]
    assert "for an earlier run" in run.out
    assert project.fake.begun == ["a small figure"]


def test_a_terminal_that_is_closed_ends_the_run_and_its_server(project: SdProject) -> None:
    project.job()
    gate = project.fake.hold()
    process = project.start()
    project.fake.wait_held(gate)
    assert process.stdout
    assert process.stderr
    process.stdout.close()
    process.stderr.close()
    process.send_signal(signal.SIGHUP)
    process.wait(project.patience_s)
    assert project.fake.running == []


def test_only_another_model_file_makes_images_stale_and_not_another_build_or_device(project: SdProject) -> None:
    project.job()
    assert project.doit().tasks("generated") == ALL
    project.fake.play(build="1234567", version="master-600-1234567", device="ggml_vulkan: 0 = Other (Other) | uma: 0")
    assert project.doit().out.startswith("3 fresh")
    project.model("one.safetensors", content="other bytes")
    assert "the model's files changed" in project.doit("why", "portraits:yrr").out
    assert project.doit().tasks("generated") == ALL
    assert project.doit().out.startswith("3 fresh")


def test_what_generated_an_image_is_recorded(project: SdProject) -> None:
    model = project.model("one.safetensors", content="one")
    project.job()
    assert project.doit().code == 0
    lines = [line for line in project.lines() if "request" in line]
    assert len(lines) == 3
    assert {line["backend_version"] for line in lines} == {"1 (stable-diffusion.cpp master-525-0752cc9, cpu)"}
    assert {line["model_digest"] for line in lines} == {hashlib.sha256(model.read_bytes()).hexdigest()}


@pytest.mark.long
def test_why_says_what_a_run_will_do_and_has_done(project: SdProject) -> None:
    project.job()
    before = project.doit("why")
    assert project.fake.events("loaded") == []
    assert "portraits:yrr" in before.out
    project.doit()
    after = project.doit("why", "portraits:yrr")
    assert "fresh" in after.out


@pytest.mark.parametrize(
    "sd",
    [{"rng": "cpu"}, long({"loras": {"tint.safetensors": 0.5}})],
    ids=lambda sd: next(iter(sd)),
)
def test_an_item_can_have_options_of_its_own(project: SdProject, sd: dict[str, Any]) -> None:
    project.model("tint.safetensors", "lora")
    project.job(items=[{"name": "plain", "prompt": "a cat"}, {"name": "own", "prompt": "a cat", "sd": sd}])
    assert project.doit().code == 0
    project.job(items=[{"name": "plain", "prompt": "a cat"}, {"name": "own", "prompt": "a cat"}])
    assert project.doit().tasks("generated") == ["portraits:own"]
