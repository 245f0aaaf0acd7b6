"""Setting Ollama up, on a Mac as far as the set-up can tell: the machine is handed in, all else is real."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from imagegen.backends.ollama.setup import setup
from imagegen.backends.ollama.verdict import Machine
from imagegen.config.settings import Settings
from imagegen.errors import ImagegenError, Problem
from imagegen.execute.worker import ImageProgress
from tests.backends.ollama.standin.fixture import StandIn

MAC, INTEL = Machine("Darwin", "arm64"), Machine("Darwin", "x86_64")
MODEL = "x/z-image-turbo"


class Bench:
    """A project folder, the stand-in's archive, and what the set-up said."""

    def __init__(self, root: Path, standin: StandIn) -> None:
        self.root, self.standin = root, standin
        self.said: list[str] = []
        root.mkdir()
        sha256 = standin.archive(root / "ollama.tgz")
        self.settings = Settings(
            ollama_host=standin.host, ollama_archive=str(root / "ollama.tgz"), ollama_archive_sha256=sha256
        )

    def setup(self, machine: Machine = MAC, *models: str) -> None:
        def tell(_name: str, facts: dict[str, object]) -> None:
            self.said.append(str(facts.get("text")))

        setup(self.root, self.settings, models, ImageProgress(math.inf, threading.Event(), tell=tell), machine)

    @property
    def installed(self) -> bool:
        return (self.root / "tools/ollama/ollama").exists()


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    standin = StandIn(tmp_path / "standin")
    for name in ("PATH", "HOME", "OLLAMA_HOST", "OLLAMA_MODELS"):
        monkeypatch.setenv(name, standin.environment[name])
    try:
        yield Bench(tmp_path / "project", standin)
    finally:
        standin.stop()


def test_it_asks_once_it_has_said_what_comes(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    (bench.standin.bin / "ollama").unlink()
    bench.standin.model(pulled=False)
    asked: list[str] = []

    def ask() -> None:
        asked.append(capsys.readouterr().out.splitlines()[-1])
        if len(asked) > 1:
            raise ImagegenError(Problem("", "no"))

    progress = ImageProgress(math.inf, threading.Event(), tell=lambda *_: None)
    with pytest.raises(ImagegenError):
        setup(bench.root, bench.settings, [MODEL], progress, MAC, ask)
    assert asked[0].startswith("to be put into tools/ollama: Ollama ")
    assert asked[1].startswith(f"to be pulled: {MODEL}: ")
    assert not bench.standin.called("pull")


def test_where_there_is_none_the_pinned_one_is_installed_and_the_models_pulled(bench: Bench) -> None:
    (bench.standin.bin / "ollama").unlink()
    bench.standin.model(pulled=False)
    bench.setup(MAC, MODEL)
    assert bench.installed
    assert [call.argv for call in bench.standin.called("pull")] == [["pull", f"{MODEL}:latest"]]
    assert not any(call.alive for call in bench.standin.called("serve"))
    calls = len(bench.standin.called("pull"))
    bench.setup(MAC, MODEL)
    assert len(bench.standin.called("pull")) == calls


@pytest.mark.parametrize("version", ["0.32.15", "0.14.2", "0.23.1"])
def test_beside_one_that_cannot_the_pinned_one_is_installed(bench: Bench, version: str) -> None:
    script = bench.standin.client(version)
    before = script.read_bytes()
    bench.standin.start_server(version)
    bench.setup()
    assert bench.installed
    assert script.read_bytes() == before
    assert [call.alive for call in bench.standin.called("serve") if call.version == version] == [True]


def test_one_that_can_is_used_and_nothing_is_installed(bench: Bench) -> None:
    bench.standin.start_server()
    bench.standin.model()
    bench.setup(MAC, MODEL)
    assert not bench.installed


def test_one_that_can_and_does_not_run_is_to_be_started_by_its_user(bench: Bench) -> None:
    with pytest.raises(ImagegenError, match="installed and does not run"):
        bench.setup()
    assert not bench.installed


def test_on_a_mac_with_an_intel_processor_nothing_is_installed(bench: Bench) -> None:
    for _ in range(2):
        with pytest.raises(ImagegenError, match="Apple silicon only"):
            bench.setup(INTEL)
        (bench.standin.bin / "ollama").unlink(missing_ok=True)
    assert not bench.installed


def test_another_pinned_version_replaces_the_one_that_was_installed(bench: Bench) -> None:
    (bench.standin.bin / "ollama").unlink()
    bench.setup()
    sha256 = bench.standin.archive(bench.root / "ollama.tgz", "0.32.4")
    bench.settings = Settings(
        ollama_host=bench.standin.host,
        ollama_version="0.32.4",
        ollama_archive=str(bench.root / "ollama.tgz"),
        ollama_archive_sha256=sha256,
    )
    bench.setup()
    assert bench.standin.called("serve")[-1].version == "0.32.4"


def test_no_server_is_installed_for_one_on_another_machine(bench: Bench) -> None:
    bench.settings = Settings(ollama_host="ollama.invalid:11434")
    bench.standin.client("0.32.15")
    with pytest.raises(ImagegenError, match="too new to make images"):
        bench.setup()
    assert not bench.installed
