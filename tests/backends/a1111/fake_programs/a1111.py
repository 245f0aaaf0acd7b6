"""A1111 and what became of it: Forge, reForge and SD.Next."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from tests.backends.a1111.fake_programs.program import (
    Answer,
    Body,
    Picture,
    Program,
    RejectedError,
    decode_image,
    sha256_of,
    stem_of,
)

__all__ = ["A1111", "Forge", "ReForge", "SdNext"]


class A1111(Program):
    """AUTOMATIC1111 1.10: an unknown sampler is its first, an unknown scheduler Automatic, an unknown LoRA nothing."""

    name = "a1111"
    version: ClassVar[str] = "v1.10.1"
    samplers: Sequence[str] = ("DPM++ 2M", "DPM++ SDE", "Euler a", "Euler", "LMS", "Heun", "DDIM", "UniPC")
    schedulers: Mapping[str, str] = {
        "automatic": "Automatic",
        "uniform": "Uniform",
        "karras": "Karras",
        "exponential": "Exponential",
        "sgm_uniform": "SGM Uniform",
        "simple": "Simple",
        "normal": "Normal",
        "beta": "Beta",
    }
    comments: ClassVar[str] = r"#[^\n]*"
    """What is cut out of a prompt."""

    def get(self, path: str) -> Answer | None:
        samplers = [{"name": one, "aliases": [f"k_{slug_of(one)}"], "options": {}} for one in self.samplers]
        schedulers = [
            {"name": name, "label": label, "aliases": None, "default_rho": -1, "need_inner_model": False}
            for name, label in self.schedulers.items()
        ]
        loras = [{"name": stem_of(one), "alias": f"{stem_of(one)}_v1", "path": f"/{one}"} for one in self.loras]
        flags = {"api_auth": "anna:s3cret-word", "listen": False} | self._flags()
        answers: dict[str, Any] = {
            "/sdapi/v1/sd-models": self._list_checkpoints(),
            "/sdapi/v1/samplers": samplers,
            "/sdapi/v1/schedulers": schedulers,
            "/sdapi/v1/loras": loras,
            "/sdapi/v1/options": {"samples_format": self.format, "sd_model_checkpoint": self._title(self.current)},
            "/sdapi/v1/cmd-flags": flags,
            "/sdapi/v1/sd-vae": [],
            "/internal/ping": {},
            "/internal/sysinfo": {"Version": self.version},
        }
        return (200, answers[path]) if path in answers else None

    def read(self, path: str, body: Body) -> Picture:
        self._check_types(body)
        sampler, scheduler = self._choose_sampler(body)
        prompt = re.sub(self.comments, "", body.get("prompt") or "")
        named = re.findall(r"<lora:([^:>]+):?([^:>]*)>", prompt)
        init = self._read_init(path, body)
        seed = body.get("seed", -1)
        if seed >= 2**64:
            raise RejectedError(
                500, {"error": "RuntimeError", "detail": "", "body": "", "errors": "value out of range"}
            )
        width, height = (body.get(side, 512) // self.multiple * self.multiple for side in ("width", "height"))
        if not (width and height):
            raise self.refuse(500, "", "RuntimeError")
        return Picture(
            prompt=re.sub(r"<\w+:[^>]+>", "", prompt).strip(),
            negative=body.get("negative_prompt", ""),
            width=width,
            height=height,
            steps=body.get("steps", 50),
            cfg=body.get("cfg_scale", 7.0),
            seed=random.SystemRandom().randrange(2**32) if seed < 0 else seed,
            sampler=sampler,
            scheduler=scheduler,
            checkpoint=self._choose_checkpoint(body),
            loras=self._choose_loras({name: float(weight or 1) for name, weight in named}),
            init=init,
            strength=body.get("denoising_strength", 0.75) if init else 1.0,
            said=prompt,
            asked=(body.get("width", 512), body.get("height", 512)),
        )

    def describe(self, picture: Picture) -> dict[str, Any]:
        hashes = ", ".join(f"{name}: {sha256_of(name)[:12]}" for name in picture.loras)
        extra = {"Schedule type": self.schedulers.get(picture.scheduler, picture.scheduler)} | (
            {"Lora hashes": hashes} if hashes else {}
        )
        text = ", ".join(f"{key}: {value}" for key, value in {"Steps": picture.steps, **extra}.items())
        return {
            "prompt": picture.said,
            "all_prompts": [picture.said],
            "negative_prompt": picture.negative,
            "all_negative_prompts": [picture.negative],
            "seed": picture.seed,
            "all_seeds": [picture.seed],
            "width": picture.asked[0],
            "height": picture.asked[1],
            "sampler_name": picture.sampler,
            "cfg_scale": picture.cfg,
            "steps": picture.steps,
            "batch_size": 1,
            "sd_model_name": stem_of(picture.checkpoint),
            "sd_model_hash": sha256_of(picture.checkpoint)[:10],
            "denoising_strength": picture.strength if picture.init else None,
            "extra_generation_params": extra,
            "index_of_first_image": 0,
            "infotexts": [f"{picture.prompt}\n{text}"],
            "version": self.version,
        }

    def _flags(self) -> dict[str, Any]:
        return {}

    def _title(self, file: str) -> str:
        return f"{file} [{sha256_of(file)[:10]}]" if file else ""

    def _check_types(self, body: Body) -> None:
        wrong = [key for key in ("steps", "width", "height", "seed") if not isinstance(body.get(key, 0), int)]
        if wrong:
            said = [
                {"loc": ["body", key], "msg": "value is not a valid integer", "type": "type_error"} for key in wrong
            ]
            raise RejectedError(422, {"detail": said})

    def _choose_sampler(self, body: Body) -> tuple[str, str]:
        """An unknown name, an alias, or the same in other letters, is the first of the list, without a word."""
        name, scheduler = body.get("sampler_name") or "Euler", body.get("scheduler")
        for label in self.schedulers.values():
            if name not in self.samplers and name.endswith(f" {label}"):
                name, scheduler = name.removesuffix(f" {label}"), scheduler or label
        by_either = dict(zip(self.schedulers.values(), self.schedulers, strict=True)) | {k: k for k in self.schedulers}
        return name if name in self.samplers else self.samplers[0], by_either.get(scheduler or "", "automatic")

    def _choose_checkpoint(self, body: Body) -> str:
        """An unknown one is dropped without a word."""
        name = body.get("override_settings", {}).get("sd_model_checkpoint", "")
        for file in self.checkpoints:
            accepted = (file, self._title(file), stem_of(file), file.replace("/", "_").removesuffix(".safetensors"))
            if name in (*accepted, sha256_of(file)[:10], sha256_of(file)):
                return file
        return self.current

    def _choose_loras(self, named: Mapping[str, float]) -> dict[str, float]:
        """An unknown one is skipped."""
        known = {name: stem_of(one) for one in self.loras for name in (stem_of(one), f"{stem_of(one)}_v1")}
        return {known[name]: weight for name, weight in named.items() if name in known}

    def _read_init(self, path: str, body: Body) -> str:
        if path != "img2img":
            return ""
        if not body.get("init_images"):
            raise self.refuse(404, "Init image not found")
        try:
            return decode_image(body["init_images"][0])
        except ValueError:
            raise self.refuse(500, "Invalid encoded image") from None


class Forge(A1111):
    """Forge: one unknown LoRA drops all of them, and errors have a form of their own."""

    name = "forge"
    version = "f2.0.1v1.10.1-previous-669-gdfdcbab6"
    samplers: Sequence[str] = (*A1111.samplers, "Flux Realistic")

    def get(self, path: str) -> Answer | None:
        if path == "/sdapi/v1/sd-vae":
            return None
        return (200, []) if path == "/sdapi/v1/sd-modules" else super().get(path)

    def refuse(self, status: int, what: str, kind: str = "HTTPException") -> RejectedError:
        if kind == "HTTPException":
            return RejectedError(status, {"detail": what})
        return RejectedError(status, {"error": kind, "detail": "", "body": "", "message": what})

    def run_out_of_memory(self) -> Answer:
        status, said = super().run_out_of_memory()
        return status, {"error": said["error"], "detail": "", "body": "", "message": said["errors"]}

    def _flags(self) -> dict[str, Any]:
        return {"forge_ref_a1111_home": None}

    def _choose_loras(self, named: Mapping[str, float]) -> dict[str, float]:
        found = super()._choose_loras(named)
        return found if len(found) == len(named) else {}


class ReForge(Forge):
    """reForge: of Forge's LoRAs and A1111's errors; it also cuts other comments out."""

    name = "reforge"
    version = "f1.0.0v2-v1.10.1RC-latest-2421-g3b56b268"
    samplers = A1111.samplers
    schedulers: Mapping[str, str] = {**A1111.schedulers, "karras dynamic": "Karras Dynamic"}
    comments = r"(?s:/\*.*?\*/)|(?:#|//)[^\n]*"

    def get(self, path: str) -> Answer | None:
        return A1111.get(self, path)

    def refuse(self, status: int, what: str, kind: str = "HTTPException") -> RejectedError:
        return Program.refuse(self, status, what, kind)

    def run_out_of_memory(self) -> Answer:
        return Program.run_out_of_memory(self)


class SdNext(A1111):
    """SD.Next: it refuses an unknown sampler, ignores the scheduler, resolves wildcards, and answers with a JPEG."""

    name = "sdnext"
    version = ""
    samplers = ("Default", "UniPC", "DPM++ 2M", "Euler", "Euler a", "DDIM")
    comments = r"(?s:/\*.*?\*/)"
    format = "jpeg"

    def get(self, path: str) -> Answer | None:
        if path == "/sdapi/v1/version":
            said = {"app": "sd.next", "updated": "2026-07-24", "commit": "0a1b2c3d", "branch": "master", "url": "x"}
            return 200, said | {"kanvas": "main", "ui": "modern"}
        if path == "/sdapi/v1/status":
            return 200, {"status": "idle", "task": "", "id": "", "step": 0, "steps": 0}
        if path in ("/sdapi/v1/samplers", "/sdapi/v1/schedulers"):
            dividers = ["── Euler ──"] if path.endswith("schedulers") else []
            return 200, [{"name": one, "options": {}} for one in [*self.samplers, *dividers]]
        return None if path.startswith("/internal") else super().get(path)

    def read(self, path: str, body: Body) -> Picture:
        picture = super().read(path, body)
        chosen = random.Random(picture.seed)  # noqa: S311 - as the program does it

        def resolve(match: re.Match[str]) -> str:
            return str(chosen.choice(match[1].split("|")))

        said = re.sub(r"\{([^{}]*)\}", resolve, picture.said)
        return replace(picture, prompt=re.sub(r"\{([^{}]*)\}", resolve, picture.prompt), said=said)

    def describe(self, picture: Picture) -> dict[str, Any]:
        said = super().describe(replace(picture, asked=(picture.width, picture.height)))
        extra = {key: value for key, value in said["extra_generation_params"].items() if key == "none"}
        dropped = ("sd_model_name", "version")
        return {key: value for key, value in said.items() if key not in dropped} | {"extra_generation_params": extra}

    def refuse(self, status: int, what: str, kind: str = "HTTPException") -> RejectedError:
        return RejectedError(status, {"error": kind, "code": status, "detail": what, "body": "", "errors": what})

    def run_out_of_memory(self) -> Answer:
        return 200, {"images": [], "parameters": {}, "info": ""}

    def _choose_sampler(self, body: Body) -> tuple[str, str]:
        wanted = str(body.get("sampler_name") or "Default").lower()
        name = next((one for one in self.samplers if wanted in (one.lower(), f"k_{slug_of(one)}")), "")
        if not name:
            raise self.refuse(404, "Sampler not found")
        return name, "its own"

    def _choose_checkpoint(self, body: Body) -> str:
        name = body.get("override_settings", {}).get("sd_model_checkpoint", "")
        for file in self.checkpoints:
            base = file.removesuffix(".safetensors")
            if name in (base, file, sha256_of(file)[:10], self._title(file)):
                return file
        return self.current

    def _title(self, file: str) -> str:
        return f"{file.removesuffix('.safetensors')} [{sha256_of(file)[:10]}]"

    def _list_checkpoints(self) -> list[dict[str, Any]]:
        found = zip(super()._list_checkpoints(), self.checkpoints, strict=True)
        return [
            {**one, "title": self._title(file), "model_name": file.removesuffix(".safetensors")} for one, file in found
        ]

    def _read_init(self, path: str, body: Body) -> str:
        if path == "img2img" and not body.get("init_images"):
            raise RejectedError(400, {"error": "Init image is none"})
        return super()._read_init(path, body)


def slug_of(name: str) -> str:
    return name.lower().replace("++", "pp").replace(" ", "_")
