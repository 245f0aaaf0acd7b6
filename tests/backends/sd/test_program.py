"""The program: where it is, what it says of itself, and what is wrong with one that cannot be used."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from imagegen.backends.sd import program as module
from imagegen.backends.sd.program import Program, find_program, inspect_program, is_set_up, read_mark
from imagegen.config.settings import Settings
from imagegen.errors import ImagegenError, Problem
from tests.backends.sd.fake_sd_server.command_line import SAMPLERS, SCHEDULERS
from tests.backends.sd.fake_sd_server.fixture import FakeSd

posix = pytest.mark.skipif(os.name != "posix", reason="scripts are programs there")
AUGUST = """stable-diffusion.cpp version unknown, commit 3f8527a
Usage: sd-server [options]

  --listen-port <int>                      server listen port (default: 1234)
  --high-noise-sampling-method             (high noise) sampling method, one of [wrong]
  -m, --sampling-method                    sampling method, one
                                           of [euler, euler_a,dpm++2m,
                                           lms] (default: euler for Flux)
  --scheduler                              denoiser sigma scheduler, one of [discrete, beta], default: discrete
"""


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def inspect(path: Path) -> Program:
    return inspect_program(path.parent, Settings(sd_program=str(path)))


def refused(path: Path) -> Problem:
    with pytest.raises(ImagegenError) as raised:
        inspect(path)
    (problem,) = raised.value.problems
    return problem


def test_what_it_says_of_itself(fake: FakeSd) -> None:
    found = inspect(fake.program)
    assert (found.path, found.build, found.device) == (fake.program, "master-525-0752cc9", "")
    assert (sorted(found.samplers), sorted(found.schedulers)) == (sorted(SAMPLERS), sorted(SCHEDULERS))


@posix
def test_another_releases_help_is_understood(tmp_path: Path) -> None:
    (tmp_path / "help.txt").write_text(AUGUST)
    found = inspect(script(tmp_path / "sd-server", f"cat '{tmp_path}/help.txt'"))
    assert found.build == "3f8527a"
    assert found.samplers == ("euler", "euler_a", "dpm++2m", "lms")
    assert found.schedulers == ("discrete", "beta")


@posix
def test_what_it_does_not_list_is_unknown(tmp_path: Path) -> None:
    found = inspect(script(tmp_path / "sd-server", "echo '  --listen-port <int>'; echo '  --sampling-method   how'"))
    assert (found.build, found.samplers, found.schedulers) == ("", (), ())


def test_set_up_noted_the_build_and_the_device(tmp_path: Path, fake: FakeSd) -> None:
    own = tmp_path / "tools/sd/sd-server"
    own.parent.mkdir(parents=True)
    own.write_bytes(fake.program.read_bytes())
    own.chmod(0o755)
    (own.parent / ".imagegen.json").write_text(json.dumps({"build": "master-929", "device": "vulkan"}))
    assert find_program(tmp_path, Settings()) == own
    found = inspect_program(tmp_path, Settings())
    assert (found.path, found.build, found.device) == (own, "master-929", "vulkan")


@pytest.mark.parametrize("text", ["", "[]", "{", '{"build": 3}'])
def test_a_damaged_note_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "tools/sd").mkdir(parents=True)
    (tmp_path / "tools/sd/.imagegen.json").write_text(text)
    assert isinstance(read_mark(tmp_path), dict)


def test_whether_there_is_one_or_a_server(tmp_path: Path) -> None:
    assert not is_set_up(tmp_path, Settings())
    assert is_set_up(tmp_path, Settings(sd_server_url="http://127.0.0.1:1234"))
    assert is_set_up(tmp_path, Settings(sd_program="somewhere"))
    (tmp_path / "tools/sd").mkdir(parents=True)
    (tmp_path / "tools/sd/sd-server.exe").touch()
    assert is_set_up(tmp_path, Settings())


def test_without_one_the_way_is_set_up(tmp_path: Path) -> None:
    with pytest.raises(ImagegenError) as raised:
        find_program(tmp_path, Settings())
    assert [one.hint for one in raised.value.problems] == ["doit sd:setup"]


def test_a_program_that_is_not_there_or_not_one(tmp_path: Path) -> None:
    problem = refused(tmp_path / "none")
    assert (problem.where, problem.what) == ("sd.program", f"{tmp_path}/none is not there")
    (tmp_path / "folder").mkdir()
    assert refused(tmp_path / "folder").what == f"{tmp_path}/folder is not a program"


@posix
def test_the_one_of_set_up_that_lost_its_mode(tmp_path: Path) -> None:
    own = script(tmp_path / "tools/sd/sd-server", "echo --sampling-method")
    own.chmod(0o644)
    with pytest.raises(ImagegenError) as raised:
        inspect_program(tmp_path, Settings())
    assert raised.value.problems == (Problem("", f"{own} is not executable", f"chmod +x {own}"),)


@posix
@pytest.mark.parametrize(
    ("text", "what", "hint"),
    [
        (
            "exit 3",
            "cannot be used: it says nothing, exit code 3",
            "correct program in [tool.imagegen.sd], or remove it and run doit sd:setup",
        ),
        (
            "echo hello",
            "is not sd-server: hello",
            "correct program in [tool.imagegen.sd], or remove it and run doit sd:setup",
        ),
        (
            "echo first; echo the reason >&2; exit 1",
            "cannot be used: the reason",
            "correct program in [tool.imagegen.sd], or remove it and run doit sd:setup",
        ),
        (
            "kill -ILL $$",
            "cannot be used: this processor lacks instructions that the build uses",
            "correct program in [tool.imagegen.sd], or remove it and run doit sd:setup",
        ),
        (
            'echo "x: /lib/libc.so.6: version \\`GLIBC_2.39\' not found (required by x)" >&2; echo more >&2; exit 1',
            "cannot be used: x: /lib/libc.so.6: version `GLIBC_2.39' not found (required by x)",
            "this system is too old for that build",
        ),
        (
            "echo 'x: error while loading shared libraries: libvulkan.so.1: cannot open' >&2; exit 127",
            "cannot be used: x: error while loading shared libraries: libvulkan.so.1: cannot open",
            "install the Vulkan loader",
        ),
    ],
)
def test_one_that_does_not_give_its_help(tmp_path: Path, text: str, what: str, hint: str) -> None:
    path = script(tmp_path / "sd-server", text)
    problem = refused(path)
    assert problem.what == f"{path} {what}"
    assert problem.hint.startswith(hint)


@posix
def test_one_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ASK_S", 0.2)
    path = script(tmp_path / "sd-server", "exec sleep 60")
    assert refused(path).what == f"{path} cannot be used: it does not end within 0.2 s"


@pytest.mark.skipif(sys.platform != "linux", reason="an ELF file is made")
def test_one_for_another_processor(tmp_path: Path) -> None:
    path = tmp_path / "sd-server"
    path.write_bytes(b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00\xf3\x00" + bytes(200))
    path.chmod(0o755)
    problem = refused(path)
    assert problem.what == f"{path} is for another system or processor, or is damaged"
    assert problem.hint.startswith("correct program in [tool.imagegen.sd], or remove it and run doit sd:setup")


@posix
@pytest.mark.parametrize(
    ("device", "hint"),
    [
        ("cpu", "install it again (doit sd:setup), or name a build of your own"),
        ("vulkan", "install it again (doit sd:setup) or another build (doit sd:setup --device=cpu), or name"),
        ("rocm", "install it again (doit sd:setup) or another build (doit sd:setup --device=vulkan), or name"),
        ("", "install it again (doit sd:setup) or another build (doit sd:setup --device=cpu), or name"),
    ],
)
def test_another_build_than_the_one_of_set_up_is_suggested(tmp_path: Path, device: str, hint: str) -> None:
    script(tmp_path / "tools/sd/sd-server", "exit 3")
    (tmp_path / "tools/sd/.imagegen.json").write_text(json.dumps({"device": device}))
    with pytest.raises(ImagegenError) as raised:
        inspect_program(tmp_path, Settings())
    assert raised.value.problems[0].hint.startswith(hint)


@posix
def test_another_program_of_the_same_build_is_not_sd_server(tmp_path: Path) -> None:
    other = script(tmp_path / "bin/sd-cli", "echo '  --sampling-method   how'")
    problem = refused(other)
    assert problem.what == f"{other} is another program of stable-diffusion.cpp, not sd-server"
    assert problem.hint.startswith("correct program in [tool.imagegen.sd]")
    server = script(tmp_path / "bin/sd-server", "")
    assert refused(other).hint == f"name the sd-server beside it: {server}"
