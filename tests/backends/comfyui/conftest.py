from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from imagegen.backends.comfyui.environment import VENV, Environment, find_python
from imagegen.backends.comfyui.install import Checkout, update_checkout
from imagegen.backends.models import FOLDER
from imagegen.config.settings import Settings
from tests.backends.comfyui.sections import Sections
from tests.backends.comfyui.upstream import Index, Upstream


@pytest.fixture
def sections(tmp_path: Path) -> Sections:
    return Sections(tmp_path)


@pytest.fixture(autouse=True)
def _no_other_index(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A pip that knows no index but the test's own."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", (tmp_path / "index").as_uri())
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")


@pytest.fixture
def index(tmp_path: Path) -> Index:
    """The index that pip asks unless it is told another."""
    return Index(tmp_path / "index")


@pytest.fixture
def upstream(tmp_path: Path) -> Upstream:
    return Upstream(tmp_path / "upstream")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "project").mkdir()
    return tmp_path / "project"


@pytest.fixture
def settings(upstream: Upstream) -> Settings:
    """Of a project that sets up `upstream` with the Python of the tests, and no PyTorch."""
    return replace(
        Settings(),
        comfyui_repository=str(upstream.folder),
        comfyui_revision="v1",
        comfyui_python=sys.executable,
        comfyui_torch="none",
    )


@pytest.fixture(scope="session")
def made_venv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A venv as the set-up makes it, with nothing installed: making one takes seconds, copying it does not."""
    root = tmp_path_factory.mktemp("venv")
    Environment(root).make(find_python(root, sys.executable), sys.executable)
    return root / VENV


@pytest.fixture
def prepare(root: Path, made_venv: Path) -> Callable[[Settings], None]:
    """What brings the project as far as a clone and a venv."""

    def prepared(settings: Settings) -> None:
        update_checkout(Checkout(root, settings.comfyui_repository, settings.comfyui_revision), newest=False)
        shutil.copytree(made_venv, root / VENV, symlinks=True)

    return prepared


@pytest.fixture
def version(root: Path) -> Callable[[str], str]:
    """What tells the installed version of a package; empty where there is none."""

    def ask(name: str) -> str:
        code = f"import importlib.metadata as m; print(m.version({name!r}))"
        python = Environment(root).python
        result = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False, cwd=root / FOLDER)
        return result.stdout.strip()

    return ask
