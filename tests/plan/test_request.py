from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagegen.backends.placeholder import PlaceholderBackend
from imagegen.backends.sd import SdBackend
from imagegen.plan.naming import compute_seed
from imagegen.plan.request import ADDED_FIELDS, Request, canonical_fields, fingerprint, select_parameters
from tests.scripted import ScriptedBackend

REQUEST = Request(
    backend="scripted", name="Mallsing", prompt="a tall “figure”, ä 🐦\nin mist", negative="hands", width=768, height=1024,
    steps=28, cfg=6.5, sampler="euler", scheduler="normal", seed=42, model="colours", extra={"script": "s.json"},
)  # fmt: skip
HONOURED = ScriptedBackend.parameters


def of(request: Request, parameters: frozenset[str] = HONOURED) -> str:
    return fingerprint(canonical_fields(request, select_parameters(request, parameters)))


def test_golden_fingerprints() -> None:
    """A change here makes every image of every user stale: it needs a very good reason."""
    assert of(REQUEST) == "68601cdccb2c2fa8c405e19bdbbf137f4edcc9f2c7eb00640af30707311abb34"
    assert (
        of(Request("placeholder", "One", "a one", seed=1), PlaceholderBackend.parameters)
        == "e50f2de2edad79e619d96e911ab3bc40868ac62a3fff6c37cda5c4407451ecbc"
    )
    known = {"files": {"diffusion_model": "x.gguf"}}
    given = {"vae": "v.safetensors", "loras": {"l.safetensors": 0.5}, "images": {"init": "ab" * 32}, "strength": 0.75}
    for model, extra, only_if_given, unused, expected in (
        (
            "flux2-klein-4b",
            known,
            {"sampler", "scheduler", "steps", "cfg", "width", "height"},
            {"cfg", "negative"},
            "33d69c2175e313e05d2540a4ee92131cb49d01a06f1eb11d2e76ac9dca8f7ac2",
        ),
        (
            "m.safetensors",
            {**given, "guidance": 3.5, "rng": "cpu"},
            {"sampler", "scheduler"},
            set(),
            "9e06168e1ff7bdfd17b5dd7ccb25f2de393c04b9191d9875062ca7673a81b372",
        ),
    ):
        request = Request("sd", "Yrr", "a figure", seed=7, model=model, extra=extra)
        parameters = select_parameters(request, SdBackend.parameters - unused, frozenset(only_if_given))
        assert fingerprint(canonical_fields(request, parameters)) == expected


def test_golden_seeds() -> None:
    assert [compute_seed(1, "mallsing"), compute_seed(2, "mallsing"), compute_seed(1, "yrr")] == [
        4220092247,
        614664566,
        935859073,
    ]


@pytest.mark.parametrize("field", [*sorted(HONOURED - {"images"}), "model", "backend"])
def test_every_honoured_field_decides(field: str) -> None:
    value: Any = getattr(REQUEST, field)
    changes: dict[str, Any] = {field: value + (1 if isinstance(value, (int, float)) else "x")}
    assert of(replace(REQUEST, **changes)) != of(REQUEST)


def test_what_is_not_honoured_does_not_decide() -> None:
    assert of(replace(REQUEST, name="Other", extra={"script": "t.json"})) == of(REQUEST)
    assert of(replace(REQUEST, cfg=1.0), HONOURED - {"cfg"}) == of(REQUEST, HONOURED - {"cfg"})


def test_what_a_reference_image_shows_decides_and_not_where_it_lies() -> None:
    one, same, other = (
        replace(REQUEST, extra={"images": {"face": content}, "files": {"face": path}})
        for content, path in (("aa", "x.png"), ("aa", "y.png"), ("bb", "x.png"))
    )
    assert len({of(REQUEST), of(one), of(other)}) == 3
    assert of(one) == of(same)


def test_a_parameter_that_a_job_does_not_set_is_left_out() -> None:
    assert of(REQUEST, HONOURED | {"a_later_field"}) == of(REQUEST)
    with_it = replace(REQUEST, extra={"a_later_field": 1})
    assert of(with_it, HONOURED | {"a_later_field"}) != of(REQUEST)


@pytest.mark.parametrize("field", sorted(ADDED_FIELDS))
def test_a_field_that_a_release_added_decides_only_at_another_value_than_its_default(field: str) -> None:
    assert of(REQUEST, HONOURED | {field}) == of(REQUEST)
    default: Any = getattr(REQUEST, field)
    given: dict[str, Any] = {field: default, "given": (field,)}
    assert of(replace(REQUEST, **given), HONOURED | {field}) == of(REQUEST)
    given[field] = default + (1 if isinstance(default, (int, float)) else "x")
    assert of(replace(REQUEST, **given), HONOURED | {field}) != of(REQUEST)


def test_what_the_backend_has_its_own_value_for_counts_where_the_job_gives_it_at_whatever_value() -> None:
    optional = frozenset({"clip_skip", "cfg"})
    given = replace(REQUEST, given=("clip_skip",))
    assert select_parameters(REQUEST, HONOURED | optional, optional) == HONOURED - {"cfg"}
    assert select_parameters(given, HONOURED | optional, optional) == (HONOURED - {"cfg"}) | {"clip_skip"}


@given(st.randoms(use_true_random=False))
def test_the_order_of_fields_does_not_decide(shuffle: random.Random) -> None:
    items = list(canonical_fields(REQUEST, HONOURED).items())
    shuffle.shuffle(items)
    assert fingerprint(dict(items)) == of(REQUEST)


@given(st.integers(0, 2**63), st.text(min_size=1))
def test_seeds_by_name_are_in_their_range(base: int, slug: str) -> None:
    assert 1 <= compute_seed(base, slug) <= 2**32 - 1
