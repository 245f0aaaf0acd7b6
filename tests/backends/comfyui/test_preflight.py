"""What a server says of requests before any is queued."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from imagegen.backends.comfyui.preflight import on_server
from tests.backends.comfyui.sections import Sections
from tests.backends.comfyui.workflows import node

CLASSES: dict[str, dict[str, Any]] = {
    "Painter": {"input": {"required": {"prompt": ["STRING"], "seed": ["INT", {"min": 0, "max": 2**31 - 1}]}}},
    "SaveImage": {"input": {"required": {"images": ["IMAGE"], "filename_prefix": ["STRING"]}}, "output_node": True},
}


def test_the_seed_of_each_image_is_held_against_what_the_node_takes(sections: Sections) -> None:
    save = node("SaveImage", filename_prefix="x", images=["10", 0])
    first = sections.request({"9": save, "10": node("Painter", prompt="a raven", seed=1)}, seed=7)
    second = replace(first, name="Yrr", seed=2**31)
    random = replace(first, name="Okka", seed=None)
    (problem,) = on_server([first, second, random], CLASSES.get, lambda: list(CLASSES))
    assert problem.where == "Yrr"
    assert problem.what == "generate.seed: 2147483648 is too large: ComfyUI takes at most 2147483647"
    assert "seed: {mode: sequence, base: 1}" in problem.hint
