"""Which kind of model a file is, and what it is for, by the names of its tensors."""

from __future__ import annotations

from pathlib import Path

import pytest

from imagegen.backends.sd.model_header import ModelHeader, read_header
from imagegen.backends.sd.model_kind import PREFIXES, find_role, inspect_model
from tests.backends.sd.model_files import Kind, write_model


def header(folder: Path, kind: Kind, suffix: str = ".safetensors") -> ModelHeader:
    return read_header(write_model(folder / f"{kind}{suffix}", kind))


def of(*names: str, **shapes: tuple[int, ...]) -> ModelHeader:
    return ModelHeader("safetensors", 1, {name: shapes.get(name, (1,)) for name in names})


@pytest.mark.parametrize(
    ("kind", "part", "name", "multiple"),
    [
        ("sd1", "model", "SD 1.x", 64),
        ("sd2", "model", "SD 2.x", 64),
        ("sdxl", "model", "SDXL", 64),
        ("sd3", "diffusion_model", "SD 3", 8),
        ("flux", "diffusion_model", "FLUX.1", 8),
        ("flux2_klein", "diffusion_model", "FLUX.2", 16),
        ("z_image", "diffusion_model", "Z-Image", 8),
        ("qwen_image", "diffusion_model", "Qwen-Image", 8),
    ],
)
@pytest.mark.parametrize("suffix", [".safetensors", ".gguf"])
def test_a_kind_and_the_multiple_of_its_sizes(
    kind: Kind, part: str, name: str, multiple: int, suffix: str, tmp_path: Path
) -> None:
    found = inspect_model({part: header(tmp_path, kind, suffix)}).kind
    assert found
    assert (found.name, found.multiple) == (name, multiple)


@pytest.mark.parametrize(
    ("tensor", "name", "multiple"),
    [
        ("distilled_guidance_layer.in_proj.weight", "Chroma", 8),
        ("nerf_final_layer_conv.conv.weight", "Chroma Radiance", 1),
        ("double_blocks.0.img_mlp.gate_proj.weight", "Ovis-Image", 8),
        ("layers.0.adaLN_sa_ln.weight", "ERNIE-Image", 16),
    ],
)
def test_kinds_made_from_others(tensor: str, name: str, multiple: int) -> None:
    found = inspect_model({"diffusion_model": of("double_blocks.0.img_attn.qkv.weight", tensor)}).kind
    assert found
    assert (found.name, found.multiple) == (name, multiple)


@pytest.mark.parametrize(
    "found",
    [
        of("double_blocks.0.img_attn.qkv.weight", "txt_in.individual_token_refiner.blocks.0.x"),
        of("double_blocks.0.img_attn.qkv.weight", "txt_in.weight", **{"txt_in.weight": (3584, 3072)}),
        of("transformer_blocks.0.img_mod.1.weight", "img_in.weight", **{"img_in.weight": (128, 3072)}),
        of("blocks.0.cross_attn.norm_k.weight"),
        of("something.new"),
        of(),
    ],
)
def test_what_only_looks_alike_is_not_known(found: ModelHeader) -> None:
    assert inspect_model({"diffusion_model": found}).kind is None


def test_a_unet_by_itself_is_not_recognised_as_the_engine_recognises_none(tmp_path: Path) -> None:
    unet, clip = header(tmp_path, "sd1_unet"), header(tmp_path, "clip_l")
    assert inspect_model({"diffusion_model": unet, "clip_l": clip}).kind is None


def test_a_unet_with_eight_channels_edits_a_reference_image(tmp_path: Path) -> None:
    sd1 = header(tmp_path, "sd1")
    edits = {**sd1.tensors, "model.diffusion_model.input_blocks.0.0.weight": (3, 3, 8, 320)}
    for tensors, takes in ((sd1.tensors, False), (edits, True)):
        found = inspect_model({"model": ModelHeader("safetensors", 1, tensors)}).kind
        assert found
        assert found.takes_references is takes


@pytest.mark.parametrize(
    ("kind", "role"),
    [
        ("sd1", "checkpoint"),
        ("sdxl", "checkpoint"),
        ("sd1_unet", "diffusion model"),
        ("flux", "diffusion model"),
        ("z_image", "diffusion model"),
        ("vae", "VAE"),
        ("flux2_vae", "VAE"),
        ("clip_l", "text encoder"),
        ("t5xxl", "text encoder"),
        ("llm", "text encoder"),
        ("lora", "LoRA"),
    ],
)
@pytest.mark.parametrize("suffix", [".safetensors", ".gguf"])
def test_what_a_file_is_by_itself(kind: Kind, role: str, suffix: str, tmp_path: Path) -> None:
    assert find_role(header(tmp_path, kind, suffix)) == role


@pytest.mark.parametrize(
    "tensor",
    [
        "diffusion_model.layers.0.attention.qkv.lora_A.weight",
        "diffusion_model.double_blocks.0.img_attn.qkv.lokr_w1",
        "double_blocks.0.img_attn.qkv.diff",
        "transformer.x.lora.down.weight",
        "lora_te_x.lora_up.weight",
    ],
)
def test_a_lora_is_one_whatever_it_is_for(tensor: str) -> None:
    assert find_role(of(tensor)) == "LoRA"


def test_of_what_is_not_known_nothing_is_said() -> None:
    assert find_role(of("strange.weight")) == ""


def test_what_the_files_are_together(tmp_path: Path) -> None:
    flux = {"diffusion_model": header(tmp_path, "flux")}
    alone = inspect_model(flux)
    assert (alone.has_vae, alone.has_encoder, alone.has_guidance) == (False, False, True)
    whole = inspect_model({**flux, "vae": header(tmp_path, "vae"), "clip_l": header(tmp_path, "clip_l")})
    assert (whole.has_vae, whole.has_encoder) == (True, True)
    assert whole.bytes > alone.bytes
    checkpoint = inspect_model({"model": header(tmp_path, "sd1")})
    assert (checkpoint.has_vae, checkpoint.has_encoder, checkpoint.has_guidance) == (True, True, False)


def test_weights_that_are_only_for_training_do_not_count() -> None:
    kept = ModelHeader("safetensors", 30, {"a": (1,), "model_ema.a": (1,)}, {"a": 10, "model_ema.a": 20})
    assert inspect_model({"model": kept}).bytes == 10


def test_each_option_of_a_file_has_its_prefix() -> None:
    from imagegen.backends.sd.section import PARTS

    assert [*PREFIXES] == [*PARTS]
