"""A pinned build of a program: real archives over real HTTP. See also each backend's test_install."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from imagegen.backends.pinned_program import PinnedArchive, PinnedProgram, announce, install
from imagegen.errors import ImagegenError, Problem
from tests.backends.archives import zipped
from tests.backends.file_server import FileServer, Served, file_server
from tests.backends.ollama.parts import printing

PROGRAM = zipped(("program", b"#!/bin/sh\n", {"mode": 0o755}))
LIBRARY = zipped(("library.dll", b"text", {}))


@pytest.fixture
def server() -> Iterator[FileServer]:
    with file_server() as server:
        server.files = {"/program.zip": Served(PROGRAM), "/library.zip": Served(LIBRARY)}
        yield server


@pytest.fixture
def pin(tmp_path: Path, server: FileServer) -> PinnedProgram:
    """A build in two archives whose sizes are known."""
    archives = [
        PinnedArchive(name, f"{server.url}/{name}", hashlib.sha256(data).hexdigest(), len(data))
        for name, data in (("program.zip", PROGRAM), ("library.zip", LIBRARY))
    ]
    return replace(describe(tmp_path, "1"), source="example.org", archives=archives)


def refuse() -> None:
    raise ImagegenError(Problem("", "no"))


def test_it_says_how_much_all_of_it_is_and_asks_before_it_contacts_anybody(
    pin: PinnedProgram, server: FileServer, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ImagegenError, match="no"):
        install(pin, printing(), refuse)
    assert server.asked == []
    first, second = capsys.readouterr().out.splitlines()
    assert first == "to be put into tools/thing: Thing 1, from example.org"
    assert second.startswith("1 KB to download, about 2 KB on disk; ")


def test_all_archives_come_into_one_folder_and_it_asks_once(pin: PinnedProgram, server: FileServer) -> None:
    asked: list[int] = []
    install(pin, printing(), lambda: asked.append(len(server.asked)))
    assert asked == [0]
    assert sorted(path.name for path in pin.target.iterdir()) == [".gitignore", "library.dll", "mark.json", "program"]
    assert not list(pin.downloads.glob("*.zip*"))


def test_what_was_downloaded_before_is_not_asked_for(pin: PinnedProgram, server: FileServer) -> None:
    for archive, data in zip(pin.archives, (PROGRAM, LIBRARY), strict=True):
        pin.downloads.mkdir(parents=True, exist_ok=True)
        pin.download_path(archive).write_bytes(data)
    install(pin, printing(), refuse)
    assert (pin.is_installed, server.asked) == (True, [])


def test_one_of_another_size_is_refused_before_it_is_downloaded(pin: PinnedProgram, server: FileServer) -> None:
    server.files["/library.zip"] = Served(LIBRARY + b"more")
    with pytest.raises(
        ImagegenError, match=r"download library.zip \(1 KB\) by hand from https://example.org/thing, and"
    ):
        install(pin, printing())
    assert not pin.target.exists()


def test_two_archives_with_the_same_file_are_refused_and_leave_nothing(pin: PinnedProgram, tmp_path: Path) -> None:
    (tmp_path / "p.zip").write_bytes(PROGRAM)
    archive = PinnedArchive("p.zip", tmp_path / "p.zip", hashlib.sha256(PROGRAM).hexdigest())
    with pytest.raises(ImagegenError, match="'program' is in it twice"):
        install(replace(pin, archives=[archive, archive]), printing())
    assert not any((tmp_path / "tools").iterdir())


def test_a_program_that_was_removed_is_put_back(pin: PinnedProgram) -> None:
    install(pin, printing())
    shutil.rmtree(pin.target)
    install(pin, printing())
    assert pin.is_installed


KILLED = """
import itertools, os, pathlib, shutil, signal, sys
from tests.backends.test_pinned_program import PROGRAM, describe, install, printing

base = pathlib.Path(sys.argv[1])
EVENTS = ("open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.chmod", "shutil.rmtree")


def attempt(root, last):
    left = [last]

    def hook(event, args):
        if event in EVENTS and str(root) in str(args[0]):
            left[0] -= 1
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)

    if not (pid := os.fork()):
        sys.addaudithook(hook)
        install(describe(root, "2"), printing())
        os._exit(0)
    return os.waitpid(pid, 0)[1]


for last in itertools.count(1):
    root = base / str(last)
    root.mkdir()
    for version in "12":
        (root / f"{version}.zip").write_bytes(PROGRAM)
    install(describe(root, "1"), printing())
    ended = attempt(root, last)
    kept = [path.exists() for path in (root / "tools/thing/program", root / "tools/.thing-old/program")]
    assert any(kept), (last, "neither is there")
    install(describe(root, "2"), printing())
    assert [path.name for path in (root / "tools").iterdir()] == ["thing"], last
    assert describe(root, "2").is_installed, last
    shutil.rmtree(root)
    if ended == 0:
        break
print(last)
"""


def describe(root: Path, version: str) -> PinnedProgram:
    """A build that is in a file."""
    archive = PinnedArchive("program.zip", root / f"{version}.zip", hashlib.sha256(PROGRAM).hexdigest())
    return PinnedProgram(
        root,
        "tools/thing",
        name="Thing",
        version=version,
        source="a file",
        archives=[archive],
        page="https://example.org/thing",
        executables=["program"],
        mark_file="mark.json",
        mark={"version": version},
        command="doit thing:setup",
        setting="thing.archive",
        compared="thing.archive",
        if_foreign="or name it",
        arrange=lambda _: None,
        stop=lambda: None,
    )


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_killed_at_whichever_step_one_build_is_whole_and_the_next_set_up_goes_on(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path)], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.splitlines()[-1]) > 10, "so many steps there are"


def test_too_little_room_is_told_before_anything_comes(capsys: pytest.CaptureFixture[str]) -> None:
    mb = 1024**2
    announce("tools/thing", 40 * mb, 100 * mb, 460 * mb, printing())
    with pytest.raises(ImagegenError, match="about 460 MB are needed, 459 MB are free"):
        announce("tools/thing", 40 * mb, 100 * mb, 459 * mb, printing())
    assert "60 MB to download (40 MB are there), about 460 MB on disk; 459 MB are free" in capsys.readouterr().out
    announce("tools/thing", 0, 0, mb, printing())
    assert capsys.readouterr().out == "how much there is to download is not known; 1 MB are free\n"
