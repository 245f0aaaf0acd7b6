"""How the process ends, and what its output takes, whatever it is that the command does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX only")
full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")


def start(code: str, folder: Path, *, stdout: Any = subprocess.PIPE, **environment: str) -> subprocess.Popen[str]:
    """Run code in a process of its own, as a dodo.py with our tasks does."""
    return subprocess.Popen(
        [sys.executable, "-c", f"import os, sys, threading, time, signal\nfrom imagegen.tasks import *\n{code}"],
        cwd=folder,
        env={**os.environ, "PYTHONUNBUFFERED": "", **environment},
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_a_character_that_the_encoding_lacks_is_escaped_as_in_json(tmp_path: Path, encoding: str) -> None:
    text = "ворон 😀"
    code = f"import json; print(json.dumps({text!r}, ensure_ascii=False)); sys.stderr.write({text!r})"
    out, err = start(code, tmp_path, PYTHONIOENCODING=encoding).communicate(timeout=60)
    assert json.loads(out) == text
    assert out.isascii()
    assert err.startswith("\\u0432")


def test_what_the_user_chose_for_such_characters_stays(tmp_path: Path) -> None:
    out, _ = start("print('ворон')", tmp_path, PYTHONIOENCODING="ascii:replace").communicate(timeout=60)
    assert out == "?????\n"


@posix
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_work_goes_on_in_silence_where_nobody_reads_its_output(tmp_path: Path, unbuffered: str) -> None:
    code = "for _ in range(20_000): print('a line', flush=_ % 1000 == 0)\nopen('done', 'w').close()"
    with start(code, tmp_path, PYTHONUNBUFFERED=unbuffered) as process:
        assert process.stdout
        assert process.stderr
        assert process.stdout.readline() == "a line\n"
        process.stdout.close()
        assert (process.stderr.read(), process.wait(60)) == ("", 0)
    assert (tmp_path / "done").exists()


@full
@pytest.mark.parametrize(("unbuffered", "flush"), [("", True), ("", False), ("1", False)])
def test_an_output_that_could_not_be_written_fails_at_the_end(tmp_path: Path, unbuffered: str, flush: bool) -> None:
    with Path("/dev/full").open("w") as nowhere:
        code = f"print('a line', flush={flush}); open('done', 'w').close()"
        process = start(code, tmp_path, stdout=nowhere, PYTHONUNBUFFERED=unbuffered)
        _, err = process.communicate(timeout=60)
    assert (err, process.returncode) == ("the output is incomplete: No space left on device\n", 1)
    assert (tmp_path / "done").exists()


@posix
def test_an_output_that_does_not_block_is_waited_for(tmp_path: Path) -> None:
    read, write = os.pipe()
    os.set_blocking(write, False)
    process = start("print('x' * 3_000_000)", tmp_path, stdout=write)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        assert len(pipe.read()) == 3_000_001
    assert (process.communicate(timeout=60)[1], process.returncode) == ("", 0)


@posix
def test_a_closed_output_is_refused_before_a_file_gets_its_number(tmp_path: Path) -> None:
    code = "import os, sys; os.close(1); os.execv(sys.executable, [sys.executable, '-c', 'import imagegen.tasks'])"
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert run.stderr == "the standard output is closed: redirect it to a file or to /dev/null\n"


@posix
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_ends_it_with_a_word_though_a_thread_is_at_work(tmp_path: Path, name: str) -> None:
    number = getattr(signal, name)
    reset = f"signal.signal(signal.{name}, signal.default_int_handler)\n" if number == signal.SIGINT else ""
    code = f"{reset}threading.Thread(target=time.sleep, args=(600,)).start(); print(); signal.raise_signal({number:d})"
    process = start(code, tmp_path)
    _, err = process.communicate(timeout=60)
    assert (err, process.returncode) == ("stopped\n", -number)


@posix
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_that_it_was_started_to_ignore_stays_ignored(tmp_path: Path, name: str) -> None:
    number = getattr(signal, name)
    before = signal.signal(number, signal.SIG_IGN)
    try:
        process = start(f"signal.raise_signal({number:d}); print('on')", tmp_path)
    finally:
        signal.signal(number, before)
    assert process.communicate(timeout=60) == ("on\n", "")
