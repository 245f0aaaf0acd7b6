"""File names by a job's patterns: what they say, and that no two outputs have one file on any system."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagegen.config.job import Derivation, Encoding, Item, Job, OutputRules
from imagegen.config.paths import check_name
from imagegen.plan.expansion import BackendCapabilities, Expansion, expand
from imagegen.plan.file_names import find_clashes
from imagegen.plan.naming import make_slug, write_in_ascii
from imagegen.plan.record import JobDecisions

BACKEND = BackendCapabilities("b", frozenset({"prompt", "seed"}))
MOODS: dict[str, dict[str, str | int | float]] = {"mood": {"Very Calm": "calm", "Angry": "shouting"}}
TOM = ("Old Tom",)


def expanded(items: tuple[str, ...], derive: tuple[Derivation, ...] = (), **rules: Any) -> Expansion:
    matrix, suffix = rules.pop("matrix", MOODS), rules.pop("suffix", "")
    variants, picked = rules.pop("variants", 1), rules.pop("picked", {})
    found = tuple(Item(name, "a {mood} figure" if matrix else "a figure", {}, f"j.yaml:{name}") for name in items)
    where = {f"derive.{one.name}.name": f"j.yaml:{one.name}.name" for one in derive}
    where |= {"output.name": "j.yaml:name", **{f"matrix.{axis}": "j.yaml:matrix" for axis in matrix}}
    output = OutputRules("game/images", **rules)
    job = Job(
        "j", "j.yaml", output, items=found, suffix=suffix, matrix=matrix, variants=variants, derive=derive, where=where
    )
    return expand(job, job.items, lambda _: BACKEND, JobDecisions(picked=picked))


def paths(items: tuple[str, ...], derive: tuple[Derivation, ...] = (), **rules: Any) -> list[str]:
    expansion = expanded(items, derive, **rules)
    assert expansion.problems == ()
    return [output.path.removeprefix("game/images/") for output in expansion.outputs]


@pytest.mark.parametrize(
    ("rules", "first"),
    [
        ({}, "old-tom-very-calm.png"),
        ({"name": "{item} {mood}"}, "old-tom very-calm.png"),
        ({"name": "{item} {mood}", "separator": "_"}, "old_tom very_calm.png"),
        ({"name": "{mood}/{item}"}, "very-calm/old-tom.png"),
        ({"case": "keep"}, "Old-Tom-Very-Calm.png"),
        ({"case": "keep", "separator": "_"}, "Old_Tom_Very_Calm.png"),
        ({"separator": "_"}, "old_tom_very_calm.png"),
        ({"name": "{item}_{mood}", "case": "keep"}, "Old-Tom_Very-Calm.png"),
    ],
)
def test_a_name_follows_the_pattern_the_case_and_the_separator(rules: dict[str, Any], first: str) -> None:
    assert paths(TOM, **rules)[0] == first


def test_slugs_and_seeds_do_not_follow_from_the_names_of_files() -> None:
    plain, other = expanded(TOM).outputs, expanded(TOM, case="keep", name="{item} {mood}").outputs
    assert [(one.slug, one.fingerprint) for one in plain] == [(one.slug, one.fingerprint) for one in other]


def test_a_variant_is_in_the_name_until_one_is_picked() -> None:
    assert paths(TOM, case="keep", separator="_", matrix={}, variants=2) == ["Old_Tom_v1.png", "Old_Tom_v2.png"]
    assert paths(TOM, case="keep", separator="_", matrix={}, variants=2, picked={"old-tom": 2}) == ["Old_Tom.png"]
    assert paths(TOM, name="{item}/{variant}", matrix={}, variants=2, picked={"old-tom": 2}) == ["old-tom/2.png"]


def test_a_derived_file_can_have_a_pattern_of_its_own() -> None:
    png, webp = Encoding(), Encoding("webp", 90)
    derive = (
        Derivation("sprite", png, folder="renpy", file_name="{item} {mood}"),
        Derivation("icon", png, file_name="icons/{slug}.{name}"),
        Derivation("thumb", webp),
        Derivation("web", webp, folder="web"),
    )
    assert [one.path for one in expanded(TOM, derive, name="{mood}/{item}", separator="_").outputs if one.is_derived][:4] == [
        "renpy/old_tom very_calm.png",
        "game/images/icons/old_tom_very_calm.icon.png",
        "game/images/very_calm/old_tom_thumb.webp",
        "web/very_calm/old_tom_web.webp",
    ]  # fmt: skip


def test_a_word_that_could_be_an_axis_too_is_refused_only_where_it_is_used() -> None:
    matrix = {"mood": {"calm": "calm"}, "name": {"x": "x", "y": "y"}}
    rules = Derivation("icon", Encoding(), file_name="{name}/{item}")
    (problem,) = expanded(TOM, (rules,), matrix=matrix, suffix="{name}").problems
    assert problem.where == "j.yaml:icon.name"
    assert problem.what == "derive.icon.name: {name} could be this entry's name or the axis 'name'"
    others = (Derivation("icon", Encoding(), file_name="{slug} icon"),)
    assert paths(TOM, others, matrix=matrix, suffix="{name}", name="{name}")[:2] == ["x.png", "y.png"]


@pytest.mark.parametrize(
    ("rules", "what", "hint"),
    [
        ({"name": "{item}"}, "'j:old-tom-very-calm' and 'j:old-tom-angry' would both be written to game/images/old-tom.png", "put {mood} into it"),
        ({"name": "{mood}", "variants": 2}, "'j:old-tom-very-calm-v1' and 'j:old-tom-very-calm-v2' would both be written to game/images/very-calm.png, and 1 more have the same problem", "put {item} and {variant} into it"),
        ({"name": "{item} "}, "'old-tom ': 'old-tom ' begins or ends in a space, which some systems drop", ""),
        ({"name": "{mood} /{item}"}, "'very-calm /old-tom': 'very-calm ' begins or ends in a space, which some systems drop", ""),
        ({"name": "{mood}./{item}"}, "'very-calm./old-tom': 'very-calm.' ends in a dot or a space, which Windows drops", ""),
        ({"name": "{item}/"}, "'old-tom/' has no file name", ""),
        ({"name": "{item}: {mood}"}, "'old-tom: very-calm' has ':' in it, which some systems do not accept; use / between folders", ""),
        ({"name": "{name}"}, "there is no {name}", "there are {slug}, {item}, {variant}, {mood}"),
        ({"name": "{moods}"}, "there is no {moods}; did you mean 'mood'?", "there are {slug}, {item}, {variant}, {mood}"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_name_is_said_where_it_is(rules: dict[str, Any], what: str, hint: str) -> None:
    (problem, *_) = expanded(TOM, **rules).problems
    assert (problem.where, problem.what, problem.hint) == ("j.yaml:name", f"output.name: {what}", hint)


@pytest.mark.parametrize(
    ("rule", "other", "hint"),
    [
        (Derivation("sprite", Encoding(), file_name="{slug}"), "old-tom-very-calm", "put {name} into it, or give it a folder of its own: derive.sprite.dir"),
        (Derivation("sprite", Encoding(), folder="x", file_name="{item}"), "old-tom-very-calm:sprite", "put {mood} into it"),
    ],
)  # fmt: skip
def test_a_derived_file_with_the_name_of_another_file_is_refused(rule: Derivation, other: str, hint: str) -> None:
    (problem,) = expanded(TOM, (rule,)).problems
    assert problem.where == "j.yaml:sprite.name"
    assert problem.what.startswith(f"derive.sprite.name: 'j:{other}' and 'j:old-tom-")
    assert problem.hint == hint


@given(st.text(max_size=12))
def test_the_case_of_a_name_is_all_that_its_slug_loses(name: str) -> None:
    assert write_in_ascii(name).lower() == make_slug(name)


NAMES = st.text("aB ÄæßЖ漢'.:-_0", min_size=1, max_size=6).filter(make_slug)
PATTERNS = st.lists(st.sampled_from(["{item}", "{mood}", "{variant}", "{slug}", "{name}", " ", ".", "/", "_", "A", "con"]), min_size=1, max_size=6).map("".join)  # fmt: skip


@given(
    st.lists(NAMES, min_size=1, max_size=3, unique=True),
    st.dictionaries(NAMES, st.just("x"), min_size=1, max_size=2),
    PATTERNS,
    PATTERNS,
    st.sampled_from(["lower", "keep"]),
    st.sampled_from("-_"),
    st.integers(1, 2),
)
def test_any_names_are_one_for_each_output_and_portable_or_refused(
    names: list[str], moods: dict[str, str], pattern: str, derived: str, case: str, separator: str, variants: int
) -> None:
    derive = (Derivation("sprite", Encoding(), file_name=derived), Derivation("thumb", Encoding()))
    rules = {"name": pattern, "case": case, "separator": separator}
    expansion = expanded(tuple(names), derive, matrix={"mood": {**moods}}, variants=variants, **rules)
    if not expansion.problems:
        assert len(expansion.outputs) == len(names) * len(moods) * variants * 3
        assert find_clashes(expansion.outputs, {}) == []
        assert not any(check_name(output.path) for output in expansion.outputs)
        assert all(output.path.startswith("game/images/") for output in expansion.outputs)
