"""Processes and servers that this project starts: each is a real one."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from imagegen.backends.managed_server import (
    ManagedServer,
    ProcessIdentity,
    environment_without_secrets,
    exit_code,
    hold_free_port,
    start_process,
    stop_process,
    this_process,
)


def test_a_process_that_never_was_is_gone() -> None:
    assert ProcessIdentity(2**22 + 1, 1.0).get_state() == "gone"


def test_this_process_is_alive_and_one_that_started_at_another_time_is_another() -> None:
    this = this_process()
    assert (this.pid, this.get_state()) == (os.getpid(), "alive")
    assert replace(this, started=this.started - 600).get_state() == "reused"


def test_what_is_started_is_ended_by_its_identity_and_says_how(tmp_path: Path) -> None:
    log = tmp_path / "log"
    process = start_process([sys.executable, "-c", "import time; time.sleep(60)"], tmp_path, {}, log)
    assert (process.get_state(), exit_code(process), os.getsid(process.pid)) == ("alive", None, process.pid)
    assert stop_process(process, "it")
    assert (process.get_state(), exit_code(process)) == ("gone", -15)
    assert not stop_process(process, "it")


def test_a_process_of_somebody_else_with_that_number_is_not_ended() -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as other:
        assert not stop_process(ProcessIdentity(other.pid, 1.0), "it")
        assert other.poll() is None
        other.kill()


def test_a_child_gets_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_TOKEN", "COMFYUI_AUTH", "PYTHONPATH", "KEPT"):
        monkeypatch.setenv(name, "x")
    found = environment_without_secrets()
    assert (found["KEPT"], {"HF_TOKEN", "COMFYUI_AUTH", "PYTHONPATH"} & set(found)) == ("x", set())


def test_a_log_that_is_not_there_has_no_end(tmp_path: Path) -> None:
    assert ManagedServer("It", tmp_path, Path("server.log"), "", "").read_log_tail() == []


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a port is found, and not held")
@pytest.mark.parametrize("option", [socket.SO_REUSEADDR, getattr(socket, "SO_REUSEPORT", 0)])
def test_a_port_that_is_held_is_had_by_a_server_and_by_nobody_who_only_wants_one(option: int) -> None:
    with hold_free_port() as port, socket.socket() as other, socket.socket() as server:
        with pytest.raises(OSError, match="already in use"):
            other.bind(("127.0.0.1", port))
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), 5)
        server.setsockopt(socket.SOL_SOCKET, option, 1)
        server.bind(("127.0.0.1", port))
        server.listen()
        socket.create_connection(("127.0.0.1", port), 5).close()
