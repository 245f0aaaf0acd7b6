"""Load model files as `sd-server` does: what it writes meanwhile, and its last words for what cannot be loaded."""

from __future__ import annotations

import hashlib
import json
import struct
import sys
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import NoReturn

from tests.backends.sd.fake_sd_server.command_line import Arguments, say
from tests.backends.sd.fake_sd_server.state import Fault, State

__all__ = ["Model", "UnreadableError", "bar", "load", "read_tensors"]

Tensors = dict[str, tuple[int, ...]]

_PARTS = {
    "--model": ("", 212, ""),
    "--diffusion-model": ("diffusion model", 219, "model.diffusion_model."),
    "--clip_l": ("clip_l", 235, "text_encoders.clip_l.transformer."),
    "--clip_g": ("clip_g", 243, "text_encoders.clip_g.transformer."),
    "--t5xxl": ("t5xxl", 259, "text_encoders.t5xxl.transformer."),
    "--llm": ("llm", 266, "text_encoders.llm."),
    "--vae": ("vae", 280, "first_stage_model."),
}
"""Each argument: what the log calls it, the line in stable-diffusion.cpp, and the prefix that its tensors get."""
_SIGNS = (
    ("model.diffusion_model.double_stream_modulation_img.lin.weight", "Flux.2 klein"),
    ("model.diffusion_model.double_blocks.", "Flux"),
    ("model.diffusion_model.joint_blocks.", "SD3.x"),
    ("model.diffusion_model.cap_embedder.0.weight", "Z-Image"),
    ("model.diffusion_model.transformer_blocks.0.img_mod.1.weight", "Qwen Image"),
    ("conditioner.embedders.1.", "SDXL"),
    ("cond_stage_model.transformer.text_model.embeddings.token_embedding.weight", "SD 1.x"),
    ("cond_stage_model.model.token_embedding.weight", "SD 2.x"),
)
"""A tensor → the version that has it."""
_ENCODERS = ("text_encoders.", "cond_stage_model.", "conditioner.")


class UnreadableError(Exception):
    """The file has no header that can be read."""


@dataclass(frozen=True)
class Model:
    """What is loaded. digest: of the content of all files."""

    version: str
    digest: str
    has_encoder: bool

    @property
    def is_dit(self) -> bool:
        return not self.version.startswith("SD ") and self.version != "SDXL"

    @property
    def multiple(self) -> int:
        """Sizes are rounded up to multiples of this."""
        return 16 if self.version.startswith("Flux.2") else 8 if self.is_dit else 64


def load(arguments: Arguments, state: State) -> Model:
    """Load the model, or end with an error."""
    tensors: Tensors = {}
    digest = hashlib.sha256()
    is_cut = ""
    for argument, (called, line, prefix) in _PARTS.items():
        if not (file := arguments.get(argument)):
            continue
        say("INFO", f"stable-diffusion.cpp:{line}", f"loading {called or 'model'} from '{file}'")
        try:
            found, size = read_tensors(Path(file))
        except UnreadableError as error:
            say("WARN", "model.cpp:231" if "not found" in str(error) else "model.cpp:229", str(error))
            if argument == "--model":
                say("ERROR", "stable-diffusion.cpp:214", f"init model loader from file failed: '{file}'")
            else:
                say("WARN", f"stable-diffusion.cpp:{line + 3}", f"loading {called} from '{file}' failed")
            continue
        kind, at = ("gguf", 216) if Path(file).suffix == ".gguf" else ("safetensors", 219)
        say("INFO", f"model.cpp:{at}", f"load {file} using {kind} format")
        is_cut = is_cut or (file if Path(file).stat().st_size < size else "")
        tensors |= {name if name.startswith(prefix) else prefix + name: shape for name, shape in found.items()}
        digest.update(f"{argument} ".encode() + Path(file).read_bytes())
    version = next((version for sign, version in _SIGNS if any(sign in name for name in tensors)), "")
    if not version:
        text = f"get sd version from file failed: '{arguments.get('--model', '')}'"
        _fail(("stable-diffusion.cpp:299", text))
    model = Model(version, digest.hexdigest(), any(name.startswith(_ENCODERS) for name in tensors))
    _load_tensors(model, tensors, is_cut, state)
    return model


def _load_tensors(model: Model, tensors: Tensors, is_cut: str, state: State) -> None:
    say("INFO", "stable-diffusion.cpp:305", f"Version: {model.version} ")
    say("INFO", "stable-diffusion.cpp:333", f"Weight type stat:                      f16: {len(tensors):<5}")
    if not model.has_encoder:
        text = "IMPORTANT NOTICE: No text encoders provided, cannot process prompts!"
        say("WARN", "conditioner.hpp:1093", text)
    say("INFO", "stable-diffusion.cpp:640", "using VAE for encoding / decoding")
    say("INFO", "auto_encoder_kl.hpp:525", "vae decoder: ch = 128")
    seconds = state.play["load_s"]
    for step in (len(tensors) // 2, len(tensors)):
        if step:
            state.pause(seconds / 2)
            print(end=bar(step, len(tensors), "1.95GB/s"), flush=True)
        if fault := state.take("load"):
            _play_fault(fault, state)
    print(flush=True)
    zeros = "process: 0.00s, read: 0.82s, memcpy: 0.00s, convert: 0.00s, copy_to_backend: 0.00s"
    say("INFO", "model.cpp:993", f"loading tensors completed, taking {seconds:.2f}s ({zeros})")
    end = ("stable-diffusion.cpp:801", "load tensors from model loader failed")
    if is_cut:
        _fail(
            ("model.cpp:876", f"read tensor data failed: '{is_cut}'"),
            ("model.cpp:1051", "load tensors from file failed"),
            end,
        )
    if not any(name.startswith("first_stage_model.decoder.") for name in tensors):
        missing = [
            f"first_stage_model.decoder.{name}" for name in ("conv_in.bias", "conv_in.weight", "conv_out.weight")
        ]
        _fail(*(("model.cpp:1067", f"tensor '{name}' not in model file") for name in missing), end)
    mode = "running in Flux FLOW mode" if model.is_dit else "running in eps-prediction mode"
    say("INFO", "stable-diffusion.cpp:931", mode)


def _play_fault(fault: Fault, state: State) -> None:
    """`wait` at the gate; then say `lines`, and end by `signal` or with `code`."""
    if fault.details.get("wait"):
        state.wait_at_gate(fault)
    state.end(fault)


def read_tensors(path: Path) -> tuple[Tensors, int]:
    """Return the shapes of a file's tensors, and the size that it must have. Raises UnreadableError."""
    if not path.is_file():
        raise UnreadableError(f"file {path} not found")
    data = path.read_bytes()
    try:
        return _read_gguf(data) if data[:4] == b"GGUF" else _read_safetensors(data)
    except (ValueError, KeyError, TypeError, AttributeError, struct.error):
        raise UnreadableError(f"unknown format {path}") from None


def _read_safetensors(data: bytes) -> tuple[Tensors, int]:
    (length,) = struct.unpack_from("<Q", data)
    if length >= len(data):
        raise ValueError
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)
    ends = [facts["data_offsets"][1] for facts in header.values()]
    return {name: tuple(facts["shape"]) for name, facts in header.items()}, 8 + length + max(ends, default=0)


def _read_gguf(data: bytes) -> tuple[Tensors, int]:
    _version, count, pairs = struct.unpack_from("<IQQ", data, 4)
    found: Tensors = {}
    at, size = 24, 0
    for _ in range(pairs):  # of the texts that model_files writes
        _, at = _gguf_text(data, at)
        _, at = _gguf_text(data, at + 4)
    for _ in range(count):
        name, at = _gguf_text(data, at)
        (rank,) = struct.unpack_from("<I", data, at)
        shape = struct.unpack_from(f"<{rank}Q", data, at + 4)
        (offset,) = struct.unpack_from("<Q", data, at + 8 + 8 * rank)
        at += 16 + 8 * rank
        found[name] = shape
        size = max(size, offset + 2 * prod(shape))
    return found, at + -at % 32 + size


def _gguf_text(data: bytes, at: int) -> tuple[str, int]:
    (length,) = struct.unpack_from("<Q", data, at)
    return data[at + 8 : at + 8 + length].decode(), at + 8 + length


def bar(step: int, steps: int, rate: str) -> str:
    """Return a bar of progress: each is written over the one before."""
    done = 50 * step // steps
    arrow = "=" * done + ">" * (done < 50)
    return f"\r  |{arrow:<50}| {step}/{steps} - {rate}\x1b[K"


def _fail(*errors: tuple[str, str]) -> NoReturn:
    for place, text in (*errors, ("main.cpp:92", "new_sd_ctx_t failed")):
        say("ERROR", place, text)
    sys.exit(1)
