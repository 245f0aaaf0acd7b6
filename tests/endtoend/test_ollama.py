"""Jobs that Ollama draws, by the real `doit` and the fake `ollama` on PATH: processes, files and HTTP are real."""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from imagegen.images.image_file import verify
from tests.backends.ollama.parts import is_alive, until
from tests.endtoend.ollama import OllamaProject
from tests.marks import long
from tests.project_folder import JOB, Run, press_ctrl_c

ALL = ["portraits:mallsing", "portraits:okka", "portraits:yrr"]


@pytest.fixture
def idle(tmp_path: Path) -> Iterator[OllamaProject]:
    """No server runs."""
    project = OllamaProject(tmp_path)
    try:
        yield project
    finally:
        project.ollama.stop()


@pytest.fixture
def project(idle: OllamaProject) -> OllamaProject:
    """A server with the default model."""
    idle.ollama.model()
    idle.ollama.start_server()
    return idle


def test_a_job_is_drawn_once_and_is_fresh_then(project: OllamaProject) -> None:
    tall = {"name": "Mallsing", "prompt": "a tall figure", "seed": 7}
    project.job(generate={"width": 64, "height": 48, "steps": 3}, items=[tall, *JOB["items"][1:]])
    run = project.doit()
    assert (run.code, run.tasks("generated")) == (0, ALL), run.out
    assert verify(project.image("yrr").read_bytes(), 64, 48)
    call = project.generate_calls()[0]
    assert call.argv == [
        *("run", "--width", "64", "--height", "48", "--steps", "3", "--seed", "7", "--keepalive", "10m"),
        *("--", "x/z-image-turbo", "a tall figure"),
    ]
    assert not {"TERM_PROGRAM", "WEZTERM_PANE", "KITTY_WINDOW_ID", "GHOSTTY_RESOURCES_DIR"} & set(call.environment)
    calls = len(project.ollama.calls)
    assert project.doit().out.startswith("3 fresh, nothing to do")
    assert len(project.ollama.calls) == calls, "a run with nothing to do asks nobody"
    assert project.is_short()


def test_what_the_job_leaves_open_is_the_models_own_and_the_seed_is_known(project: OllamaProject) -> None:
    project.job(generate={"width": 64, "height": 64}, items=[{"name": "Yrr", "prompt": "small"}])
    assert project.doit(TERM_PROGRAM="iTerm.app", KITTY_WINDOW_ID="1").code == 0
    (image,) = project.ollama.images
    (line,) = [line for line in project.lines() if "request" in line]
    assert image["seed"] == line["request"]["seed"] >= 1
    assert "steps" not in line["request"]
    assert (image["steps"], line["model_digest"]) == (9, project.ollama.model())


def test_images_are_drawn_one_at_a_time_and_the_model_is_let_go_at_the_end(project: OllamaProject) -> None:
    project.job("one")
    project.job("two", ollama={"model": "x/flux2-klein"})
    project.ollama.model("x/flux2-klein")
    assert project.doit().code == 0
    loads = [event["model"] for event in project.ollama.events if event["event"] == "load"]
    assert len(loads) == 2, "a model stays loaded between its images"
    assert project.ollama.loaded == []
    calls = sorted(project.generate_calls(), key=lambda call: call.start)
    assert len(calls) == 6
    assert all(one.end and one.end <= other.start for one, other in itertools.pairwise(calls))


@pytest.mark.long
def test_other_backends_go_on_beside_it(project: OllamaProject) -> None:
    project.items("a slow bird", generate={"width": 64, "height": 64})
    project.ollama.fault("slow", "slow", seconds=0.1)
    project.job("stand-ins", backend="placeholder")
    run = project.doit()
    assert run.out.index("stand-ins:yrr") < run.out.index("portraits:a")
    assert len(run.tasks("generated")) == 4


@pytest.mark.parametrize(
    "prompt",
    [
        "--seed 5",
        long("-"),
        'it\'s "quoted" `twice` $HOME %PATH% \\ and !\nsecond line\n\n🦉 an owl, 梟, сова, ﷽',
        long("a 3/4 view, and/or a cat"),
        long("*"),
        long("a tail of blanks between   words"),
    ],
)
def test_a_prompt_arrives_as_it_is(project: OllamaProject, prompt: str) -> None:
    project.items(prompt, generate={"width": 32, "height": 32})
    run = project.doit()
    assert run.code == 0, run.out
    assert project.prompts() == [prompt]


@pytest.mark.parametrize(
    "prompt", ["like ./x.png", *map(long, ("like /tmp/a face.JPG", "either and/or a cat.webp", "\\x.jpeg"))]
)
def test_a_prompt_of_which_ollama_would_open_a_part_is_refused(project: OllamaProject, prompt: str) -> None:
    project.items("a bird", prompt)
    run = project.doit()
    assert (run.code, run.tasks("generated")) == (1, [])
    assert "Ollama takes that for an image file" in run.out
    assert "portraits:a: not started, because preflight found problems with portraits:b" in run.out
    assert project.generate_calls() == []


@pytest.mark.long
def test_what_is_not_ollamas_is_told_once_and_decides_nothing(project: OllamaProject) -> None:
    fields = {"width": 64, "height": 64, "negative": "text", "cfg": 5, "sampler": "euler", "scheduler": "normal"}
    project.job(generate=fields)
    run = project.doit()
    assert run.out.count("ollama ignores") == 1
    assert "ollama ignores negative, cfg, sampler, scheduler" in run.out
    project.job(generate=fields | {"cfg": 9, "negative": "blur"})
    assert "3 fresh" in project.doit().out


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 500}, "width 500 is not a multiple of 16, and the model would change it"),
        long({"height": 4112}, "height 4112 is more than Ollama takes"),
        long({"seed": 0}, "seed 0 means a random one"),
        long({"seed": 2**53 + 1}, "is more than Ollama can tell apart"),
    ],
)
def test_what_ollama_would_change_is_refused(project: OllamaProject, changes: dict[str, int], message: str) -> None:
    project.job(items=[{"name": "Yrr", "prompt": "small", "width": 64, "height": 64} | changes])
    run = project.doit()
    assert (run.code, run.tasks("generated")) == (1, [])
    assert message in run.out
    assert project.ollama.images == []


# models


def test_a_missing_model_is_pulled_once_before_any_image_of_it(idle: OllamaProject) -> None:
    idle.ollama.model(pulled=False)
    idle.ollama.start_server()
    idle.job("one")
    idle.job("two")
    run = idle.doit()
    assert (run.code, len(run.tasks("generated")), len(run.tasks("restored"))) == (0, 3, 3), run.out
    first, last = run.out.splitlines()[:2]
    assert first.startswith("pulling x/z-image-turbo: about 12 GB; ")
    assert first.endswith("of disk are free; licence: Apache-2.0")
    assert last.startswith("pulled x/z-image-turbo, 12 GB; its licence: Apache License")
    (pull,) = idle.ollama.called("pull")
    assert pull.end is not None
    assert all(call.start >= pull.end for call in idle.generate_calls())


@pytest.mark.long
def test_jobs_of_one_model_ask_no_more_than_one_job_does(project: OllamaProject) -> None:
    for name in "abcd":
        project.job(name, generate={"width": 64, "height": 64})
    assert project.doit().code == 0
    asked = [
        call.argv[0]
        for call in project.ollama.calls
        if call.argv[0] != "serve" and call not in project.generate_calls()
    ]
    assert sorted(asked) == ["--version", "list", "run", "show", "stop"], "each once; that run is its --help"


@pytest.mark.long
def test_a_model_with_a_name_that_another_begins_with_is_not_that_one(project: OllamaProject) -> None:
    project.ollama.model("x/z-image", pulled=False)
    project.items("a bird", ollama={"model": "x/z-image"})
    assert project.doit().code == 0
    assert [call.argv for call in project.ollama.called("pull")] == [["pull", "x/z-image:latest"]]


@pytest.mark.long
def test_a_pull_that_fails_fails_its_job_and_no_other(project: OllamaProject) -> None:
    project.job("one", ollama={"model": "x/nothing"})
    project.job("two")
    run = project.doit()
    assert (run.code, run.tasks("generated")) == (1, ["two:mallsing", "two:okka", "two:yrr"])
    assert "Ollama knows no model x/nothing (pull model manifest: file does not exist)" in run.out
    assert "\x1b" not in run.out


@pytest.mark.long
@pytest.mark.parametrize(
    ("fault", "message"),
    [long("pull-offline", "check the network, then run doit again"), ("pull-disk-full", "no space left on device")],
)
def test_a_broken_pull_says_what_ollama_said(idle: OllamaProject, fault: str, message: str) -> None:
    idle.ollama.model(pulled=False)
    idle.ollama.start_server()
    idle.ollama.fault(fault, times=1)
    idle.job()
    run = idle.doit()
    assert (run.code, run.tasks("generated")) == (1, [])
    assert "x/z-image-turbo could not be pulled: " in run.out
    assert message in run.out
    assert idle.doit().tasks("generated") == ALL


@pytest.mark.long
def test_a_long_pull_holds_up_no_other_job(project: OllamaProject) -> None:
    project.ollama.model("x/flux2-klein", pulled=False)
    project.ollama.fault("pull-slow", seconds=0.1)
    project.job("one", ollama={"model": "x/flux2-klein"})
    project.job("two")
    run = project.doit()
    assert len(run.tasks("generated")) == 6, run.out
    assert run.out.index("two:yrr") < run.out.index("pulled x/flux2-klein")


@pytest.mark.long
def test_ctrl_c_ends_a_pull_and_the_next_run_pulls_again(idle: OllamaProject) -> None:
    idle.ollama.model(pulled=False)
    idle.ollama.start_server()
    idle.ollama.fault("pull-slow", seconds=2, times=1)
    idle.job()
    process = idle.start()
    until(lambda: idle.ollama.called("pull"))
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode != 0, out + err
    assert "Traceback" not in out + err
    until(lambda: not any(call.alive for call in idle.ollama.called("pull")))
    assert idle.doit().tasks("generated") == ALL


def test_a_model_that_makes_no_images_is_refused(project: OllamaProject) -> None:
    project.ollama.model("llama3", capability="completion")
    project.job(ollama={"model": "llama3"})
    run = project.doit()
    assert (run.code, project.ollama.images) == (1, [])
    assert "llama3 does not generate images: it can do completion" in run.out


@pytest.mark.long
def test_another_model_under_the_same_name_makes_its_images_stale(project: OllamaProject) -> None:
    project.job()
    assert project.doit().tasks("generated") == ALL
    project.ollama.model(revision="2")
    calls = len(project.ollama.calls)
    assert "the model's files changed" in project.doit("info", "portraits:yrr").out
    assert len(project.ollama.calls) == calls, "why asks nobody"
    assert project.doit().tasks("generated") == ALL
    assert len(project.ollama.images) == 6


@pytest.mark.long
def test_the_digest_is_unknown_where_the_server_keeps_its_models_elsewhere(project: OllamaProject) -> None:
    project.environment["OLLAMA_MODELS"] = str(project.root / "elsewhere")
    project.job()
    assert project.doit().tasks("generated") == ALL
    assert [line["model_digest"] for line in project.lines() if "request" in line] == [None] * 3
    project.ollama.model(revision="2")
    assert "3 fresh" in project.doit().out


# versions


def check_refused(run: Run) -> str:
    assert run.code == 1
    assert run.tasks("generated") == []
    return run.out


@pytest.mark.long
@pytest.mark.parametrize(
    ("client", "server", "message"),
    [
        long("0.32.15", "0.32.15", "Ollama 0.32.15 is too new to generate images: that was taken out after 0.32.5"),
        long("0.32.6", "0.32.6", "Ollama 0.32.6 is too new to generate images"),
        long("0.14.2", "0.14.2", "Ollama 0.14.2 is too old to generate images: that came with 0.14.3"),
        ("0.32.5", "0.32.15", "client is 0.32.5 and its server 0.32.15: the server is too new to generate images"),
        long("0.32.15", "0.32.5", "client is 0.32.15 and its server 0.32.5: the client is too new to generate images"),
        long("0.16.1", "0.16.1", "Ollama 0.16.1 generates broken images, or none (ollama/ollama#14234)"),
        long("0.23.1", "0.23.1", "Ollama 0.23.1 generates broken images, or none (ollama/ollama#16096)"),
    ],
)
def test_a_version_that_cannot_is_told_before_anything_is_made(
    project: OllamaProject, client: str, server: str, message: str
) -> None:
    project.ollama.stop()
    project.ollama.client(client)
    project.ollama.start_server(server)
    project.job()
    out = check_refused(project.doit())
    assert message in out
    assert "install Ollama 0.32.5" in out
    assert "backend: comfyui" in out
    assert project.ollama.called("pull") == []
    doctor = project.doit("doctor")
    assert doctor.code == 1
    assert message in doctor.out


@pytest.mark.long
def test_versions_that_differ_and_both_can_are_used(project: OllamaProject) -> None:
    project.ollama.stop()
    project.ollama.client("0.14.3")
    project.ollama.start_server("0.32.5")
    project.job()
    assert project.doit().tasks("generated") == ALL


def test_no_ollama_at_all_is_told(idle: OllamaProject) -> None:
    (idle.ollama.bin / "ollama").unlink()
    idle.job()
    assert "Ollama is not installed: there is no ollama on PATH" in check_refused(idle.doit())


def test_one_that_does_not_run_is_told(idle: OllamaProject) -> None:
    idle.job()
    out = check_refused(idle.doit())
    assert f"Ollama is installed but does not run: nothing answers at {idle.ollama.host}" in out
    assert "'ollama serve'" in out


@pytest.mark.long
def test_one_without_its_mlx_libraries_is_told(project: OllamaProject) -> None:
    project.ollama.library.unlink()
    project.job()
    assert "lacks its MLX libraries" in check_refused(project.doit())


def test_another_program_of_that_name_is_told(project: OllamaProject) -> None:
    script = project.ollama.bin / "ollama"
    script.write_text("#!/bin/sh\necho llama farm 3\n")
    project.job()
    assert "is not an Ollama: --version prints 'llama farm 3'" in check_refused(project.doit())


# failures


@pytest.mark.parametrize(
    ("fault", "details", "message", "hint"),
    [
        long("no-image", {}, "Ollama finished without an image and without a reason", "server.log"),
        long("early-end", {}, "Ollama finished without an image and without a reason", "server.log"),
        ("memory", {}, "out of memory: the model needs 12.0 GiB, and 7.4 GiB are free", "smaller"),
        long("runner-memory", {}, "out of memory: the image needs 11 GB, and 8 GB are free", "smaller"),
        long("mid-stream", {}, "Ollama says: mlx runner closed response before completion", "log"),
        long("http", {"status": 400, "text": "bad thing"}, "Ollama says: 400 Bad Request: bad thing", "log"),
        long("http", {}, "Ollama says: 500 Internal Server Error: something went wrong", "log"),
        long("directory-gone", {}, "Ollama could not write the image", "run doit again"),
        long("disk-full", {}, "no space left on device", "free disk space"),
        long("two-files", {}, "Ollama wrote 2 files instead of one", "log"),
        ("cut", {}, "what Ollama wrote is not a complete PNG", "run doit again"),
        long("not-png", {}, "what Ollama wrote is not a complete PNG", "run doit again"),
        long("other-size", {}, "the image is 32×32", "try again"),
        long("busy", {}, "Ollama is busy with other requests", "later"),
        long("mlx", {}, "Ollama cannot load its MLX libraries", "backend: comfyui"),
    ],
)
def test_one_image_fails_by_name_and_the_next_run_makes_it(
    project: OllamaProject, fault: str, details: dict[str, object], message: str, hint: str
) -> None:
    project.items("a bird", "a wolf", generate={"width": 64, "height": 64})
    project.ollama.fault(fault, "wolf", times=1, **details)
    run = project.doit()
    assert (run.code, run.tasks("generated"), run.tasks("failed")) == (1, ["portraits:a"], ["portraits:b"])
    problem = run.out[run.out.index("\nportraits:b: ") :]
    assert message in problem
    assert hint in problem
    assert "\x1b" not in run.out + run.err
    assert project.doit().tasks("generated") == ["portraits:b"]


@pytest.mark.long
def test_an_image_that_is_too_large_names_a_size_that_fits(project: OllamaProject) -> None:
    project.items("a wolf", generate={"width": 2048, "height": 2048})
    project.ollama.fault("large", "wolf")
    run = project.doit()
    assert "the image, 2048×2048, is larger than Ollama can hand over (about 6 MB)" in run.out
    assert "make it smaller: 1408×1408 fits" in run.out


def test_a_server_that_dies_fails_the_rest_with_one_line(project: OllamaProject) -> None:
    project.items("a bird", "a wolf", "a fox", "a cat", generate={"width": 64, "height": 64})
    project.ollama.fault("server-dies", "wolf")
    run = project.doit()
    assert run.tasks("generated") == ["portraits:a"]
    assert run.out.count("Ollama does not answer any more") == 1
    assert len(project.generate_calls()) == 2


def test_a_full_disk_has_nothing_more_drawn_for_it(project: OllamaProject) -> None:
    project.items("a wolf", "a bird", "a fox", generate={"width": 64, "height": 64})
    project.ollama.fault("disk-full")
    run = project.doit()
    assert run.out.count("no space left on device") == 1
    assert len(project.generate_calls()) == 1


@pytest.mark.long
@pytest.mark.parametrize("also", ["stubborn", long("child")])
def test_a_hang_is_ended_with_all_that_it_started_and_nothing_else(project: OllamaProject, also: str) -> None:
    bystander = psutil.Popen(["sleep", "60"])
    try:
        project.items("a wolf", "a bird", generate={"width": 64, "height": 64, "timeout_s": 2})
        project.ollama.fault("hang", "wolf")
        project.ollama.fault(also, "wolf")
        run = project.doit()
        assert (run.tasks("failed"), run.tasks("generated")) == (["portraits:a"], ["portraits:b"])
        assert "portraits:a: not done after 2 s" in run.out
        assert not any(call.alive for call in project.ollama.called("run"))
        assert not any(is_alive(child) for child in project.ollama.children)
        assert bystander.is_running()
        assert project.ollama.ask("/api/version")
    finally:
        bystander.kill()
        bystander.wait()


def test_ctrl_c_finishes_the_image_and_a_second_one_ends_it(project: OllamaProject) -> None:
    project.items("a slow bird", "a wolf", generate={"width": 64, "height": 64})
    project.ollama.fault("slow", "slow", seconds=0.3)
    process = project.start()
    until(lambda: any(event["event"] == "start" for event in project.ollama.events))
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert "generated  portraits:a" in out
    assert len(project.ollama.images) == 1

    project.ollama.fault("hang", "wolf")
    process = project.start()
    until(lambda: len([event for event in project.ollama.events if event["event"] == "start"]) == 2)
    press_ctrl_c(process)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert "Traceback" not in out + err
    until(lambda: not any(call.alive for call in project.ollama.called("run")))


def test_nothing_is_drawn_twice_by_a_run_that_was_killed(project: OllamaProject) -> None:
    project.items("a slow bird", "a wolf", generate={"width": 64, "height": 64})
    project.ollama.fault("slow", "slow", seconds=0.2, times=1)
    process = project.start()
    until(lambda: any(event["event"] == "start" for event in project.ollama.events))
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    run = project.doit()
    assert run.tasks("generated") == ["portraits:a", "portraits:b"], run.out
    assert project.prompts() == ["a slow bird", "a wolf"]


def test_what_a_call_finished_after_its_run_was_killed_is_taken(project: OllamaProject) -> None:
    project.items("a slow bird", generate={"width": 64, "height": 64})
    project.ollama.fault("slow", "slow", seconds=0.1, times=1)
    process = project.start()
    until(lambda: any(event["event"] == "start" for event in project.ollama.events))
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    until(lambda: project.ollama.called("run")[-1].end)
    assert project.doit().tasks("generated") == ["portraits:a"]
    assert len(project.ollama.images) == 1
    assert list((project.root / ".imagegen/ollama/calls").iterdir()) == []


@pytest.mark.long
def test_a_call_that_its_run_was_killed_before_noting_is_found_all_the_same(project: OllamaProject) -> None:
    project.items("a slow bird", generate={"width": 64, "height": 64})
    project.ollama.fault("slow", "slow", seconds=0.2, times=1)
    process = project.start()
    until(lambda: any(event["event"] == "start" for event in project.ollama.events))
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    (noted,) = (project.root / ".imagegen/ollama/calls").glob("*/call.json")
    noted.unlink()
    assert project.doit().tasks("generated") == ["portraits:a"]
    assert project.prompts() == ["a slow bird"]


def test_an_image_that_did_not_get_into_the_store_is_not_drawn_again(project: OllamaProject) -> None:
    project.items("a bird", generate={"width": 64, "height": 64})
    blobs = project.write(".imagegen/store/blobs", "in the way")
    run = project.doit()
    assert (run.code, project.prompts()) == (1, ["a bird"])
    assert "portraits:a: images cannot be stored, so no more are generated: cannot write: " in run.out
    blobs.unlink()
    assert project.doit().tasks("generated") == ["portraits:a"]
    assert project.prompts() == ["a bird"]
    assert list((project.root / ".imagegen/ollama/calls").iterdir()) == []


# doctor


def test_doctor_has_a_row_for_each_thing_that_ollama_takes(project: OllamaProject) -> None:
    project.job()
    project.job("others", ollama={"model": "x/flux2-klein"})
    first = project.doit("doctor")
    assert first.code == 0, first.out
    for row in (
        f"command line                 {project.ollama.bin}/ollama",
        f"version                      client 0.32.5, server 0.32.5 at {project.ollama.host}: generates images",
        "model x/z-image-turbo        12 GB, ID ",
        "model x/flux2-klein          missing; a run pulls it: about 5.7 GB; ",
        "platform                     Linux on ",
        "memory                       ",
    ):
        assert f"backend ollama: {' '.join(row.split())}" in " ".join(first.out.split()).replace("✓ ", ""), row
    project.doit("portraits")
    digest = project.ollama.model()[:12]
    assert f"12 GB, digest {digest}" in project.doit("doctor").out
