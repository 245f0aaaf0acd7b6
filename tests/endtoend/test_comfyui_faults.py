"""What goes wrong with a ComfyUI server: what its user is told, and that the next run makes it right.

Against the fake server, which fails as the real server was seen to. Each run is the real doit.
"""

from __future__ import annotations

import contextlib
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme

from tests.backends.comfyui.fake_server import FakeComfyUI, Fault
from tests.endtoend.comfyui import Server
from tests.marks import long
from tests.project_folder import ProjectFolder, Run, press_ctrl_c

ALL = ["portraits:bird", "portraits:fox", "portraits:stone"]
OTHERS = ["portraits:fox", "portraits:stone"]


@pytest.fixture
def comfy(project: ProjectFolder) -> Iterator[FakeComfyUI]:
    with FakeComfyUI(seconds=0.1) as comfy:
        project.environment["COMFYUI_URL"] = comfy.url
        yield comfy


@pytest.fixture
def server(project: ProjectFolder, comfy: FakeComfyUI) -> Server:
    server = Server(comfy.url, "fake.safetensors", lambda: set(comfy.executions))
    project.job(**server.job())
    return server


def posts(comfy: FakeComfyUI) -> int:
    return sum(1 for method, path, _ in comfy.log if (method, path) == ("POST", "/prompt"))


def eventually(holds: Callable[[], object]) -> None:
    until = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (
            Fault("error", "bird"),
            "wait: ComfyUI failed in node sampler (KSampler): RuntimeError: the fake server was told",
        ),
        long(Fault("out of memory", "bird"), "wait: ComfyUI ran out of memory in node sampler (KSampler)"),
        long(Fault("interrupted", "bird"), "wait: it was interrupted in ComfyUI, in node"),
        long(Fault("wrong size", "bird"), "verify: what comfyui returned cannot be used: the image is "),
        long(
            Fault("black", "bird"),
            "verify: what comfyui returned cannot be used: the image is of one flat colour, #000000",
        ),
        long(Fault("truncated", "bird"), "verify: what comfyui returned cannot be used: "),
        long(
            Fault("html", "bird"), "verify: what comfyui returned cannot be used: not a PNG, WebP, AVIF or JPEG image"
        ),
        long(Fault("missing file", "bird"), "download: ComfyUI reports success, but its file imagegen/"),
        long(Fault("no outputs", "bird"), "wait: ComfyUI reports success, but no image came from node save"),
        (Fault("node errors", "bird"), "queue: ComfyUI refused the prompt: node "),
    ],
    ids=lambda value: value.kind if isinstance(value, Fault) else "",
)
@pytest.mark.usefixtures("server")
def test_one_image_fails_by_name_and_stage_and_the_next_run_makes_it(
    project: ProjectFolder, comfy: FakeComfyUI, fault: Fault, message: str
) -> None:
    comfy.faults.append(fault)
    run = project.doit()
    assert run.code != 0
    assert f"portraits:bird: {message}" in run.out
    assert (run.tasks("generated"), run.tasks("failed")) == (OTHERS, ["portraits:bird"])
    assert not project.image("bird").exists()
    again = project.doit()
    assert (again.code, again.tasks("generated")) == (0, ["portraits:bird"])
    assert len(set(comfy.executions)) == len(comfy.executions)


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("kind", ["post 500", "post reset"])
def test_a_post_whose_answer_says_nothing_is_not_repeated(
    project: ProjectFolder, comfy: FakeComfyUI, kind: str
) -> None:
    comfy.faults.append(Fault(kind, "bird"))  # type: ignore[arg-type]  # one of its kinds
    assert project.doit().tasks("generated") == ALL
    assert (posts(comfy), len(comfy.executions)) == (3, 3)


@pytest.mark.usefixtures("server")
def test_a_lost_prompt_is_queued_once_more_and_said_so(project: ProjectFolder, comfy: FakeComfyUI) -> None:
    comfy.faults.append(Fault("lost", "bird"))
    run = project.doit()
    assert run.tasks("generated") == ALL
    assert run.out.count(f"portraits:bird: {comfy.url} lost a prompt") == 1
    assert posts(comfy) == 4


@pytest.mark.usefixtures("server")
@pytest.mark.long
def test_a_prompt_that_is_lost_twice_fails(project: ProjectFolder, comfy: FakeComfyUI) -> None:
    comfy.faults.append(Fault("lost", "bird", times=2))
    run = project.doit()
    assert (run.tasks("generated"), run.tasks("failed")) == (OTHERS, ["portraits:bird"])
    assert "portraits:bird: wait: the server lost the prompt twice" in run.out


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("kind", ["dropped", "502"])
def test_a_server_that_is_away_for_a_moment_is_waited_for(
    project: ProjectFolder, comfy: FakeComfyUI, kind: str
) -> None:
    comfy.faults.append(Fault(kind, "/history", skip=4, seconds=2))  # type: ignore[arg-type]  # one of its kinds
    assert project.doit().tasks("generated") == ALL
    assert len(comfy.executions) == 3


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("kind", ["socket refused", "socket silent", "socket closes"])
def test_a_socket_that_fails_costs_nothing(project: ProjectFolder, comfy: FakeComfyUI, kind: str) -> None:
    comfy.faults.append(Fault(kind, times=None))  # type: ignore[arg-type]  # one of its kinds
    run = project.doit()
    assert run.tasks("generated") == ALL
    assert "socket" not in run.out + run.err


@pytest.mark.usefixtures("server")
@pytest.mark.long
def test_history_that_comes_late_is_waited_for(project: ProjectFolder, comfy: FakeComfyUI) -> None:
    comfy.history_delay = 0.7
    assert project.doit().tasks("generated") == ALL
    assert posts(comfy) == 3


def test_a_server_that_restarts_in_the_middle_gets_what_it_lost_again(
    project: ProjectFolder, comfy: FakeComfyUI, server: Server
) -> None:
    comfy.seconds = 0.5
    project.job(**server.job("Fox", variants=5))
    process = project.start()
    eventually(lambda: len(comfy.executions) == 2)
    comfy.restart(away=1)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, out + err
    assert "5 generated" in out
    assert "lost a prompt" in out


@pytest.mark.long  # waits as long as a run does for a server that is away
def test_a_server_that_dies_in_the_middle_fails_the_rest_with_one_line(
    project: ProjectFolder, comfy: FakeComfyUI, server: Server
) -> None:
    comfy.seconds = 0.3
    project.job(**server.job("Fox", variants=6))
    process = project.start()
    eventually(lambda: len(comfy.executions) == 3)
    comfy.stop()
    began = time.monotonic()
    out, _ = process.communicate(timeout=120)
    assert time.monotonic() - began < 60
    run = Run(process.returncode, out, "")
    made = run.tasks("generated")
    assert 1 <= len(made) <= 3
    assert len(run.tasks("failed")) == 6 - len(made)
    assert out.count("does not answer any more") == 1
    comfy.start()
    again = project.doit()
    assert again.code == 0
    assert len(again.tasks("generated")) == 6 - len(made)


@pytest.mark.long  # waits as long as a run does for a server that is away
def test_what_a_server_draws_while_it_cannot_be_asked_is_collected_by_the_next_run(
    project: ProjectFolder, comfy: FakeComfyUI, server: Server
) -> None:
    comfy.seconds = 0.5
    project.job(**server.job())
    comfy.faults.append(Fault("dropped", "/", skip=20, seconds=60))
    run = project.doit()
    assert "does not answer any more" in run.out
    assert run.tasks("failed")
    eventually(lambda: comfy.faults[0].ends is not None and time.monotonic() > comfy.faults[0].ends)
    again = project.doit()
    assert sorted(run.tasks("generated") + again.tasks("generated")) == ALL
    assert len(comfy.executions) == 3


def test_a_flat_image_is_taken_where_it_is_allowed(project: ProjectFolder, comfy: FakeComfyUI, server: Server) -> None:
    project.job(**server.job("Bird", comfyui={"allow_flat": True}))
    comfy.faults.append(Fault("black", "bird"))
    assert project.doit().tasks("generated") == ["portraits:bird"]


@pytest.mark.long
def test_time_counts_from_when_nothing_of_ours_is_ahead(
    project: ProjectFolder, comfy: FakeComfyUI, server: Server
) -> None:
    comfy.seconds = 3
    project.job(**server.job(generate={"timeout_s": 5.5}))
    run = project.doit()
    assert run.tasks("generated") == ALL, run.out


def test_images_of_one_checkpoint_are_drawn_together(
    project: ProjectFolder, comfy: FakeComfyUI, server: Server
) -> None:
    comfy.checkpoints |= {"a.safetensors": "", "b.safetensors": ""}
    for name, checkpoint in {"j1": "a", "j2": "b", "j3": "a"}.items():
        items = (f"Fox of {name}", f"Bird of {name}")
        project.job(name, **server.job(*items, comfyui={"checkpoint": f"{checkpoint}.safetensors"}))
    (project.root / "jobs/portraits.yaml").unlink()
    project.doit()
    bodies = [body for method, path, body in comfy.log if (method, path) == ("POST", "/prompt")]
    used = [body["prompt"]["checkpoint"]["inputs"]["ckpt_name"][0] for body in bodies]
    assert "".join(used) in ("aaaabb", "bbaaaa")


def test_the_only_checkpoint_is_a_decision_that_stays(
    project: ProjectFolder, comfy: FakeComfyUI, server: Server
) -> None:
    job = server.job("Fox")
    del job["comfyui"]["checkpoint"]
    project.job(**job)
    assert project.doit().tasks("generated") == ["portraits:fox"]
    comfy.checkpoints["another.safetensors"] = ""
    assert "1 fresh" in project.doit().out
    (decision,) = [line for line in project.lines() if "decision" in line]
    assert (decision["decision"], decision["value"]) == ("model", "fake.safetensors")


@pytest.mark.long
def test_of_several_checkpoints_one_must_be_named(project: ProjectFolder, comfy: FakeComfyUI, server: Server) -> None:
    comfy.checkpoints["another.safetensors"] = ""
    job = server.job("Fox")
    del job["comfyui"]["checkpoint"]
    project.job(**job)
    run = project.doit()
    assert run.code != 0
    assert "the job names no checkpoint, and there are 2 at the server" in run.out
    assert "another.safetensors" in run.out
    assert posts(comfy) == 0
    assert project.doit(COMFYUI_CKPT="another.safetensors").tasks("generated") == ["portraits:fox"]
    named = project.doit("checkpoint=fake.safetensors")
    assert named.tasks("generated") == ["portraits:fox"]


def test_the_authorization_goes_to_its_own_server_and_is_shown_nowhere(
    project: ProjectFolder, comfy: FakeComfyUI, server: Server
) -> None:
    comfy.auth = "Bearer hush-hush"
    refused = project.doit()
    assert refused.code != 0
    assert "asks for authorization (401" in refused.out
    assert "COMFYUI_AUTH is not set" in refused.out
    runs = [project.doit(COMFYUI_AUTH="Bearer wrong-hush"), project.doit(COMFYUI_AUTH="Bearer hush-hush")]
    assert "does not accept COMFYUI_AUTH" in runs[0].out
    assert runs[1].tasks("generated") == ALL
    assert project.doit("server:status").out.startswith("taken")
    assert project.doit("server:status", COMFYUI_AUTH="Bearer hush-hush").out.startswith("serving")
    with FakeComfyUI() as other:
        project.job(**server.job(comfyui={"server": {"url": other.url}}, generate={"steps": 9}))
        other.auth = "Bearer hush-hush"
        assert (
            "COMFYUI_AUTH is sent only to the server of COMFYUI_URL"
            in project.doit(COMFYUI_AUTH="Bearer hush-hush").out
        )
    reported = "".join(run.out + run.err for run in runs)
    kept = [path.read_bytes() for path in project.root.rglob("*") if path.is_file()]
    assert "hush" not in reported.replace("COMFYUI_AUTH", "")
    assert not any(b"hush" in data for data in kept)


def test_https_with_a_ca_of_ones_own(project: ProjectFolder, tmp_path: Path) -> None:
    authority, certificate = tmp_path / "ca.pem", tmp_path / "server.pem"
    ours = trustme.CA()
    ours.cert_pem.write_to_path(authority)
    ours.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(certificate)
    with FakeComfyUI(certfile=certificate) as comfy:
        project.environment["COMFYUI_URL"] = comfy.url
        project.job(**Server(comfy.url, "fake.safetensors", set).job("Fox"))
        refused = project.doit()
        assert "is not accepted" in refused.out
        assert "REQUESTS_CA_BUNDLE=" in refused.out
        run = project.doit(REQUESTS_CA_BUNDLE=str(authority))
        assert run.tasks("generated") == ["portraits:fox"]
        assert any(path.startswith("/ws") for _, path, _ in comfy.log)


@pytest.mark.usefixtures("server")
def test_a_server_that_is_not_there_is_told_once(project: ProjectFolder, comfy: FakeComfyUI) -> None:
    comfy.stop()
    run = project.doit()
    assert run.code != 0
    assert f"no ComfyUI answers at {comfy.url}" in run.out
    assert run.out.count("no ComfyUI answers") == 1


@pytest.mark.usefixtures("server")
def test_an_interrupt_from_a_terminal_finishes_what_runs(project: ProjectFolder, comfy: FakeComfyUI) -> None:
    comfy.seconds = 0.8
    process = project.start()
    eventually(lambda: len(comfy.executions) == 1)
    first = press_ctrl_c(process)
    out, _ = process.communicate(timeout=60)
    out = first + out
    assert process.returncode == 130
    assert len(comfy.executions) == 2
    assert "2 generated" in out
    assert "1 not built" in out


@pytest.mark.parametrize("servers", [1, 2])
def test_an_interrupt_does_not_wait_for_servers_that_answer_nothing(project: ProjectFolder, servers: int) -> None:
    with contextlib.ExitStack() as stack:
        silent = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(servers)]
        project.environment["COMFYUI_URL"] = ",".join(f"http://127.0.0.1:{one.getsockname()[1]}" for one in silent)
        project.job(**Server("", "fake.safetensors", set).job("Fox"))
        process = project.start()
        asked = [stack.enter_context(one.accept()[0]) for one in silent]
        assert all(one.recv(1) for one in asked)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=15)  # they would be waited for twice as long
    assert process.returncode == 130
    assert "1 not built" in out


@pytest.mark.usefixtures("server")
def test_no_more_than_two_prompts_are_with_the_server(project: ProjectFolder, comfy: FakeComfyUI) -> None:
    comfy.seconds = 0.4
    most = 0
    process = project.start()
    watched = Server(comfy.url, "", set)
    while process.poll() is None:
        most = max(most, sum(map(len, watched.queue())))
        time.sleep(0.02)
    process.communicate()
    assert most == 2
