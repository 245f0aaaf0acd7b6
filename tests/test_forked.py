"""A forked `doit` is what an executed one is, as far as a test can see."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.forked import ForkedDoit, may_fork
from tests.project_folder import DODO, ProjectFolder

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux")

SEEN = """
import __main__, atexit, json, os, signal, sys, threading

atexit.register(print, "at the end")
reading, writing = os.pipe()
threading.Thread(target=lambda: (os.read(reading, 1), print("after the main thread"))).start()
threading._register_atexit(os.write, writing, b"x")
seen = {
    "folder": os.getcwd(), "path": sys.path[0], "main": __main__.__spec__.name, "words": [sys.argv[1:], sys.orig_argv],
    "variables": dict(os.environ), "read": sys.stdin.read(), "descriptors": sorted(map(int, os.listdir("/proc/self/fd")))[:-3],
    "streams": [[one.encoding, one.errors, one.line_buffering, one.write_through, one.isatty()] for one in (sys.stdout, sys.stderr)],
    "signals": {one.name: str(signal.getsignal(one)) for one in signal.valid_signals() if isinstance(one, signal.Signals)},
    "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])), "hook": sys.excepthook.__name__, "group": os.getpgid(0),
}
print(json.dumps(seen))
print("an error", file=sys.stderr)
"""


@pytest.fixture
def project(tmp_path: Path) -> ProjectFolder:
    return ProjectFolder(tmp_path)


def both(project: ProjectFolder, *words: str) -> Iterator[subprocess.Popen[str]]:
    """`doit` with these words, once forked and once executed."""
    for project.imports_count in (False, True):
        with project.start(*words) as process:
            yield process


def test_it_sees_and_does_the_same(project: ProjectFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_NAME", "ä=b")
    project.write("dodo.py", SEEN + DODO)
    found = []
    for process in both(project, "nonsense", "name=a b"):
        out, err = process.communicate(timeout=60)
        seen, *rest = out.splitlines()
        found.append((process.returncode, json.loads(seen), rest, err))
    assert found[0] == found[1]
    code, seen, rest, err = found[0]
    assert (code, rest, err.splitlines()[0]) == (2, ["after the main thread", "at the end"], "an error")
    assert (seen["folder"], seen["words"][0]) == (str(project.root), ["nonsense", "name=a b"])
    assert (seen["variables"]["SOME_NAME"], seen["descriptors"]) == ("ä=b", [0, 1, 2])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_signal_ends_it_the_same_way(project: ProjectFolder, number: signal.Signals) -> None:
    project.write("dodo.py", "print('here', flush=True)\nimport signal\nsignal.pause()\n")
    codes = []
    for process in both(project):
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n"
        assert process.poll() is None
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.001)
        process.send_signal(number)
        codes.append(process.wait(60))
        process.send_signal(number)  # nobody gets it
    assert codes == [130 if number == signal.SIGINT else -number] * 2


def test_where_the_start_matters_it_is_executed(project: ProjectFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    project.write("dodo.py", "import sys\nprint('imagegen.execute.run' in sys.modules)\n" + DODO)
    assert project.doit("list").out.splitlines()[0] == "True"
    assert project.doit("list", PYTHONIOENCODING="utf-8").out.splitlines()[0] == "False"
    project.imports_count = True
    assert project.doit("list").out.splitlines()[0] == "False"
    monkeypatch.setenv("LC_ALL", "C")
    assert not may_fork(os.environ)


def test_one_leaves_nothing_to_the_next(project: ProjectFolder) -> None:
    project.write("dodo.py", f"import os, sys\nprint('LEFT' in os.environ, hasattr(sys, 'left'))\nsys.left = 1\n{DODO}")
    with project.start("list") as process:
        assert isinstance(process, ForkedDoit)
    for value in ({"LEFT": "1"}, {}):
        assert project.doit("list", **value).out.splitlines()[0] == f"{bool(value)} False"
