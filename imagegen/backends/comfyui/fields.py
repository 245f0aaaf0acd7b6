"""What a workflow can take from a job, and the %marks% that ask for it in a workflow file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

__all__ = ["ALWAYS", "FIELDS", "KEYS", "WORDS", "field_of", "filled", "marks_in"]

FIELDS = ("prompt", "negative", "seed", "width", "height", "steps", "cfg", "sampler", "scheduler", "checkpoint")
ALWAYS = ("prompt", "seed")
"""Fields that every workflow takes from the job; of the others, those that the job gives."""
WORDS = {"negative": "negative prompt", "cfg": "CFG"}
"""What a field is called in a sentence, where that is not its name."""
KEYS = {"prompt": "prompt", "checkpoint": "comfyui.checkpoint"}
"""The job's key for a field, where that is not `generate` and its name."""
_MARK = re.compile(r"%(?![0-9A-F]{2}%)([A-Za-z_][A-Za-z0-9_]+)%")
"""`%prompt%`; not `%E3%`, as addresses write a byte."""
_ELSEWHERE = {"negative_prompt": "negative", "scale": "cfg", "cfg_scale": "cfg", "model": "checkpoint"}
"""Marks of other programs, SillyTavern's for example, that mean one of ours."""


def field_of(word: str) -> str:
    """The field that a mark's word asks for, where there is one; else the word."""
    return _ELSEWHERE.get(word.lower(), word.lower())


def marks_in(value: object) -> list[str]:
    """The words between percent signs in an input's value, whether or not there is such a field."""
    return _MARK.findall(value) if isinstance(value, str) else []


def filled(text: str, values: Mapping[str, Any]) -> Any:
    """The text with the values in place of its marks; the value itself, a number too, where a mark is all of it."""
    if (whole := _MARK.fullmatch(text)) and field_of(whole[1]) in values:
        return values[field_of(whole[1])]
    return _MARK.sub(lambda mark: str(values.get(field_of(mark[1]), mark[0])), text)
