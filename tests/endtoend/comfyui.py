"""A ComfyUI server as a test sees it: the fake server, or a real one, and how many prompts it has executed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import requests

__all__ = ["Server"]


@dataclass
class Server:
    """url, and a checkpoint that it lists.

    executed: the IDs of the prompts that it has run so far. slow: from now on a prompt of thousands of steps takes
    long; on a real server it does anyway.
    """

    url: str
    checkpoint: str
    executed: Callable[[], set[str]]
    slow: Callable[[], None] = lambda: None

    def job(self, *items: str, **changes: Any) -> dict[str, Any]:
        """A job of small images for this server."""
        named = [{"name": item, "prompt": f"a {item.lower()}"} for item in items or ("Fox", "Bird", "Stone")]
        return {
            "backend": "comfyui",
            "generate": {"width": 64, "height": 64, "steps": 4, "cfg": 5, **changes.pop("generate", {})},
            "comfyui": {"checkpoint": self.checkpoint, **changes.pop("comfyui", {})},
            "items": named,
            **changes,
        }

    def queue(self) -> tuple[list[str], list[str]]:
        """The prompt IDs that are running, and pending."""
        found = requests.get(f"{self.url}/queue", timeout=30).json()
        running, pending = ([entry[1] for entry in found[key]] for key in ("queue_running", "queue_pending"))
        return running, pending

    def spans(self) -> list[tuple[float, float]]:
        """When each prompt that succeeded was executed, in seconds of the server's clock: from, to."""
        history = requests.get(f"{self.url}/history", timeout=30).json()
        reported = [dict(entry["status"]["messages"]) for entry in history.values()]
        times = [(one["execution_start"], one["execution_success"]) for one in reported if "execution_success" in one]
        return [(start["timestamp"] / 1000, end["timestamp"] / 1000) for start, end in times]

    def workflow(self) -> dict[str, Any]:
        """Text to image as somebody exports it, with a title and a layout, and 97 as its seed."""

        def node(class_type: str, title: str, **given: Any) -> dict[str, Any]:
            return {"inputs": given, "class_type": class_type, "_meta": {"title": title}}

        return {
            "3": node(
                "KSampler",
                "KSampler",
                seed=97,
                steps=4,
                cfg=5.0,
                sampler_name="euler",
                scheduler="normal",
                denoise=1.0,
                model=["4", 0],
                positive=["6", 0],
                negative=["7", 0],
                latent_image=["5", 0],
            ),
            "4": node("CheckpointLoaderSimple", "Load Checkpoint", ckpt_name=self.checkpoint),
            "5": node("EmptyLatentImage", "Empty Latent Image", width=64, height=64, batch_size=1),
            "6": node("CLIPTextEncode", "Prompt", text="a red house", clip=["4", 1]),
            "7": node("CLIPTextEncode", "Negative", text="text", clip=["4", 1]),
            "8": node("VAEDecode", "VAE Decode", samples=["3", 0], vae=["4", 2]),
            "9": node("SaveImage", "Save Image", filename_prefix="ComfyUI", images=["8", 0]),
        }

    def from_image(self) -> dict[str, Any]:
        """Image to image: the latent is that of a reference image in node 10."""
        graph = self.workflow()
        graph["10"] = {"class_type": "LoadImage", "inputs": {"image": "example.png"}}
        graph["11"] = {"class_type": "VAEEncode", "inputs": {"pixels": ["10", 0], "vae": ["4", 2]}}
        graph["3"]["inputs"] |= {"latent_image": ["11", 0], "denoise": 0.5}
        del graph["5"]
        return graph

    def submit(self) -> str:
        """Somebody else's long prompt; its ID."""
        self.slow()
        graph = self.workflow()
        graph["3"]["inputs"]["steps"] = 5000
        graph["3"]["inputs"]["seed"] = threading.get_native_id()
        graph["9"]["inputs"]["filename_prefix"] = "other"
        answer = requests.post(f"{self.url}/prompt", json={"prompt": graph, "client_id": "other"}, timeout=30)
        answer.raise_for_status()
        return str(answer.json()["prompt_id"])
