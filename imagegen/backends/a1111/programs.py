"""The programs with A1111's API: how each is recognised, and what it makes of a request. Contacts nobody itself.

Read in the sources of A1111 1.10, Forge 2.0.1, reForge, SD.Next, koboldcpp 1.117, stable-diffusion.cpp and Draw Things'
HTTP server, as of August 2026; stable-diffusion.cpp was run, too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from imagegen.backends.limits import Limits

__all__ = [
    *("A1111", "DRAW_THINGS", "FORGE", "KOBOLDCPP", "OTHER", "REFORGE", "SD_NEXT", "SD_SERVER", "Program", "identify"),
]


@dataclass(frozen=True)
class Program(Limits):
    """One program, and where it differs from the others.

    Attributes:
        loras: where a request has its LoRAs: in the prompt, or in the body under this key. most_loras: how many.
        checkpoint: where a request has its checkpoint; empty if there is only the one that it was started with.
        no_scheduler: what to do if a request has a scheduler, where it may have none; else empty.
        takes_task: whether a request may have an ID, by which it is followed.
        resizes_images: whether an image to start from may have any size.
        always: keys that each request has.
        comments: regular expression of what begins a comment in a prompt, unless its settings switch that off.
        samplers: those that it has, if it does not list them.
    """

    loras: Literal["prompt", "lora", "loras"] = "prompt"
    most_loras: int = 1000
    checkpoint: Literal["override_settings", "model", ""] = "override_settings"
    no_scheduler: str = ""
    takes_task: bool = False
    resizes_images: bool = True
    always: Mapping[str, Any] = field(default_factory=dict)
    comments: str = ""
    samplers: Sequence[str] = ()


_TAGS = r"<(?!lora:)\w+:[^>]+>"
"""They are all removed from a prompt, and those of an unknown kind do nothing (modules/extra_networks.py)."""
_TAGS_1 = _TAGS.replace("lora:", "(?:lora|hypernet):")

A1111 = Program("A1111", changes=_TAGS_1, takes_task=True, comments="#")
FORGE = Program("Forge", changes=_TAGS, takes_task=True, comments="#")
REFORGE = Program("reForge", changes=_TAGS_1, takes_task=True, comments=r"#|//|/\*")
SD_NEXT = Program(
    "SD.Next", changes=rf"{_TAGS}|[{{}}]|/\*|__\w+__", no_scheduler="remove it; the server's settings have one"
)
KOBOLDCPP = Program("koboldcpp", 2**31 - 1, 80, (1, 25), 8, "<lora:", 3000, loras="lora", most_loras=4, checkpoint="")
SD_SERVER = Program("sd-server", 2**31 - 1, 100, changes="<lora:|<sd_cpp_extra_args>", loras="lora", checkpoint="")
DRAW_THINGS = Program(
    *("Draw Things", 2**32 - 1, 150, (0, 50), 64, "<lora:"),
    least_side=128,
    loras="loras",
    checkpoint="model",
    no_scheduler="remove it; some samplers have one in their name, such as DPM++ 2M Karras",
    resizes_images=False,
    always={  # whatever is not sent is as the app has it at the moment
        "batch_count": 1,
        "batch_size": 1,
        "loras": [],
        "controls": [],
        "hires_fix": False,
        **dict.fromkeys(("upscaler", "refiner_model")),
    },
    samplers=(
        *("DPM++ 2M Karras", "DPM++ 2M AYS", "DPM++ 2M Trailing", "DPM++ SDE Karras", "DPM++ SDE AYS"),
        *("DPM++ SDE Trailing", "DPM++ SDE Substep", "Euler a", "Euler A AYS", "Euler A Trailing", "Euler A Substep"),
        *("DDIM", "DDIM Trailing", "UniPC", "UniPC AYS", "UniPC Trailing", "LCM", "PLMS", "TCD", "TCD Trailing"),
    ),
)
OTHER = Program("a server with A1111's API", changes=_TAGS)


def identify(get: Callable[[str], Any]) -> tuple[Program, str] | None:
    """Return which program a server is, and its version if it tells; None if it has no such API.

    Those that have other programs' APIs too come first. get: returns the JSON that it has at a path; None if none.
    """

    def read(path: str) -> Mapping[str, Any]:
        return found if isinstance(found := get(path), dict) else {}

    if read("/api/extra/version").get("result") == "KoboldCpp":
        return KOBOLDCPP, str(read("/api/extra/version").get("version") or "")
    if isinstance(read("/sdcpp/v1/capabilities").get("samplers"), list):
        return SD_SERVER, ""
    if (version := read("/sdapi/v1/version")).get("app") == "sd.next":
        return SD_NEXT, str(version.get("commit") or version.get("updated") or "")
    options = read("/sdapi/v1/options")
    if "guidance_scale" in options and "samples_format" not in options:
        return DRAW_THINGS, ""
    if not isinstance(get("/sdapi/v1/sd-models"), list):
        return None
    if isinstance(get("/sdapi/v1/sd-modules"), list):
        return FORGE, ""
    if not isinstance(get("/sdapi/v1/sd-vae"), list):
        return OTHER, ""
    schedulers = str(get("/sdapi/v1/schedulers"))
    is_reforge = "karras dynamic" in schedulers or "align_your_steps_custom" in schedulers
    return REFORGE if is_reforge else A1111, ""
