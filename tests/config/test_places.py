"""A known key in the wrong place is told where it belongs: for every key of the schema."""

from __future__ import annotations

from typing import Any

import pytest

from imagegen.config.places import Places
from imagegen.config.schema import COMMON, job_schema

SECTIONS: dict[str, Any] = {
    "comfyui": {
        "checkpoint": {"type": "text"},
        "server": {"type": "mapping", "schema": {"url": {"type": "text"}}},
    }
}
PLACES = Places(job_schema(SECTIONS))


def hint(path: tuple[str | int, ...], value: object = None) -> str:
    return PLACES.hint(path, value, ["sheet", "items"])


@pytest.mark.parametrize("key", [*COMMON, "seed"])
def test_every_field_of_generate_is_told_so_at_the_top(key: str) -> None:
    assert hint((key,)) == "; it belongs under generate:"
    assert hint(("items", 0, "comfyui", key)) == "; it belongs in the item itself"


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("checkpoint",), "a", "; it belongs under comfyui:"),
        (("generate", "checkpoint"), "a", "; it belongs under comfyui:"),
        (("items", 3, "checkpoint"), "a", "; it belongs under comfyui: in the item"),
        (("comfyui", "url"), "a", "; it belongs under comfyui: server:"),
        (("dir",), "a", "; it belongs under output:, under derive: NAME: or under sheet:"),
        (("name",), "a", "; it belongs under output:, under sheet: or in an item"),
        (("generate", "prompt"), "a", "; it belongs in an item"),
        (("generate", "prompt"), {}, "; it belongs at the top of the job"),
        (("items", 0, "variants"), 2, "; it belongs at the top of the job"),
        (("prefix",), "a", "; it belongs under prompt:"),
        (("mode",), "a", "; it belongs under generate: seed:"),
        (("item",), [], "; did you mean 'items'?"),
        (("stpes",), 3, "; did you mean 'steps', which belongs under generate:?"),
        (("batch_size",), 3, ""),
    ],
)
def test_a_known_key_is_told_where_it_belongs(path: tuple[str | int, ...], value: object, said: str) -> None:
    assert hint(path, value) == said


@pytest.mark.parametrize(
    ("key", "field"), [("cfg_scale", "cfg"), ("sampler_name", "sampler"), ("Negative_Prompt", "negative")]
)
def test_a_key_of_another_program_is_told_ours(key: str, field: str) -> None:
    assert PLACES.hint(("generate", key), "a", list(COMMON)) == f"; did you mean '{field}'?"


def test_what_is_in_a_value_of_the_wrong_type_is_told_where_it_belongs() -> None:
    assert PLACES.hint_inside(("source",), {"items": []}) == "; 'items' belongs at the top of the job"
    assert PLACES.hint_inside(("derive", "width"), 64) == "; as it is, 'width' belongs under derive: NAME:"
    assert PLACES.hint_inside(("prompt",), "a raven") == "; as it is, 'prompt' belongs in an item"
    assert PLACES.hint_inside(("generate", "width"), True) == ""
