"""Write tiny model files: a valid header with tensor names and types of a real one, and a few bytes of data.

The names are those by which stable-diffusion.cpp recognises a model (`ModelLoader::get_sd_version`), and some of each
part that must be there.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Literal, get_args

__all__ = ["KINDS", "TENSORS", "Kind", "truncate", "write_gguf", "write_model", "write_safetensors"]

Kind = Literal[
    "sd1",
    "sd2",
    "sdxl",
    "sd1_unet",
    "sd3",
    "flux",
    "flux2_klein",
    "z_image",
    "qwen_image",
    "vae",
    "flux2_vae",
    "clip_l",
    "clip_g",
    "t5xxl",
    "llm",
    "lora",
]
KINDS: tuple[Kind, ...] = get_args(Kind)
Shapes = Mapping[str, tuple[int, ...]]

_UNET = {
    "input_blocks.0.0.weight": (2, 4, 1, 1),
    "middle_block.1.proj_in.weight": (2, 2),
    "output_blocks.7.1.transformer_blocks.0.attn1.to_k.weight": (2, 2),
    "out.2.weight": (2, 2),
}
_VAE = {
    "encoder.conv_in.weight": (2, 3, 1, 1),
    "encoder.conv_out.weight": (2, 2, 1, 1),
    "decoder.conv_in.weight": (2, 4, 1, 1),
    "decoder.conv_out.weight": (3, 2, 1, 1),
}


def _clip(width: int) -> dict[str, tuple[int, ...]]:
    return {
        "text_model.embeddings.token_embedding.weight": (1, width),
        "text_model.encoder.layers.0.mlp.fc1.weight": (2, 2),
        "text_model.final_layer_norm.weight": (2,),
    }


def _under(prefix: str, shapes: Shapes) -> dict[str, tuple[int, ...]]:
    return {prefix + name: shape for name, shape in shapes.items()}


TENSORS: Mapping[Kind, Shapes] = {
    "sd1": {
        **_under("model.diffusion_model.", _UNET),
        **_under("first_stage_model.", _VAE),
        **_under("cond_stage_model.transformer.", _clip(768)),
    },
    "sd2": {
        **_under("model.diffusion_model.", _UNET),
        **_under("first_stage_model.", _VAE),
        "cond_stage_model.model.token_embedding.weight": (1, 1024),
    },
    "sdxl": {
        **_under("model.diffusion_model.", _UNET),
        "model.diffusion_model.label_emb.0.0.weight": (2, 2),
        "model.diffusion_model.output_blocks.3.1.transformer_blocks.1.attn1.to_k.weight": (2, 2),
        **_under("first_stage_model.", _VAE),
        **_under("conditioner.embedders.0.transformer.", _clip(768)),
        "conditioner.embedders.1.model.token_embedding.weight": (1, 1280),
    },
    "sd1_unet": _UNET,
    "sd3": {"joint_blocks.0.x_block.attn.qkv.weight": (2, 2), "x_embedder.proj.weight": (2, 16, 1, 1)},
    "flux": {
        "img_in.weight": (2, 64),
        "double_blocks.0.img_attn.qkv.weight": (2, 2),
        "single_blocks.0.linear1.weight": (2, 2),
        "guidance_in.in_layer.weight": (2, 2),
        "final_layer.linear.weight": (2, 2),
    },
    "flux2_klein": {
        "img_in.weight": (2, 128),
        "double_blocks.0.img_attn.qkv.weight": (2, 2),
        "double_stream_modulation_img.lin.weight": (2, 2),
        "single_blocks.0.linear1.weight": (2, 2),
        "final_layer.linear.weight": (2, 2),
    },
    "z_image": {
        "cap_embedder.0.weight": (2,),
        "layers.0.attention.qkv.weight": (2, 2),
        "x_embedder.weight": (2, 64),
    },
    "qwen_image": {"img_in.weight": (2, 64), "transformer_blocks.0.img_mod.1.weight": (2, 2)},
    "vae": _VAE,
    "flux2_vae": {**_VAE, "bn.running_mean": (2,)},
    "clip_l": _clip(768),
    "clip_g": _clip(1280),
    "t5xxl": {"shared.weight": (1, 4096), "encoder.block.0.layer.0.SelfAttention.q.weight": (2, 2)},
    "llm": {"model.embed_tokens.weight": (1, 2560), "model.layers.0.self_attn.q_proj.weight": (2, 2)},
    "lora": {
        "lora_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q.lora_down.weight": (1, 640),
        "lora_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q.lora_up.weight": (640, 1),
        "lora_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q.alpha": (),
    },
}
"""The tensors of a file of each kind. The diffusion models are files of their own, except sd1, sd2 and sdxl."""
_LLM_IN_GGUF = {"token_embd.weight": (1, 2560), "blk.0.attn_q.weight": (2, 2)}


def write_model(path: Path, kind: Kind = "sd1", content: str = "") -> Path:
    """Write a file of this kind, in the format of its suffix. Another `content` gives other data of the same size."""
    shapes = TENSORS[kind]
    if path.suffix == ".gguf":
        return write_gguf(path, _LLM_IN_GGUF if kind == "llm" else shapes, content)
    return write_safetensors(path, shapes, content)


def write_safetensors(path: Path, shapes: Shapes, content: str = "") -> Path:
    """Write these tensors, in F16. Source of the format: https://huggingface.co/docs/safetensors."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name, shape in shapes.items():
        header[name] = {"dtype": "F16", "shape": list(shape), "data_offsets": [at, at + 2 * prod(shape)]}
        at += 2 * prod(shape)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return _write(path, struct.pack("<Q", len(text)) + text, at, content)


def write_gguf(path: Path, shapes: Shapes, content: str = "") -> Path:
    """Write these tensors, in F16. Source of the format: ggml's docs/gguf.md, version 3."""
    head = b"GGUF" + struct.pack("<IQQ", 3, len(shapes), 1)
    head += _gguf_text("general.architecture") + struct.pack("<I", 8) + _gguf_text("diffusion")
    at = 0
    for name, shape in shapes.items():
        dimensions = shape[::-1] or (1,)
        head += _gguf_text(name) + struct.pack(f"<I{len(dimensions)}Q", len(dimensions), *dimensions)
        head += struct.pack("<IQ", 1, at)
        at += 2 * prod(shape) + -2 * prod(shape) % 32
    return _write(path, head + b"\0" * (-len(head) % 32), at, content)


def truncate(path: Path, by: int = 16) -> Path:
    """Cut off the end, as a download that stopped leaves it."""
    path.write_bytes(path.read_bytes()[:-by])
    return path


def _gguf_text(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def _write(path: Path, head: bytes, size: int, content: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(head + hashlib.shake_256(content.encode()).digest(size))
    return path
