"""stable-diffusion.cpp brought into tools/sd: real zips over real HTTP, whose program is the fake one."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from imagegen.backends.machine import Machine
from imagegen.backends.sd import install as install_module
from imagegen.backends.sd.program import FOLDER, MARK, find_program, inspect_program, read_mark
from imagegen.backends.sd.releases import BUILDS, PAGE, RELEASE, Host
from imagegen.backends.sd.server import managed_server
from imagegen.config.settings import Settings
from imagegen.errors import ImagegenError, Problem
from tests.backends.archives import Member, link, zipped
from tests.backends.file_server import FileServer, Served, file_server
from tests.backends.ollama.parts import printing
from tests.backends.sd.fake_sd_server.fixture import FakeSd, until
from tests.backends.sd.model_files import write_model

GOMP, VULKAN = "libgomp.so.1", "libvulkan.so.1"
LINUX = Host(Machine("Linux", "x86_64"), glibc=(2, 39), libraries=frozenset({GOMP}))
LINUX_GPU = replace(LINUX, has_gpu=True, libraries=frozenset({GOMP, VULKAN}))
WINDOWS = Host(Machine("Windows", "AMD64"), libraries=frozenset({"vulkan-1.dll"}))


def program(fake: FakeSd, **more: Any) -> Member:
    return ("sd-server", fake.program.read_bytes(), {"mode": 0o755, **more})


def at_the_root(fake: FakeSd) -> bytes:
    """As most zips of the release are, of which some don't say that it is a program."""
    return zipped(program(fake, mode=0o644), ("libggml.so", os.urandom(100_000), {}), ("ggml.txt", b"MIT", {}))


def pinned(data: bytes, source: str, **more: Any) -> Settings:
    return replace(Settings(), sd_archive=source, sd_archive_sha256=hashlib.sha256(data).hexdigest(), **more)


def install(
    root: Path, settings: Settings, device: str = "auto", updates: bool = False, host: Host = LINUX, **more: Any
) -> None:
    install_module.install(root, settings, printing(), device=device, updates=updates, host=host, **more)


def said_of(root: Path, settings: Settings, **more: Any) -> str:
    with pytest.raises(ImagegenError) as caught:
        install(root, settings, **more)
    return str(caught.value)


def refuse() -> None:
    raise ImagegenError(Problem("", "no"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The project's folder."""
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


@pytest.fixture
def server() -> Iterator[FileServer]:
    with file_server() as server:
        yield server


@pytest.fixture
def data(fake: FakeSd) -> bytes:
    return at_the_root(fake)


@pytest.fixture
def settings(server: FileServer, data: bytes) -> Settings:
    server.files["/sd.zip"] = Served(data)
    return pinned(data, f"{server.url}/sd.zip")


def newer(server: FileServer, fake: FakeSd) -> Settings:
    data = zipped(program(fake), ("new.so", os.urandom(100_000), {}))
    server.files["/newer.zip"] = Served(data)
    return pinned(data, f"{server.url}/newer.zip")


def is_tidy(root: Path) -> bool:
    return [path.name for path in (root / "tools").iterdir()] == ["sd"] and not list(root.glob(".imagegen/**/*.zip*"))


def test_it_is_downloaded_unpacked_and_run_once(
    root: Path, server: FileServer, settings: Settings, data: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    install(root, settings)
    assert find_program(root, settings) == root / FOLDER / "sd-server"
    assert is_tidy(root)
    first, second, *rest = capsys.readouterr().out.splitlines()
    assert first == f"to be put into tools/sd: stable-diffusion.cpp sd.zip, from {server.url}/sd.zip"
    assert second.startswith(f"{-(-len(data) // 1024)} KB to download, about ")
    assert rest == [
        "unpacking it into tools/sd",
        "stable-diffusion.cpp sd.zip is set up in tools/sd",
        "sd-server works: tools/sd/sd-server, build master-525-0752cc9",
    ]


def test_a_second_time_it_asks_nobody(root: Path, server: FileServer, settings: Settings) -> None:
    install(root, settings)
    server.close()
    install(root, settings, ask=refuse)
    install(root, settings, updates=True, ask=refuse)


def test_it_says_what_comes_before_it_asks(root: Path, settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    assert said_of(root, settings, ask=refuse) == "no"
    assert "KB to download" in capsys.readouterr().out
    assert not (root / "tools").exists()


def test_git_leaves_it_out(root: Path, settings: Settings) -> None:
    subprocess.run(["git", "init", "-q", root], check=True)
    install(root, settings)
    words = ["git", "-C", str(root), "status", "--porcelain", "--untracked-files=all", "tools"]
    assert subprocess.run(words, capture_output=True, check=True).stdout == b""


def test_the_program_may_be_in_a_folder_of_the_zip_with_links_beside_it(root: Path, fake: FakeSd) -> None:
    name, content, more = program(fake)
    data = zipped(
        (f"build/bin/{name}", content, more),
        ("build/bin/libx.so.1.0", b"text", {}),
        link("build/bin/libx.so.1", "libx.so.1.0"),
        ("build/bin/sub/file", b"text", {}),
        ("LICENSE", b"MIT", {}),
    )
    (root / "sd.zip").write_bytes(data)
    install(root, pinned(data, "sd.zip"))
    names = [".gitignore", MARK.removeprefix("/"), "LICENSE", "libx.so.1", "libx.so.1.0", "sd-server", "sub"]
    assert sorted(path.name for path in (root / FOLDER).iterdir()) == sorted(names)
    assert (root / FOLDER / "libx.so.1").read_bytes() == b"text"


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([("ggml.txt", b"MIT", {})], "there is no sd-server in it"),
        (
            [("bin/sd-server", b"#!/bin/sh", {}), link("bin/x", "../LICENSE"), ("LICENSE", b"", {})],
            "the link 'x' in it",
        ),
        ([("bin/sd-server", b"#!/bin/sh", {}), ("bin/x", b"1", {}), ("x", b"2", {})], "'x' is in it twice"),
        ([link("sd-server", "y"), ("y", b"#!/bin/sh", {})], "there is no sd-server in it"),
        ([("sd-server", b"#!/bin/sh", {}), ("../x", b"", {})], "'../x' in it leads out of its folder"),
    ],
)
def test_a_zip_that_is_not_as_it_should_be_leaves_nothing(root: Path, members: list[Member], message: str) -> None:
    data = zipped(*members)
    (root / "sd.zip").write_bytes(data)
    assert message in said_of(root, pinned(data, "sd.zip"))
    assert not any((root / "tools").iterdir())


# after a kill


INSTALL = """
import pickle, sys
from pathlib import Path
from imagegen.backends.sd.install import install
from tests.backends.ollama.parts import printing
install(Path(sys.argv[1]), pickle.loads(bytes.fromhex(sys.argv[2])), printing())
"""


def test_a_download_that_was_killed_goes_on(root: Path, server: FileServer, settings: Settings, data: bytes) -> None:
    server.files["/sd.zip"] = held = Served(data, cut_after=[70_000], hold=threading.Event())
    words = [sys.executable, "-c", INSTALL, str(root), pickle.dumps(settings).hex()]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL) as process:
        until(lambda: any(path.stat().st_size for path in root.glob(".imagegen/sd/*.part")))
        process.send_signal(signal.SIGKILL)
    assert held.hold
    held.hold.set()
    server.files["/sd.zip"] = Served(data)
    install(root, settings)
    assert server.ranges == ["", "bytes=70000-"]
    assert is_tidy(root)


def test_after_a_kill_while_it_is_unpacked_nothing_is_downloaded_again(
    root: Path, server: FileServer, settings: Settings, data: bytes
) -> None:
    whole = root / ".imagegen/sd" / f"{settings.sd_archive_sha256}.zip"
    whole.parent.mkdir(parents=True)
    whole.write_bytes(data)
    half = root / "tools/.sd-new"
    half.mkdir(parents=True)
    (half / "sd-server").write_bytes(b"half")
    install(root, settings, ask=refuse)
    assert server.asked == []
    assert is_tidy(root)


@pytest.mark.parametrize("when", ["old moved away", "new in place"])
def test_after_a_kill_between_two_builds_the_next_has_the_new_one(
    root: Path, server: FileServer, fake: FakeSd, settings: Settings, when: str
) -> None:
    install(root, settings)
    (root / FOLDER).rename(root / "tools/.sd-old")
    wanted = newer(server, fake)
    if when == "new in place":
        install(root / "other", wanted)
        (root / "other" / FOLDER).rename(root / FOLDER)
    install(root, wanted)
    assert (root / FOLDER / "new.so").exists()
    assert is_tidy(root)


def test_after_a_kill_between_two_builds_going_back_takes_no_network(
    root: Path, server: FileServer, settings: Settings
) -> None:
    install(root, settings)
    server.asked.clear()
    (root / FOLDER).rename(root / "tools/.sd-old")
    (root / "tools/.sd-new").mkdir()
    install(root, settings, ask=refuse)
    assert server.asked == []
    assert is_tidy(root)


def test_what_the_server_keeps_beside_the_downloads_stays(root: Path, settings: Settings) -> None:
    folder = root / ".imagegen/sd"
    folder.mkdir(parents=True)
    (folder / "server.log").write_text("text")
    (folder / f"{'0' * 64}.zip.part").write_text("of another release")
    install(root, settings)
    assert not list(folder.glob("*.zip*"))
    assert (folder / "server.log").read_text() == "text"


# what is there already


def mark_as(root: Path, **changes: str) -> None:
    path = root / FOLDER / MARK
    path.write_text(json.dumps({**json.loads(path.read_bytes()), **changes}))


def test_a_build_of_another_release_that_works_stays_until_it_is_updated(
    root: Path, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    install(root, settings)
    mark_as(root, build="master-900-1234567", device="cpu")
    install(root, Settings(), ask=refuse)
    assert f"master-900-1234567 is kept; to replace it by {RELEASE}: doit sd:update" in capsys.readouterr().out
    with pytest.raises(ImagegenError, match="no"):
        install(root, Settings(), updates=True, ask=refuse)
    assert f"stable-diffusion.cpp {RELEASE} for CPU" in capsys.readouterr().out


def test_an_update_keeps_to_the_device(root: Path, settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    install(root, settings)
    mark_as(root, build="master-900-1234567", device="cpu")
    said_of(root, Settings(), updates=True, ask=refuse, host=LINUX_GPU)
    assert f"{RELEASE} for CPU" in capsys.readouterr().out
    said_of(root, replace(Settings(), sd_device="vulkan"), updates=True, ask=refuse, host=LINUX_GPU)
    assert f"{RELEASE} for Vulkan" in capsys.readouterr().out


def test_another_device_that_is_asked_for_takes_its_place(
    root: Path, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    install(root, settings)
    mark_as(root, build=RELEASE, device="vulkan")
    install(root, Settings(), "vulkan", ask=refuse)
    install(root, Settings(), ask=refuse)
    capsys.readouterr()
    said_of(root, Settings(), device="cpu", ask=refuse)
    assert f"to be put into tools/sd: stable-diffusion.cpp {RELEASE} for CPU, from https" in capsys.readouterr().out


def test_another_zip_in_the_settings_takes_its_place(
    root: Path, server: FileServer, fake: FakeSd, settings: Settings
) -> None:
    install(root, settings)
    install(root, newer(server, fake))
    assert (root / FOLDER / "new.so").exists()
    assert not (root / FOLDER / "libggml.so").exists()


def test_one_that_does_not_run_is_replaced(root: Path, settings: Settings) -> None:
    install(root, settings)
    mark_as(root, build="master-900-1234567", sha256="0" * 64)
    (root / FOLDER / "sd-server").write_text("#!/bin/sh\nexit 1\n")
    install(root, settings)
    assert inspect_program(root, settings).build == "master-525-0752cc9"


@pytest.mark.parametrize("damage", ["#!/bin/sh\nexit 1\n", ""])
def test_one_that_is_damaged_is_installed_again_after_a_question(
    root: Path, settings: Settings, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    install(root, settings)
    (root / FOLDER / "sd-server").write_text(damage)
    (root / FOLDER / "libggml.so").unlink()
    capsys.readouterr()
    assert said_of(root, settings, ask=refuse) == "no"
    assert ": it is to be installed again\nto be put into tools/sd: " in capsys.readouterr().out
    install(root, settings)
    assert inspect_program(root, settings).build == "master-525-0752cc9"
    assert (root / FOLDER / "libggml.so").exists()
    assert is_tidy(root)


def test_one_that_is_damaged_is_replaced_by_one_for_the_same_device(
    root: Path, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    install(root, settings)
    mark_as(root, build=RELEASE, device="cpu")
    (root / FOLDER / "sd-server").chmod(0o644)
    said_of(root, Settings(), host=LINUX_GPU, ask=refuse)
    assert f"{RELEASE} for CPU" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["folder", "file", "link"])
def test_what_somebody_else_put_there_is_left_alone(
    root: Path, server: FileServer, settings: Settings, kind: str
) -> None:
    folder, mine = root / FOLDER, root / "mine"
    mine.mkdir()
    (mine / "file").write_text("mine")
    folder.parent.mkdir()
    if kind == "file":
        folder.write_text("mine")
    elif kind == "link":
        folder.symlink_to(mine)
    else:
        mine.rename(folder)
    before = sorted(root.rglob("*"))
    message = said_of(root, settings)
    assert message.startswith(("tools/sd: is ", "tools/sd: was not made by doit sd:setup, and stays as it is"))
    assert "move it away" in message
    assert [path for path in sorted(root.rglob("*")) if ".imagegen" not in path.parts] == before
    assert server.asked == []


def test_a_program_of_ones_own_is_checked_and_nothing_is_installed(
    root: Path, fake: FakeSd, capsys: pytest.CaptureFixture[str]
) -> None:
    install(root, replace(Settings(), sd_program=str(fake.program)), ask=refuse)
    assert capsys.readouterr().out == f"your own build is used: {fake.program}, build master-525-0752cc9\n"
    install(root, replace(Settings(), sd_program=str(fake.program)), "vulkan", ask=refuse)
    assert capsys.readouterr().out.endswith("\n--device=vulkan has no effect on it\n")
    assert "is not there" in said_of(root, replace(Settings(), sd_program="nowhere"), ask=refuse)
    assert not (root / "tools").exists()


def test_for_a_server_of_ones_own_nothing_is_installed(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    install(root, replace(Settings(), sd_server_url="http://127.0.0.1:1234"), ask=refuse)
    assert capsys.readouterr().out == "the server at http://127.0.0.1:1234 is used: nothing is installed\n"


def test_what_a_run_generates_with_is_not_replaced_and_what_a_killed_one_left_is_ended(
    root: Path, server: FileServer, fake: FakeSd, settings: Settings
) -> None:
    install(root, settings)
    model = root / "model.safetensors"
    write_model(model, "sd1", "one")
    run = f"""
import sys
from pathlib import Path
from imagegen.backends.sd.server import Launch, start
command = ({str(root / FOLDER / "sd-server")!r}, "--model", {str(model)!r})
start(Launch(Path({str(root)!r}), command, 60.0), lambda _: None, lambda: None)
print(flush=True)
sys.stdin.read()
"""
    with subprocess.Popen([sys.executable, "-c", run], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        assert "a run generates with sd-server from tools/sd" in said_of(root, newer(server, fake))
        assert managed_server(root).is_running()
        process.kill()
    install(root, newer(server, fake))
    assert not managed_server(root).is_running()
    assert (root / FOLDER / "new.so").exists()


# without a network, and when something is wrong


def test_without_a_network_a_file_does(root: Path, data: bytes) -> None:
    (root / "sd.zip").write_bytes(data)
    assert said_of(root, pinned(data, "sd.zip"), ask=refuse) == "no"
    install(root, pinned(data, "sd.zip"))
    assert (root / "sd.zip").read_bytes() == data


def test_a_zip_of_the_release_needs_no_sha256_and_another_is_refused(root: Path, data: bytes) -> None:
    (root / "sd.zip").write_bytes(data)
    message = said_of(root, replace(Settings(), sd_archive="sd.zip"))
    build = BUILDS["Linux", "x86_64"][0]
    assert f"sd.zip has sha256 {hashlib.sha256(data).hexdigest()}, but {build.assets[0].sha256} is expected" in message
    assert f"compare sd.archive and sd.archive_sha256 with {PAGE}" in message
    (root / "sd.zip").unlink()
    message = said_of(root, replace(Settings(), sd_archive="sd.zip"))
    assert f"download {build.assets[0].name} (25 MB) from {PAGE}" in message


def test_the_release_is_not_where_a_zip_of_ones_own_is_found(root: Path, data: bytes) -> None:
    def fail(content: bytes, **more: Any) -> str:
        (root / "mine.zip").write_bytes(content)
        message = said_of(root, replace(pinned(content, "mine.zip"), **more))
        assert "github.com" not in message
        return message

    assert "correct sd.archive and sd.archive_sha256" in fail(data, sd_archive_sha256="0" * 64)
    assert "correct sd.archive" in fail(data, sd_archive="nowhere.zip")
    for content in (data[:5000], zipped(("ggml.txt", b"MIT", {}))):
        assert "name another archive: sd.archive" in fail(content)


def test_a_zip_for_a_machine_without_a_build_needs_its_sha256(root: Path, data: bytes) -> None:
    (root / "sd.zip").write_bytes(data)
    arm = Host(Machine("Linux", "aarch64"))
    message = said_of(root, replace(Settings(), sd_archive="sd.zip"), host=arm)
    assert message.startswith("sd.archive_sha256: is not set, so the zip has to be the release's")
    assert "has no build for Linux aarch64" in message
    install(root, pinned(data, "sd.zip"), host=arm)
    assert read_mark(root)["device"] == ""


def test_the_sha256_of_another_systems_zip_is_refused_before_any_download(root: Path) -> None:
    sha256 = BUILDS["Linux", "x86_64"][0].assets[0].sha256
    settings = replace(Settings(), sd_archive="https://example.org/sd.zip", sd_archive_sha256=sha256)
    old = replace(LINUX, glibc=(2, 31))
    assert "needs glibc 2.38 or later, and this system has 2.31" in said_of(root, settings, host=old, ask=refuse)


def test_the_second_zip_of_a_build_is_looked_for_beside_the_first(root: Path, data: bytes) -> None:
    cuda = next(build for build in BUILDS["Windows", "x86_64"] if build.device == "cuda")
    (root / "zips").mkdir()
    (root / "zips/sd.zip").write_bytes(data)
    settings = replace(Settings(), sd_archive="zips/sd.zip", sd_device="cuda")
    assert "zips/sd.zip has sha256" in said_of(root, settings, host=WINDOWS)
    archives = install_module._find_archives(root, settings, cuda)
    assert [archive.source for archive in archives] == [
        root / "zips/sd.zip",
        root / "zips/cudart-sd-bin-win-cu12-x64.zip",
    ]


def test_where_nothing_can_be_downloaded_it_names_the_file_and_its_page(root: Path, server: FileServer) -> None:
    settings = replace(Settings(), sd_archive=f"{server.url}/none.zip", sd_archive_sha256="0" * 64)
    message = said_of(root, settings)
    assert "127.0.0.1 does not have it: 404 Not Found" in message
    assert "or download none.zip by hand, and name that file: sd.archive" in message
    assert PAGE not in message


def test_a_zip_with_another_sha256_is_not_kept(root: Path, server: FileServer, settings: Settings, data: bytes) -> None:
    server.files["/sd.zip"] = Served(data[:-1] + b"?")
    assert "is expected; it is not kept" in said_of(root, settings)
    assert not (root / "tools").exists()
    assert not list(root.glob(".imagegen/sd/*.zip*"))


def test_where_no_build_runs_nothing_is_asked_or_downloaded(root: Path) -> None:
    message = said_of(root, Settings(), host=replace(LINUX, glibc=(2, 36)), ask=lambda: pytest.fail("asked"))
    assert "needs glibc 2.38 or later, and this system has 2.36" in message
    assert not (root / "tools").exists()


def test_a_gpu_that_lacks_the_loader_is_named(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said_of(root, Settings(), host=replace(LINUX, has_gpu=True), ask=refuse)
    note, to_put, to_download = capsys.readouterr().out.splitlines()
    assert note.startswith("there is a GPU; to use it, install libvulkan1")
    assert to_put.startswith(
        f"to be put into tools/sd: stable-diffusion.cpp {RELEASE} for CPU, from https://github.com/"
    )
    assert to_download.startswith("25 MB to download, about 124 MB on disk; ")


def test_what_a_build_needs_besides_is_said(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said_of(root, Settings(), device="cuda", host=WINDOWS, ask=refuse)
    to_put, to_download = capsys.readouterr().out.splitlines()
    assert to_put.endswith(
        "win-cuda12-x64.zip and cudart-sd-bin-win-cu12-x64.zip (MIT licence; needs NVIDIA's driver 551 or later)"
    )
    assert to_download.startswith("860 MB to download")


LOADER = "error while loading shared libraries: {}: cannot open shared object file"


@pytest.mark.parametrize(
    ("says", "hint"),
    [
        (LOADER.format("libvulkan.so.1"), "doit sd:setup --device=cpu"),
        (LOADER.format("libgomp.so.1"), "install libgomp1"),
        ("sd-server: /lib/libc.so.6: version `GLIBC_2.38' not found", "this system is too old for that build"),
    ],
)
def test_a_program_that_cannot_be_run_stays_and_says_what_it_lacks(root: Path, says: str, hint: str) -> None:
    data = zipped(("sd-server", f"#!/bin/sh\ncat >&2 <<'E'\n{says}\nE\nexit 127\n".encode(), {"mode": 0o755}))
    (root / "sd.zip").write_bytes(data)
    message = said_of(root, pinned(data, "sd.zip"))
    assert "tools/sd/sd-server cannot be used: " in message
    assert hint in message
    assert (root / FOLDER / "sd-server").exists()


def test_a_folder_that_cannot_be_written_is_reported(root: Path, settings: Settings) -> None:
    (root / "tools").write_text("in the way")
    assert "cannot be written or read: Not a directory" in said_of(root, settings)
