"""The models that `sd` knows by name: their files, what they need, and the settings that they were trained for.

Sizes and sha256 were not measured by this project: each file's were found alike in the sources of at least two projects
that do not depend on each other; some are named above each. A download that has another sha256 is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from imagegen.config.models import HUGGING_FACE

__all__ = ["KNOWN_MODELS", "KnownFile", "KnownModel", "suggest_model"]

_GIB = 1024**3


@dataclass(frozen=True)
class KnownFile:
    """One file of a model on Hugging Face."""

    key: str
    """Its name in `[tool.imagegen.models]`. Models that share a file share its entry."""
    folder: str
    """The kind of model, which its folder is named after: checkpoints, diffusion_models, text_encoders, vae."""
    name: str
    """Of the file in that folder."""
    repo: str
    file: str
    revision: str
    """A commit."""
    size: int
    """Bytes."""
    sha256: str
    page: str = ""
    """Where its licence can be read; empty: on its repository's own page."""


@dataclass(frozen=True)
class KnownModel:
    """A model by its name."""

    name: str
    title: str
    parts: Mapping[str, KnownFile]
    """By the option that names such a file: model, diffusion_model, vae, llm …"""
    licence: str
    page: str
    """Where the licence can be read."""
    memory: int
    """Bytes of memory that it takes with its own size: an estimate, its weights and what the engine works with. More
    where the VAE decodes a large picture in one piece; less with `offload`."""
    seconds: str
    """How long a picture takes, for a person: an estimate, not measured by this project."""
    steps: int
    cfg: float
    width: int
    height: int
    is_distilled: bool = True
    """Whether it was trained to work without CFG: it takes neither `cfg` nor a negative prompt."""
    takes_references: bool = False
    sampler: str = ""
    """Empty: the server's own for such a model."""

    @property
    def bytes(self) -> int:
        """All files together."""
        return sum(file.size for file in self.parts.values())


# also in shani8dev/shani-chronoa (with a download), and in the catalogues of several apps that run sd-server
_SD_TURBO = KnownFile(
    "sd-turbo",
    "checkpoints",
    "sd_turbo-f16-q8_0.gguf",
    "Green-Sky/SD-Turbo-GGUF",
    "sd_turbo-f16-q8_0.gguf",
    "19a31586d02d64a73b4419bc193b3ecfaf38e1f0",
    2_023_745_376,
    "d50be7655f0a554cf8041c145d88b210bd5f3c545423119dee62ae08cae51580",
    f"{HUGGING_FACE}/stabilityai/sd-turbo",
)
# also in mcmonkeyprojects/SwarmUI (CommonModels.cs), and in eight more
_SD_15 = KnownFile(
    "sd-15",
    "checkpoints",
    "v1-5-pruned-emaonly-fp16.safetensors",
    "Comfy-Org/stable-diffusion-v1-5-archive",
    "v1-5-pruned-emaonly-fp16.safetensors",
    "4fddeb7f9096623f1b77f4708feb96126a08a0cf",
    2_132_696_762,
    "e9476a13728cd75d8279f6ec8bad753a66a1957ca375a1464dc63b37db6e3916",
)
# also in kekn011/barra (models.psd1, with a download), and as version 252914 of model 4384 at Civitai
_DREAMSHAPER_8_LCM = KnownFile(
    "dreamshaper-8-lcm",
    "checkpoints",
    "DreamShaper8_LCM.safetensors",
    "Lykon/dreamshaper-8-lcm",
    "DreamShaper8_LCM.safetensors",
    "4645d8bc6a8e6b106d21606d63e8460cdad4f1a6",
    2_133_804_992,
    "a4f3e1526c5dc4fcbe342f5c410d83ae202c7a415fcefcbb92e0f93fcd0a87c3",
)
# the next five also in asifwanders/SovImage (registry.rs) and gopherstein/yggdrasil-core (catalog.go)
_KLEIN_Q4 = KnownFile(
    "flux2-klein-4b-q4",
    "diffusion_models",
    "flux-2-klein-4b-Q4_0.gguf",
    "leejet/FLUX.2-klein-4B-GGUF",
    "flux-2-klein-4b-Q4_0.gguf",
    "3b1f5a9dc3abb32238b053aeb3d823c30afdacbd",
    2_460_378_560,
    "d1023499ef3f2f82ff7c50e6778495195c1b6cc34835741778868428111f9ff4",
    f"{HUGGING_FACE}/black-forest-labs/FLUX.2-klein-4B",
)
_KLEIN_Q8 = KnownFile(
    "flux2-klein-4b-q8",
    "diffusion_models",
    "flux-2-klein-4b-Q8_0.gguf",
    "leejet/FLUX.2-klein-4B-GGUF",
    "flux-2-klein-4b-Q8_0.gguf",
    "3b1f5a9dc3abb32238b053aeb3d823c30afdacbd",
    4_300_629_440,
    "0bba6951258ec8f92d51114a8fa13e66828297bfff58a738f52729b3ef66fa28",
    f"{HUGGING_FACE}/black-forest-labs/FLUX.2-klein-4B",
)
_QWEN3_4B_Q4 = KnownFile(
    "qwen3-4b-q4",
    "text_encoders",
    "Qwen3-4B-Q4_K_M.gguf",
    "unsloth/Qwen3-4B-GGUF",
    "Qwen3-4B-Q4_K_M.gguf",
    "22c9fc8a8c7700b76a1789366280a6a5a1ad1120",
    2_497_281_312,
    "f6f851777709861056efcdad3af01da38b31223a3ba26e61a4f8bf3a2195813a",
)
_FLUX2_VAE = KnownFile(
    "flux2-small-decoder",
    "vae",
    "full_encoder_small_decoder.safetensors",
    "black-forest-labs/FLUX.2-small-decoder",
    "full_encoder_small_decoder.safetensors",
    "a3efc24f613ef42d9428af62fdbd6f5fd8856c4a",
    249_519_092,
    "ea4273f02d1fafbf8e1d1c2cf6018ed8748652eb0bf34f2dd91171f16f15ab62",
)
_QWEN3_4B_Q8 = KnownFile(
    "qwen3-4b-q8",
    "text_encoders",
    "Qwen3-4B-Q8_0.gguf",
    "unsloth/Qwen3-4B-GGUF",
    "Qwen3-4B-Q8_0.gguf",
    "22c9fc8a8c7700b76a1789366280a6a5a1ad1120",
    4_280_405_792,
    "eed555233267a33c7e8ee31682762cc7751b3f6d224039086e0e846f05fffa5d",
)
# also in mudler/LocalAI (gallery/index.yaml), and in eight more
_Z_IMAGE_TURBO = KnownFile(
    "z-image-turbo-q4",
    "diffusion_models",
    "z_image_turbo-Q4_K.gguf",
    "leejet/Z-Image-Turbo-GGUF",
    "z_image_turbo-Q4_K.gguf",
    "c61c0e422dc8b541b7548cf33a4ef8302b0f8085",
    3_864_250_304,
    "14b375ab4f226bc5378f68f37e899ef3c2242b8541e61e2bc1aff40976086fbd",
    f"{HUGGING_FACE}/Tongyi-MAI/Z-Image-Turbo",
)
# the same bytes in black-forest-labs/FLUX.1-schnell; also in mudler/LocalAI and mcmonkeyprojects/SwarmUI
_FLUX1_VAE = KnownFile(
    "flux1-vae",
    "vae",
    "ae.safetensors",
    "Comfy-Org/z_image_turbo",
    "split_files/vae/ae.safetensors",
    "6fc90a3b1b653e935a0d175e260736de25b84df5",
    335_304_388,
    "afc8e28272cd15db3919bacdb6918ce9c1ed22e96cb12c4d5ed0fba823529e38",
    f"{HUGGING_FACE}/black-forest-labs/FLUX.1-schnell",
)

_MODELS = (
    KnownModel(
        "sd-turbo",
        "SD-Turbo, 8 bits",
        {"model": _SD_TURBO},
        "Stability AI Community Licence: free below 1 million USD of yearly revenue",
        f"{HUGGING_FACE}/stabilityai/sd-turbo",
        memory=int(3.6 * _GIB),
        seconds="10 s on a small GPU, 1 min on a CPU",
        steps=4,
        cfg=1.0,
        width=512,
        height=512,
    ),
    KnownModel(
        "sd-1.5",
        "Stable Diffusion 1.5, 16 bits",
        {"model": _SD_15},
        "CreativeML Open RAIL-M",
        f"{HUGGING_FACE}/{_SD_15.repo}",
        memory=int(3.7 * _GIB),
        seconds="1 min on a small GPU, 6 min on a CPU",
        steps=20,
        cfg=7.0,
        width=512,
        height=512,
        is_distilled=False,
    ),
    KnownModel(  # made with LCM, which needs few steps, and a little of CFG
        "dreamshaper-8-lcm",
        "DreamShaper 8 LCM, for paintings and game art, 16 bits",
        {"model": _DREAMSHAPER_8_LCM},
        "CreativeML Open RAIL-M",
        f"{HUGGING_FACE}/{_DREAMSHAPER_8_LCM.repo}",
        memory=int(3.7 * _GIB),
        seconds="30 s on a small GPU, 3 min on a CPU",
        steps=8,
        cfg=2.0,
        width=512,
        height=512,
        is_distilled=False,
        sampler="lcm",
    ),
    KnownModel(
        "flux2-klein-4b",
        "FLUX.2 klein 4B, 4 bits",
        {"diffusion_model": _KLEIN_Q4, "llm": _QWEN3_4B_Q4, "vae": _FLUX2_VAE},
        "Apache-2.0",
        f"{HUGGING_FACE}/black-forest-labs/FLUX.2-klein-4B",
        memory=8 * _GIB,
        seconds="25 s on a GPU, many minutes on a CPU",
        steps=4,
        cfg=1.0,
        width=1024,
        height=1024,
        takes_references=True,
    ),
    KnownModel(
        "z-image-turbo",
        "Z-Image-Turbo, 4 bits",
        {"diffusion_model": _Z_IMAGE_TURBO, "llm": _QWEN3_4B_Q4, "vae": _FLUX1_VAE},
        "Apache-2.0",
        f"{HUGGING_FACE}/Tongyi-MAI/Z-Image-Turbo",
        memory=10 * _GIB,
        seconds="1 min on a GPU, many minutes on a CPU",
        steps=8,
        cfg=1.0,
        width=1024,
        height=1024,
    ),
    KnownModel(
        "flux2-klein-4b-q8",
        "FLUX.2 klein 4B, 8 bits",
        {"diffusion_model": _KLEIN_Q8, "llm": _QWEN3_4B_Q8, "vae": _FLUX2_VAE},
        "Apache-2.0",
        f"{HUGGING_FACE}/black-forest-labs/FLUX.2-klein-4B",
        memory=12 * _GIB,
        seconds="25 s on a GPU, many minutes on a CPU",
        steps=4,
        cfg=1.0,
        width=1024,
        height=1024,
        takes_references=True,
    ),
)
KNOWN_MODELS: Mapping[str, KnownModel] = {model.name: model for model in _MODELS}
"""By name, the smallest first.

Steps, CFG, sampler and size are those of stable-diffusion.cpp's own documentation, or the ones that apps built on it
use. The seconds are classes, from reports of others: a small GPU is one such as a laptop's RTX 3050 Ti, and a GPU one
that the model fits in (for FLUX.2 klein: issue 1215 of leejet/stable-diffusion.cpp).
"""

_SMALL, _LARGE = "sd-turbo", "flux2-klein-4b"
_SPARE = 1.25


def suggest_model(memory_bytes: int, device: str) -> str:
    """Return the name of the model that suits a machine.

    FLUX.2 klein (the better pictures, a free licence, reference images) where a GPU has room for it and a quarter more.
    Otherwise SD-Turbo: it runs everywhere, and is the only one that is quick without a GPU.

    Args:
        memory_bytes: the GPU's memory; of Apple silicon, all there is; 0 if unknown.
        device: what the program was built for: cpu, vulkan, metal, rocm or cuda; empty if unknown.
    """
    has_gpu = device not in ("", "cpu")
    return _LARGE if has_gpu and memory_bytes >= _SPARE * KNOWN_MODELS[_LARGE].memory else _SMALL
