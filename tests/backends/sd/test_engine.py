"""The server of a run: one for each model, reused, restarted, taken over, and ended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from imagegen.backends.base import Cancelled, MayBeRunningError, OverdueError
from imagegen.backends.sd.client import Client
from imagegen.backends.sd.job import JobNotes
from imagegen.errors import Problem
from tests.backends.sd.bench import Bench, Reported, edit_record, identity_of
from tests.backends.sd.fake_sd_server.fixture import VULKAN, FakeSd, until
from tests.backends.sd.project import SdProject


@pytest.fixture
def bench(project: SdProject) -> Iterator[Bench]:
    made = Bench(project)
    try:
        yield made
    finally:
        made.cancel.set()
        made.close()


def test_a_model_is_loaded_once_and_its_server_ends_with_the_run(bench: Bench) -> None:
    for prompt in ("a cat", "a dog", "a cow"):
        bench.generate(bench.request(prompt))
    assert bench.fake.loads == [["one.safetensors"]]
    assert bench.fake.generated == ["a cat", "a dog", "a cow"]
    assert len(bench.fake.running) == 1
    bench.close()
    assert not bench.fake.running


def test_another_model_takes_the_place_of_the_first(bench: Bench) -> None:
    one, two = bench.request(), bench.request(model="two.safetensors")
    assert bench.backend.batch_key(one) != bench.backend.batch_key(two)
    assert bench.backend.batch_key(one) == bench.backend.batch_key(bench.request("a dog"))
    bench.generate(one)
    bench.generate(two)
    assert bench.fake.loads == [["one.safetensors"], ["two.safetensors"]]
    assert len(bench.fake.running) == 1


def test_a_model_in_several_files_is_started_with_each_of_them(bench: Bench) -> None:
    parts = {"diffusion_model": "flux", "vae": "vae", "clip_l": "clip_l", "t5xxl": "t5xxl"}
    for kind in parts.values():
        bench.project.model(f"{kind}.safetensors", kind)  # type: ignore[arg-type]
    section = {part: f"{kind}.safetensors" for part, kind in parts.items()}
    bench.generate(bench.request("a cat", None, **section))
    assert sorted(bench.fake.loads[0]) == [
        "clip_l.safetensors",
        "flux.safetensors",
        "t5xxl.safetensors",
        "vae.safetensors",
    ]


def test_what_decides_how_it_is_started(bench: Bench) -> None:
    bench.generate(bench.request(rng="cpu", offload=True))
    (call,) = (one["argv"] for one in bench.fake.events("call") if "--model" in one["argv"])
    assert {"--rng", "cpu", "--offload-to-cpu", "--verbose"} <= set(call)
    assert call[call.index("--listen-ip") + 1] == "127.0.0.1"


def test_a_model_file_that_was_replaced_is_loaded_again(bench: Bench) -> None:
    first = bench.generate(bench.request())
    bench.project.model("one.safetensors", content="another")
    assert bench.generate(bench.request()).data != first.data
    assert len(bench.fake.loads) == 2


def test_what_loras_leave_behind_changes_no_other_image(bench: Bench) -> None:
    for name in ("ink.safetensors", "oil.safetensors"):
        bench.project.model(name, "lora", name)
    ink, oil = (bench.request(loras={f"{name}.safetensors": 0.5}) for name in ("ink", "oil"))
    plain = bench.generate(bench.request())
    first, other, again = (bench.generate(one) for one in (ink, oil, ink))
    assert first.data == again.data
    assert len({plain.data, first.data, other.data}) == 3
    assert bench.generate(bench.request()).data == plain.data
    assert bench.fake.bodies[1]["lora"] == [{"path": "ink.safetensors", "multiplier": 0.5}]


def test_what_generated_it_is_recorded(bench: Bench) -> None:
    bench.fake.play(device=VULKAN)
    made = bench.generate(bench.request())
    build = bench.backend.engine.program.build
    assert build
    assert made.engine == f"stable-diffusion.cpp {build}, vulkan: NVIDIA GeForce RTX 4070"
    assert made.facts == {"build": build, "device": "vulkan: NVIDIA GeForce RTX 4070"}


def test_a_program_for_a_gpu_that_finds_none_is_noted_once_in_a_run(bench: Bench) -> None:
    bench.fake.play(device="ggml_vulkan: No devices found.\nUsing CPU backend")
    reported = Reported()
    for request in (bench.request(), bench.request("a dog"), bench.request(model="two.safetensors")):
        made = bench.begin(request, reported).result(60)
        assert made.facts["device"] == "cpu"
    assert reported.texts("note") == [
        "sd-server, built for a GPU, finds no GPU: it generates on the CPU, slowly; "
        "check the GPU's driver, and see doit doctor"
    ]


@pytest.mark.parametrize("device", [VULKAN, ""])
def test_nothing_is_noted_of_a_gpu_that_is_found_and_of_a_program_for_the_cpu(bench: Bench, device: str) -> None:
    bench.fake.play(device=device)
    reported = Reported()
    bench.begin(bench.request(), reported).result(60)
    assert not reported.texts("note")


def test_what_the_settings_add_to_the_command_is_recorded_without_this_machine_s_folders(bench: Bench) -> None:
    (bench.project.root / "embeddings").mkdir()
    folder = json.dumps(str(bench.project.root / "embeddings"))
    bench.project.settings_file(arguments=f'["--type", "q8_0", "--embd-dir", {folder}]')
    bench.reload()
    made = bench.generate(bench.request())
    assert made.engine.endswith(", --type q8_0 --embd-dir embeddings")
    assert made.facts["arguments"] == "--type q8_0 --embd-dir embeddings"


def test_loading_the_model_is_shown_and_not_the_image_s_own_time(bench: Bench) -> None:
    gate = bench.fake.fault("load", wait=True)
    reported = Reported()
    image = bench.begin(bench.request(), reported)
    until(lambda: any(text.startswith("loading the model … ") for text in reported.texts("waiting")))
    bench.fake.open(gate)
    image.result(60)
    loading = [
        number
        for number, (name, facts) in enumerate(reported.events)
        if name == "waiting" and facts["text"].startswith(("starting", "loading"))
    ]
    assert all(reported.events[number - 1][0] == "restarted" for number in loading)
    assert "" in reported.texts("waiting")


def test_steps_are_shown(bench: Bench) -> None:
    # of an image that was still queued when it was asked for, the first steps may be missed
    steps = next(filter(None, (held_up(bench).steps for _ in range(20))))
    assert steps[0] in ((1, 2), (2, 2))


def held_up(bench: Bench) -> Reported:
    """What an image reports that is held up before its second step."""
    gate = bench.fake.hold("a cat", step=2)
    reported = Reported()
    image = bench.begin(bench.request(), reported)
    until(lambda: reported.steps or any("in its queue" in text for text in reported.texts("waiting")))
    bench.fake.open(gate)
    image.result(60)
    return reported


def test_an_image_that_crashes_it_fails_with_its_last_words_and_the_next_has_a_new_one(bench: Bench) -> None:
    bench.fake.crash("a cat", lines=["[ERROR] ggml_extend.hpp:1914 - unet: the graph is broken"], code=3)
    problem = bench.failure(bench.request()).problem
    assert problem.what == "sd-server ended with exit code 3 while it generated: unet: the graph is broken"
    assert problem.hint.startswith("run doit again")
    bench.generate(bench.request("a dog"))
    assert len(bench.fake.loads) == 2


def test_after_three_crashes_in_a_row_no_other_is_started_for_that_model(bench: Bench) -> None:
    bench.fake.crash("a cat", times=None)
    assert bench.failure(bench.request()).problem.what == "sd-server ended by signal 11 while it generated"
    bench.generate(bench.request("a dog"))
    for _ in range(3):
        bench.failure(bench.request())
    loads = len(bench.fake.loads)
    problem = bench.failure(bench.request("a dog")).problem
    assert problem.what == "not started: sd-server ended 3 times in a row while it generated with this model"
    assert len(bench.fake.loads) == loads
    bench.generate(bench.request("a cow", model="two.safetensors"))


def test_an_image_for_which_memory_is_short_fails_and_the_server_goes_on(bench: Bench) -> None:
    bench.fake.run_out_of_memory("a cat")
    problem = bench.failure(bench.request()).problem
    assert problem.what.startswith("out of memory: ggml_aligned_malloc: insufficient memory (attempted to allocate 83")
    assert "offload = true" in problem.hint
    bench.generate(bench.request("a dog"))
    assert len(bench.fake.loads) == 1


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ({"aborts": True}, "out of memory: ggml_aligned_malloc: insufficient memory"),
        ({"device": True}, "the GPU failed: what(): vk::Queue::submit: ErrorDeviceLost"),
        ({"signal": 9}, "sd-server was killed, probably because memory ran out"),
    ],
)
def test_how_it_ended_is_said_in_a_line(bench: Bench, fault: dict[str, int], said: str) -> None:
    if "device" in fault:
        bench.fake.lose_device("a cat")
    elif "aborts" in fault:
        bench.fake.run_out_of_memory("a cat", aborts=True)
    else:
        bench.fake.crash("a cat", **fault)
    what = bench.failure(bench.request()).problem.what
    assert what.startswith(said)
    assert "\n" not in what
    bench.generate(bench.request("a dog"))
    assert len(bench.fake.loads) == 2


def test_a_server_that_cannot_start_is_tried_once(bench: Bench) -> None:
    bench.project.model("broken.safetensors", "vae")
    request = bench.request(model="broken.safetensors")
    problem = bench.failure(request).problem
    assert problem.what.startswith("sd-server cannot load the model: ")
    assert "\n" not in problem.what
    calls = len(bench.fake.events("call"))
    assert bench.failure(request).problem == problem
    assert len(bench.fake.events("call")) == calls
    bench.generate(bench.request())


def test_a_port_that_is_taken_meanwhile_is_exchanged_once(bench: Bench) -> None:
    bench.fake.fault("start", "--listen-port", code=0)
    bench.generate(bench.request())
    ports = [one["argv"][-1] for one in bench.fake.events("call") if "--listen-port" in one["argv"]]
    assert len(set(ports)) == 2
    bench.close()
    bench.fake.fault("start", "--listen-port", code=0, times=2)
    assert "ended with exit code 0 while it started" in bench.failure(bench.request("a dog")).problem.what


def test_cancelling_ends_the_process_that_generates(bench: Bench) -> None:
    gate = bench.fake.hold("a cat")
    image = bench.begin(bench.request())
    pid = bench.fake.wait_held(gate)
    bench.cancel.set()
    with pytest.raises(Cancelled):
        image.result(60)
    assert pid not in bench.fake.running
    assert JobNotes(bench.project.root).find("attempt-1", "") == ""


def test_cancelling_while_the_model_is_loaded_ends_it(bench: Bench) -> None:
    bench.fake.play(load_s=300)
    image = bench.begin(bench.request())
    until(lambda: any("--model" in one["argv"] for one in bench.fake.events("call")))
    bench.cancel.set()
    with pytest.raises(Cancelled):
        image.result(60)
    assert not bench.fake.running


def test_an_image_that_takes_too_long_ends_the_server_and_the_next_has_a_new_one(bench: Bench) -> None:
    bench.generate(bench.request("a dog"))
    bench.fake.hold("a cat")
    with pytest.raises(OverdueError):
        bench.generate(bench.request(), timeout_s=1.0)
    assert not bench.fake.running
    bench.generate(bench.request("a cow"))


def test_the_server_of_a_killed_run_is_taken_over_for_the_same_model(bench: Bench) -> None:
    bench.generate(bench.request())
    pid = bench.record.process.pid
    following = bench.as_after_kill()
    following.generate(following.request("a dog"))
    assert (following.record.process.pid, following.record.is_of_this_run) == (pid, True)
    assert len(bench.fake.loads) == 1
    following.close()
    assert not bench.fake.running


def test_the_server_of_a_killed_run_is_ended_for_another_model(bench: Bench) -> None:
    bench.generate(bench.request())
    following = bench.as_after_kill()
    following.generate(following.request(model="two.safetensors"))
    assert len(bench.fake.running) == 1
    following.close()
    assert not bench.fake.running


@pytest.mark.parametrize("is_done", [False, True])
def test_the_image_of_a_killed_run_is_not_generated_twice(bench: Bench, is_done: bool) -> None:
    bench.generate(bench.request("a dog"))
    gate = bench.fake.hold("a cat", step=2)
    killed = bench.begin(bench.request())
    bench.fake.wait_held(gate)
    until(lambda: JobNotes(bench.project.root).find("attempt-1", bench.record.url))
    notes = (bench.project.root / ".imagegen/sd/job.json").read_bytes()
    if is_done:
        bench.fake.open(gate)
        killed.result(60)
        (bench.project.root / ".imagegen/sd/job.json").write_bytes(notes)
    following, reported = bench.as_after_kill(), Reported()
    image = following.begin(following.request(), reported)
    until(lambda: reported.texts("note") and (is_done or reported.steps))
    bench.fake.open(gate)
    made = image.result(60)
    assert bench.fake.begun == ["a dog", "a cat"]
    expected = "is taken from sd-server, which generated it" if is_done else "is being generated"
    assert reported.texts("note") == [f"{expected} for an earlier run"]
    assert made.data == following.generate(following.request(), attempt="another").data
    following.close()


def test_a_server_that_may_be_busy_with_an_image_nobody_knows_of_is_ended(bench: Bench) -> None:
    """A run was killed after it had queued an image, and before it heard of its job."""
    bench.generate(bench.request("a dog"))
    url = bench.record.url
    gate = bench.fake.hold("a cat")
    body = bench.fake.bodies[0] | {"prompt": "a cat"}
    Client(url).submit(body)
    pid = bench.fake.wait_held(gate)
    JobNotes(bench.project.root).write("attempt-1", url, "")
    following = bench.as_after_kill()
    following.generate(following.request())
    assert pid not in bench.fake.running
    assert bench.fake.generated == ["a dog", "a cat"]
    following.close()


def test_an_image_of_a_killed_run_that_another_one_waits_for_is_taken_afterwards(bench: Bench) -> None:
    bench.generate(bench.request("a dog"))
    gate = bench.fake.hold("a cat")
    job = Client(bench.record.url).submit(bench.fake.bodies[0] | {"prompt": "a cat"})
    bench.fake.wait_held(gate)
    JobNotes(bench.project.root).write("attempt-1", bench.record.url, job)
    following, reported = bench.as_after_kill(), Reported()
    other = following.begin(following.request("a cow"), reported, attempt="attempt-2")
    until(lambda: "waiting for sd-server … 1. in its queue" in reported.texts("waiting"))
    bench.fake.open(gate)
    other.result(60)
    following.generate(following.request())
    assert bench.fake.begun == ["a dog", "a cat", "a cow"]
    following.close()


def test_the_server_of_another_run_is_left_alone(bench: Bench) -> None:
    bench.generate(bench.request())
    pid = bench.record.process.pid
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        edit_record(bench.project.root, identity_of(other.pid))
        following = Bench(bench.project)
        problems = following.backend.preflight([following.request()])
        assert [one.what for one in problems] == [following.failure(following.request()).problem.what]
        assert f"process {other.pid} generates with sd in this folder" in problems[0].what
        following.close()
        assert bench.fake.running == [pid]
        other.kill()


def test_a_server_that_does_not_answer_any_more_is_ended(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imagegen.backends.sd.job._PATIENCE_S", 0.5)
    bench.fake.fault("answer", "GET /sdcpp/v1/jobs", times=None, cut=True)
    assert bench.failure(bench.request()).problem.what.startswith("sd-server has not answered for 0.5 s")
    assert not bench.fake.running


def test_an_answer_to_the_request_that_is_lost_ends_the_server(bench: Bench) -> None:
    """It may generate the image, and nobody could ask for it."""
    bench.fake.fault("answer", "POST /sdcpp/v1/img_gen", cut=True)
    assert bench.failure(bench.request()).problem.what.startswith("sd-server does not answer")
    bench.generate(bench.request("a dog"))
    assert len(bench.fake.loads) == 2


def test_a_server_of_the_user_s_own_is_used_and_left_alone(bench: Bench) -> None:
    url = bench.fake.start("--model", str(bench.project.models / "checkpoints/one.safetensors"))
    request = bench.request(server={"url": url})
    assert bench.backend.batch_key(request) == url
    made = bench.generate(request)
    assert (made.engine, made.facts) == ("", {"server": url})
    bench.close()
    assert len(bench.fake.running) == 1
    assert not [*bench.project.root.glob(".imagegen/sd/*.json")]


def test_an_image_that_waits_at_a_server_of_the_user_s_own_is_taken_out_of_its_queue(bench: Bench) -> None:
    url = bench.fake.start("--model", str(bench.project.models / "checkpoints/one.safetensors"))
    gate = bench.fake.hold("somebody")
    Client(url).submit({"prompt": "somebody else's", "width": 64, "height": 64})
    bench.fake.wait_held(gate)
    reported = Reported()
    image = bench.begin(bench.request(server={"url": url}), reported)
    until(lambda: reported.texts("waiting"))
    assert reported.texts("waiting")[0] == "waiting for sd-server … 1. in its queue"
    bench.cancel.set()
    with pytest.raises(Cancelled):
        image.result(60)
    assert len(bench.fake.events("cancel")) == 1
    assert not reported.texts("note")


@pytest.mark.parametrize("is_overdue", [False, True])
def test_an_image_in_progress_at_a_server_of_the_user_s_own_goes_on_and_is_taken_by_the_next_run(
    bench: Bench, is_overdue: bool
) -> None:
    url = bench.fake.start("--model", str(bench.project.models / "checkpoints/one.safetensors"))
    gate = bench.fake.hold("a cat")
    reported, request = Reported(), bench.request(server={"url": url})
    image = bench.begin(request, reported, timeout_s=3.0 if is_overdue else 600.0)
    bench.fake.wait_held(gate)
    until(lambda: JobNotes(bench.project.root).find("attempt-1", url))
    if not is_overdue:
        bench.cancel.set()
    with pytest.raises(MayBeRunningError, match="not done after 3 s" if is_overdue else "it was cancelled"):
        image.result(60)
    assert reported.texts("note") == [
        f"the sd-server at {url} goes on with it, since only its end stops an image; the next run takes it"
    ]
    assert len(bench.fake.running) == 1
    following = Bench(bench.project)
    image = following.begin(request)
    bench.fake.open(gate)
    image.result(60)
    assert bench.fake.begun == ["a cat"]
    assert not JobNotes(bench.project.root).find("attempt-1", url)


def test_an_answer_of_a_server_of_the_user_s_own_that_may_pass_loses_no_image(bench: Bench) -> None:
    url = bench.fake.start("--model", str(bench.project.models / "checkpoints/one.safetensors"))
    bench.fake.fault("answer", "GET /sdcpp/v1/jobs", times=3, status=500, json={"error": "server_error"})
    bench.generate(bench.request(server={"url": url}))
    assert bench.fake.begun == ["a cat"]


def test_a_server_of_the_user_s_own_that_ended_is_to_be_started_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imagegen.backends.sd.job._PATIENCE_S", 0.5)
    url = bench.fake.start("--model", str(bench.project.models / "checkpoints/one.safetensors"))
    gate = bench.fake.hold("a cat")
    image = bench.begin(bench.request(server={"url": url}))
    pid = bench.fake.wait_held(gate)
    until(lambda: JobNotes(bench.project.root).find("attempt-1", url))
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(MayBeRunningError, match=r"sd-server has not answered for 0\.5 s: ") as caught:
        image.result(60)
    assert caught.value.problem.hint == "see whether it still runs, and start it again if not; then run doit again"


@pytest.mark.parametrize("is_own", [True, False])
def test_a_size_that_the_model_rounds_is_explained(bench: Bench, is_own: bool) -> None:
    url = bench.fake.start("--model", str(bench.project.models / "checkpoints/one.safetensors")) if is_own else ""
    section = {"server": {"url": url}} if url else {}
    assert bench.failure(bench.request("a cat", {"width": 70, "height": 66}, **section)).problem == Problem(
        "",
        "sd-server made it 128×128, not the 70×66 asked for: this model takes multiples of 64",
        "use multiples of 64, such as 128×128",
    )
    assert not [*bench.project.root.glob(".imagegen/sd/job.json")]
    bench.generate(bench.request("a cat", {"width": 64, "height": 128}, **section))


def test_the_time_of_an_image_is_over_neither_while_a_model_is_loaded_nor_while_it_waits_for_others(
    bench: Bench,
) -> None:
    """The clock is restarted all the time, and not only when something is shown: that would be once a second."""

    def is_restarted_all_the_time() -> bool:
        names = [name for name, _ in reported.events]
        return names.count("restarted") > names.count("waiting") + 3 > 3

    load, held = bench.fake.fault("load", wait=True), bench.fake.hold("a cat")
    reported = Reported()
    image = bench.begin(bench.request("a dog"), reported)
    bench.fake.wait_held(load)
    until(is_restarted_all_the_time)
    bench.fake.open(load)
    image.result(60)
    Client(bench.record.url).submit(bench.fake.bodies[0] | {"prompt": "a cat"})
    bench.fake.wait_held(held)
    reported = Reported()
    image = bench.begin(bench.request("a cow"), reported)
    until(is_restarted_all_the_time)
    bench.fake.open(held)
    image.result(60)


def test_a_full_queue_is_waited_for(bench: Bench) -> None:
    url = bench.fake.start("--model", str(bench.project.models / "checkpoints/one.safetensors"))
    bench.fake.play(queue=1)
    gate = bench.fake.hold("somebody")
    Client(url).submit({"prompt": "somebody else's", "width": 64, "height": 64})
    bench.fake.wait_held(gate)
    reported = Reported()
    image = bench.begin(bench.request(server={"url": url}), reported)
    until(lambda: "waiting for sd-server … its queue is full" in reported.texts("waiting"))
    bench.fake.open(gate)
    image.result(60)


def test_it_ends_in_a_run_that_uses_none(fake: FakeSd, project: SdProject) -> None:
    Bench(project).close()
    assert not fake.events("call")


def test_it_cannot_be_ended_by_ctrl_c_of_the_terminal(bench: Bench) -> None:
    """It is in a session of its own: only this project ends it."""
    bench.generate(bench.request())
    pid = bench.record.process.pid
    assert os.getsid(pid) == pid
    assert os.getpgid(pid) != os.getpgid(0)
    os.kill(pid, signal.SIGTERM)
    until(lambda: not bench.record.process.is_alive)
    bench.generate(bench.request("a dog"))


def test_a_lora_that_the_engine_leaves_out_fails_the_image(bench: Bench) -> None:
    (bench.project.models / "loras").mkdir(parents=True)
    (bench.project.models / "loras/broken.safetensors").write_bytes(b"not a LoRA")
    problem = bench.failure(bench.request(loras={"broken.safetensors": 1})).problem
    assert problem.what.endswith("loras/broken.safetensors has no effect on this model")
    bench.generate(bench.request())
    assert len(bench.fake.loads) == 1


def test_a_model_without_a_text_encoder_is_not_sent_an_image_that_would_end_it(bench: Bench) -> None:
    bench.project.model("flux.safetensors", "flux")
    bench.project.model("vae.safetensors", "vae")
    request = bench.request("a cat", None, diffusion_model="flux.safetensors", vae="vae.safetensors")
    problem = bench.failure(request).problem
    assert problem.what == "the model has no text encoder, which reads the prompt"
    assert not bench.fake.begun
    assert not bench.fake.running


def test_it_looks_for_loras_in_their_folder_only(bench: Bench) -> None:
    bench.project.model("ink.safetensors", "lora")
    bench.generate(bench.request())
    bench.generate(bench.request(loras={"ink.safetensors": 1}))
    assert len(bench.fake.loads) == 1
    (call,) = (one["argv"] for one in bench.fake.events("call") if "--model" in one["argv"])
    assert call[call.index("--lora-model-dir") + 1] == str(bench.project.models / "loras")
