from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from imagegen.backends.comfyui.environment import VENV, Environment
from imagegen.backends.comfyui.install import Step, announce, setup
from imagegen.backends.models import FOLDER
from imagegen.config.settings import Settings
from imagegen.errors import ImagegenError
from tests.backends.comfyui.upstream import Index, Upstream, git

Prepare = Callable[[Settings], None]
Version = Callable[[str], str]


def is_complete(root: Path) -> bool:
    environment = Environment(root)
    torch = environment.torch
    return torch is not None and environment.has_torch(torch) and environment.has_requirements()


def refused(root: Path, settings: Settings, torch: str = "") -> str:
    with pytest.raises(ImagegenError) as caught:
        setup(root, settings, torch)
    return str(caught.value)


def files(folder: Path) -> dict[str, int]:
    return {str(path): path.lstat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def requires(upstream: Upstream, requirements: str, tag: str = "v1") -> None:
    if tag == "v1":
        git(upstream.folder, "tag", "-d", "v1")
    upstream.release(tag, **{"requirements.txt": requirements})


@pytest.fixture
def cpu(tmp_path: Path, index: Index) -> Index:
    """PyTorch's own index, with builds that pip's index does not have; that one has newer ones of another build."""
    builds = Index(tmp_path / "cpu")
    for name in ("torch", "torchvision"):
        builds.add(name, "2.7.0+cpu")
        index.add(name, "2.8.0+cu130")
    index.add("needs-torch", "1.0", requires="torch")
    return builds


def test_it_sets_up_says_what_it_downloads_first_and_does_nothing_the_second_time(
    root: Path,
    settings: Settings,
    upstream: Upstream,
    index: Index,
    version: Version,
    capfd: pytest.CaptureFixture[str],
) -> None:
    index.add("plain", "1.0")
    requires(upstream, "plain\n")
    setup(root, settings)
    message = capfd.readouterr().out
    announced, _, rest = message.partition(" are free\n")
    assert f"ComfyUI v1, a git clone of {upstream.folder}: about 80 MB" in announced
    assert f"its own venv, of Python {sys.version.split()[0]} ({sys.executable})" in announced
    assert "PyTorch: none (as you ask)" in announced
    assert "about 780 MB to download, about 2.2 GB on disk" in announced
    assert "fetching" in rest
    commit = git(upstream.folder, "rev-parse", "HEAD")
    assert f"ComfyUI is installed in tools/ComfyUI: v1, git revision {commit}\n" in rest
    assert version("plain") == "1.0"

    before = files(root / "tools")
    shutil.rmtree(upstream.folder)
    shutil.rmtree(index.folder)
    setup(root, settings)
    assert capfd.readouterr().out.splitlines()[0].startswith("ComfyUI is installed in")
    assert files(root / "tools") == before


def test_the_build_comes_from_its_own_index_and_no_requirement_replaces_it(
    root: Path, settings: Settings, upstream: Upstream, cpu: Index, prepare: Prepare, version: Version
) -> None:
    requires(upstream, "torch>=2.0\ntorchvision  # pictures\nneeds-torch\n")
    settings = replace(settings, comfyui_torch="cpu", comfyui_torch_index=cpu.url)
    prepare(settings)
    setup(root, settings)
    assert version("torch") == version("torchvision") == "2.7.0+cpu"
    assert version("needs-torch") == "1.0"


@pytest.mark.long
def test_a_requirement_that_needs_another_build_fails_and_leaves_the_build(
    root: Path, settings: Settings, upstream: Upstream, index: Index, cpu: Index, prepare: Prepare, version: Version
) -> None:
    index.add("needs-newer", "1.0", requires="torch>=2.8")
    requires(upstream, "torch\nneeds-newer\n")
    settings = replace(settings, comfyui_torch="cpu", comfyui_torch_index=cpu.url)
    prepare(settings)
    assert "torch==2.7.0+cpu" in refused(root, settings)
    assert version("torch") == "2.7.0+cpu"


@pytest.mark.long
def test_none_installs_no_pytorch_even_for_what_asks_for_it(
    root: Path,
    settings: Settings,
    upstream: Upstream,
    cpu: Index,
    prepare: Prepare,
    version: Version,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    del cpu
    constraints = root.parent / "constraints.txt"
    constraints.write_text("needs-torch==1.0\ntorch==2.7.0\n")
    monkeypatch.setenv("PIP_CONSTRAINT", str(constraints))
    requires(upstream, "torch\ntorchvision\nneeds-torch\n")
    prepare(settings)
    setup(root, settings)
    assert version("needs-torch") == "1.0"
    assert version("torch") == version("torchvision") == ""


@pytest.mark.long
def test_another_build_replaces_the_one_there_and_auto_keeps_it(
    root: Path,
    settings: Settings,
    upstream: Upstream,
    cpu: Index,
    tmp_path: Path,
    prepare: Prepare,
    version: Version,
    capfd: pytest.CaptureFixture[str],
) -> None:
    requires(upstream, "torch\n")
    cuda = Index(tmp_path / "cuda")
    cuda.add("torch", "2.7.0+cu130")
    prepare(settings)
    setup(root, replace(settings, comfyui_torch="cpu", comfyui_torch_index=cpu.url))
    assert version("torch") == "2.7.0+cpu"
    setup(root, replace(settings, comfyui_torch="cpu", comfyui_torch_index=cuda.url), "cuda")
    assert version("torch") == "2.7.0+cu130"
    capfd.readouterr()
    setup(root, replace(settings, comfyui_torch="auto"))
    assert capfd.readouterr().out.splitlines()[-1].endswith("PyTorch: cuda")
    assert version("torch") == "2.7.0+cu130"


@pytest.mark.long
def test_an_update_installs_what_the_new_release_asks_for(
    root: Path, settings: Settings, upstream: Upstream, index: Index, cpu: Index, prepare: Prepare, version: Version
) -> None:
    index.add("plain", "1.0")
    index.add("plain", "2.0")
    requires(upstream, "torch\nplain==1.0\n")
    settings = replace(settings, comfyui_torch="cpu", comfyui_torch_index=cpu.url)
    prepare(settings)
    mine = root / FOLDER / "custom_nodes" / "mine.py"
    setup(root, settings)
    mine.parent.mkdir()
    mine.write_text("mine")
    cpu.add("torch", "2.9.0+cpu")
    requires(upstream, "torch>=2.9\nplain==2.0\n", "v2")
    setup(root, replace(settings, comfyui_revision="v2"), newest=True)
    assert (root / FOLDER / "main.py").read_text() == "print('v2')\n"
    assert (version("plain"), version("torch")) == ("2.0", "2.9.0+cpu")
    assert mine.read_text() == "mine"


@pytest.mark.long
def test_a_failing_pip_is_told_in_its_own_words_and_the_next_set_up_goes_on_from_there(
    root: Path, settings: Settings, upstream: Upstream, index: Index, prepare: Prepare, version: Version
) -> None:
    requires(upstream, "plain\n")
    prepare(settings)
    text = refused(root, settings)
    assert text.startswith("the packages of tools/ComfyUI/requirements.txt cannot be installed (exit code 1):\n    | ")
    assert "| ERROR: No matching distribution found for plain\n" in text
    assert text.endswith("check the network; fix that and run it again: what is done stays done")
    python = Environment(root).python
    made = python.lstat().st_mtime_ns
    index.add("plain", "1.0")
    setup(root, settings)
    assert version("plain") == "1.0"
    assert python.lstat().st_mtime_ns == made


@pytest.mark.long
def test_pytorch_that_cannot_be_had_is_told_with_its_index(
    root: Path, settings: Settings, upstream: Upstream, prepare: Prepare, tmp_path: Path
) -> None:
    requires(upstream, "torch\n")
    prepare(settings)
    empty = Index(tmp_path / "empty")
    text = refused(root, replace(settings, comfyui_torch_index=empty.url), "cpu")
    assert text.startswith(f"PyTorch cannot be installed from {empty.url} (exit code 1):\n")
    assert "comfyui.torch_index" in text


KILLER = """
import os, pathlib, signal, sys, zipfile

def build_wheel(folder, config_settings=None, metadata_directory=None):
    victim = pathlib.Path(r"{victim}")
    if victim.exists():
        os.kill(int(victim.read_text()), signal.SIGKILL)
        sys.exit("killed")
    with zipfile.ZipFile(pathlib.Path(folder, "killer-1.0-py3-none-any.whl"), "w") as wheel:
        wheel.writestr("killer.py", "")
        at = "killer-1.0.dist-info"
        wheel.writestr(at + "/METADATA", "Metadata-Version: 2.1\\nName: killer\\nVersion: 1.0\\n")
        wheel.writestr(at + "/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(at + "/RECORD", "")
    return "killer-1.0-py3-none-any.whl"
"""
SETUP = """
import json, os, sys
from pathlib import Path
from imagegen.backends.comfyui.install import setup
from imagegen.config.settings import Settings
Path(sys.argv[1]).write_text(str(os.getpid()))
setup(Path(sys.argv[2]), Settings(**json.loads(sys.argv[3])))
"""


def set_up_apart(victim: Path, root: Path, settings: Settings) -> int:
    """Set up in a process whose number is in `victim`, for something to kill it; the exit code."""
    names = ("comfyui_repository", "comfyui_revision", "comfyui_python", "comfyui_torch")
    given = json.dumps({name: getattr(settings, name) for name in names})
    command = [sys.executable, "-c", SETUP, str(victim), str(root), given]
    code = subprocess.run(command, capture_output=True, text=True, check=False).returncode
    victim.unlink()
    return code


@pytest.mark.long
def test_a_set_up_that_was_killed_while_pip_was_at_work_goes_on(
    root: Path, settings: Settings, upstream: Upstream, tmp_path: Path, prepare: Prepare, version: Version
) -> None:
    victim, source = tmp_path / "victim", tmp_path / "killer"
    source.mkdir()
    (source / "killer_build.py").write_text(KILLER.format(victim=victim))
    (source / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "killer_build"\nbackend-path = ["."]\n'
    )
    requires(upstream, f"killer @ {source.as_uri()}\n")
    prepare(settings)
    assert set_up_apart(victim, root, settings) == -9
    assert version("killer") == ""
    assert not is_complete(root)
    setup(root, settings)
    assert version("killer") == "1.0"


@pytest.mark.long
def test_a_venv_that_was_half_made_is_made_anew(
    root: Path, settings: Settings, tmp_path: Path, upstream: Upstream, index: Index
) -> None:
    index.add("plain", "1.0")
    requires(upstream, "plain\n")
    victim, python = tmp_path / "victim", tmp_path / "python"
    python.write_text(
        f'#!/bin/sh\nif [ "$2" = venv ] && [ -e "{victim}" ]; then\n'
        f'  mkdir -p "$3/bin" "$3/lib"; : > "$3/bin/python"; : > "$3/left-over"; kill -9 "$(cat "{victim}")"; exit 1\nfi\n'
        f'exec "{sys.executable}" "$@"\n'
    )
    python.chmod(0o755)
    settings = replace(settings, comfyui_python=str(python))
    assert set_up_apart(victim, root, settings) == -9
    assert (root / VENV / "left-over").exists()
    assert Environment(root).version == ""
    setup(root, settings)
    assert is_complete(root)
    assert not (root / VENV / "left-over").exists()


@pytest.mark.long
def test_a_venv_whose_python_is_gone_is_made_anew(
    root: Path, settings: Settings, prepare: Prepare, capfd: pytest.CaptureFixture[str]
) -> None:
    prepare(settings)
    setup(root, settings)
    python = Environment(root).python
    python.unlink()
    python.symlink_to(root / "removed")
    capfd.readouterr()
    setup(root, settings)
    assert f"making {VENV} with Python" in capfd.readouterr().out
    assert is_complete(root)


@pytest.mark.long
def test_a_venv_that_the_user_made_is_used_as_it_is(
    root: Path, settings: Settings, upstream: Upstream, index: Index, prepare: Prepare, version: Version
) -> None:
    index.add("plain", "1.0")
    requires(upstream, "plain\n")
    prepare(settings)
    (root / VENV / "imagegen.json").unlink()
    (root / VENV / "mine").write_text("")
    setup(root, settings)
    assert (root / VENV / "mine").exists()
    assert version("plain") == "1.0"


def test_a_venv_of_the_users_without_pip_is_refused_and_stays(
    root: Path, settings: Settings, upstream: Upstream
) -> None:
    git(root, "clone", "--quiet", str(upstream.folder), str(FOLDER))
    (root / VENV).mkdir()
    (root / VENV / "mine").write_text("")
    text = refused(root, settings)
    assert (
        text
        == f"{VENV}: is there already, was not made by doit comfyui:setup, and has no pip that runs\n    move it away"
    )
    assert [path.name for path in (root / VENV).iterdir()] == ["mine"]


def test_too_little_room_is_told_before_anything_is_downloaded(capfd: pytest.CaptureFixture[str]) -> None:
    steps = [Step("PyTorch", 3 * 1024**3, 8 * 1024**3), Step("packages", 0, 1024**3)]
    with pytest.raises(ImagegenError, match=r"about 9\.0 GB are needed, 2\.0 GB are free"):
        announce(steps, free=2 * 1024**3)
    assert "  PyTorch: about 3.0 GB\n  packages\n" in capfd.readouterr().out
    announce(steps, free=10 * 1024**3)


def test_a_repository_that_is_no_comfyui_is_told(root: Path, settings: Settings, upstream: Upstream) -> None:
    (upstream.folder / "requirements.txt").unlink()
    upstream.release("v2")
    text = refused(root, replace(settings, comfyui_revision="v2"))
    assert text.startswith(f"comfyui.repository: {upstream.folder} has no requirements.txt at v2\n")


def test_two_set_ups_at_once_do_not_collide(root: Path, settings: Settings) -> None:
    (root / ".imagegen").mkdir()
    code = f"import filelock, sys\nwith filelock.FileLock({str(root / '.imagegen/comfyui-setup.lock')!r}):\n"
    code += "    print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout
        other.stdout.readline()
        assert refused(root, settings).startswith("another doit is installing ComfyUI here\n")
    assert not (root / "tools").exists()


def test_a_folder_that_cannot_be_written_is_told(root: Path, settings: Settings) -> None:
    (root / "tools").write_text("a file")
    assert "tools" in refused(root, settings)


@pytest.mark.long
def test_a_python_that_was_changed_in_the_settings_is_told(
    root: Path, settings: Settings, prepare: Prepare, capfd: pytest.CaptureFixture[str]
) -> None:
    prepare(settings)
    setup(root, settings)
    setup(root, replace(settings, comfyui_python="python3"))
    assert f"comfyui.python has changed since {VENV} was made" in capfd.readouterr().out


def test_secrets_go_to_no_program(
    root: Path, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_hidden-word")
    monkeypatch.setenv("COMFYUI_AUTH", "Bearer hidden-word")
    seen, python = tmp_path / "seen", tmp_path / "python"
    python.write_text(f'#!/bin/sh\nenv >> "{seen}"\nexit 1\n')
    python.chmod(0o755)
    refused(root, replace(settings, comfyui_python=str(python)))
    assert "PATH=" in seen.read_text()
    assert "hidden-word" not in seen.read_text()
