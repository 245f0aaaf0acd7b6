"""The node classes that the fake server knows: their inputs and outputs, as `/object_info` tells them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.backends.comfyui.fake_server.world import World

__all__ = ["Input", "Node", "catalogue", "object_info"]

Input = list[Any]
"""`[type, {constraints}]`, or `[[choices…], {…}]`, or in the newer form `["COMBO", {"options": [choices…]}]`."""


@dataclass(frozen=True)
class Node:
    """One class. `extra`: whether it is defined in the newer way, which `/object_info` tells in a form of its own."""

    required: Mapping[str, Input]
    outputs: tuple[str, ...]
    output_names: tuple[str, ...] = ()
    title: str = ""
    optional: Mapping[str, Input] | None = None
    is_output: bool = False
    extra: bool = False

    @property
    def inputs(self) -> dict[str, Input]:
        """Required and optional ones."""
        return {**self.required, **(self.optional or {})}


def _number(kind: str, default: float, low: float, high: float, **more: Any) -> Input:
    return [kind, {"default": default, "min": low, "max": high, **more}]


def _size(default: int, low: int, **more: Any) -> Input:
    return _number("INT", default, low, 16384, **more)


def catalogue(world: World) -> dict[str, Node]:
    """The classes by name, with the choices that there are now."""
    folder = world.folder / "input"
    images = sorted(path.name for path in folder.iterdir() if path.is_file())
    seed = _number("INT", 0, 0, 2**64 - 1, control_after_generate=True)
    steps = _number("INT", 20, 1, 10000)
    cfg = _number("FLOAT", 8.0, 0.0, 100.0, step=0.1, round=0.01)
    denoise = _number("FLOAT", 1.0, 0.0, 1.0, step=0.01)
    strength = _number("FLOAT", 1.0, -100.0, 100.0, step=0.01)
    batch = _number("INT", 1, 1, 4096)
    text = ["STRING", {"multiline": True, "dynamicPrompts": True}]
    samplers, schedulers = list(world.samplers), list(world.schedulers)
    device = {"device": [["default", "cpu"], {"advanced": True}]}
    return {
        "CheckpointLoaderSimple": Node(
            {"ckpt_name": [sorted(world.checkpoints), {"tooltip": "which checkpoint"}]},
            ("MODEL", "CLIP", "VAE"),
            title="Load Checkpoint",
        ),
        "CLIPTextEncode": Node({"text": text, "clip": ["CLIP"]}, ("CONDITIONING",), title="CLIP Text Encode (Prompt)"),
        "CLIPSetLastLayer": Node(
            {"clip": ["CLIP"], "stop_at_clip_layer": ["INT", {"default": -1, "min": -24, "max": -1, "step": 1}]},
            ("CLIP",),
            title="CLIP Set Last Layer",
        ),
        "EmptyLatentImage": Node(
            {"width": _size(512, 16, step=8), "height": _size(512, 16, step=8), "batch_size": batch},
            ("LATENT",),
            title="Empty Latent Image",
        ),
        "KSampler": Node(
            {
                "model": ["MODEL", {"tooltip": "what denoises"}],
                "seed": seed,
                "steps": steps,
                "cfg": cfg,
                "sampler_name": [samplers, {"tooltip": "how"}],
                "scheduler": [schedulers, {"tooltip": "along which noise levels"}],
                "positive": ["CONDITIONING"],
                "negative": ["CONDITIONING"],
                "latent_image": ["LATENT"],
                "denoise": denoise,
            },
            ("LATENT",),
            title="KSampler",
        ),
        "KSamplerAdvanced": Node(
            {
                "model": ["MODEL"],
                "add_noise": [["enable", "disable"], {"advanced": True}],
                "noise_seed": seed,
                "steps": steps,
                "cfg": cfg,
                "sampler_name": [samplers],
                "scheduler": [schedulers],
                "positive": ["CONDITIONING"],
                "negative": ["CONDITIONING"],
                "latent_image": ["LATENT"],
                "start_at_step": _number("INT", 0, 0, 10000, advanced=True),
                "end_at_step": _number("INT", 10000, 0, 10000, advanced=True),
                "return_with_leftover_noise": [["disable", "enable"], {"advanced": True}],
            },
            ("LATENT",),
            title="KSampler (Advanced)",
        ),
        "VAEDecode": Node({"samples": ["LATENT"], "vae": ["VAE"]}, ("IMAGE",), title="VAE Decode"),
        "VAEEncode": Node({"pixels": ["IMAGE"], "vae": ["VAE"]}, ("LATENT",), title="VAE Encode"),
        "VAELoader": Node({"vae_name": [[*sorted(world.vaes), "pixel_space"]]}, ("VAE",), title="Load VAE"),
        "LoraLoader": Node(
            {
                "model": ["MODEL"],
                "clip": ["CLIP"],
                "lora_name": [sorted(world.loras)],
                "strength_model": strength,
                "strength_clip": strength,
            },
            ("MODEL", "CLIP"),
            title="Load LoRA (Model and CLIP)",
        ),
        "SaveImage": Node(
            {"images": ["IMAGE"], "filename_prefix": ["STRING", {"default": "ComfyUI"}]},
            ("IMAGE",),
            ("images",),
            title="Save Image",
            is_output=True,
        ),
        "PreviewImage": Node({"images": ["IMAGE"]}, ("IMAGE",), ("images",), title="Preview Image", is_output=True),
        "LoadImage": Node({"image": [images, {"image_upload": True}]}, ("IMAGE", "MASK"), title="Load Image"),
        "UNETLoader": Node(
            {
                "unet_name": [sorted(world.unets)],
                "weight_dtype": [["default", "fp8_e4m3fn", "fp8_e4m3fn_fast", "fp8_e5m2"], {"advanced": True}],
            },
            ("MODEL",),
            title="Load Diffusion Model",
        ),
        "CLIPLoader": Node(
            {
                "clip_name": [sorted(world.clips)],
                "type": [["stable_diffusion", "sd3", "lumina2", "wan", "chroma", "flux2"]],
            },
            ("CLIP",),
            title="Load CLIP",
            optional=device,
        ),
        "DualCLIPLoader": Node(
            {
                "clip_name1": [sorted(world.clips)],
                "clip_name2": [sorted(world.clips)],
                "type": [["sdxl", "sd3", "flux", "hunyuan_video", "hidream"]],
            },
            ("CLIP",),
            title="Load CLIP (Dual)",
            optional=device,
        ),
        "ConditioningZeroOut": Node(
            {"conditioning": ["CONDITIONING"]}, ("CONDITIONING",), title="Conditioning Zero Out"
        ),
        "InpaintModelConditioning": Node(
            {
                "positive": ["CONDITIONING"],
                "negative": ["CONDITIONING"],
                "vae": ["VAE"],
                "pixels": ["IMAGE"],
                "mask": ["MASK"],
                "noise_mask": ["BOOLEAN", {"default": True}],
            },
            ("CONDITIONING", "CONDITIONING", "LATENT"),
            ("positive", "negative", "latent"),
        ),
        "EmptySD3LatentImage": Node(
            {"width": _size(1024, 16, step=16), "height": _size(1024, 16, step=16), "batch_size": batch},
            ("LATENT",),
            extra=True,
        ),
        "RandomNoise": Node({"noise_seed": seed}, ("NOISE",), extra=True),
        "BasicGuider": Node(
            {"model": ["MODEL", {}], "conditioning": ["CONDITIONING", {}]},
            ("GUIDER",),
            title="Basic Guider",
            extra=True,
        ),
        "CFGGuider": Node(
            {"model": ["MODEL", {}], "positive": ["CONDITIONING", {}], "negative": ["CONDITIONING", {}], "cfg": cfg},
            ("GUIDER",),
            title="CFG Guider",
            extra=True,
        ),
        "KSamplerSelect": Node({"sampler_name": _combo(samplers)}, ("SAMPLER",), extra=True),
        "BasicScheduler": Node(
            {"model": ["MODEL", {}], "scheduler": _combo(schedulers), "steps": steps, "denoise": denoise},
            ("SIGMAS",),
            extra=True,
        ),
        "SamplerCustomAdvanced": Node(
            {
                "noise": ["NOISE", {}],
                "guider": ["GUIDER", {}],
                "sampler": ["SAMPLER", {}],
                "sigmas": ["SIGMAS", {}],
                "latent_image": ["LATENT", {}],
            },
            ("LATENT", "LATENT"),
            ("output", "denoised_output"),
            extra=True,
        ),
        "FluxGuidance": Node(
            {"conditioning": ["CONDITIONING", {}], "guidance": _number("FLOAT", 3.5, 0.0, 100.0, step=0.1)},
            ("CONDITIONING",),
            extra=True,
        ),
        "CLIPTextEncodeSDXL": Node(
            {
                "clip": ["CLIP", {}],
                "width": _size(1024, 0),
                "height": _size(1024, 0),
                "crop_w": _size(0, 0, advanced=True),
                "crop_h": _size(0, 0, advanced=True),
                "target_width": _size(1024, 0),
                "target_height": _size(1024, 0),
                "text_g": text,
                "text_l": text,
            },
            ("CONDITIONING",),
            title="CLIP Text Encode (SDXL)",
            extra=True,
        ),
    }


def _combo(choices: list[str]) -> Input:
    return ["COMBO", {"multiselect": False, "options": choices}]


def object_info(name: str, node: Node) -> dict[str, Any]:
    """What `/object_info` says of a class."""
    inputs: dict[str, Any] = {"required": node.required}
    if node.optional:
        inputs["optional"] = node.optional
    order = {group: list(names) for group, names in inputs.items()}
    if node.is_output:
        inputs["hidden"] = {"prompt": "PROMPT", "extra_pnginfo": "EXTRA_PNGINFO"}
        order["hidden"] = ["prompt", "extra_pnginfo"]
    return {
        "input": inputs,
        "input_order": order,
        "is_input_list": False,
        "output": node.outputs,
        "output_is_list": [False] * len(node.outputs),
        "output_name": node.output_names or node.outputs,
        "name": name,
        "display_name": node.title or (None if node.extra else name),
        "description": "",
        "python_module": "comfy_extras.nodes_fake" if node.extra else "nodes",
        "category": "fake",
        "output_node": node.is_output,
        "has_intermediate_output": False,
        "search_aliases": None if node.extra else [],
    }
