"""The records of other generators in an image: where each program keeps it, and what its words mean here.

Read are AUTOMATIC1111's web UI and its kin, SwarmUI, Fooocus, InvokeAI, NovelAI, Draw Things and Easy Diffusion. What
is not understood is never taken for a prompt.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from imagegen.images import exif, jpeg, png, webp, xmp
from imagegen.images.containers import format_of
from imagegen.images.infotext import Parameters, UnknownRecord, parse_parameters, take_fields

__all__ = ["Parameters", "UnknownRecord", "comfyui_prompt", "read_parameters"]

_DREAM = re.compile(r'\s*"(.*)"\s*(-.*)?', re.DOTALL)
_OPTION = re.compile(r"-([A-Za-z])\s*([\w.+-]+)")
_USER_COMMENT = "http://ns.adobe.com/exif/1.0/ UserComment"
_LARGEST = 1024**2
"""Characters of a record that is read."""


def comfyui_prompt(data: bytes) -> str | None:
    """The JSON of the workflow that ComfyUI ran; None where the image has none. Raises BadImage."""
    if format_of(data) == "png":
        text = _png_texts(data).get("prompt")
        return None if text is None or "negative_prompt" in _png_texts(data) else text
    words = (text for text in exif.texts(_exif(data)) if text.startswith("prompt:"))
    return next((word.removeprefix("prompt:") for word in words), None)


def read_parameters(data: bytes) -> Parameters | None:
    """What another generator says of the image; None where none does.

    Raises BadImage for a file that cannot be read, and UnknownRecord for a record that cannot.
    """
    texts = _png_texts(data) if format_of(data) == "png" else _other_texts(data)
    for key, read in _READERS.items():
        if (text := texts.get(key, "")).strip() and (found := read(text[:_LARGEST], texts)) is not None:
            return found
    if "workflow" in texts:
        raise UnknownRecord("it holds only the drawing of its ComfyUI workflow, not what was run")
    return None


def _png_texts(data: bytes) -> dict[str, str]:
    """By keyword, the first of each."""
    texts: dict[str, str] = {}
    for chunk in png.read_chunks(data):
        key, text = png.keyword(chunk), png.text(chunk)
        if key is not None and text is not None:
            texts.setdefault(key, text)
    return texts


def _other_texts(data: bytes) -> dict[str, str]:
    """Of a JPEG or WebP: what stands in its comments."""
    comment = exif.user_comment(_exif(data))
    texts = {"parameters": comment} if comment else {}
    if format_of(data) == "jpeg":
        texts["Comment"] = jpeg.comment(jpeg.read_segments(data))
        texts["XML:com.adobe.xmp"] = jpeg.metadata(jpeg.read_segments(data), jpeg.XMP).decode("utf-8", "replace")
    else:
        texts["XML:com.adobe.xmp"] = webp.metadata(webp.read_chunks(data), b"XMP ").decode("utf-8", "replace")
    return texts


def _exif(data: bytes) -> bytes:
    if format_of(data) == "png":
        return b""
    if format_of(data) == "jpeg":
        return jpeg.metadata(jpeg.read_segments(data), jpeg.EXIF)
    return webp.metadata(webp.read_chunks(data), b"EXIF").removeprefix(jpeg.EXIF)


def _json(text: str, program: str) -> dict[str, Any]:
    """The object that the text is. Raises UnknownRecord."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise UnknownRecord(f"its record of {program} is damaged")
    return found


def _parameters(text: str, _: Mapping[str, str]) -> Parameters:
    """A text of the web UI, or the JSON that other programs put in its place."""
    text = text.removeprefix("\ufeff")
    plain = parse_parameters(text)
    if not text.lstrip().startswith(("{", "[")) or plain.fields or plain.others:
        return plain  # with settings below it, JSON is a prompt
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        if re.match(r"[\s\[]*\{\s*[\"']", text):
            raise UnknownRecord("its 'parameters' are JSON that is damaged or cut off") from None
        return plain
    for key, read in _JSON.items():
        if isinstance(found, dict) and key in found:
            return read(found)
    raise UnknownRecord("its 'parameters' are JSON of a program that is not known here")


def _made(program: str, given: Mapping[str, Any], words: Mapping[str, str]) -> Parameters:
    """The parameters of a record. words: of each of our fields, and of `size`, the key there."""
    prompt = given.get(words["prompt"])
    if not isinstance(prompt, str):
        raise UnknownRecord(f"its record of {program} has no prompt")
    numbers = {key: given.get(words[key]) for key in ("width", "height", "steps", "cfg", "seed") if key in words}
    if size := re.search(r"(\d{1,9})\D+(\d{1,9})", str(given.get(words.get("size", "")) or "")[:100]):
        numbers |= {"width": size[1], "height": size[2]}
    fields, odd = take_fields({key: value for key, value in numbers.items() if not isinstance(value, (dict, list))})
    if isinstance(negative := given.get(words["negative"]), str) and negative.strip():
        fields = {"negative": negative.strip(), **fields}
    others = {**odd}
    for key, name in (("sampler", "Sampler"), ("scheduler", "Schedule type")):
        if isinstance(value := given.get(words.get(key, "")), str) and value:
            others[name] = value
    rest = {key: value for key, value in given.items() if key not in words.values()}
    others |= {key: _shown(value) for key, value in rest.items() if value not in (None, "", [], {})}
    return Parameters(prompt.strip(), fields, others)


def _shown(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _swarm(found: Mapping[str, Any]) -> Parameters:
    given = found["sui_image_params"]
    if not isinstance(given, dict):
        raise UnknownRecord("its record of SwarmUI is damaged")
    prefix = "" if "sampler" in given else "comfyui"
    words = {"prompt": "prompt", "negative": "negativeprompt", "width": "width", "height": "height", "steps": "steps"}
    more = {"cfg": "cfgscale", "seed": "seed", "sampler": f"{prefix}sampler", "scheduler": f"{prefix}scheduler"}
    return _made("SwarmUI", given, {**words, **more})


_PLAIN = {"prompt": "prompt", "negative": "negative_prompt", "steps": "steps", "seed": "seed"}
_BOTH = {"width": "width", "height": "height", "sampler": "sampler", "scheduler": "scheduler"}


def _fooocus(given: Mapping[str, Any]) -> Parameters:
    cfg = "cfg" if "cfg" in given else "guidance_scale"
    return _made("Fooocus", given, {**_PLAIN, **_BOTH, "cfg": cfg, "size": "resolution"})


def _invoke(text: str, _: Mapping[str, str]) -> Parameters:
    given = _json(text, "InvokeAI")
    words = {**_PLAIN, "prompt": "positive_prompt", "cfg": "cfg_scale", "width": "width", "height": "height"}
    return _made("InvokeAI", given, {**words, "sampler": "scheduler"})


def _invoke_of_old(text: str, _: Mapping[str, str]) -> Parameters:
    given = _json(text, "InvokeAI").get("image")
    if not isinstance(given, dict):
        raise UnknownRecord("its record of InvokeAI is damaged")
    prompt = given.get("prompt")
    if isinstance(prompt, list) and len(prompt) == 1 and isinstance(prompt[0], dict):
        prompt = prompt[0].get("prompt")
    return _made("InvokeAI", _split({**given, "prompt": prompt}), {**_PLAIN, **_BOTH, "cfg": "cfg_scale"})


def _dream(text: str, _: Mapping[str, str]) -> Parameters:
    """The command line of InvokeAI's ancestor: `"a raven [hands]" -s 50 -S 12 -W 512 -H 512 -C 7.5 -A k_lms`."""
    found = _DREAM.fullmatch(text)
    if found is None:
        raise UnknownRecord("its record of InvokeAI is damaged")
    options = dict(_OPTION.findall(found[2] or ""))
    words = {"prompt": "prompt", "negative": "negative_prompt", "steps": "s", "seed": "S", "width": "W", "height": "H"}
    given = _split({**options, "prompt": found[1]})
    return _made("InvokeAI", given, {**words, "cfg": "C", "sampler": "A"})


def _split(given: Mapping[str, Any]) -> dict[str, Any]:
    """The prompt without the negative prompt that it ends with in brackets."""
    prompt = given.get("prompt")
    if not isinstance(prompt, str) or not prompt.rstrip().endswith("]") or "[" not in prompt:
        return dict(given)
    prompt, _, negative = prompt.rstrip().removesuffix("]").rpartition("[")
    return {**given, "prompt": prompt, "negative_prompt": negative}


def _comment(text: str, texts: Mapping[str, str]) -> Parameters | None:
    """The JSON of NovelAI, or of a Fooocus of before; None for any other comment."""
    is_novelai = "NovelAI" in (texts.get("Software"), texts.get("Source"))
    if not is_novelai and not text.lstrip().startswith("{"):
        return None
    given = _json(text, "NovelAI" if is_novelai else "Fooocus")
    if is_novelai or "uc" in given:
        words = {"prompt": "prompt", "negative": "uc", "steps": "steps", "seed": "seed", "cfg": "scale"}
        given = {"prompt": texts.get("Description"), **given}
        return _made("NovelAI", given, {**words, **_BOTH, "scheduler": "noise_schedule"})
    return _fooocus(given) if "prompt" in given else None


def _draw_things(text: str, _: Mapping[str, str]) -> Parameters | None:
    inner = (xmp.text_of(text.encode("utf-8", "replace"), _USER_COMMENT) or "").strip()
    if not inner.startswith("{"):
        return None
    given = _json(inner, "Draw Things")
    words = {"prompt": "c", "negative": "uc", "steps": "steps", "seed": "seed", "cfg": "scale", "sampler": "sampler"}
    return _made("Draw Things", given, {**words, "size": "size"})


def _easy_diffusion(_: str, texts: Mapping[str, str]) -> Parameters:
    return _easy({key.lower().replace(" ", "_"): value for key, value in texts.items()})


def _easy(given: Mapping[str, Any]) -> Parameters:
    words = {**_PLAIN, **_BOTH, "cfg": "guidance_scale", "steps": "num_inference_steps", "sampler": "sampler_name"}
    if "steps" in given:
        words["steps"] = "steps"
    if "sampler" in given:
        words["sampler"] = "sampler"
    return _made("Easy Diffusion", given, words)


_JSON: dict[str, Callable[[Mapping[str, Any]], Parameters]] = {
    "sui_image_params": _swarm,
    "num_inference_steps": _easy,
    "guidance_scale": _fooocus,
    "base_model": _fooocus,
    "performance": _fooocus,
}
"""The programs that put JSON in place of the web UI's text, by a key that each has."""
_READERS: dict[str, Callable[[str, Mapping[str, str]], Parameters | None]] = {
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
