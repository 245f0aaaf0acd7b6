"""The life of a server: real processes on real ports."""

from __future__ import annotations

import http.server
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from imagegen.backends.comfyui.environment import read_torch_build
from imagegen.backends.comfyui.server import (
    Launch,
    Started,
    build_command,
    find_start_problem,
    get_status,
    managed_server,
    start,
    stop,
)
from imagegen.commands.server import status_lines
from imagegen.errors import ImagegenError, Problem
from tests.backends.comfyui.fake_program import ComfyFolder, free_port, runs


@pytest.fixture
def comfy(tmp_path: Path) -> Iterator[ComfyFolder]:
    folder = ComfyFolder(tmp_path)
    yield folder
    folder.end()


def launch_of(comfy: ComfyFolder, *arguments: str, timeout_s: float = 20) -> Launch:
    return Launch(comfy.root, comfy.url, arguments, timeout_s)


def run_starts(comfy: ComfyFolder) -> Started:
    return start(launch_of(comfy), ignore, nothing, "run")


def person_starts(comfy: ComfyFolder) -> Started:
    return start(launch_of(comfy), ignore, nothing, "server:start")


def ignore(_: str) -> None:
    pass


def nothing() -> None:
    pass


def refused(act: Callable[[], Any]) -> Problem:
    with pytest.raises(ImagegenError) as caught:
        act()
    (problem,) = caught.value.problems
    return problem


def eventually(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_a_start_waits_until_it_serves_and_a_stop_ends_it(comfy: ComfyFolder) -> None:
    comfy.play(delay=1.3)
    messages: list[str] = []
    started = start(launch_of(comfy), messages.append, nothing, "run")
    assert (started.status.state, started.is_new, started.is_of_this_run) == ("serving", True, True)
    assert messages[:2] == ["starting ComfyUI … 0 s", "starting ComfyUI … 1 s"]
    assert started.status.answer.stats["system"]["comfyui_version"] == "0.33.0"
    assert f"ComfyUI at {comfy.url} is stopped" in stop(comfy.root)
    assert not runs(comfy.starts[0]["pid"])
    assert not comfy.record.exists()
    assert get_status(launch_of(comfy)).state == "stopped"
    assert stop(comfy.root) == "no server that this project started is running"


def test_it_listens_on_this_machine_only_with_what_it_needs_and_no_secrets(
    comfy: ComfyFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hush")
    monkeypatch.setenv("COMFYUI_AUTH", "Bearer hush")
    monkeypatch.setenv("PYTHONPATH", "/of/doit")
    (comfy.tree / ".venv/imagegen.json").write_text('{"torch": {"build": "cpu", "index": ""}}')
    start(launch_of(comfy, "--preview-method", "none"), ignore, nothing, "run")
    (seen,) = comfy.starts
    assert seen["argv"] == [
        *("--preview-method", "none", "--cpu"),
        *("--listen", "127.0.0.1", "--port", str(comfy.port)),
    ]
    assert "hush" not in str(seen["environment"])
    assert "PYTHONPATH" not in seen["environment"]
    assert os.getsid(seen["pid"]) == seen["pid"] != os.getsid(0)


def test_the_torch_build_is_told_by_set_up_or_by_itself(comfy: ComfyFolder) -> None:
    assert read_torch_build(comfy.root) == ""
    version = comfy.tree / ".venv/lib/python3.12/site-packages/torch/version.py"
    version.parent.mkdir(parents=True)
    version.write_text("__version__ = '2.13.0+cu130'\n")
    assert "--cpu" not in build_command(launch_of(comfy))
    version.write_text("__version__ = '2.13.0+cpu'\n")
    assert build_command(launch_of(comfy)).count("--cpu") == 1
    assert build_command(launch_of(comfy, "--cpu")).count("--cpu") == 1
    (comfy.tree / ".venv/imagegen.json").write_text('{"torch": {"build": "cuda", "index": ""}}')
    assert read_torch_build(comfy.root) == "cuda"


def test_a_server_that_serves_is_started_no_second_time(comfy: ComfyFolder) -> None:
    person_starts(comfy)
    again = person_starts(comfy)
    assert (again.is_new, len(comfy.starts)) == (False, 1)


def test_of_two_starts_at_once_one_starts_and_both_wait(comfy: ComfyFolder) -> None:
    comfy.play(delay=1)
    found: list[Started] = []
    threads = [threading.Thread(target=lambda: found.append(person_starts(comfy))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(one.is_new for one in found) == [False, False, True]
    assert {one.status.state for one in found} == {"serving"}
    assert len(comfy.starts) == 1


def test_one_that_still_starts_is_told_as_such(comfy: ComfyFolder) -> None:
    comfy.play(delay=30)

    def look_and_cancel() -> None:
        if comfy.starts:
            found.append(get_status(launch_of(comfy)))
            raise KeyboardInterrupt

    found: list[Any] = []
    with pytest.raises(KeyboardInterrupt):
        start(launch_of(comfy), ignore, look_and_cancel, "run")
    (seen,) = found
    assert seen.state == "starting"
    assert seen.record.process.pid == comfy.starts[0]["pid"]
    assert "does not answer yet" in status_lines(seen)[0]


def test_a_cancelled_start_leaves_nothing_running(comfy: ComfyFolder) -> None:
    comfy.play(delay=30, child=True)

    def check() -> None:
        if comfy.starts:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        start(launch_of(comfy), ignore, check, "server:start")
    (seen,) = comfy.starts
    assert not runs(seen["pid"])
    assert not runs(seen["child"])
    assert not comfy.record.exists()


def test_one_that_dies_shows_the_end_of_its_log_as_plain_text(comfy: ComfyFolder) -> None:
    bar = "  0%|    | 0/6\r100%|████| 6/6"
    comfy.play(says=[*map(str, range(30)), "\x1b[1m\x1b[31m[ERROR]\x1b[0m no \x1b]0;title\x07disk\x07", bar], exit=3)
    problem = refused(lambda: run_starts(comfy))
    lines = problem.what.splitlines()
    assert lines[0] == "ComfyUI ended with exit code 3 while it started; the end of .imagegen/comfyui/server.log:"
    assert lines[-2:] == ["    | [ERROR] no disk", "    | 100%|████| 6/6"]
    assert len(lines) == 16
    assert problem.hint == "fix what its log says"
    assert not comfy.record.exists()


@pytest.mark.parametrize(
    ("message", "hint"),
    [
        ("AssertionError: Torch not compiled with CUDA enabled", "--cpu"),
        ("ModuleNotFoundError: No module named 'torchsde'", "doit comfyui:setup"),
        ("main.py: error: unrecognized arguments: --nosuch", "comfyui.server.arguments"),
        ("[INFO] No OpenGL_accelerate module loaded: No module named 'OpenGL_accelerate'", "fix what its log says"),
        ("Port 1 is already in use on address 127.0.0.1.", "comfyui.server.url"),
    ],
)
def test_what_is_known_to_end_it_has_its_mend_and_what_it_always_says_has_none(
    comfy: ComfyFolder, message: str, hint: str
) -> None:
    comfy.play(says=[message], exit=1)
    assert hint in refused(lambda: run_starts(comfy)).hint


def test_one_that_is_killed_while_it_starts_is_told_by_its_signal(comfy: ComfyFolder) -> None:
    comfy.play(delay=30)

    def check() -> None:
        if comfy.starts:
            os.kill(comfy.starts[0]["pid"], signal.SIGKILL)

    problem = refused(lambda: start(launch_of(comfy), ignore, check, "run"))
    assert problem.what == "ComfyUI ended by signal 9 while it started; .imagegen/comfyui/server.log is empty"


def test_one_that_never_serves_is_stopped_again(comfy: ComfyFolder) -> None:
    comfy.play(says=["loading"], delay=30)
    problem = refused(lambda: start(launch_of(comfy, timeout_s=1), ignore, nothing, "run"))
    assert problem.what.startswith("ComfyUI did not answer within 1 s")
    assert problem.what.endswith("| loading")
    assert "ready_timeout_s" in problem.hint
    assert not runs(comfy.starts[0]["pid"])


def test_one_that_ignores_being_asked_is_killed(comfy: ComfyFolder) -> None:
    comfy.play(stubborn=True)
    person_starts(comfy)
    began = time.monotonic()
    assert "is stopped" in stop(comfy.root, grace_s=0.5)
    assert 0.5 <= time.monotonic() - began < 5
    assert not runs(comfy.starts[0]["pid"])


def test_what_the_server_started_itself_ends_with_it(comfy: ComfyFolder) -> None:
    comfy.play(child=True)
    person_starts(comfy)
    assert runs(comfy.starts[0]["child"])
    stop(comfy.root)
    assert not runs(comfy.starts[0]["child"])


def test_after_a_crash_the_record_is_told_as_stale_and_a_start_starts_anew(comfy: ComfyFolder) -> None:
    comfy.play(says=["the first"])
    person_starts(comfy)
    pid = comfy.starts[0]["pid"]
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not runs(pid))
    found = get_status(launch_of(comfy))
    assert (found.state, found.record) == ("stopped", None)
    assert found.left == f"process {pid}, which this project started, is gone"
    assert person_starts(comfy).is_new
    assert "the first" in comfy.log.with_name("server.log.1").read_text()
    assert get_status(launch_of(comfy)).left == ""


def test_a_stop_after_a_crash_says_so(comfy: ComfyFolder) -> None:
    person_starts(comfy)
    pid = comfy.starts[0]["pid"]
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not runs(pid))
    assert stop(comfy.root) == f"ComfyUI (process {pid}) is gone already"
    assert not comfy.record.exists()


@contextmanager
def bystander(comfy: ComfyFolder) -> Iterator[subprocess.Popen[bytes]]:
    """A program that has the PID of the record by now."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    identity = {"pid": process.pid, "started": psutil.Process(process.pid).create_time() - 600}
    comfy.record.parent.mkdir(parents=True, exist_ok=True)
    note = {"process": identity, "url": comfy.url, "by": "run", "owner": identity}
    comfy.record.write_text(json.dumps(note))
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_a_pid_that_was_reused_is_left_alone(comfy: ComfyFolder) -> None:
    with bystander(comfy) as other:
        assert "another program has its number now" in get_status(launch_of(comfy)).left
        assert f"process {other.pid} is another program now and was left alone" in stop(comfy.root)
        assert other.poll() is None
        assert not comfy.record.exists()


def test_a_pid_that_was_reused_keeps_nobody_from_starting(comfy: ComfyFolder) -> None:
    with bystander(comfy) as other:
        assert run_starts(comfy).is_new
        assert managed_server(comfy.root).release()
        assert other.poll() is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"process": {"pid": "x"}}'])
def test_a_record_that_cannot_be_read_is_none(comfy: ComfyFolder, text: str) -> None:
    comfy.record.parent.mkdir(parents=True)
    comfy.record.write_text(text)
    assert get_status(launch_of(comfy)).state == "stopped"
    assert person_starts(comfy).is_new
    assert "is stopped" in stop(comfy.root)


@contextmanager
def http_program(port: int, content_type: str, body: bytes, code: int = 200) -> Iterator[None]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(code)
            self.send_header("Content-Type", content_type)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.HTTPServer(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(
    ("content_type", "body", "code", "message"),
    [
        ("text/html", b"hello", 200, "the answer to GET /system_stats is not JSON: hello"),
        ("text/plain", b"", 404, "is not ComfyUI"),
        ("application/json", b"{}", 200, "is not ComfyUI"),
        ("application/json", b"{", 200, "the answer to GET /system_stats is not JSON: {"),
    ],
)
def test_a_port_with_another_web_server_is_taken(
    comfy: ComfyFolder, content_type: str, body: bytes, code: int, message: str
) -> None:
    with http_program(comfy.port, content_type, body, code):
        assert get_status(launch_of(comfy)).state == "taken"
        problem = refused(lambda: run_starts(comfy))
    assert message in problem.what
    assert "comfyui.server.url" in problem.hint
    assert comfy.starts == []


@contextmanager
def raw_program(port: int, greeting: bytes) -> Iterator[None]:
    done = threading.Event()

    def serve() -> None:
        while not done.is_set():
            with closing(listening.accept()[0]) as client:
                if greeting:
                    client.sendall(greeting)
                else:
                    done.wait(10)

    with socket.create_server(("127.0.0.1", port)) as listening:
        thread = threading.Thread(target=serve)
        thread.start()
        yield
        done.set()
        socket.create_connection(("127.0.0.1", port)).close()
        thread.join()


def test_a_port_with_something_that_is_no_web_server_is_taken(comfy: ComfyFolder) -> None:
    with raw_program(comfy.port, b"SSH-2.0-OpenSSH_9.2\r\n"):
        assert "is not ComfyUI: SSH-2.0-OpenSSH_9.2" in refused(lambda: run_starts(comfy)).what


def test_a_port_whose_owner_says_nothing_is_taken(comfy: ComfyFolder) -> None:
    with raw_program(comfy.port, b""):
        assert refused(lambda: run_starts(comfy)).what.endswith("it says nothing within 5 s")
    assert comfy.starts == []


def test_a_server_that_somebody_else_started_is_used_and_left_alone(comfy: ComfyFolder) -> None:
    other = comfy.by_hand()
    eventually(lambda: get_status(launch_of(comfy)).state == "serving")
    started = run_starts(comfy)
    assert (started.is_new, started.is_of_this_run) == (False, False)
    assert not managed_server(comfy.root).release()
    assert stop(comfy.root) == "no server that this project started is running"
    assert other.poll() is None
    assert "not started by this project" in status_lines(started.status)[-1]


def test_a_run_ends_what_it_started(comfy: ComfyFolder) -> None:
    assert run_starts(comfy).is_of_this_run
    assert managed_server(comfy.root).release()
    assert not runs(comfy.starts[0]["pid"])
    assert not managed_server(comfy.root).release()


def test_a_run_leaves_on_what_a_person_started(comfy: ComfyFolder) -> None:
    person_starts(comfy)
    assert not run_starts(comfy).is_of_this_run
    assert not managed_server(comfy.root).release()
    assert get_status(launch_of(comfy)).state == "serving"


def test_a_person_keeps_on_what_a_run_started(comfy: ComfyFolder) -> None:
    run_starts(comfy)
    assert not person_starts(comfy).is_new
    assert not managed_server(comfy.root).release()
    assert get_status(launch_of(comfy)).state == "serving"


RUN = """
import sys
from pathlib import Path
from imagegen.backends.comfyui.server import Launch
from imagegen.backends.comfyui.server import start
start(Launch(Path(sys.argv[1]), sys.argv[2], (), 20), lambda _: None, lambda: None, "run")
print("serves", flush=True)
sys.stdin.read()
"""


@contextmanager
def another_run(comfy: ComfyFolder) -> Iterator[subprocess.Popen[bytes]]:
    """A process that has started the server and goes on."""
    words = [sys.executable, "-c", RUN, str(comfy.root), comfy.url]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"serves\n"
        yield process
        process.kill()


def test_what_a_killed_run_left_is_taken_over_by_the_next_which_ends_it(comfy: ComfyFolder) -> None:
    with another_run(comfy):
        pass
    assert "a run that was killed" in "\n".join(status_lines(get_status(launch_of(comfy))))
    started = run_starts(comfy)
    assert (started.is_new, started.is_of_this_run, started.status.state) == (False, True, "serving")
    assert managed_server(comfy.root).release()
    assert not runs(comfy.starts[0]["pid"])


def test_what_a_killed_run_was_starting_is_waited_for_and_ended(comfy: ComfyFolder) -> None:
    comfy.play(delay=3)
    words = [sys.executable, "-c", RUN, str(comfy.root), comfy.url]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        eventually(comfy.record.exists)
        process.kill()
    started = run_starts(comfy)
    assert (started.is_new, started.is_of_this_run, len(comfy.starts)) == (False, True, 1)
    assert managed_server(comfy.root).release()


def test_the_server_of_a_run_at_work_is_left_to_it(comfy: ComfyFolder) -> None:
    with another_run(comfy):
        assert not run_starts(comfy).is_of_this_run
        assert not managed_server(comfy.root).release()
        assert "started by a run, which stops it" in "\n".join(status_lines(get_status(launch_of(comfy))))


def test_a_server_of_ours_at_another_address_keeps_a_second_from_being_started(comfy: ComfyFolder) -> None:
    person_starts(comfy)
    elsewhere = replace(launch_of(comfy), url=f"http://127.0.0.1:{free_port()}")
    problem = refused(lambda: start(elsewhere, ignore, nothing, "run"))
    assert comfy.url in problem.what
    assert problem.hint.startswith("doit server:stop")
    assert len(comfy.starts) == 1
    found = get_status(elsewhere)
    assert (found.state, found.ours) == ("stopped", None)
    assert f" at {comfy.url}, since" in "\n".join(status_lines(found))


def test_localhost_is_the_same_server(comfy: ComfyFolder) -> None:
    person_starts(comfy)
    found = get_status(replace(launch_of(comfy), url=f"http://localhost:{comfy.port}"))
    assert found.state == "serving"
    assert found.ours
    assert not get_status(replace(launch_of(comfy), url=f"{comfy.url}/path")).ours


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("http://gpu.example.org:8188", "start it where it is"),
        ("http://[::1]:9000", "make it http://127.0.0.1:9000"),
        ("http://127.0.0.2:9000", "make it http://127.0.0.1:9000"),
        ("https://127.0.0.1:9000", "make it http://127.0.0.1:9000"),
        ("http://127.0.0.1:9000/comfy", "start what serves it, or make it http://127.0.0.1:9000"),
        ("http://127.0.0.1:99999", "make it http://127.0.0.1:8188"),
    ],
)
def test_an_address_that_no_server_can_be_started_for_is_told(comfy: ComfyFolder, url: str, hint: str) -> None:
    problem = find_start_problem(replace(launch_of(comfy), url=url))
    assert problem
    assert url in problem.what
    assert problem.hint == hint
    get_status(replace(launch_of(comfy), url=url.replace("gpu.example.org", "127.0.0.1")))  # raises for none of them


@pytest.mark.parametrize("arguments", [("--listen", "0.0.0.0"), ("--listen=::",), ("--lowvram", "--port", "1")])  # noqa: S104
def test_arguments_that_would_open_it_to_others_are_refused(comfy: ComfyFolder, arguments: tuple[str, ...]) -> None:
    problem = refused(lambda: start(launch_of(comfy, *arguments), ignore, nothing, "run"))
    assert problem.what.startswith("comfyui.server.arguments: --")
    assert comfy.starts == []


@pytest.mark.parametrize("missing", ["main.py", ".venv/bin/python"])
def test_without_set_up_the_command_for_it_is_told(comfy: ComfyFolder, missing: str) -> None:
    assert find_start_problem(launch_of(comfy)) is None
    (comfy.tree / missing).unlink()
    problem = refused(lambda: run_starts(comfy))
    assert problem is not None
    assert problem.what == f"ComfyUI is not installed: there is no tools/ComfyUI/{missing}"
    assert "doit comfyui:setup" in problem.hint


def test_a_python_that_cannot_be_run_is_told_without_a_traceback(comfy: ComfyFolder) -> None:
    python = comfy.tree / ".venv/bin/python"
    python.unlink()
    python.write_text("no program")
    assert "ComfyUI cannot be started" in refused(lambda: run_starts(comfy)).what


def test_the_lines_of_a_status_say_all_there_is_to_know(comfy: ComfyFolder) -> None:
    pid = person_starts(comfy).status.record.process.pid  # type: ignore[union-attr]
    lines = status_lines(get_status(launch_of(comfy)))
    assert lines[0] == f"serving  {comfy.url}  ComfyUI 0.33.0, PyTorch 2.13.0+cpu, Python 3.12.1"
    assert lines[1] == "device   cpu: 6.0 of 8.0 GB free"
    assert lines[2].startswith(f"process  {pid}, since 20")
    assert lines[2].endswith(", started by doit server:start")
    assert lines[3] == "log      .imagegen/comfyui/server.log"
