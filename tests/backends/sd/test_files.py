"""Where model files are found, and the digest that they have together."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from imagegen.backends.models import digest_cache, list_model_folders
from imagegen.backends.sd.files import find_digest, find_model_file, list_files
from imagegen.config.settings import Settings
from imagegen.plan.request import Request
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
    return find_digest(root, SETTINGS, files.items())


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
    assert whole.startswith(hashlib.sha256(b"unet.gguf").hexdigest())  # by which sites know the model
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
    assert digest(root, {"llm": "llm.gguf"}) is None


def test_loras_count_each_by_its_name_and_in_any_order(root: Path) -> None:
    def of(**contents: str) -> str | None:
        for name, content in contents.items():
            (root / name).write_text(content)
        extra = {"files": SPLIT, "loras": {f"{name}": 1.0 for name in contents}}
        return find_digest(root, SETTINGS, list_files(Request("sd", "A", "a", model="unet.gguf", extra=extra)))

    both = of(ink="1", oil="2")
    assert both == of(oil="2", ink="1")
    assert len({digest(root), both, of(ink="1"), of(ink="2", oil="1"), of(ink="1", oil="3")}) == 5
    (root / "oil").unlink()
    assert of(ink="1")
    extra = {"files": SPLIT, "loras": {"ink": 1.0, "oil": 1.0}}
    assert find_digest(root, SETTINGS, list_files(Request("sd", "A", "a", model="m", extra=extra))) is None


@pytest.mark.long
def test_a_lora_that_was_replaced_makes_its_images_stale_alone(project: SdProject) -> None:
    lora = project.model("ink.safetensors", "lora")
    plain, inked = ({"name": name, "prompt": "a cat"} for name in ("plain", "inked"))
    project.job(items=[plain, {**inked, "sd": {"loras": {"ink.safetensors": 0.5}}}])
    assert project.doit().code == 0
    checkpoint = hashlib.sha256((project.models / "checkpoints/one.safetensors").read_bytes()).hexdigest()
    for name in ("plain", "inked"):
        assert f"Model hash: {checkpoint[:10]}, ".encode() in project.image(name).read_bytes()
    project.model("ink.safetensors", "lora", "other weights")
    why = project.doit("why").out
    assert "portraits:inked" in why
    assert "plain" not in why
    assert (changed := re.search("the model's files changed: ([0-9a-f]{12}) → ([0-9a-f]{12})", why))
    assert changed[1] != changed[2]
    assert project.doit().tasks("generated") == ["portraits:inked"]
    lora.unlink()
    assert project.doit().out.startswith("2 fresh")


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
    assert project.is_short()
    (project.models / "checkpoints/another.safetensors").touch()
    assert project.is_short()
    replace_unnoticed(model)
    assert project.doit().closing.startswith("3 fresh, nothing to do")
    os.utime(model, ns=(0, 0))
    assert "the model's files changed: " in project.doit("why").out
