"""Which kind of model a file is, by its tensors' names, as the engine itself decides it; and what a kind needs.

Source: stable-diffusion.cpp, July and August 2026: `ModelLoader::get_sd_version`, `get_vae_scale_factor`,
`get_diffusion_model_down_factor`, and the constructor of each model. What is not recognised here may well be in another
version: nothing is said against it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from imagegen.backends.sd.model_header import ModelHeader, Shape

__all__ = ["PREFIXES", "Contents", "ModelKind", "Role", "find_role", "find_vae_channels", "inspect_model"]


@dataclass(frozen=True)
class ModelKind:
    """A kind of model.

    Attributes:
        name: as the engine calls it.
        multiple: the engine rounds width and height up to multiples of this.
        encoders: the options that name a text encoder for it, of which it needs one unless that is inside; it uses no
            other.
        has_clip: whether it reads the prompt with CLIP, among others.
        takes_references: whether it looks at reference images; None if some of the kind do.
        needs_vae: whether there must be a VAE, in its file or beside it.
        channels: of the latent images that its VAE decodes; 0 if that isn't one that is looked into.
    """

    name: str
    multiple: int
    encoders: tuple[str, ...] = ()
    has_clip: bool = True
    takes_references: bool | None = False
    needs_vae: bool = True
    channels: int = 0


Role = Literal["checkpoint", "diffusion model", "VAE", "text encoder", "LoRA", ""]
"""What one file is; empty if unknown. A diffusion model has neither a VAE nor a text encoder with it."""

PREFIXES: Mapping[str, str] = {
    "model": "",
    "diffusion_model": "model.diffusion_model.",
    "vae": "vae.",
    "llm": "text_encoders.llm.",
    "clip_l": "text_encoders.clip_l.transformer.",
    "clip_g": "text_encoders.clip_g.transformer.",
    "t5xxl": "text_encoders.t5xxl.transformer.",
}
"""The option that names a file → what the engine puts before its tensors' names that don't begin so already."""
_D = PREFIXES["diffusion_model"]
_LLM = ("llm",)


@dataclass(frozen=True)
class Contents:
    """What the files of a model come to. kind: None if it isn't recognised. bytes: of the weights that are loaded."""

    kind: ModelKind | None
    has_vae: bool
    has_encoder: bool
    has_guidance: bool
    """Whether it has an input for distilled guidance."""
    bytes: int


def inspect_model(headers: Mapping[str, ModelHeader]) -> Contents:
    """Return what these files are together, by the options that name them."""
    shapes: dict[str, Shape] = {}
    size = 0
    for part, header in headers.items():
        prefix = PREFIXES[part]
        for name, shape in header.tensors.items():
            shapes[name if name.startswith(prefix) else prefix + name] = shape
            size += 0 if name.startswith("model_ema.") else header.bytes.get(name, 0)
    names = "\n" + "\n".join(shapes) + "\n"
    return Contents(
        _find_kind(shapes, names),
        any(sign in names for sign in ("\nvae.", "\nfirst_stage_model.", "\ntae.")),
        any(
            sign in names
            for sign in ("\ntext_encoders.", "\ncond_stage_model.", "\nconditioner.", "\nte.", "\ntext_model.")
        ),
        "guidance_in.in_layer.weight" in names,
        size,
    )


def find_role(header: ModelHeader) -> Role:
    """Return what a file is by itself."""
    names = "\n" + "\n".join(header.tensors) + "\n"
    if any(sign in names for sign in _LORAS):
        return "LoRA"
    own = [name for name in header.tensors if name.startswith(_D)]
    bare = {name if own else _D + name: shape for name, shape in header.tensors.items()}
    has_diffusion = bool(own) or _find_dit(bare, "\n" + "\n".join(bare)) is not None or "\ninput_blocks.0.0." in names
    is_vae = any(sign in names for sign in ("\nfirst_stage_model.", "\ndecoder.conv_in.", "\ndecoder.conv1."))
    is_encoder = any(sign in names for sign in _ENCODERS)
    if has_diffusion:
        return "checkpoint" if is_vae or is_encoder else "diffusion model"
    if is_vae:
        return "VAE"
    return "text encoder" if is_encoder else ""


def find_vae_channels(header: ModelHeader) -> int:
    """Return the channels of the latent images that a VAE decodes; 0 if it isn't one that is known here."""
    for name in ("decoder.conv_in.weight", "first_stage_model.decoder.conv_in.weight"):
        shape = header.tensors.get(name, ())
        if len(shape) == 4 and shape[:2] == (3, 3):
            return shape[2]
    return 0


_LORAS = (
    *(".lora_down.", ".lora_up.", ".lora_A.", ".lora_B.", ".lora.down.", ".lora.up."),
    *(".hada_w1_", ".lokr_w1", ".oft_", ".diff\n", ".diff_b\n"),
)
"""Signs of a LoRA, and of its relatives LoHa, LoKr and OFT, whose other names are those of the model that it is for."""
_ENCODERS = (
    *("\ntext_model.encoder.", "\ntext_encoders.", "\ncond_stage_model.", "\nconditioner.embedders."),
    *("\ntoken_embd.weight\n", "\nmodel.embed_tokens.weight\n", "\nencoder.block.0.layer.0.SelfAttention."),
)
"""Signs of a text encoder: CLIP, T5 or a language model, by itself or in a checkpoint."""
_TOKENS = (
    "cond_stage_model.transformer.text_model.embeddings.token_embedding.weight",
    "cond_stage_model.model.token_embedding.weight",
    "text_model.embeddings.token_embedding.weight",
    "te.text_model.embeddings.token_embedding.weight",
    "conditioner.embedders.0.model.token_embedding.weight",
    "conditioner.embedders.0.transformer.text_model.embeddings.token_embedding.weight",
)
"""CLIP's vocabulary, of which the width tells SD 1 from SD 2."""

_FLUX_ENCODERS = ("clip_l", "t5xxl")
_FLUX1 = ModelKind("FLUX.1", 8, _FLUX_ENCODERS, takes_references=None, channels=16)
_CHROMA = ModelKind("Chroma", 8, ("t5xxl",), has_clip=False, takes_references=None, channels=16)
_FLUX2 = ModelKind("FLUX.2", 16, _LLM, has_clip=False, takes_references=True, channels=32)
_DITS: tuple[tuple[str, ModelKind], ...] = (
    (
        f"{_D}nerf_final_layer_conv.",
        ModelKind("Chroma Radiance", 1, ("t5xxl",), has_clip=False, takes_references=None, needs_vae=False),
    ),
    (f"{_D}joint_blocks.", ModelKind("SD 3", 8, ("clip_l", "clip_g", "t5xxl"), channels=16)),
    (
        f"{_D}transformer_blocks.0.img_mod.1.weight",
        ModelKind("Qwen-Image", 8, _LLM, has_clip=False, takes_references=None),
    ),
    (f"{_D}double_stream_modulation_img.lin.weight", _FLUX2),
    (
        f"{_D}double_blocks.0.img_mlp.gate_proj.weight",
        ModelKind("Ovis-Image", 8, _LLM, has_clip=False, takes_references=None),
    ),
    (f"{_D}cap_embedder.0.weight", ModelKind("Z-Image", 8, _LLM, has_clip=False, takes_references=None, channels=16)),
    (
        f"{_D}layers.0.adaLN_sa_ln.weight",
        ModelKind("ERNIE-Image", 16, _LLM, has_clip=False, takes_references=None),
    ),
    (f"{_D}distilled_guidance_layer.in_proj.weight", _CHROMA),
    (f"{_D}double_blocks.", _FLUX1),
)
"""A tensor's name, or how it begins, that only this kind has → the kind; the first that is found counts.

`double_blocks` is in FLUX.1 and in what was made from it: it comes last.
"""
_UNET = 64


def _find_kind(shapes: Mapping[str, Shape], names: str) -> ModelKind | None:
    """Return the kind of a model whose tensors have the engine's prefixes. names: of its tensors, one a line."""
    if found := _find_dit(shapes, names):
        return found
    if not any(sign in names for sign in (f"{_D}input_blocks.", "unet.down_blocks.")) or ".time_mixer." in names:
        return None
    if any(sign in names for sign in ("conditioner.embedders.1", "cond_stage_model.1", "te.1")):
        return _unet("SDXL", shapes, ("clip_l", "clip_g"))
    width = next((shapes[name][0] for name in _TOKENS if shapes.get(name)), 0)
    if width == 768:
        return _unet("SD 1.x", shapes, ("clip_l",))
    return _unet("SD 2.x", shapes, ("clip_l",)) if width == 1024 else None


def _find_dit(shapes: Mapping[str, Shape], names: str) -> ModelKind | None:
    if any(sign in names for sign in _LOOKALIKES):
        return None
    width = next((shapes[name][0] for name in _INPUTS if shapes.get(name)), 0)
    kind = next((kind for sign, kind in _DITS if sign in names), None)
    return None if kind and width in _OTHER_WIDTHS.get(kind.name, ()) else kind


_LOOKALIKES = ("txt_in.individual_token_refiner.", "dual_time_embed.", "net.lq_proj.")
"""What HunyuanVideo, SeFi-Image and PiD have, and none of the kinds here, whose other names they share."""
_INPUTS = (f"{_D}txt_in.weight", f"{_D}context_embedder.weight", f"{_D}img_in.weight")
_OTHER_WIDTHS: Mapping[str, tuple[int, ...]] = {"FLUX.1": (3584,), "Qwen-Image": (128,)}
"""A kind → of what its first input reads, the width that makes it another one: LongCat-Image, Mage-Flow."""


def _unet(name: str, shapes: Mapping[str, Shape], encoders: tuple[str, ...]) -> ModelKind:
    """Return the kind of a UNet; one with eight input channels edits a reference image, as InstructPix2Pix does."""
    shape = shapes.get(f"{_D}input_blocks.0.0.weight", shapes.get("unet.conv_in.weight", ()))
    is_edit = len(shape) > 2 and shape[2] == 8
    return ModelKind(name, _UNET, encoders, takes_references=is_edit, channels=4)
