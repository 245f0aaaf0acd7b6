"""The settings that other programs wrote into an image: where each keeps them, and what its words mean here.

It reads those of AUTOMATIC1111's web UI and its kin (Forge, Civitai), SwarmUI, Fooocus, InvokeAI, NovelAI, Draw Things
and Easy Diffusion. What it does not understand it never takes for a prompt.

Sources: stable-diffusion-webui, modules/infotext_utils.py; sd-dynamic-prompts, pnginfo_saver.py.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from imagegen.config.document import parse_number
from imagegen.config.schema import COMMON, SEED
from imagegen.images.image_file import ImageFile
from imagegen.images.metadata import read_exif_texts, read_user_comment, read_xmp_text

__all__ = [
    "ForeignSettings",
    "UnreadableRecord",
    "read_comfyui_prompt",
    "read_foreign_settings",
    "to_comfyui_names",
]


class UnreadableRecord(ValueError):  # noqa: N818 - a finding, not a failure of ours
    """An image has a record that cannot be read: of which program, and why."""


@dataclass(frozen=True)
class ForeignSettings:
    """What a program wrote. fields: those that imagegen has too, by its names. others: the rest, as written."""

    prompt: str
    fields: dict[str, Any] = field(default_factory=dict)
    others: dict[str, str] = field(default_factory=dict)


_DREAM = re.compile(r'\s*"(.*)"\s*(-.*)?', re.DOTALL)
_OPTION = re.compile(r"-([A-Za-z])\s*([\w.+-]+)")
_USER_COMMENT = "http://ns.adobe.com/exif/1.0/ UserComment"
_LARGEST = 1024**2
"""Characters of a record that is read."""


def read_comfyui_prompt(file: ImageFile) -> str | None:
    """Return the JSON of the workflow that ComfyUI ran; None if the image has none."""
    if file.format == "png":
        return None if "negative_prompt" in file.texts else file.texts.get("prompt")
    words = (text for text in read_exif_texts(file.exif) if text.startswith("prompt:"))
    return next((word.removeprefix("prompt:") for word in words), None)


def read_foreign_settings(file: ImageFile) -> ForeignSettings | None:
    """Return what another generator says of the image; None if none does.

    Raises:
        UnreadableRecord: there is a record, and it cannot be read.

    """
    texts = dict(file.texts)
    if file.format != "png":
        texts["XML:com.adobe.xmp"] = file.xmp.decode("utf-8", "replace")
        if comment := read_user_comment(file.exif):
            texts["parameters"] = comment
    for key, read in _READERS.items():
        if (text := texts.get(key, "")).strip() and (found := read(text[:_LARGEST], texts)) is not None:
            return found
    if "workflow" in texts:
        raise UnreadableRecord("it holds only the drawing of its ComfyUI workflow, not what was run")
    return None


def _json(text: str, program: str) -> dict[str, Any]:
    """Return the JSON object. Raises UnreadableRecord."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise UnreadableRecord(f"its record of {program} is damaged")
    return found


def _parameters(text: str, _: Mapping[str, str]) -> ForeignSettings:
    """Read a text of the web UI, or the JSON that other programs put in its place."""
    text = text.removeprefix("\ufeff")
    plain = _parse_parameters(text)
    if not text.lstrip().startswith(("{", "[")) or plain.fields or plain.others:
        return plain  # with settings below it, JSON is a prompt
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        if re.match(r"[\s\[]*\{\s*[\"']", text):
            raise UnreadableRecord("its 'parameters' are JSON that is damaged or cut off") from None
        return plain
    for key, read in _JSON.items():
        if isinstance(found, dict) and key in found:
            return read(found)
    raise UnreadableRecord("its 'parameters' are JSON of a program that is not known here")


def _made(program: str, given: Mapping[str, Any], words: Mapping[str, str]) -> ForeignSettings:
    """Return the settings of a record. words: the key there of each of our fields, and of `size`."""
    prompt = given.get(words["prompt"])
    if not isinstance(prompt, str):
        raise UnreadableRecord(f"its record of {program} has no prompt")
    numbers = {key: given.get(words[key]) for key in ("width", "height", "steps", "cfg", "seed") if key in words}
    if size := re.search(r"(\d{1,9})\D+(\d{1,9})", str(given.get(words.get("size", "")) or "")[:100]):
        numbers |= {"width": size[1], "height": size[2]}
    fields, odd = _take_fields({key: value for key, value in numbers.items() if not isinstance(value, (dict, list))})
    if isinstance(negative := given.get(words["negative"]), str) and negative.strip():
        fields = {"negative": negative.strip(), **fields}
    others = {**odd}
    for key, name in (("sampler", "Sampler"), ("scheduler", "Schedule type")):
        if isinstance(value := given.get(words.get(key, "")), str) and value:
            others[name] = value
    rest = {key: value for key, value in given.items() if key not in words.values()}
    others |= {key: _shown(value) for key, value in rest.items() if value not in (None, "", [], {})}
    return ForeignSettings(prompt.strip(), fields, others)


def _shown(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _swarm(found: Mapping[str, Any]) -> ForeignSettings:
    given = found["sui_image_params"]
    if not isinstance(given, dict):
        raise UnreadableRecord("its record of SwarmUI is damaged")
    prefix = "" if "sampler" in given else "comfyui"
    words = {"prompt": "prompt", "negative": "negativeprompt", "width": "width", "height": "height", "steps": "steps"}
    more = {"cfg": "cfgscale", "seed": "seed", "sampler": f"{prefix}sampler", "scheduler": f"{prefix}scheduler"}
    return _made("SwarmUI", given, {**words, **more})


_PLAIN = {"prompt": "prompt", "negative": "negative_prompt", "steps": "steps", "seed": "seed"}
_BOTH = {"width": "width", "height": "height", "sampler": "sampler", "scheduler": "scheduler"}


def _fooocus(given: Mapping[str, Any]) -> ForeignSettings:
    cfg = "cfg" if "cfg" in given else "guidance_scale"
    return _made("Fooocus", given, {**_PLAIN, **_BOTH, "cfg": cfg, "size": "resolution"})


def _invoke(text: str, _: Mapping[str, str]) -> ForeignSettings:
    given = _json(text, "InvokeAI")
    words = {**_PLAIN, "prompt": "positive_prompt", "cfg": "cfg_scale", "width": "width", "height": "height"}
    return _made("InvokeAI", given, {**words, "sampler": "scheduler"})


def _invoke_of_old(text: str, _: Mapping[str, str]) -> ForeignSettings:
    given = _json(text, "InvokeAI").get("image")
    if not isinstance(given, dict):
        raise UnreadableRecord("its record of InvokeAI is damaged")
    prompt = given.get("prompt")
    if isinstance(prompt, list) and len(prompt) == 1 and isinstance(prompt[0], dict):
        prompt = prompt[0].get("prompt")
    return _made("InvokeAI", _split({**given, "prompt": prompt}), {**_PLAIN, **_BOTH, "cfg": "cfg_scale"})


def _dream(text: str, _: Mapping[str, str]) -> ForeignSettings:
    """Read the command line of InvokeAI's ancestor: `"a raven [hands]" -s 50 -S 12 -W 512 -H 512 -C 7.5 -A k_lms`."""
    found = _DREAM.fullmatch(text)
    if found is None:
        raise UnreadableRecord("its record of InvokeAI is damaged")
    options = dict(_OPTION.findall(found[2] or ""))
    words = {"prompt": "prompt", "negative": "negative_prompt", "steps": "s", "seed": "S", "width": "W", "height": "H"}
    given = _split({**options, "prompt": found[1]})
    return _made("InvokeAI", given, {**words, "cfg": "C", "sampler": "A"})


def _split(given: Mapping[str, Any]) -> dict[str, Any]:
    """Split off the negative prompt that the prompt ends with in brackets."""
    prompt = given.get("prompt")
    if not isinstance(prompt, str) or not prompt.rstrip().endswith("]") or "[" not in prompt:
        return dict(given)
    prompt, _, negative = prompt.rstrip().removesuffix("]").rpartition("[")
    return {**given, "prompt": prompt, "negative_prompt": negative}


def _comment(text: str, texts: Mapping[str, str]) -> ForeignSettings | None:
    """Read the JSON of NovelAI, or of an older Fooocus; None for any other comment."""
    is_novelai = "NovelAI" in (texts.get("Software"), texts.get("Source"))
    if not is_novelai and not text.lstrip().startswith("{"):
        return None
    given = _json(text, "NovelAI" if is_novelai else "Fooocus")
    if is_novelai or "uc" in given:
        words = {"prompt": "prompt", "negative": "uc", "steps": "steps", "seed": "seed", "cfg": "scale"}
        given = {"prompt": texts.get("Description"), **given}
        return _made("NovelAI", given, {**words, **_BOTH, "scheduler": "noise_schedule"})
    return _fooocus(given) if "prompt" in given else None


def _draw_things(text: str, _: Mapping[str, str]) -> ForeignSettings | None:
    inner = (read_xmp_text(text.encode("utf-8", "replace"), _USER_COMMENT) or "").strip()
    if not inner.startswith("{"):
        return None
    given = _json(inner, "Draw Things")
    words = {"prompt": "c", "negative": "uc", "steps": "steps", "seed": "seed", "cfg": "scale", "sampler": "sampler"}
    return _made("Draw Things", given, {**words, "size": "size"})


def _easy_diffusion(_: str, texts: Mapping[str, str]) -> ForeignSettings:
    return _easy({key.lower().replace(" ", "_"): value for key, value in texts.items()})


def _easy(given: Mapping[str, Any]) -> ForeignSettings:
    words = {**_PLAIN, **_BOTH, "cfg": "guidance_scale", "steps": "num_inference_steps", "sampler": "sampler_name"}
    if "steps" in given:
        words["steps"] = "steps"
    if "sampler" in given:
        words["sampler"] = "sampler"
    return _made("Easy Diffusion", given, words)


_JSON: dict[str, Callable[[Mapping[str, Any]], ForeignSettings]] = {
    "sui_image_params": _swarm,
    "num_inference_steps": _easy,
    "guidance_scale": _fooocus,
    "base_model": _fooocus,
    "performance": _fooocus,
}
"""The programs that put JSON in place of the web UI's text, by a key that each has."""
_READERS: dict[str, Callable[[str, Mapping[str, str]], ForeignSettings | None]] = {
    "parameters": _parameters,
    "invokeai_metadata": _invoke,
    "sd-metadata": _invoke_of_old,
    "Dream": _dream,
    "Comment": _comment,
    "XML:com.adobe.xmp": _draw_things,
    "negative_prompt": _easy_diffusion,
    "Negative Prompt": _easy_diffusion,
}
"""By the keyword that each program writes under."""


_KEY = re.compile(r"\s*([A-Za-z][^:,\"\n]{0,60}): ")
_QUOTED = re.compile(r'"(?:\\.|[^"\\])*"')
_NEGATIVE = "Negative prompt:"
_TEMPLATES = ("Template:", "Negative Template:")
_NUMBERS = {"Steps": "steps", "CFG scale": "cfg", "Seed": "seed", "Clip skip": "clip_skip"}
_STEPS = re.compile(r"Steps: \d+, ")
_OTHERWISE = re.compile(r"\b(steps|seed|cfg[ _]scale|guidance[ _]scale|size|sampler)\s*[:=]\s*[\w'\"(]")
"""Settings as other programs write them, in lower case."""
_KNOWN = frozenset({*_NUMBERS, "Size", "Sampler", "Schedule type", "Model", "Model hash", "Version"})


def _parse_parameters(text: str) -> ForeignSettings:
    """Read a text of the web UI: prompt, negative prompt, a line of settings, templates of dynamic prompts.

    Raises UnreadableRecord if the settings are on one line with the prompt, or written in another way.
    """
    lines = text.strip().split("\n")
    at = _settings_line(lines)
    settings = _settings(lines[at]) if at < len(lines) else {}
    rest = "\n".join(lines[at + 1 :]).strip()
    lines = lines[:at]
    negative = next((number for number, line in enumerate(lines) if line.startswith(_NEGATIVE)), len(lines))
    fields: dict[str, Any] = {}
    if not (settings or text.lstrip().startswith(("{", "["))) and len(set(_OTHERWISE.findall(text.lower()))) > 1:
        raise UnreadableRecord("its settings are written in a way that is not known here")
    if negative < len(lines):
        fields["negative"] = "\n".join(line.removeprefix(_NEGATIVE) for line in lines[negative:]).strip()
    given = {key: settings.pop(name) for name, key in _NUMBERS.items() if name in settings}
    if size := re.fullmatch(r"(\d{1,9})x(\d{1,9})", settings.get("Size", "")):
        given |= {"width": size[1], "height": size[2]}
    found, odd = _take_fields(given)
    if size and {"width", "height"} & odd.keys():
        found = {key: value for key, value in found.items() if key not in ("width", "height")}
    elif size:
        settings.pop("Size")
    names = {key: name for name, key in _NUMBERS.items()}
    wrong = {names[key]: value for key, value in odd.items() if key in names}
    others = {**wrong, **settings, **_after(rest)}
    return ForeignSettings("\n".join(lines[:negative]).strip(), fields | found, others)


def _after(rest: str) -> dict[str, str]:
    """Return what stands below the settings: a template, mostly."""
    label = next((label for label in _TEMPLATES if rest.startswith(label)), "")
    return {label.removesuffix(":") or "the lines below": rest.removeprefix(label).strip()} if rest else {}


def _settings_line(lines: list[str]) -> int:
    """Return the line of settings: the last one, or the one above the templates of dynamic prompts."""
    for at, line in enumerate(lines):
        is_last = at + 1 == len(lines) or lines[at + 1].startswith(_TEMPLATES)
        if is_last and _begins_with_setting(line) and len(_KNOWN & _settings(line).keys()) >= 2:
            return at
    last = len(lines) - 1
    if re.fullmatch(r"\s*Steps: \d+,?\s*", lines[last]):
        return last
    # somebody else's lines may follow; what is beyond doubt no part of a prompt is none
    likely = [at for at, line in enumerate(lines) if _STEPS.search(line) and len(_KNOWN & _settings(line).keys()) >= 2]
    sure = [at for at in likely if _STEPS.match(lines[at])]
    if likely and not sure:
        raise UnreadableRecord("its prompt and its settings are on one line")
    return max(sure, default=len(lines))


def _begins_with_setting(line: str) -> bool:
    first = _KEY.match(line)
    return bool(first and first[1] in _KNOWN)


def _settings(line: str) -> dict[str, str]:
    """Return the settings by name, the first of each name; a value may be quoted, or JSON."""
    found: dict[str, str] = {}
    at = 0
    while key := _KEY.search(line, at):
        end = _end_of_value(line, key.end())
        found.setdefault(key[1], line[key.end() : end].strip())
        at = end
    return found


def _end_of_value(line: str, at: int) -> int:
    if quoted := _QUOTED.match(line, at):
        return quoted.end()
    if line[at : at + 1] in ("[", "{"):
        try:
            return json.JSONDecoder().raw_decode(line, at)[1]
        except (ValueError, RecursionError):
            pass
    comma = line.find(",", at)
    return len(line) if comma < 0 else comma


def _take_fields(given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return those of these numbers that a job can have, and the others as they were written.

    given: by our names, each a number or a text.
    """
    found: dict[str, Any] = {}
    odd: dict[str, str] = {}
    for key, value in given.items():
        rules = {**COMMON, "seed": SEED}[key]
        number = parse_number(value.strip()) if isinstance(value, str) else value
        if isinstance(number, float) and number.is_integer() and not isinstance(value, str):
            number = int(number)
        kinds = (int, float) if rules["type"] == "number" else (int,)
        if isinstance(number, kinds) and not isinstance(number, bool) and rules["min"] <= number <= rules["max"]:
            found[key] = float(number) if rules["type"] == "number" else number
        elif value not in (None, ""):
            odd[key] = str(value)
    return found, odd


_SAMPLER_NAMES = """
euler euler_cfg_pp euler_ancestral euler_ancestral_cfg_pp heun heunpp2 dpm_2 dpm_2_ancestral lms dpm_fast dpm_adaptive
dpmpp_2s_ancestral dpmpp_2s_ancestral_cfg_pp dpmpp_sde dpmpp_sde_gpu dpmpp_2m dpmpp_2m_cfg_pp dpmpp_2m_sde
dpmpp_2m_sde_gpu dpmpp_2m_sde_heun dpmpp_2m_sde_heun_gpu dpmpp_3m_sde dpmpp_3m_sde_gpu ddpm lcm ipndm ipndm_v deis
res_multistep res_multistep_cfg_pp res_multistep_ancestral res_multistep_ancestral_cfg_pp gradient_estimation er_sde
seeds_2 seeds_3 sa_solver ddim uni_pc uni_pc_bh2
"""
_SCHEDULER_NAMES = "normal karras exponential sgm_uniform simple ddim_uniform beta kl_optimal linear_quadratic"
_SAMPLERS, _SCHEDULERS = frozenset(_SAMPLER_NAMES.split()), frozenset(_SCHEDULER_NAMES.split())
"""ComfyUI's, v0.33.0."""
_SPELLINGS = {"dpm++": "dpmpp", "kdpm_2": "dpm_2", "dpm2": "dpm_2", "unipc": "uni_pc"}
"""What the web UI and InvokeAI write, in ComfyUI's words."""
_WITH_SCHEDULER = re.compile(r"(.+?)_(k|karras|exponential)")


def to_comfyui_names(sampler: str, scheduler: str) -> tuple[str, str]:
    """Return ComfyUI's sampler and scheduler, each empty if it is not known which one is meant.

    Args:
        sampler: may name the scheduler too, as `DPM++ 2M Karras` does.
        scheduler: empty if it is not given.

    """
    own_scheduler = _known_scheduler(scheduler)
    name = _underscored(sampler).removeprefix("k_")
    if not scheduler and not _known_sampler(name) and (found := _WITH_SCHEDULER.fullmatch(name)):
        name, own_scheduler = found[1], {"k": "karras"}.get(found[2], found[2])
    own_sampler = _known_sampler(name)
    return own_sampler, own_scheduler if own_sampler or scheduler else ""


def _known_scheduler(scheduler: str) -> str:
    name = _underscored(scheduler)
    name = "ddim_uniform" if name == "ddim" else name
    return name if name in _SCHEDULERS else ""


def _known_sampler(name: str) -> str:
    for theirs, own in _SPELLINGS.items():
        name = name.replace(theirs, own)
    name = re.sub("_a$", "_ancestral", name)
    return name if name in _SAMPLERS else ""


def _underscored(name: str) -> str:
    return "_".join(name.lower().replace("_", " ").split())
