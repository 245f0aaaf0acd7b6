"""The life of `ollama serve`: real processes on real ports."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagegen.backends.ollama.server import (
    connect_address,
    fetch_version,
    is_this_machine,
    managed_server,
    start,
)
from imagegen.config.settings import SETTINGS
from imagegen.errors import ImagegenError, Problem
from tests.backends.ollama.archives import OllamaFolder, free_host, runs
from tests.backends.ollama.fake_ollama.connection import address


@pytest.fixture
def ollama(tmp_path: Path) -> Iterator[OllamaFolder]:
    folder = OllamaFolder(tmp_path)
    yield folder
    folder.end()


def started(
    ollama: OllamaFolder, host: str = "", check: Callable[[], None] = lambda: None, timeout_s: float = 20
) -> str:
    return start(ollama.root, ollama.program, host or free_host(), lambda _: None, check, timeout_s)


def refused(act: Callable[[], str]) -> Problem:
    with pytest.raises(ImagegenError) as caught:
        act()
    (problem,) = caught.value.problems
    return problem


def test_it_serves_where_it_is_to_until_the_end_of_the_run(ollama: OllamaFolder) -> None:
    ollama.play(delay=1.2, child=True, says=["\x1b[1mhello\x1b[0m"])
    messages: list[str] = []
    host = free_host()
    assert start(ollama.root, ollama.program, host, messages.append, lambda: None) == host
    assert messages[:2] == ["starting Ollama … 0 s", "starting Ollama … 1 s"]
    assert fetch_version(host) == "0.32.5"
    assert "hello" in ollama.log.read_text()
    assert managed_server(ollama.root).release()
    (seen,) = ollama.starts
    assert not runs(seen["pid"])
    assert not runs(seen["child"])
    assert not ollama.record.exists()
    assert not managed_server(ollama.root).release()


def test_it_gets_no_secrets_and_must_not_tidy_up_the_users_models(
    ollama: OllamaFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HF_TOKEN", "COMFYUI_AUTH"):
        monkeypatch.setenv(name, "hush")
    monkeypatch.setenv("OLLAMA_HOST", "example.org:1")
    monkeypatch.setenv("OLLAMA_MODELS", "/big/models")
    host = started(ollama)
    (seen,) = ollama.starts
    assert seen["argv"] == ["serve"]
    assert "hush" not in str(seen["environment"])
    found = {name: value for name, value in seen["environment"].items() if name.startswith("OLLAMA_")}
    assert found == {"OLLAMA_HOST": host, "OLLAMA_MODELS": "/big/models", "OLLAMA_NOPRUNE": "1"}
    assert os.getsid(seen["pid"]) == seen["pid"] != os.getsid(0)
    managed_server(ollama.root).release()


def test_where_something_listens_it_takes_a_free_port_and_leaves_that_alone(ollama: OllamaFolder) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        host = started(ollama, taken)
        assert host != taken
        assert host.startswith("127.0.0.1:")
        assert fetch_version(host) == "0.32.5"
        managed_server(ollama.root).release()
        socket.create_connection(other.getsockname(), 2).close()


def test_a_second_start_of_this_run_starts_nothing(ollama: OllamaFolder) -> None:
    host = started(ollama)
    assert started(ollama) == host
    assert len(ollama.starts) == 1
    assert managed_server(ollama.root).release()


def test_one_that_somebody_else_started_is_never_stopped(ollama: OllamaFolder) -> None:
    host = free_host()
    environment = {**os.environ, "OLLAMA_HOST": host}
    with subprocess.Popen([ollama.program, "serve"], cwd=ollama.root, env=environment) as other:
        while fetch_version(host) is None:
            time.sleep(0.05)
        assert started(ollama, host) != host
        assert managed_server(ollama.root).release()
        assert not managed_server(ollama.root).release()
        assert fetch_version(host) == "0.32.5"
        other.kill()


def test_one_that_ends_while_it_starts_shows_the_end_of_its_log(ollama: OllamaFolder) -> None:
    ollama.play(says=["Error: listen tcp 127.0.0.1:1: bind: permission denied"], exit=1)
    problem = refused(lambda: started(ollama))
    assert problem.what == (
        "Ollama ended with exit code 1 while it started; the end of .imagegen/ollama/server.log:\n"
        "    | Error: listen tcp 127.0.0.1:1: bind: permission denied"
    )
    assert not ollama.record.exists()


def test_one_that_never_answers_is_stopped_again(ollama: OllamaFolder) -> None:
    ollama.play(delay=60, says=["loading"])
    problem = refused(lambda: started(ollama, timeout_s=0.7))
    assert problem.what.startswith("Ollama did not answer within 0.7 s; the end of .imagegen/ollama/server.log:")
    assert not any(runs(seen["pid"]) for seen in ollama.starts)


def test_a_cancelled_start_leaves_nothing_running(ollama: OllamaFolder) -> None:
    ollama.play(delay=60, child=True)

    def check() -> None:
        if ollama.starts:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        started(ollama, check=check)
    (seen,) = ollama.starts
    assert not runs(seen["pid"])
    assert not runs(seen["child"])
    assert not ollama.record.exists()


def test_what_is_no_program_is_told(ollama: OllamaFolder) -> None:
    ollama.program.write_text("no program")
    problem = refused(lambda: started(ollama))
    assert problem.what.startswith("Ollama cannot be started: ")
    assert problem.hint == "fix its permissions, or doit ollama:setup"


@pytest.mark.parametrize("host", ["example.org:11434", "192.168.1.4:11434", "0.0.0.0:11434"])
def test_none_is_started_for_another_machine(ollama: OllamaFolder, host: str) -> None:
    assert refused(lambda: started(ollama, host)).what.startswith(f"{host} is not an address of this machine")
    assert ollama.starts == []


def test_how_it_ended_is_told_when_it_has(ollama: OllamaFolder) -> None:
    ollama.play(says=["out of memory"])
    started(ollama)
    assert managed_server(ollama.root).describe_end() == ""
    os.kill(ollama.starts[0]["pid"], signal.SIGKILL)
    until = time.monotonic() + 10
    while not (message := managed_server(ollama.root).describe_end()):
        assert time.monotonic() < until
        time.sleep(0.02)
    assert message.startswith("Ollama ended by signal 9; the end of ")
    assert message.endswith("| out of memory")
    assert fetch_version(started(ollama)) == "0.32.5"
    assert len(ollama.starts) == 2
    managed_server(ollama.root).release()


RUN = """
import sys
from pathlib import Path
from imagegen.backends.ollama.server import start
root, program, host = sys.argv[1:]
print(start(Path(root), Path(program), host, lambda _: None, lambda: None), flush=True)
sys.stdin.read()
"""


@contextmanager
def another_run(ollama: OllamaFolder, host: str) -> Iterator[str]:
    """While a process that has started the server goes on; where it answers."""
    words = [sys.executable, "-c", RUN, str(ollama.root), str(ollama.program), host]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        yield process.stdout.readline().decode().strip()
        process.kill()


def test_what_a_killed_run_left_is_taken_over_and_ended(ollama: OllamaFolder) -> None:
    with another_run(ollama, free_host()) as host:
        pass
    assert fetch_version(host) == "0.32.5"
    assert started(ollama, host) == host
    assert len(ollama.starts) == 1
    assert managed_server(ollama.root).release()
    assert not runs(ollama.starts[0]["pid"])


def test_the_server_of_a_run_at_work_is_left_to_it(ollama: OllamaFolder) -> None:
    with another_run(ollama, free_host()) as host:
        assert started(ollama, host) == host
        assert not managed_server(ollama.root).release()
        assert fetch_version(host) == "0.32.5"


def test_what_is_no_ollama_has_no_version() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert fetch_version(f"127.0.0.1:{silent.getsockname()[1]}", timeout_s=0.2) is None
    assert fetch_version(free_host()) is None


PORT = 11434
(SETTING,) = (setting for setting in SETTINGS if setting.name == "ollama.host")


@pytest.mark.parametrize(
    ("host", "at"),
    [
        ("", f"127.0.0.1:{PORT}"),
        ("127.0.0.1", f"127.0.0.1:{PORT}"),
        ("127.0.0.1:1234", "127.0.0.1:1234"),
        (":1234", "127.0.0.1:1234"),
        ("0.0.0.0", f"127.0.0.1:{PORT}"),  # noqa: S104 - nothing listens there
        ("0.0.0.0:1234", "127.0.0.1:1234"),
        ("localhost:1", "localhost:1"),
        ("LocalHost", f"LocalHost:{PORT}"),
        ("http://127.0.0.1", "127.0.0.1:80"),
        ("http://127.0.0.1:1234/ollama/", "127.0.0.1:1234"),
        ("https://localhost", "localhost:443"),
        ("other://localhost", f"localhost:{PORT}"),
        ("[::1]:1234", "[::1]:1234"),
        ("[::1]", f"[::1]:{PORT}"),
        ("::1", f"[::1]:{PORT}"),
        ("[::]:1234", "[::1]:1234"),
        ("127.8.8.8:1", "127.8.8.8:1"),
        (' "127.0.0.1:1234" ', "127.0.0.1:1234"),
        ("'localhost'", f"localhost:{PORT}"),
        ("127.0.0.1:99999", f"127.0.0.1:{PORT}"),
        ("127.0.0.1:x", f"127.0.0.1:{PORT}"),
        ("127.0.0.1:", f"127.0.0.1:{PORT}"),
    ],
)
def test_this_machine_in_all_its_forms(host: str, at: str) -> None:
    assert is_this_machine(host)
    assert connect_address(host) == at


@pytest.mark.parametrize(
    "host",
    [
        "192.168.1.5",
        "mac.lan:11434",
        "https://ollama.com",
        "http://10.0.0.1/api",
        "[2001:db8::1]:80",
        "2001:db8::1",
        "::2",
        "localhost.example.org",
    ],
)
def test_another_machine(host: str) -> None:
    assert not is_this_machine(host)


@given(st.text("0123456789:.[]/ \"'htpsx-", max_size=20) | st.text(max_size=20))
def test_any_text_names_some_place(host: str) -> None:
    is_this_machine(host)
    name, _, port = connect_address(host).rpartition(":")
    assert 0 <= int(port) <= 65535
    assert name


@pytest.mark.parametrize(
    "host", [":1234", "http://127.0.0.1:80", "[::1]:1", '"127.0.0.1:8"', "localhost", "https://h:9/path"]
)
def test_it_is_what_the_stand_in_makes_of_it(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_HOST", host)
    name, port = address()
    at = f"[{name}]:{port}" if ":" in name else f"{name or '127.0.0.1'}:{port}"
    assert connect_address(host) == at


@pytest.mark.parametrize("host", ["me:secret@mac.lan", "http://me:secret@mac.lan:1/x"])
def test_a_password_in_it_is_refused_and_not_repeated(host: str) -> None:
    with pytest.raises(ValueError, match="without a user or password") as caught:
        SETTING.kind.read(host)
    assert "secret" not in str(caught.value)
