from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from imagegen.backends.download import partial_path
from imagegen.backends.models import (
    digest_cache,
    download_path,
    find_missing_models,
    find_obstacles,
    hash_model,
    inspect_model,
    list_model_folders,
    remember_digest,
    select_models,
)
from imagegen.config.models import ModelFile
from imagegen.config.settings import Settings
from imagegen.errors import ImagegenError
from tests.backends.file_server import listed

DATA = b"weights" * 100
_BUILT_IN = Settings()
COMFYUI = Path("tools/ComfyUI")


def model(key: str = "m", **changes: Any) -> ModelFile:
    return listed(key, DATA, **{"url": f"https://example.org/{key}.safetensors"} | changes)


def put(path: Path, data: bytes = DATA) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    put(tmp_path / COMFYUI / "main.py", b"")
    return tmp_path


def test_a_model_belongs_into_comfyuis_folder_or_the_first_of_ones_own(root: Path) -> None:
    assert download_path(root, Settings(), model(name="sd15/a.pt")) == root / COMFYUI / "models/checkpoints/sd15/a.pt"
    own = Settings(comfyui_model_paths=(("checkpoints", ("/big/sd", "/other")), ("loras", ("lora",))))
    assert download_path(root, own, model()) == Path("/big/sd/m.safetensors")
    assert download_path(root, own, model(folder="loras")) == root / "lora/m.safetensors"
    assert download_path(root, own, model(folder="vae")) == root / COMFYUI / "models/vae/m.safetensors"


def test_without_comfyui_it_belongs_into_a_folder_of_no_program_and_stays_there(tmp_path: Path) -> None:
    path = tmp_path / "tools/models/checkpoints/m.safetensors"
    assert download_path(tmp_path, Settings(), model()) == path
    put(partial_path(path), DATA[:300])
    put(tmp_path / COMFYUI / "main.py", b"")  # installed meanwhile
    assert inspect_model(tmp_path, Settings(), model()).state == "partly"
    put(path)
    assert inspect_model(tmp_path, Settings(), model()).path == path
    own = Settings(comfyui_model_paths=(("checkpoints", ("/big/sd",)),))
    assert download_path(tmp_path, own, model()) == Path("/big/sd/m.safetensors")
    assert inspect_model(tmp_path, own, model()).path == path


def test_it_is_there_where_size_and_sha256_are_its_own_in_any_folder_of_its_kind(root: Path) -> None:
    settings = Settings(comfyui_checkpoint_dirs=("mine",), comfyui_model_paths=(("checkpoints", ("one", "two")),))
    for folder in ("one", "two", "mine", COMFYUI / "models/checkpoints", "tools/models/checkpoints"):
        assert inspect_model(root, settings, model()).state == "missing"
        path = put(root / folder / "m.safetensors")
        found = inspect_model(root, settings, model())
        assert (found.state, found.path, found.missing_bytes) == ("there", path, 0)
        path.unlink()


def test_a_file_of_another_size_or_content_is_another_file(root: Path) -> None:
    for other in (DATA + b"x", DATA[:-1] + b"x"):
        put(download_path(root, Settings(), model()), other)
        assert inspect_model(root, Settings(), model()).state == "other"


def test_a_download_that_was_cut_short_is_known(root: Path) -> None:
    put(partial_path(download_path(root, Settings(), model())), DATA[:300])
    found = inspect_model(root, Settings(), model())
    assert (found.state, found.bytes, found.missing_bytes) == ("partly", 300, 400)


def test_a_file_is_read_once_and_what_was_just_downloaded_not_at_all(root: Path) -> None:
    path = put(download_path(root, Settings(), model()))
    remember_digest(str(path), model().sha256, digest_cache(root))
    before = path.stat()
    path.write_bytes(b"x" * len(DATA))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert inspect_model(root, Settings(), model()).state == "there"
    os.utime(path, ns=(0, 0))
    assert inspect_model(root, Settings(), model()).state == "other"
    assert hash_model(str(path), digest_cache(root)) == hashlib.sha256(b"x" * len(DATA)).hexdigest()


def test_names_choose_models_and_one_that_is_not_listed_is_told() -> None:
    models = [model("one"), model("two")]
    assert select_models(models, []) == models
    assert select_models(models, ["two", "two"]) == [models[1]]
    with pytest.raises(ImagegenError, match=r"no model 'tow' is listed; did you mean 'two'\?\n    listed are one, two"):
        select_models(models, ["tow"])
    with pytest.raises(ImagegenError, match="list it in"):
        select_models([], ["two"])


def test_both_folders_of_the_project_are_searched_for_every_kind(root: Path) -> None:
    found = list_model_folders(root, Settings(comfyui_model_paths=(("vae", ("mine",)),)))
    assert found["vae"] == [str(root / folder) for folder in ("mine", COMFYUI / "models/vae", "tools/models/vae")]
    assert str(root / "tools/models/text_encoders") in found["text_encoders"]
    put(root / "tools/models/embeddings/e.safetensors")  # of a kind that no loader names
    assert inspect_model(root, Settings(), model(folder="embeddings", name="e.safetensors")).state == "there"


def test_what_lacks_is_told_by_comfyuis_name_with_the_command_that_gets_it(root: Path) -> None:
    models = (model("one", name="sd/a.pt"), model("two"), model("three", folder="vae", name="sd/a.pt"))
    settings = Settings(models=models)
    put(download_path(root, settings, models[1]), b"whatever it is, it is there")
    assert find_missing_models(root, settings) == {"sd/a.pt": "doit models:pull one three"}


def list_obstacles(root: Path, *models: ModelFile, settings: Settings = _BUILT_IN) -> list[str]:
    return [str(problem) for problem in find_obstacles(root, [inspect_model(root, settings, one) for one in models])]


def test_nothing_is_in_the_way_where_there_is_room(root: Path) -> None:
    assert list_obstacles(root, model("one"), model("two")) == []


def test_too_little_room_is_told_before_anything_is_asked_for(root: Path) -> None:
    free = shutil.disk_usage(root).free
    one, two = (model(key, size=int(free * 0.6)) for key in ("one", "two"))
    assert list_obstacles(root, one) == []
    (reported,) = list_obstacles(root, one, two)
    assert reported.startswith("one, two: ")
    assert "free on the disk of tools/ComfyUI/models/checkpoints\n    make room, or move the folder" in reported


def test_another_file_in_its_place_is_not_replaced(root: Path) -> None:
    put(download_path(root, Settings(), model()), b"mine")
    (reported,) = list_obstacles(root, model())
    assert reported.startswith(
        "m: tools/ComfyUI/models/checkpoints/m.safetensors exists, but is not the file that is listed"
    )
