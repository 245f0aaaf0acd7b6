"""The built-in workflow: text to image with a checkpoint, and where wanted LoRAs and a VAE of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from imagegen.backends.comfyui.graph import Place
from imagegen.backends.comfyui.workflow import Workflow

__all__ = ["OPTIONS", "text_to_image"]

OPTIONS = {
    "lora_name": "comfyui.loras",
    "strength_model": "comfyui.loras",
    "strength_clip": "comfyui.loras",
    "vae_name": "comfyui.vae",
}
"""Inputs that a job's option decides → its key."""


def text_to_image(loras: Mapping[str, Sequence[float]], vae: str) -> Workflow:
    """The workflow. loras: name → strength for the model and for CLIP. vae: empty for the checkpoint's own.

    The order in which a job names its LoRAs means nothing: they are chained by name.
    """
    graph: dict[str, Any] = {
        "checkpoint": _node("CheckpointLoaderSimple", ckpt_name=""),
        "positive": _node("CLIPTextEncode", text=""),
        "negative": _node("CLIPTextEncode", text=""),
        "latent": _node("EmptyLatentImage", width=0, height=0, batch_size=1),
        "sampler": _node(
            "KSampler",
            positive=["positive", 0],
            negative=["negative", 0],
            latent_image=["latent", 0],
            seed=0,
            steps=0,
            cfg=0.0,
            sampler_name="",
            scheduler="",
            denoise=1.0,
        ),
        "decode": _node("VAEDecode", samples=["sampler", 0], vae=["checkpoint", 2]),
        "save": _node("SaveImage", images=["decode", 0], filename_prefix=""),
    }
    model = clip = "checkpoint"
    for number, (name, (of_model, of_clip)) in enumerate(sorted(loras.items()), start=1):
        graph[f"lora {number}"] = _node(
            "LoraLoader",
            model=[model, 0],
            clip=[clip, 1],
            lora_name=name,
            strength_model=of_model,
            strength_clip=of_clip,
        )
        model = clip = f"lora {number}"
    graph["sampler"]["inputs"]["model"] = [model, 0]
    graph["positive"]["inputs"]["clip"] = graph["negative"]["inputs"]["clip"] = [clip, 1]
    if vae:
        graph["vae"] = _node("VAELoader", vae_name=vae)
        graph["decode"]["inputs"]["vae"] = ["vae", 0]
    return Workflow(graph, _PLACES, "save")


def _node(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


_PLACES = {
    "prompt": (Place("positive", "text"),),
    "negative": (Place("negative", "text"),),
    "seed": (Place("sampler", "seed"),),
    "width": (Place("latent", "width"),),
    "height": (Place("latent", "height"),),
    "steps": (Place("sampler", "steps"),),
    "cfg": (Place("sampler", "cfg"),),
    "sampler": (Place("sampler", "sampler_name"),),
    "scheduler": (Place("sampler", "scheduler"),),
    "checkpoint": (Place("checkpoint", "ckpt_name"),),
}
