"""The text that AUTOMATIC1111's web UI and its kin (Forge, Fooocus, Civitai) write into an image of how they made it.

Source: stable-diffusion-webui, modules/infotext_utils.py; sd-dynamic-prompts, pnginfo_saver.py.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from imagegen.config.numbers import plain_number
from imagegen.config.schema import COMMON, SEED

__all__ = ["Parameters", "UnknownRecord", "parse_parameters", "take_fields"]


class UnknownRecord(ValueError):  # noqa: N818 - a finding, not a failure of ours
    """What an image says of itself is there, and cannot be read: of which program, and why."""


@dataclass(frozen=True)
class Parameters:
    """What a program wrote. fields: those that mean the same here, by our names. others: the rest, as said."""

    prompt: str
    fields: dict[str, Any] = field(default_factory=dict)
    others: dict[str, str] = field(default_factory=dict)


_KEY = re.compile(r"\s*([A-Za-z][^:,\"\n]{0,60}): ")
_QUOTED = re.compile(r'"(?:\\.|[^"\\])*"')
_NEGATIVE = "Negative prompt:"
_TEMPLATES = ("Template:", "Negative Template:")
_NUMBERS = {"Steps": "steps", "CFG scale": "cfg", "Seed": "seed"}
_STEPS = re.compile(r"Steps: \d+, ")
_OTHERWISE = re.compile(r"\b(steps|seed|cfg[ _]scale|guidance[ _]scale|size|sampler)\s*[:=]\s*[\w'\"(]")
"""Settings as other programs write them, in lower case."""
_KNOWN = frozenset({*_NUMBERS, "Size", "Sampler", "Schedule type", "Model", "Model hash", "Version", "Clip skip"})


def parse_parameters(text: str) -> Parameters:
    """What a text of the web UI says: prompt, negative prompt, a line of settings, templates of dynamic prompts.

    Raises UnknownRecord where the settings are on one line with the prompt, or written in another way.
    """
    lines = text.strip().split("\n")
    at = _settings_line(lines)
    settings = _settings(lines[at]) if at < len(lines) else {}
    rest = "\n".join(lines[at + 1 :]).strip()
    lines = lines[:at]
    negative = next((number for number, line in enumerate(lines) if line.startswith(_NEGATIVE)), len(lines))
    fields: dict[str, Any] = {}
    if not (settings or text.lstrip().startswith(("{", "["))) and len(set(_OTHERWISE.findall(text.lower()))) > 1:
        raise UnknownRecord("its settings are written in a way that is not known here")
    if negative < len(lines):
        fields["negative"] = "\n".join(line.removeprefix(_NEGATIVE) for line in lines[negative:]).strip()
    given = {key: settings.pop(name) for name, key in _NUMBERS.items() if name in settings}
    if size := re.fullmatch(r"(\d{1,9})x(\d{1,9})", settings.get("Size", "")):
        given |= {"width": size[1], "height": size[2]}
    found, odd = take_fields(given)
    if size and {"width", "height"} & odd.keys():
        found = {key: value for key, value in found.items() if key not in ("width", "height")}
    elif size:
        settings.pop("Size")
    names = {key: name for name, key in _NUMBERS.items()}
    wrong = {names[key]: value for key, value in odd.items() if key in names}
    others = {**wrong, **settings, **_after(rest)}
    return Parameters("\n".join(lines[:negative]).strip(), fields | found, others)


def _after(rest: str) -> dict[str, str]:
    """What stands below the settings: a template, mostly."""
    label = next((label for label in _TEMPLATES if rest.startswith(label)), "")
    return {label.removesuffix(":") or "the lines below": rest.removeprefix(label).strip()} if rest else {}


def _settings_line(lines: list[str]) -> int:
    """Where the line of settings is: the last one, or followed by the templates of dynamic prompts."""
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
        raise UnknownRecord("its prompt and its settings are on one line")
    return max(sure, default=len(lines))


def _begins_with_setting(line: str) -> bool:
    first = _KEY.match(line)
    return bool(first and first[1] in _KNOWN)


def _settings(line: str) -> dict[str, str]:
    """The settings by name, the first of each name; a value may be quoted, or JSON."""
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


def take_fields(given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Those of these numbers that a job can have, and the others as they were said.

    given: by our names, each a number or a text.
    """
    found: dict[str, Any] = {}
    odd: dict[str, str] = {}
    for key, value in given.items():
        rules = {**COMMON, "seed": SEED}[key]
        number = plain_number(value.strip()) if isinstance(value, str) else value
        if isinstance(number, float) and number.is_integer() and not isinstance(value, str):
            number = int(number)
        kinds = (int, float) if rules["type"] == "number" else (int,)
        if isinstance(number, kinds) and not isinstance(number, bool) and rules["min"] <= number <= rules["max"]:
            found[key] = float(number) if rules["type"] == "number" else number
        elif value not in (None, ""):
            odd[key] = str(value)
    return found, odd
