"""Workflows in API format, small ones of the shapes that people have."""

from __future__ import annotations

from typing import Any

Nodes = dict[str, dict[str, Any]]


def node(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


def sd15(**changes: dict[str, Any]) -> Nodes:
    """The one that ComfyUI opens with, and nodes put in or replaced: n6=… is node 6."""
    return {
        "3": node(
            "KSampler",
            seed=156680208700286,
            steps=20,
            cfg=8,
            sampler_name="euler",
            scheduler="normal",
            denoise=1,
            model=["4", 0],
            positive=["6", 0],
            negative=["7", 0],
            latent_image=["5", 0],
        ),
        "4": node("CheckpointLoaderSimple", ckpt_name="v1-5-pruned-emaonly.ckpt"),
        "5": node("EmptyLatentImage", width=512, height=512, batch_size=1),
        "6": node("CLIPTextEncode", text="a bottle with a galaxy in it", clip=["4", 1]),
        "7": node("CLIPTextEncode", text="text, watermark", clip=["4", 1]),
        "8": node("VAEDecode", samples=["3", 0], vae=["4", 2]),
        "9": node("SaveImage", filename_prefix="ComfyUI", images=["8", 0]),
        **{name.removeprefix("n"): body for name, body in changes.items()},
    }


def changed(nodes: Nodes, **inputs: dict[str, Any]) -> Nodes:
    """With some inputs otherwise: n3={"seed": 1}."""
    return {
        key: {**body, "inputs": {**body["inputs"], **inputs.get(f"n{key}", {})}} for key, body in nodes.items()
    }  # fmt: skip


def sdxl_with_refiner() -> Nodes:
    def sampler(**inputs: Any) -> dict[str, Any]:
        return node("KSamplerAdvanced", steps=25, cfg=8.0, sampler_name="euler", scheduler="normal", **inputs)

    def encode(clip: str, text: str) -> dict[str, Any]:
        size = {"width": 1024, "height": 1024, "target_width": 1024, "target_height": 1024, "crop_w": 0, "crop_h": 0}
        return node("CLIPTextEncodeSDXL", **size, text_g=text, text_l=text, clip=[clip, 1])

    def refine(text: str) -> dict[str, Any]:
        return node("CLIPTextEncodeSDXLRefiner", ascore=6.0, width=1024, height=1024, text=text, clip=["12", 1])

    return {
        "4": node("CheckpointLoaderSimple", ckpt_name="sd_xl_base_1.0.safetensors"),
        "12": node("CheckpointLoaderSimple", ckpt_name="sd_xl_refiner_1.0.safetensors"),
        "5": node("EmptyLatentImage", width=1024, height=1024, batch_size=1),
        "6": encode("4", "evening sunset"),
        "7": encode("4", "watermark"),
        "15": refine("evening sunset"),
        "16": refine("watermark"),
        "10": sampler(
            model=["4", 0],
            positive=["6", 0],
            negative=["7", 0],
            latent_image=["5", 0],
            add_noise="enable",
            start_at_step=0,
            end_at_step=20,
            return_with_leftover_noise="enable",
            noise_seed=721897303308196,
        ),
        "11": sampler(
            model=["12", 0],
            positive=["15", 0],
            negative=["16", 0],
            latent_image=["10", 0],
            add_noise="disable",
            start_at_step=20,
            end_at_step=10000,
            return_with_leftover_noise="disable",
            noise_seed=0,
        ),
        "17": node("VAEDecode", samples=["11", 0], vae=["12", 2]),
        "19": node("SaveImage", filename_prefix="ComfyUI", images=["17", 0]),
    }


def hires_fix(upscale: dict[str, Any]) -> Nodes:
    """A first sampler, a latent made larger by `upscale`, a second sampler with fewer steps."""
    second = {**sd15()["3"]["inputs"], "seed": 2, "steps": 14, "denoise": 0.5, "latent_image": ["10", 0]}
    return sd15(
        n10={**upscale, "inputs": {**upscale["inputs"], "samples": ["3", 0]}},
        n11=node("KSampler", **second),
        n8=node("VAEDecode", samples=["11", 0], vae=["4", 2]),
    )


def flux() -> Nodes:
    return {
        "6": node("CLIPTextEncode", text="a cake", clip=["11", 0]),
        "8": node("VAEDecode", samples=["13", 0], vae=["10", 0]),
        "9": node("SaveImage", filename_prefix="ComfyUI", images=["8", 0]),
        "10": node("VAELoader", vae_name="ae.safetensors"),
        "11": node("DualCLIPLoader", clip_name1="t5xxl_fp16.safetensors", clip_name2="clip_l.safetensors", type="flux"),
        "12": node("UNETLoader", unet_name="flux1-dev.safetensors", weight_dtype="default"),
        "13": node(
            "SamplerCustomAdvanced",
            noise=["25", 0],
            guider=["22", 0],
            sampler=["16", 0],
            sigmas=["17", 0],
            latent_image=["27", 0],
        ),
        "16": node("KSamplerSelect", sampler_name="euler"),
        "17": node("BasicScheduler", scheduler="simple", steps=20, denoise=1, model=["30", 0]),
        "22": node("BasicGuider", model=["30", 0], conditioning=["26", 0]),
        "25": node("RandomNoise", noise_seed=219670278747233),
        "26": node("FluxGuidance", guidance=3.5, conditioning=["6", 0]),
        "27": node("EmptySD3LatentImage", width=1024, height=1024, batch_size=1),
        "30": node("ModelSamplingFlux", max_shift=1.15, base_shift=0.5, width=1024, height=1024, model=["12", 0]),
    }


def cfg_guider() -> Nodes:
    """SD1.5 through the sampler that takes its parts one by one, its sigmas split."""
    return {
        **{key: body for key, body in sd15().items() if key != "3"},
        "8": node("VAEDecode", samples=["13", 0], vae=["4", 2]),
        "13": node(
            "SamplerCustomAdvanced",
            noise=["25", 0],
            guider=["22", 0],
            sampler=["16", 0],
            sigmas=["18", 1],
            latent_image=["5", 0],
        ),
        "16": node("KSamplerSelect", sampler_name="euler"),
        "17": node("BasicScheduler", scheduler="karras", steps=20, denoise=1, model=["4", 0]),
        "18": node("SplitSigmas", sigmas=["17", 0], step=0),
        "22": node("CFGGuider", model=["4", 0], positive=["6", 0], negative=["7", 0], cfg=5.5),
        "25": node("RandomNoise", noise_seed=7),
    }


def sampler_custom() -> Nodes:
    return sd15(
        n3=node(
            "SamplerCustom",
            add_noise=True,
            noise_seed=5,
            cfg=8,
            model=["4", 0],
            positive=["6", 0],
            negative=["7", 0],
            sampler=["16", 0],
            sigmas=["17", 0],
            latent_image=["5", 0],
        ),
        n16=node("KSamplerSelect", sampler_name="euler"),
        n17=node("BasicScheduler", scheduler="karras", steps=20, denoise=1, model=["4", 0]),
    )


def control_net() -> Nodes:
    return changed(
        sd15(
            n10=node("LoadImage", image="pose.png"),
            n11=node("ControlNetLoader", control_net_name="openpose.safetensors"),
            n12=node(
                "ControlNetApplyAdvanced",
                strength=0.9,
                start_percent=0,
                end_percent=1,
                positive=["6", 0],
                negative=["7", 0],
                control_net=["11", 0],
                image=["10", 0],
            ),
        ),
        n3={"positive": ["12", 0], "negative": ["12", 1]},
    )


def image_to_image() -> Nodes:
    return changed(
        sd15(
            n10=node("LoadImage", image="example.png"),
            n5=node("VAEEncode", pixels=["10", 0], vae=["4", 2]),
        ),
        n3={"denoise": 0.87},
    )


def loras() -> Nodes:
    def lora(name: str, above: str) -> dict[str, Any]:
        return node("LoraLoader", lora_name=name, strength_model=1, strength_clip=1, model=[above, 0], clip=[above, 1])

    return changed(
        sd15(n10=lora("a.safetensors", "4"), n11=lora("b.safetensors", "10")),
        n3={"model": ["11", 0]},
        n6={"clip": ["11", 1]},
        n7={"clip": ["11", 1]},
    )


def primitives() -> Nodes:
    """As a subgraph leaves it: its nodes have IDs such as 57:8, and values come in from nodes that only hold them."""
    inner = changed(
        sd15(),
        n3={"seed": ["50", 0], "steps": ["51", 0], "latent_image": ["57:5", 0]},
        n6={"text": ["52", 0]},
    )
    inner["57:5"] = node("EmptyLatentImage", width=["53", 0], height=["53", 0], batch_size=1)
    del inner["5"]
    return {
        **inner,
        "50": node("PrimitiveInt", value=42),
        "51": node("PrimitiveInt", value=20),
        "52": node("PrimitiveStringMultiline", value="a bottle"),
        "53": node("PrimitiveInt", value=512),
    }
