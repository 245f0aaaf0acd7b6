"""Which Ollama makes images: by its versions, its flags and its machine."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagegen.backends.ollama.queries import Versions
from imagegen.backends.ollama.verdict import (
    Machine,
    has_payload,
    hint,
    not_installed,
    not_running,
    this_machine,
    verdict,
)

MAC, INTEL, LINUX = Machine("Darwin", "arm64"), Machine("Darwin", "x86_64"), Machine("Linux", "x86_64")


def judged(
    client: str, server: str = "", flags: bool = True, machine: Machine | None = MAC, payload: bool = True
) -> str:
    problem = verdict(Versions(client, server or client), flags, machine, payload)
    return problem.what if problem else ""


@pytest.mark.parametrize(
    "version", ["0.14.3", "0.15.9", "0.16.2", "0.23.0", "0.23.3", "0.32.5", "0.32.5-rc1", "0.0.0", "custom"]
)
def test_versions_that_make_images(version: str) -> None:
    assert judged(version) == ""


@pytest.mark.parametrize(
    ("client", "server", "flags", "what"),
    [
        ("0.32.6", "", False, "Ollama 0.32.6 is too new to make images: that was taken out after 0.32.5"),
        ("1.0.0", "", False, "Ollama 1.0.0 is too new"),
        ("0.14.2", "", False, "Ollama 0.14.2 is too old to make images: that came with 0.14.3"),
        ("0.9.12", "", False, "Ollama 0.9.12 is too old"),
        ("0.0.0", "", False, "Ollama 0.0.0 is a version without image flags, and unable to make images"),
        ("0.16.0", "", True, "Ollama 0.16.0 makes broken images, or none (ollama/ollama#14234)"),
        ("0.23.2", "", True, "Ollama 0.23.2 makes broken images, or none (ollama/ollama#16096)"),
        ("0.32.5", "0.16.1", True, "Ollama 0.16.1 makes broken images"),
        ("0.23.1", "0.32.5", True, "Ollama's client 0.23.1 makes broken images"),
        ("0.32.5", "0.32.6", True, "Ollama's client is 0.32.5 and its server 0.32.6: the server is too new"),
        ("0.32.6", "0.32.5", False, "Ollama's client is 0.32.6 and its server 0.32.5: the client is too new"),
        ("0.14.2", "0.32.5", False, "Ollama's client is 0.14.2 and its server 0.32.5: the client is too old"),
        ("0.32.5", "0.14.2", True, "Ollama's client is 0.32.5 and its server 0.14.2: the server is too old"),
        ("0.40.1", "0.14.2", True, "Ollama's client is 0.40.1 and its server 0.14.2: the server is too old"),
    ],
)
def test_versions_that_do_not(client: str, server: str, flags: bool, what: str) -> None:
    assert judged(client, server, flags).startswith(what)


@pytest.mark.parametrize(("client", "server"), [("0.40.0", "0.40.0"), ("0.40.1", "0.40.0"), ("0.40.1", "0.32.5")])
def test_a_later_release_with_the_flags_again_is_believed(client: str, server: str) -> None:
    assert judged(client, server, flags=True) == ""


def test_an_intel_mac_never_did() -> None:
    assert "Apple silicon only, and this one has an Intel processor" in judged("0.32.5", machine=INTEL)
    assert "Apple silicon only" in not_installed(INTEL).what


def test_elsewhere_than_on_the_three_systems_there_is_none() -> None:
    assert judged("0.32.5", machine=Machine("FreeBSD", "amd64")) == "Ollama makes no images on FreeBSD"


def test_linux_and_windows_need_the_libraries_and_a_mac_has_them() -> None:
    for machine in (LINUX, Machine("Windows", "AMD64")):
        assert "lacks its MLX libraries" in judged("0.32.5", machine=machine, payload=False)
        assert judged("0.32.5", machine=machine) == ""
    assert judged("0.32.5", payload=False) == ""
    assert judged("0.32.5", machine=None, payload=False) == ""


@pytest.mark.parametrize(
    ("machine", "way"),
    [(MAC, "doit ollama:setup"), (LINUX, "OLLAMA_VERSION=0.32.5"), (None, "have the server run Ollama 0.32.5")],
)
def test_the_way_out_is_the_machines_own_and_never_without_the_other_backend(machine: Machine | None, way: str) -> None:
    assert way in hint(machine)
    assert "backend: comfyui" in hint(machine)
    problem = verdict(Versions("0.32.5", "0.32.6"), True, machine, True)
    assert problem
    assert problem.hint == hint(machine)


def test_a_client_that_cannot_is_mended_here_though_its_server_is_elsewhere() -> None:
    problem = verdict(Versions("0.32.6", "0.32.5"), False, None, True)
    assert problem
    assert problem.hint == "install Ollama 0.32.5 here, or use another backend: backend: comfyui"


def test_where_none_is_installed_or_runs_the_first_step_is_told() -> None:
    assert not_installed(LINUX).what == "Ollama is not installed: there is no ollama on PATH"
    assert "'ollama serve'" in not_running("h:1", MAC).hint
    assert not_running("h:1", None).hint == "start it there, or correct OLLAMA_HOST"


@given(st.text(max_size=12), st.text(max_size=12), st.booleans(), st.booleans())
def test_whatever_they_call_themselves_is_judged(client: str, server: str, flags: bool, payload: bool) -> None:
    for machine in (MAC, LINUX, None):
        assert isinstance(judged(client, server, flags, machine, payload), str)


def test_this_machine_is_named_as_python_names_it() -> None:
    assert this_machine().system == platform.system()


@pytest.fixture
def executable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("OLLAMA_LIBRARY_PATH", raising=False)
    path = tmp_path / "usr/bin/ollama"
    path.parent.mkdir(parents=True)
    path.touch()
    return path


@pytest.mark.parametrize(
    ("library", "there"),
    [
        ("lib/ollama/libmlxc.so", True),
        ("lib/ollama/mlx_cuda_v13/libmlxc.so", True),
        ("bin/lib/ollama/mlx_cuda_v13/mlxc.dll", True),
        ("lib/ollama/libggml-base.so", False),
        ("lib/ollama/cuda_v13/libmlxc.so", False),
    ],
)
def test_the_libraries_are_looked_for_where_ollama_does(executable: Path, library: str, there: bool) -> None:
    path = executable.parents[1] / library
    path.parent.mkdir(parents=True)
    path.touch()
    assert has_payload(executable) is there
    link = executable.parents[2] / "ollama"
    link.symlink_to(executable)
    assert has_payload(link) is there


def test_of_an_unusual_installation_nothing_is_claimed(executable: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert has_payload(executable)
    (executable.parents[1] / "lib/ollama").mkdir(parents=True)
    assert not has_payload(executable)
    monkeypatch.setenv("OLLAMA_LIBRARY_PATH", "/opt")
    assert has_payload(executable)
