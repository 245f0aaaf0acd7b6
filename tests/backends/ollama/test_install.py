"""Ollama brought into tools/ollama: real archives over real HTTP."""

from __future__ import annotations

import json
import math
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import filelock
import pytest

from imagegen.backends.machine import Machine
from imagegen.backends.ollama import install as install_module
from imagegen.backends.ollama.install import setup
from imagegen.backends.ollama.runtime import FOLDER, executable, read_mark
from imagegen.backends.ollama.server import fetch_version, managed_server, start
from imagegen.config.settings import Settings
from imagegen.errors import ImagegenError, Problem
from imagegen.execute.worker import ImageProgress
from tests.backends.archives import tgz
from tests.backends.file_server import FileServer, Served, file_server
from tests.backends.ollama.archives import archive, free_host, pinned, runs
from tests.backends.ollama.fake_ollama.fixture import FakeOllama
from tests.backends.ollama.parts import printing

DATA, NEWER = archive(), archive("0.33.0")


def install(root: Path, settings: Settings) -> None:
    install_module.install(root, settings, printing())


def installed_version(root: Path) -> str | None:
    return read_mark(root).get("version") if executable(root) else None


@pytest.fixture
def server() -> Iterator[FileServer]:
    with file_server() as server:
        server.files["/o.tgz"] = Served(DATA)
        yield server


@pytest.fixture
def settings(server: FileServer) -> Settings:
    return pinned(DATA, f"{server.url}/o.tgz")


def newer(server: FileServer) -> Settings:
    server.files["/newer.tgz"] = Served(NEWER)
    return pinned(NEWER, f"{server.url}/newer.tgz", "0.33.0")


def said_of(root: Path, settings: Settings) -> str:
    with pytest.raises(ImagegenError) as caught:
        install(root, settings)
    return str(caught.value)


def nothing_is_left_over(root: Path) -> bool:
    beside = [path.name for path in (root / "tools").iterdir()]
    return beside == ["ollama"] and not list(root.glob(".imagegen/**/*.tgz*"))


def test_it_is_downloaded_unpacked_and_says_so(
    tmp_path: Path, server: FileServer, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (executable(tmp_path), installed_version(tmp_path)) == (None, None)
    install(tmp_path, settings)
    assert executable(tmp_path) == tmp_path / FOLDER / "ollama"
    assert installed_version(tmp_path) == "0.32.5"
    assert nothing_is_left_over(tmp_path)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"to be put into tools/ollama: Ollama 0.32.5, from {server.url}/o.tgz"
    assert lines[1].startswith(f"{-(-len(DATA) // 1024)} KB to download, about ")
    assert lines[2:] == ["unpacking it into tools/ollama", "Ollama 0.32.5 is set up in tools/ollama"]


def test_a_second_time_it_asks_nobody(
    tmp_path: Path, server: FileServer, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    install(tmp_path, settings)
    server.asked.clear()
    capsys.readouterr()
    install(tmp_path, settings)
    assert (server.asked, capsys.readouterr().out) == ([], "Ollama 0.32.5 is set up in tools/ollama\n")


def test_git_leaves_it_out_wherever_it_is(tmp_path: Path, settings: Settings) -> None:
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    install(tmp_path, settings)
    words = ["git", "-C", str(tmp_path), "status", "--porcelain", "--untracked-files=all", "tools"]
    assert subprocess.run(words, capture_output=True, check=True).stdout == b""


@pytest.mark.parametrize("is_absolute", [True, False])
def test_without_a_network_a_file_does(tmp_path: Path, is_absolute: bool) -> None:
    (tmp_path / "o.tgz").write_bytes(DATA)
    install(tmp_path, pinned(DATA, str(tmp_path / "o.tgz") if is_absolute else "o.tgz"))
    assert installed_version(tmp_path) == "0.32.5"
    assert (tmp_path / "o.tgz").read_bytes() == DATA


def test_a_file_that_is_not_there_or_another_is_told(tmp_path: Path) -> None:
    message = said_of(tmp_path, pinned(DATA, "o.tgz"))
    assert "o.tgz cannot be read: No such file" in message
    assert "download ollama-darwin.tgz from https://github.com/ollama/ollama/releases/tag/v0.32.5" in message
    (tmp_path / "o.tgz").write_bytes(b"other")
    assert "and download it again" in said_of(tmp_path, pinned(DATA, "o.tgz"))
    assert executable(tmp_path) is None


def test_a_download_that_was_stopped_goes_on(
    tmp_path: Path, server: FileServer, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    part = tmp_path / ".imagegen/ollama" / f"{settings.ollama_archive_sha256}.tgz.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(DATA[:50_000])
    install(tmp_path, settings)
    assert server.ranges == ["bytes=50000-"]
    assert "KB to download (49 KB are there), about " in capsys.readouterr().out
    assert nothing_is_left_over(tmp_path)


BRING = """
import pickle, sys
from pathlib import Path
from imagegen.backends.ollama.install import install
from tests.backends.ollama.parts import printing
install(Path(sys.argv[1]), pickle.loads(bytes.fromhex(sys.argv[2])), printing())
"""


def test_after_a_kill_the_next_goes_on(tmp_path: Path, server: FileServer, settings: Settings) -> None:
    server.files["/o.tgz"] = Served(DATA, cut_after=[70_000], hold=threading.Event())
    words = [sys.executable, "-c", BRING, str(tmp_path), pickle.dumps(settings).hex()]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL) as process:
        until = time.monotonic() + 20
        while not any(path.stat().st_size for path in tmp_path.glob(".imagegen/ollama/*.part")):
            assert time.monotonic() < until
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    server.files["/o.tgz"].hold.set()  # type: ignore[union-attr]
    server.files["/o.tgz"] = Served(DATA)
    install(tmp_path, settings)
    assert server.ranges == ["", "bytes=70000-"]
    assert installed_version(tmp_path) == "0.32.5"


def test_a_kill_before_or_while_it_is_unpacked_downloads_nothing_anew(
    tmp_path: Path, server: FileServer, settings: Settings
) -> None:
    whole = tmp_path / ".imagegen/ollama" / f"{settings.ollama_archive_sha256}.tgz"
    whole.parent.mkdir(parents=True)
    whole.write_bytes(DATA)
    half = tmp_path / "tools/.ollama-new"
    half.mkdir(parents=True)
    (half / "ollama").write_bytes(b"half")
    install(tmp_path, settings)
    assert server.asked == []
    assert version_of(tmp_path) == "0.32.5"
    assert nothing_is_left_over(tmp_path)


def test_a_download_that_was_spoilt_since_is_downloaded_anew(
    tmp_path: Path, server: FileServer, settings: Settings
) -> None:
    whole = tmp_path / ".imagegen/ollama" / f"{settings.ollama_archive_sha256}.tgz"
    whole.parent.mkdir(parents=True)
    whole.write_bytes(DATA[:-1] + b"?")
    install(tmp_path, settings)
    assert server.ranges == [""]
    assert installed_version(tmp_path) == "0.32.5"


def version_of(root: Path) -> str:
    """What is really there."""
    return "0.33.0" if '"0.33.0"' in (root / FOLDER / "ollama").read_text() else "0.32.5"


def test_another_pinned_version_takes_the_place_of_ours(tmp_path: Path, server: FileServer, settings: Settings) -> None:
    install(tmp_path, settings)
    install(tmp_path, newer(server))
    assert (installed_version(tmp_path), version_of(tmp_path)) == ("0.33.0", "0.33.0")
    assert nothing_is_left_over(tmp_path)


@pytest.mark.parametrize("when", ["old moved away", "new in place"])
def test_after_a_kill_between_two_versions_one_is_whole_and_the_next_set_up_has_the_new_one(
    tmp_path: Path, server: FileServer, settings: Settings, when: str
) -> None:
    install(tmp_path, settings)
    (tmp_path / FOLDER).rename(tmp_path / "tools/.ollama-old")
    wanted = newer(server)
    if when == "new in place":
        (tmp_path / "o.tgz").write_bytes(NEWER)
        install(tmp_path / "other", replace(wanted, ollama_archive=str(tmp_path / "o.tgz")))
        (tmp_path / "other" / FOLDER).rename(tmp_path / FOLDER)
    install(tmp_path, wanted)
    assert (installed_version(tmp_path), version_of(tmp_path)) == ("0.33.0", "0.33.0")
    assert nothing_is_left_over(tmp_path)
    assert len(server.asked) == (1 if when == "new in place" else 2)


def test_after_a_kill_between_two_versions_going_back_takes_no_network(
    tmp_path: Path, server: FileServer, settings: Settings
) -> None:
    install(tmp_path, settings)
    server.asked.clear()
    (tmp_path / FOLDER).rename(tmp_path / "tools/.ollama-old")
    install(tmp_path, settings)
    assert (server.asked, installed_version(tmp_path)) == ([], "0.32.5")


def test_the_version_before_stays_until_the_new_one_is_whole(
    tmp_path: Path, server: FileServer, settings: Settings
) -> None:
    install(tmp_path, settings)
    wanted = newer(server)
    server.files["/newer.tgz"] = Served(b"", 404)
    message = said_of(tmp_path, wanted)
    assert "Ollama 0.33.0: 127.0.0.1 does not have it: 404 Not Found" in message
    assert "download ollama-darwin.tgz by hand from https://github.com/ollama/ollama/releases/tag/v0.33.0" in message
    server.files["/newer.tgz"] = Served(DATA)
    assert "ollama.archive_sha256" in said_of(tmp_path, wanted)
    strange = tgz(("bin/ollama", b"", {"mode": 0o755}))
    server.files["/newer.tgz"] = Served(strange)
    message = said_of(tmp_path, pinned(strange, wanted.ollama_archive, "0.33.0"))
    assert "has no program 'ollama' at its top" in message
    assert (installed_version(tmp_path), version_of(tmp_path)) == ("0.32.5", "0.32.5")
    assert [path.name for path in (tmp_path / "tools").iterdir()] == ["ollama"]


def test_another_version_needs_its_own_sha256(tmp_path: Path) -> None:
    message = said_of(tmp_path, replace(Settings(), ollama_version="0.31.0"))
    assert message.startswith(
        "ollama.version: the sha256 in the settings is that of 0.32.5, and 0.31.0 is to be installed"
    )
    assert "set ollama.archive_sha256 too" in message
    assert not (tmp_path / "tools").exists()


def test_what_is_damaged_of_ours_is_mended(tmp_path: Path, settings: Settings) -> None:
    install(tmp_path, settings)
    (tmp_path / FOLDER / "ollama").unlink()
    assert (executable(tmp_path), installed_version(tmp_path)) == (None, None)
    install(tmp_path, settings)
    assert installed_version(tmp_path) == "0.32.5"


@pytest.mark.parametrize("kind", ["folder", "file", "link", "other mark"])
def test_what_somebody_else_put_there_is_left_alone(
    tmp_path: Path, server: FileServer, settings: Settings, kind: str
) -> None:
    folder = tmp_path / FOLDER
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / ("imagegen.json" if kind == "other mark" else "ollama")).write_text("[1]")
    folder.parent.mkdir()
    if kind == "file":
        folder.write_text("mine")
    elif kind == "link":
        folder.symlink_to(mine)
    else:
        mine.rename(folder)
    before = sorted(tmp_path.rglob("*"))
    message = said_of(tmp_path, settings)
    assert message.startswith(("tools/ollama: is ", "tools/ollama: was "))
    assert "move it away" in message
    assert [path for path in sorted(tmp_path.rglob("*")) if ".imagegen" not in path.parts] == before
    assert server.asked == []
    assert executable(tmp_path) is None


def test_an_empty_folder_is_in_nobodys_way(tmp_path: Path, settings: Settings) -> None:
    (tmp_path / FOLDER).mkdir(parents=True)
    (tmp_path / FOLDER / ".DS_Store").touch()
    install(tmp_path, settings)
    assert nothing_is_left_over(tmp_path)


def test_two_set_ups_do_not_collide(tmp_path: Path, server: FileServer, settings: Settings) -> None:
    (tmp_path / ".imagegen").mkdir()
    with filelock.FileLock(tmp_path / ".imagegen/ollama-setup.lock"):
        assert "another doit is installing Ollama here" in said_of(tmp_path, settings)
    assert server.asked == []


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path, settings: Settings) -> None:
    (tmp_path / "tools").write_text("in the way")
    assert "cannot be written or read: Not a directory" in said_of(tmp_path, settings)


def test_what_a_run_draws_with_is_not_replaced_and_what_a_killed_one_left_is_ended(
    tmp_path: Path, server: FileServer, settings: Settings
) -> None:
    install(tmp_path, settings)
    program = executable(tmp_path)
    assert program
    run = f"""
import sys
from pathlib import Path
from imagegen.backends.ollama.server import start
print(start(Path({str(tmp_path)!r}), Path({str(program)!r}), {free_host()!r}, lambda _: None, lambda: None), flush=True)
sys.stdin.read()
"""
    with subprocess.Popen([sys.executable, "-c", run], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        host = process.stdout.readline().decode().strip()
        assert "a run generates with Ollama from tools/ollama" in said_of(tmp_path, newer(server))
        assert fetch_version(host) == "0.32.5"
        process.kill()
    install(tmp_path, newer(server))
    assert fetch_version(host) is None
    assert installed_version(tmp_path) == "0.33.0"


def test_what_was_brought_serves(tmp_path: Path, settings: Settings) -> None:
    install(tmp_path, settings)
    program = executable(tmp_path)
    assert program
    host = start(tmp_path, program, free_host(), lambda _: None, lambda: None)
    assert fetch_version(host) == "0.32.5"
    assert managed_server(tmp_path).release()
    (seen,) = map(json.loads, (program.parent / "starts.jsonl").read_text().splitlines())
    assert not runs(seen["pid"])


MAC, INTEL = Machine("Darwin", "arm64"), Machine("Darwin", "x86_64")
MODEL = "x/z-image-turbo"


class Bench:
    """A project folder, the fake one's archive, and what the set-up said."""

    def __init__(self, root: Path, fake: FakeOllama) -> None:
        self.root, self.fake = root, fake
        self.messages: list[str] = []
        root.mkdir()
        sha256 = fake.archive(root / "ollama.tgz")
        self.settings = Settings(
            ollama_host=fake.host, ollama_archive=str(root / "ollama.tgz"), ollama_archive_sha256=sha256
        )

    def setup(self, machine: Machine = MAC, *models: str) -> None:
        def on_event(_name: str, facts: dict[str, object]) -> None:
            self.messages.append(str(facts.get("text")))

        setup(self.root, self.settings, models, ImageProgress(math.inf, threading.Event(), on_event=on_event), machine)

    @property
    def installed(self) -> bool:
        return (self.root / "tools/ollama/ollama").exists()


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    fake = FakeOllama(tmp_path / "fake")
    for name in ("PATH", "HOME", "OLLAMA_HOST", "OLLAMA_MODELS"):
        monkeypatch.setenv(name, fake.environment[name])
    try:
        yield Bench(tmp_path / "project", fake)
    finally:
        fake.stop()


def test_it_asks_once_it_has_said_what_comes(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    (bench.fake.bin / "ollama").unlink()
    bench.fake.model(pulled=False)
    asked: list[str] = []

    def ask() -> None:
        asked.append(capsys.readouterr().out.splitlines()[-1])
        if len(asked) > 1:
            raise ImagegenError(Problem("", "no"))

    with pytest.raises(ImagegenError):
        setup(bench.root, bench.settings, [MODEL], printing(), MAC, ask)
    assert asked[0].startswith("to be put into tools/ollama: Ollama ")
    assert asked[1].startswith(f"to be pulled: {MODEL}: ")
    assert not bench.fake.called("pull")


def test_where_there_is_none_the_pinned_one_is_installed_and_the_models_pulled(bench: Bench) -> None:
    (bench.fake.bin / "ollama").unlink()
    bench.fake.model(pulled=False)
    bench.setup(MAC, MODEL)
    assert bench.installed
    assert [call.argv for call in bench.fake.called("pull")] == [["pull", f"{MODEL}:latest"]]
    assert not any(call.alive for call in bench.fake.called("serve"))
    calls = len(bench.fake.called("pull"))
    bench.setup(MAC, MODEL)
    assert len(bench.fake.called("pull")) == calls


@pytest.mark.parametrize("version", ["0.32.15", "0.14.2", "0.23.1"])
def test_beside_one_that_cannot_the_pinned_one_is_installed(bench: Bench, version: str) -> None:
    script = bench.fake.client(version)
    before = script.read_bytes()
    bench.fake.start_server(version)
    bench.setup()
    assert bench.installed
    assert script.read_bytes() == before
    assert [call.alive for call in bench.fake.called("serve") if call.version == version] == [True]


def test_one_that_can_is_used_and_nothing_is_installed(bench: Bench) -> None:
    bench.fake.start_server()
    bench.fake.model()
    bench.setup(MAC, MODEL)
    assert not bench.installed


def test_one_that_can_and_does_not_run_is_to_be_started_by_its_user(bench: Bench) -> None:
    with pytest.raises(ImagegenError, match="installed but does not run"):
        bench.setup()
    assert not bench.installed


def test_on_a_mac_with_an_intel_processor_nothing_is_installed(bench: Bench) -> None:
    for _ in range(2):
        with pytest.raises(ImagegenError, match="Apple silicon only"):
            bench.setup(INTEL)
        (bench.fake.bin / "ollama").unlink(missing_ok=True)
    assert not bench.installed


def test_another_pinned_version_replaces_the_one_that_was_installed(bench: Bench) -> None:
    (bench.fake.bin / "ollama").unlink()
    bench.setup()
    sha256 = bench.fake.archive(bench.root / "ollama.tgz", "0.32.4")
    bench.settings = Settings(
        ollama_host=bench.fake.host,
        ollama_version="0.32.4",
        ollama_archive=str(bench.root / "ollama.tgz"),
        ollama_archive_sha256=sha256,
    )
    bench.setup()
    assert bench.fake.called("serve")[-1].version == "0.32.4"


def test_no_server_is_installed_for_one_on_another_machine(bench: Bench) -> None:
    bench.settings = Settings(ollama_host="ollama.invalid:11434")
    bench.fake.client("0.32.15")
    with pytest.raises(ImagegenError, match="too new to generate images"):
        bench.setup()
    assert not bench.installed
