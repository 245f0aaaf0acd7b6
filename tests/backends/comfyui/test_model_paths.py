from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from imagegen.backends.comfyui.install import write_model_paths
from imagegen.backends.models import EXTRA_PATHS, list_model_folders
from imagegen.config.settings import Settings


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "tools/ComfyUI").mkdir(parents=True)
    (tmp_path / "sd").mkdir()
    (tmp_path / "Länder, #1: 'alt'").mkdir()
    return tmp_path


def settings(**paths: tuple[str, ...]) -> Settings:
    return replace(Settings(), comfyui_model_paths=tuple(paths.items()))


def test_it_is_what_comfyui_reads(root: Path) -> None:
    folders = ("sd", "Länder, #1: 'alt'")
    message = write_model_paths(root, settings(checkpoints=folders, loras=(str(root / "sd"),)))
    assert message == ["tools/ComfyUI/extra_model_paths.yaml: written"]
    read = yaml.safe_load((root / EXTRA_PATHS).read_text("utf-8"))
    assert {kind: lines.splitlines() for kind, lines in read["imagegen"].items()} == {
        "checkpoints": [str(root / folder) for folder in folders],
        "loras": [str(root / "sd")],
    }


def test_it_follows_the_settings_and_is_written_only_when_they_change(root: Path) -> None:
    write_model_paths(root, settings(checkpoints=("sd",)))
    before = (root / EXTRA_PATHS).stat().st_mtime_ns
    assert write_model_paths(root, settings(checkpoints=("sd",))) == []
    assert (root / EXTRA_PATHS).stat().st_mtime_ns == before
    assert write_model_paths(root, settings(loras=("sd",))) == ["tools/ComfyUI/extra_model_paths.yaml: written"]
    assert "checkpoints" not in (root / EXTRA_PATHS).read_text("utf-8")
    assert len(write_model_paths(root, settings())) == 1
    assert not (root / EXTRA_PATHS).exists()
    assert write_model_paths(root, settings()) == []


def test_one_that_somebody_else_wrote_stays(root: Path) -> None:
    (root / EXTRA_PATHS).write_text("mine: {checkpoints: /sd}\n")
    (message,) = write_model_paths(root, settings(checkpoints=("sd",)))
    assert "was not written by doit comfyui:setup, and is left as it is" in message
    assert write_model_paths(root, settings()) == []
    assert (root / EXTRA_PATHS).read_text() == "mine: {checkpoints: /sd}\n"


def test_a_folder_that_is_not_there_is_told(root: Path) -> None:
    message = write_model_paths(root, settings(checkpoints=("sd", "/nowhere/at/all")))
    assert message[1:] == [
        "tools/ComfyUI/extra_model_paths.yaml: checkpoints: the folder /nowhere/at/all does not exist yet"
    ]


def test_comfyui_finds_what_is_in_tools_models_and_ones_own_folders_come_first(root: Path) -> None:
    (root / "tools/models/vae").mkdir(parents=True)
    (root / "tools/models/loras").mkdir()
    (root / "tools/models/.imagegen.lock").touch()
    write_model_paths(root, settings(loras=("sd",)))
    read = yaml.safe_load((root / EXTRA_PATHS).read_text("utf-8"))
    assert {kind: lines.splitlines() for kind, lines in read["imagegen"].items()} == {
        "loras": [str(root / "sd"), str(root / "tools/models/loras")],
        "vae": [str(root / "tools/models/vae")],
    }
    assert list_model_folders(root, settings())["vae"].count(str(root / "tools/models/vae")) == 1
    assert write_model_paths(root, settings(loras=("sd",))) == []
    shutil.rmtree(root / "tools/models")
    write_model_paths(root, settings())
    assert not (root / EXTRA_PATHS).exists()
