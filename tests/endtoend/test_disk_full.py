"""The real `doit` on a real disk that is full, or that takes no writes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.mounted import Disk, needs_mounts, small_disk
from tests.marks import long

pytestmark = needs_mounts

JOB = "generate: {width: 64, height: 64, steps: STEPS}\nitems: [{name: One, prompt: a}, {name: Two, prompt: b}]\n"
SHORT = ["", "gallery", "accept j:one", "doctor", "image --prompt a"]
LONG = [*SHORT, "why", "verify", "prune --yes", "reroll j:one", "schema", "-r json", "-n 2"]
WRITING = {"", "gallery", "accept j:one", "image --prompt a", "reroll j:one", "-n 2", "clean"}
SETUP = """
mkdir jobs
echo 'from imagegen.tasks import *' > dodo.py
"""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with small_disk(tmp_path / "disk", 600) as disk:
        assert disk.run("sh", "-ec", SETUP).returncode == 0
        write_job(disk, 1)
        assert "2 generated" in doit(disk)
        write_job(disk, 2)
        yield disk


def write_job(disk: Disk, steps: int) -> None:
    text = JOB.replace("STEPS", str(steps))
    assert disk.run("sh", "-c", 'printf "%s" "$0" > jobs/j.yaml', text).returncode == 0


def doit(disk: Disk, command: str = "") -> str:
    done = disk.run(sys.executable, "-B", "-m", "doit", *command.split())
    message = done.stdout + done.stderr
    assert "Traceback" not in message, f"{command}: {message}"
    return message


def images(disk: Disk) -> str:
    message = disk.run("sh", "-c", "sha256sum assets/j/*").stdout
    assert message.count(".png") == 2
    return message


@pytest.mark.parametrize("commands", [SHORT, long(LONG)], ids=["some", "all"])
def test_a_full_disk_is_told_and_all_goes_on_once_there_is_room(disk: Disk, commands: list[str]) -> None:
    before = images(disk)
    disk.fill()
    for command in commands:
        message = doit(disk, command)
        if command in WRITING:
            assert "No space left on device" in message, message
            assert "free disk space, then try again" in message, message
        assert command != "doctor" or "0 KB are free" in message, message
    assert images(disk) == before
    disk.free()
    assert "2 generated" in doit(disk)
    assert "2 fresh" in doit(disk)


@pytest.mark.parametrize("commands", [["", "clean"], long([*LONG, "clean"])], ids=["some", "all"])
def test_a_disk_that_takes_no_writes_is_told_and_all_goes_on_once_it_does(disk: Disk, commands: list[str]) -> None:
    before = images(disk)
    disk.remount("ro")
    for command in commands:
        message = doit(disk, command)
        if command in WRITING:
            assert "Read-only file system" in message, message
            assert "mount the file system so that it can be written to" in message, message
        assert command != "doctor" or "read-only file system" in message.lower(), message
    assert images(disk) == before
    disk.remount("rw")
    assert "2 generated" in doit(disk)
