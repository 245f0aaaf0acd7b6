from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from imagegen.errors import ImagegenError
from imagegen.state.mutex import hold

HOLDER = """
import sys, time
from pathlib import Path
from imagegen.state.mutex import hold
sys.argv = ["doit", "portraits"]
with hold(Path({folder!r}), 0):
    print("held", flush=True)
    time.sleep({seconds})
"""


def holder(folder: Path, seconds: float) -> subprocess.Popen[str]:
    code = HOLDER.format(folder=str(folder), seconds=seconds)
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def test_the_second_is_told_who_holds_it(tmp_path: Path) -> None:
    process = holder(tmp_path, 30)
    with (
        pytest.raises(ImagegenError, match=rf"process {process.pid}: 'doit portraits', since \d\d:"),
        hold(tmp_path, 0),
    ):
        pass
    end(process)


def test_it_is_free_again_when_its_holder_is_killed(tmp_path: Path) -> None:
    end(holder(tmp_path, 30))
    with hold(tmp_path, 0):
        assert (tmp_path / "build.json").exists()
    assert not (tmp_path / "build.json").exists()


def test_who_waits_gets_it_when_it_is_free(tmp_path: Path) -> None:
    process = holder(tmp_path, 0.5)
    start = time.monotonic()
    with hold(tmp_path, 20):
        assert time.monotonic() - start < 15
    process.communicate()


def test_it_is_held_where_nothing_can_be_noted_down(tmp_path: Path) -> None:
    (tmp_path / "build.json").mkdir()
    with hold(tmp_path, 0), pytest.raises(ImagegenError, match=r"is running here\n"), hold(tmp_path, 0):
        pass
    with hold(tmp_path, 0):
        pass


@pytest.mark.skipif(sys.platform == "win32", reason="its locks are the system's")
@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_file_system_without_locks_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def flock(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr("fcntl.flock", flock)
        with pytest.raises(ImagegenError, match=rf"has no locks \({os.strerror(code)}\)"), hold(tmp_path / "s", 5):
            pass
    with hold(tmp_path / "s", 0):
        assert sorted(path.name for path in (tmp_path / "s").iterdir()) == ["build.json", "build.lock"]
