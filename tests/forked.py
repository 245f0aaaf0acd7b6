"""A `doit` in a process of its own, forked off one that has imported doit and this package already.

Four fifths of what a `doit` costs in a test are Python's start and those imports. Nothing of what a process of its own
proves is lost: it has its own folder, environment, output and signals, runs what `python -m doit` runs, and ends as
Python ends. Where the start itself matters, `may_fork` says so; and `pytest -m ''` forks none.
"""

from __future__ import annotations

import atexit
import functools
import gc
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import IO

__all__ = ["ForkedDoit", "forbid", "may_fork"]

_READ_AT_START = ("PYTHON", "LANG", "LC_", "LD_", "TZ", "MALLOC_")
"""How the variables begin that Python and the C library read once."""

_IMPORTED = (
    "imagegen.doit_commands",
    "imagegen.commands",
    *(f"imagegen.backends.{name}" for name in ("a1111", "comfyui", "ollama", "openai", "sd")),
    "imagegen.backends.placeholder.card",
    "imagegen.config.yaml_document",
    *(f"imagegen.execute.{name}" for name in ("curation", "forecast", "pick", "prune", "run")),
    "imagegen.project.job_details",
    "imagegen.project.remarks",
    "imagegen.report.progress",
    "imagegen.report.why",
    "PIL.PngImagePlugin",
    "tests.scripted",
)
"""What most runs import, with all that it imports; not `imagegen.tasks`, which does something to its process."""

_MOST = 1 << 17
"""Bytes of a request: arguments and environment."""

_is_forbidden = False


def forbid() -> None:
    """Have each `doit` executed."""
    global _is_forbidden
    _is_forbidden = True


def may_fork(environment: Mapping[str, str]) -> bool:
    """Whether a forked `doit` with this environment is as an executed one would be."""
    return sys.platform == "linux" and not _is_forbidden and _read_at_start(environment) == _server().read_at_start


def _read_at_start(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(_READ_AT_START)}


class _Server:
    """The process that has imported it all; it ends with this one."""

    def __init__(self) -> None:
        self.read_at_start = _read_at_start(os.environ)
        self.socket, theirs = socket.socketpair(type=socket.SOCK_SEQPACKET)
        with theirs:
            number = theirs.fileno()
            words = [sys.executable, "-m", __name__, str(number)]
            nowhere = subprocess.DEVNULL
            self.process = subprocess.Popen(words, pass_fds=[number], stdin=nowhere, stdout=nowhere)
        atexit.register(self.end)

    def end(self) -> None:
        self.socket.close()
        self.process.wait()


_server = functools.cache(_Server)


class ForkedDoit(subprocess.Popen[str]):
    """What `Popen` of `python -m doit` would be, with pipes for its output, and nothing to read."""

    stdout: IO[str]
    stderr: IO[str]

    def __init__(self, arguments: Sequence[str], folder: Path, environment: Mapping[str, str]) -> None:
        """Start it."""
        self.args = [sys.executable, "-m", "doit", *arguments]
        self.stdin = None
        self.returncode = None
        variables = (f"{name}={value}" for name, value in environment.items())
        request = os.fsencode("\0".join([str(len(arguments)), *arguments, str(folder), *variables]))
        assert len(request) < _MOST
        (out, its_out), (err, its_err) = os.pipe(), os.pipe()
        self._state, its_state = socket.socketpair(type=socket.SOCK_SEQPACKET)
        with its_state:
            socket.send_fds(_server().socket, [request], [its_out, its_err, its_state.fileno()])
        os.close(its_out)
        os.close(its_err)
        self.stdout, self.stderr = os.fdopen(out, encoding="utf-8"), os.fdopen(err, encoding="utf-8")
        self.pid = int(self._state.recv(99))

    def poll(self) -> int | None:
        """Return its exit code, if it has ended."""
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def wait(self, timeout: float | None = None) -> int:
        """Return its exit code when it has ended; minus the signal's number if one ended it."""
        if self.returncode is None:
            self._state.settimeout(timeout)
            try:
                self.returncode = int(self._state.recv(99))
            except (TimeoutError, BlockingIOError):
                raise subprocess.TimeoutExpired(self.args, timeout or 0) from None
            self._state.close()
        return self.returncode

    def communicate(self, input: str | None = None, timeout: float | None = None) -> tuple[str, str]:  # noqa: A002 - as Popen has it
        """Return what is left of its output when it has ended."""
        assert input is None
        texts = ["", ""]

        def read(number: int, stream: IO[str]) -> None:
            with stream:
                texts[number] = stream.read()

        streams = enumerate((self.stdout, self.stderr))
        readers = [threading.Thread(target=read, args=one, daemon=True) for one in streams]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join(timeout)
        if any(reader.is_alive() for reader in readers):
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        self.wait(timeout)
        return texts[0], texts[1]


def _serve(server: socket.socket) -> None:
    """Fork a process for each request; return in that process when it is to be `doit`."""
    for name in _IMPORTED:
        import_module(name)
    _plan_once()
    gc.freeze()  # they share it until somebody writes to it
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        request, descriptors, _, _ = socket.recv_fds(server, _MOST, 3)
        if not request:
            os._exit(0)
        if not os.fork():
            server.close()
            _fork(*descriptors)
            return _prepare(os.fsdecode(request).split("\0"))
        for descriptor in descriptors:
            os.close(descriptor)


def _plan_once() -> None:
    """Have all that is done at the first plan of a process done: the rules of job files and backends are checked."""
    from imagegen.backends.registry import registry
    from imagegen.config.settings import Settings
    from imagegen.project import Project

    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "jobs").mkdir()
        (Path(folder) / "jobs/one.yaml").write_text("backend: placeholder\nitems: [{name: a, prompt: a}]\n", "utf-8")
        Project(Path(folder), Settings(), registry()).plans()


def _fork(out: int, err: int, state: int) -> None:
    """Fork the process that is to be `doit`, and return there; wait for it in this one, and say how it ended."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if process := os.fork():
        os.close(out)
        os.close(err)
        os.write(state, b"%d" % process)
        _, status = os.waitpid(process, 0)
        os.write(state, b"%d" % os.waitstatus_to_exitcode(status))
        os._exit(0)
    os.dup2(out, 1)
    os.dup2(err, 2)
    for descriptor in (out, err, state):
        os.close(descriptor)


def _prepare(request: Sequence[str]) -> None:
    """Make this process as Python makes it for `python -m doit`."""
    count = int(request[0])
    arguments, folder, variables = request[1 : 1 + count], request[1 + count], request[2 + count :]
    os.chdir(folder)
    os.environ.clear()
    for name, _, value in (variable.partition("=") for variable in variables):
        os.environ[name] = value
    sys.path[0] = str(Path.cwd())
    sys.argv = ["doit", *arguments]
    sys.orig_argv = [sys.executable, "-m", "doit", *arguments]
    import_module("imagegen.doit_startup")  # as doit_imagegen_startup.pth does it


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
    runpy.run_module("doit", run_name="__main__", alter_sys=True)
