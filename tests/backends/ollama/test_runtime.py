"""Which Ollama draws, and what keeps it from that."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from imagegen.backends.machine import this_machine
from imagegen.backends.ollama.runtime import find_program
from imagegen.errors import ImagegenError
from tests.backends.ollama.fake_ollama.fixture import FakeOllama
from tests.backends.ollama.parts import script

NOWHERE = "127.0.0.1:9"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


@pytest.fixture
def on_path(shared: FakeOllama, monkeypatch: pytest.MonkeyPatch) -> FakeOllama:
    """Its command line is the first on PATH, and its models are this user's."""
    monkeypatch.setenv("PATH", shared.environment["PATH"])
    monkeypatch.setenv("OLLAMA_MODELS", str(shared.models))
    return shared


def own(root: Path, fake: FakeOllama, version: str) -> Path:
    """An `ollama` in tools/ollama, as doit ollama:setup leaves one."""
    folder = root / "tools/ollama"
    executable = fake.install(folder, version)
    (folder / "imagegen.json").write_text(json.dumps({"version": version, "archive_sha256": "0" * 64}))
    (folder / "mlx_metal_v3").mkdir(exist_ok=True)
    (folder / "mlx_metal_v3/libmlxc.dylib").touch()
    return executable


def test_the_one_on_path_with_its_server(on_path: FakeOllama, root: Path) -> None:
    program = find_program(root, on_path.host, this_machine())
    assert (program.command.executable, program.is_own) == (str(on_path.bin / "ollama"), False)
    assert (program.problem, program.starts, program.version, program.folder) == (None, False, "0.32.5", on_path.models)
    assert program.machine


def test_without_one_there_is_no_program(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(root))
    with pytest.raises(ImagegenError, match="Ollama is not installed: there is no ollama on PATH"):
        find_program(root, NOWHERE, this_machine())


def test_one_that_does_not_run_is_able_and_has_a_problem(on_path: FakeOllama, root: Path) -> None:
    program = find_program(root, NOWHERE, this_machine())
    assert program.unable is None
    assert program.problem
    assert program.problem.what == f"Ollama is installed but does not run: nothing answers at {NOWHERE}"
    assert program.folder == on_path.models


def test_one_that_neither_runs_nor_could_draw_is_told_the_latter(
    on_path: FakeOllama, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_path.install(tmp_path / "newer", "0.32.15")
    monkeypatch.setenv("PATH", f"{tmp_path / 'newer'}:{on_path.environment['PATH']}")
    program = find_program(root, NOWHERE, this_machine())
    assert program.problem
    assert program.problem.what.startswith("Ollama 0.32.15 is too new to generate images")


def test_a_server_elsewhere_has_another_machine_and_its_models_there(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = script(tmp_path, 'case "$1" in run) echo "--width int";; *) echo ollama version is 0.32.5;; esac')
    monkeypatch.setenv("PATH", f"{Path(command.executable).parent}:/usr/bin:/bin")
    program = find_program(root, "mac.lan:11434", this_machine())
    assert (program.machine, program.folder, program.problem) == (None, None, None)


@pytest.mark.parametrize("models", ["nowhere", "x" * 300, "a-file"])
def test_a_server_of_another_user_keeps_its_models_elsewhere(
    on_path: FakeOllama, root: Path, monkeypatch: pytest.MonkeyPatch, models: str
) -> None:
    """Its folder would be there otherwise: so nothing is said of a disk that is not its own."""
    (root / "a-file").touch()
    monkeypatch.setenv("OLLAMA_MODELS", str(root / models))
    assert find_program(root, on_path.host, this_machine()).folder is None


def test_the_projects_own_comes_first_and_is_served_by_a_server_of_its_version(on_path: FakeOllama, root: Path) -> None:
    executable = own(root, on_path, "0.32.5")
    program = find_program(root, on_path.host, this_machine())
    assert (program.command.executable, program.is_own, program.starts) == (str(executable), True, False)


def test_it_starts_a_server_where_none_answers(on_path: FakeOllama, root: Path) -> None:
    own(root, on_path, "0.32.5")
    program = find_program(root, NOWHERE, this_machine())
    assert (program.starts, program.problem, program.version) == (True, None, "0.32.5")


def test_it_starts_one_beside_a_server_of_another_version(on_path: FakeOllama, root: Path) -> None:
    own(root, on_path, "0.32.4")
    program = find_program(root, on_path.host, this_machine())
    assert (program.starts, program.problem, program.version, program.versions.server) == (
        True,
        None,
        "0.32.4",
        "0.32.5",
    )


def test_it_starts_none_that_could_not_draw(on_path: FakeOllama, root: Path) -> None:
    own(root, on_path, "0.23.1")
    program = find_program(root, NOWHERE, this_machine())
    assert not program.starts
    assert program.problem
    assert "generates broken images" in program.problem.what


def test_what_setup_did_not_put_there_is_not_the_projects_own(on_path: FakeOllama, root: Path) -> None:
    own(root, on_path, "0.32.5")
    (root / "tools/ollama/imagegen.json").unlink()
    assert find_program(root, on_path.host, this_machine()).command.executable == str(on_path.bin / "ollama")
