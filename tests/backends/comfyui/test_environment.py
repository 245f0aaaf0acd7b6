"""ComfyUI's own venv: which Python it is made from, and which build of PyTorch it gets."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from imagegen.backends.comfyui.environment import BUILDS, detect_build, find_python
from imagegen.config.settings import SETTINGS
from imagegen.errors import ImagegenError

__all__ = []


OWN = sys.version_info[:3]
RECOMMENDED = ((3, 12), (3, 13))


def fake_python(folder: Path, name: str, answer: str) -> None:
    """A program that answers as a Python of that version does, asked what it is."""
    (folder / name).write_text(f'#!/bin/sh\necho "{answer}"\n')
    (folder / name).chmod(0o755)


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The one folder with programs that is searched."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def test_a_recommended_version_comes_first(programs: Path) -> None:
    fake_python(programs, "python3.13", "3 13 1 venv ensurepip")
    fake_python(programs, "python3.12", "3 12 4 venv ensurepip")
    assert str(find_python(programs, "")) == f"Python 3.12.4 ({programs / 'python3.12'})"


def test_one_that_does_not_run_or_makes_no_venv_is_passed_over(programs: Path) -> None:
    fake_python(programs, "python3.12", "")
    fake_python(programs, "python3.13", "3 13 1 venv")
    assert find_python(programs, "").version == OWN


@pytest.mark.skipif(OWN[:2] != (3, 11), reason="which one is better depends on the Python of the tests")
@pytest.mark.parametrize("worse", ["3 10 1", "3 14 0", "3 9 2"])
def test_others_are_worse(programs: Path, worse: str) -> None:
    fake_python(programs, "python3", f"{worse} venv ensurepip")
    assert find_python(programs, "").version == OWN


def test_the_one_that_the_settings_name_is_taken(programs: Path) -> None:
    fake_python(programs, "python3.12", "3 12 4 venv ensurepip")
    fake_python(programs, "mine", "3 10 2 venv ensurepip")
    assert find_python(programs, "mine").version == (3, 10, 2)
    assert find_python(programs / "..", f"{programs.name}/mine").version == (3, 10, 2)


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        ("", "mine does not run"),
        ("3 9 2 venv ensurepip", "mine is Python 3.9.2, and ComfyUI needs 3.10 or newer"),
        ("3 12 4 venv", "mine has no venv module (on Debian and Ubuntu: apt install python3.12-venv)"),
    ],
)
def test_one_of_the_settings_that_will_not_do_is_told(programs: Path, answer: str, found: str) -> None:
    fake_python(programs, "mine", answer)
    with pytest.raises(ImagegenError) as caught:
        find_python(programs, "mine")
    assert caught.value.problems[0].where == "comfyui.python"
    assert caught.value.problems[0].what.endswith(found)


pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or Path("/dev/kfd").exists(), reason="a machine whose build is told by something else"
)


def program(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_an_nvidia_gpu_wants_cuda(programs: Path) -> None:
    program(programs / "nvidia-smi", 'echo "GPU 0: NVIDIA GeForce RTX 3060 (UUID: GPU-1)"')
    program(programs / "rocminfo", "")
    assert detect_build() == ("cuda", "nvidia-smi lists NVIDIA GeForce RTX 3060")


@pytest.mark.parametrize("script", ["exit 9", 'echo "No devices were found"'])
def test_a_driver_without_a_gpu_is_no_gpu(programs: Path, script: str) -> None:
    program(programs / "nvidia-smi", script)
    assert detect_build()[0] == "cpu"


def test_an_amd_gpu_wants_rocm(programs: Path) -> None:
    program(programs / "rocminfo", "")
    assert detect_build()[0] == "rocm"


def test_without_a_gpu_it_is_the_cpu(programs: Path) -> None:
    assert list(programs.iterdir()) == []
    assert detect_build()[0] == "cpu"


def test_the_setting_takes_each_build_that_there_is() -> None:
    (setting,) = (setting for setting in SETTINGS if setting.name == "comfyui.torch")
    for name in ("auto", *BUILDS):
        assert setting.kind.read(name) == name
