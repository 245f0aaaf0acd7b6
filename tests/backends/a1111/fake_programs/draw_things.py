"""Draw Things, an app for macOS and iOS whose own settings hold for what a request does not say."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import random
from collections.abc import Mapping
from typing import Any, ClassVar

from PIL import Image

from tests.backends.a1111.fake_programs.program import Answer, Body, Picture, Program

__all__ = ["DrawThings"]


class DrawThings(Program):
    """Draw Things: no lists, no `info`, 422 for a key it does not know, and the app's settings for one not sent."""

    name = "draw-things"
    samplers = ("DPM++ 2M Karras", "Euler a", "DDIM", "UniPC", "LCM", "Euler A Trailing", "DPM++ 2M Trailing")
    checkpoints = ("sd_v1.5_f16.ckpt",)
    loras = ("tint_lora_f16.ckpt",)
    multiple = 64
    has_progress = False
    aliases: ClassVar[Mapping[str, str]] = {
        "cfg_scale": "guidance_scale",
        "n_iter": "batch_count",
        "sampler_name": "sampler",
        "sampler_index": "sampler",
        "denoising_strength": "strength",
        "enable_hr": "hires_fix",
    }

    def __init__(self) -> None:
        super().__init__()
        self.app: dict[str, Any] = {
            "prompt": "what the app shows",
            "negative_prompt": "what the app shows",
            "model": self.checkpoints[0],
            "width": 1024,
            "height": 1024,
            "seed": 7,
            "seed_mode": "Scale Alike",
            "guidance_scale": 3.0,
            "steps": 9,
            "sampler": "LCM",
            "strength": 0.3,
            "batch_count": 4,
            "batch_size": 2,
            "clip_skip": 1,
            "hires_fix": False,
            "hires_fix_width": 512,
            "hires_fix_height": 512,
            "loras": [{"file": "of_the_app.ckpt", "weight": 1.0, "mode": "all"}],
            "controls": [],
            "upscaler": None,
            "refiner_model": None,
            "shift": 1.0,
            "tiled_decoding": False,
        }
        """Its settings now."""

    def get(self, path: str) -> Answer | None:
        return (200, self.app) if path in ("/", "/sdapi/v1/options") else None

    def read(self, path: str, body: Body) -> Picture:
        sent = {self.aliases.get(key, key): value for key, value in body.items()}
        if len(sent) < len(body):
            raise self.refuse(422, "More than one key for one parameter specified")
        if unknown := sorted(key for key in sent if key not in {*self.app, "init_images", "restore_faces"}):
            raise self.refuse(422, f"Unrecognized keys: {json.dumps(unknown)}")
        taken = {**self.app, **sent}
        self._check(taken)
        init = self._read_init(path, taken)
        return Picture(
            prompt=taken["prompt"],
            negative=taken["negative_prompt"],
            width=taken["width"] // 64 * 64,
            height=taken["height"] // 64 * 64,
            steps=taken["steps"],
            cfg=taken["guidance_scale"],
            seed=random.SystemRandom().randrange(2**32) if taken["seed"] < 0 else taken["seed"],
            sampler=taken["sampler"],
            scheduler="the sampler's",
            checkpoint=taken["model"],
            loras={one["file"]: float(one["weight"]) for one in taken["loras"]},
            init=init,
            strength=taken["strength"] if init else 1.0,
            app={key: value for key, value in self.app.items() if key not in sent},
        )

    def answer(self, image: str, info: Mapping[str, Any], body: Body) -> dict[str, Any]:
        del info
        count = body.get("batch_count", body.get("n_iter", self.app["batch_count"])) * body.get("batch_size", 2)
        return {"images": [image] * count}

    def run_out_of_memory(self) -> Answer:
        return 200, {"images": []}

    def answer_unknown(self) -> Answer:
        return 404, ""

    def _check(self, taken: Body) -> None:
        if not -1 <= taken["seed"] < 2**32:
            said = f"Value for Seed must be between -1 and 4294967295, inclusive (was {taken['seed']})"
            raise self.refuse(422, said)
        for name, side in (("Width", taken["width"]), ("Height", taken["height"])):
            if not 128 <= side <= 8192:
                raise self.refuse(422, f"Value for {name} must be between 128 and 8192, inclusive (was {side})")
        if taken["sampler"] not in self.samplers:
            raise self.refuse(422, f"Invalid value for sampler_name (options: {json.dumps(self.samplers)})")
        if taken["model"] not in self.checkpoints:
            known = "(see --help for a list of available models)"
            raise self.refuse(422, f'Unrecognized model name "{taken["model"]}" {known}')
        for one in taken["loras"]:
            if one["file"] not in (*self.loras, "of_the_app.ckpt"):
                raise self.refuse(422, f"Missing file: {one['file']} (in CLI, run draw-things-cli models ensure)")

    def _read_init(self, path: str, taken: Body) -> str:
        images = taken.get("init_images", [])
        if path == "txt2img":
            if images:
                raise self.refuse(422, "init_images is not supported for text-to-image")
            return ""
        if len(images) != 1:
            return "what is on the app's canvas"
        try:
            data = base64.b64decode(images[0], validate=True)
            size = Image.open(io.BytesIO(data)).size
        except (ValueError, OSError):
            raise self.refuse(422, "The data couldn’t be read because it isn’t in the correct format.") from None
        if size != (taken["width"], taken["height"]):
            raise self.refuse(422, f"init_images height doesn't match {size[1]} {taken['height']}")
        return hashlib.sha256(data).hexdigest()
