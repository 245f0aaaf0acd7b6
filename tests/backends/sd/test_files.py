"""Where model files are found, and the digest that they have together."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from imagegen.backends.models import digest_cache, list_model_folders
from imagegen.backends.sd.files import find_digest, find_model_file
from imagegen.config.settings import Settings
from tests.backends.sd.project import SdProject

SPLIT = {"diffusion_model": "unet.gguf", "llm": "llm.gguf", "vae": "vae.gguf"}
PATHS = {
    "unet.gguf": "tools/models/diffusion_models/unet.gguf",
    "llm.gguf": "tools/ComfyUI/models/clip/llm.gguf",
    "vae.gguf": "own/vae.gguf",
}
SETTINGS = Settings(comfyui_model_paths=(("vae", ("own",)),))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project with a model in three files, each in another folder that is searched."""
    for name, path in PATHS.items():
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_bytes(name.encode())
    return tmp_path


def digest(root: Path, files: Mapping[str, str] = SPLIT) -> str | None:
    return find_digest(root, SETTINGS, files)


def replace_unnoticed(path: Path) -> None:
    """Change the bytes of a file, and neither its size nor its mtime: whoever doesn't read it doesn't notice."""
    before = path.stat()
    path.write_bytes(bytes(before.st_size))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_the_digest_of_one_file_is_its_own(root: Path) -> None:
    assert digest(root, {"model": "own/vae.gguf"}) == hashlib.sha256(b"vae.gguf").hexdigest()


def test_the_digest_of_several_is_of_all_and_of_what_each_is_for(root: Path) -> None:
    whole = digest(root)
    assert whole
    assert digest(root, dict(reversed(SPLIT.items()))) == whole
    others = [
        digest(root, {part: name for part, name in SPLIT.items() if part != "vae"}),
        digest(root, {**SPLIT, "clip_l": "llm.gguf"}),
        digest(root, {"diffusion_model": "unet.gguf", "t5xxl": "llm.gguf", "vae": "vae.gguf"}),
    ]
    (root / PATHS["llm.gguf"]).write_bytes(b"another")
    others.append(digest(root))
    assert len({whole, *others}) == 5


def test_without_one_of_the_files_there_is_no_digest(root: Path) -> None:
    (root / PATHS["vae.gguf"]).unlink()
    assert digest(root) is None
    assert digest(root, {}) is None


def test_files_are_read_again_only_if_their_size_or_mtime_changes(root: Path) -> None:
    whole = digest(root)
    for path in PATHS.values():
        replace_unnoticed(root / path)
    assert digest(root) == whole
    os.utime(root / PATHS["vae.gguf"], ns=(0, 0))
    assert digest(root) != whole
    assert digest_cache(root).is_file()


def test_a_name_is_looked_for_in_all_folders_of_its_kinds_and_a_path_in_none(root: Path) -> None:
    folders = list_model_folders(root, SETTINGS)
    for part, name in SPLIT.items():
        assert find_model_file(root, folders, part, name) == str(root / PATHS[name])
    assert find_model_file(root, folders, "vae", "llm.gguf") == ""
    assert find_model_file(root, folders, "model", "own/vae.gguf") == str(root / "own/vae.gguf")
    assert find_model_file(root, folders, "model", str(root / "own/vae.gguf")) == str(root / "own/vae.gguf")


def test_a_run_with_nothing_to_do_reads_no_model_file(project: SdProject) -> None:
    project.build_job()
    model = project.models / "checkpoints/one.safetensors"
    replace_unnoticed(model)
    assert project.doit().closing.startswith("3 fresh, nothing to do")
    os.utime(model, ns=(0, 0))
    assert "the model's files changed: " in project.doit("why").out
