"""The grammar of a job's section `comfyui`, with the types and rules of `config.schema`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from imagegen.backends.comfyui.fields import FIELDS

__all__ = ["OPTIONS"]

_NAME = {"type": "text", "minlength": 1, "maxlength": 500}
_PLACE = {"type": "text", "regex": r"[^.]+\..+", "meta": {"expected": "input: node ID, dot, input's name, as 6.text"}}
_NODE = {"type": "text", "minlength": 1, "maxlength": 100}


def _described(rules: Mapping[str, Any], description: str) -> dict[str, Any]:
    return {**rules, "meta": {"description": description}}


def _bound(field: str) -> dict[str, Any]:
    rules = {"anyof": [_PLACE, {"type": "list", "schema": _PLACE}]}
    described = (
        f"The input, or the list of inputs, that takes the {field}: node ID, dot, input's name; [] if none does."
    )
    return _described(rules, described)


_ADDRESS = {
    "type": "text",
    "regex": r"https?://[^/\s@]+(/[^\s@]*)?",
    "meta": {"expected": "address such as http://127.0.0.1:8188, without a user or password in it"},
}
_STRENGTH = {"type": "number", "min": -100, "max": 100}

OPTIONS: Mapping[str, Any] = {
    "checkpoint": _described(_NAME, "The checkpoint's file name, as ComfyUI lists it."),
    "loras": _described(
        {
            "type": "mapping",
            "keysrules": _NAME,
            "valuesrules": {
                "anyof": [
                    _STRENGTH,
                    {
                        "type": "mapping",
                        "schema": {
                            "model": _described(_STRENGTH, "Its strength in the model."),
                            "clip": _described(_STRENGTH, "Its strength in CLIP; left out, that in the model."),
                        },
                    },
                ]
            },
        },
        "LoRAs: each file name with its strength, or with one for the model and one for CLIP.",
    ),
    "vae": _described(_NAME, "A VAE's file name; left out, the checkpoint's own is used."),
    "workflow": _described(
        _NAME, "A workflow that ComfyUI exported in API format, its path from the project's folder."
    ),
    "bind": _described(
        {
            "type": "mapping",
            "schema": {
                **{field: _bound(field) for field in FIELDS},
                "output": _described(_NODE, "The node whose image is taken."),
            },
        },
        "Where the workflow takes what, and gives the image, in place of what is found by following its links.",
    ),
    "set": _described(
        {"type": "mapping", "keysrules": _PLACE, "valuesrules": {"type": ["text", "whole", "number", "boolean"]}},
        "Values for any other inputs of the workflow: node ID, dot, input's name.",
    ),
    "images": _described(
        {"type": "mapping", "keysrules": _PLACE, "valuesrules": _NAME},
        "Reference images for inputs of the workflow: each a file, or another output as JOB:ITEM.",
    ),
    "allow_flat": _described({"type": "boolean"}, "Whether an image of one flat colour is taken."),
    "checkpoint_dirs": _described(
        {"type": "list", "minlength": 1, "schema": _NAME},
        "More folders with checkpoints, to look in while no server runs.",
    ),
    "server": _described(
        {
            "type": "mapping",
            "schema": {
                "url": _described(
                    {"anyof": [_ADDRESS, {"type": "list", "minlength": 1, "schema": _ADDRESS}]},
                    "The server's address, or a list of several.",
                ),
                "start": _described(
                    {"type": "text", "allowed": ["auto", "never"]},
                    "Whether a run starts a server on this machine where none answers.",
                ),
                "ready_timeout_s": _described(
                    {"type": "number", "min": 1, "max": 86_400}, "Seconds that the server may take to start."
                ),
            },
        },
        "The ComfyUI server of this job's images, or several.",
    ),
}
