from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagegen.config.checking import check_job
from imagegen.config.document import read_document
from imagegen.config.job import Encoding, Item, Job, OutputRules, SeedRule
from imagegen.errors import ImagegenError
from imagegen.plan.expansion import BackendCapabilities, Expansion, expand
from imagegen.plan.file_names import find_clashes
from imagegen.plan.matrix import expand_matrix
from imagegen.plan.naming import compute_seed, make_slug
from imagegen.plan.record import JobDecisions

__all__ = []


BACKEND = BackendCapabilities("b", frozenset({"prompt", "steps", "cfg", "negative", "seed"}), "default")


def item(name: str, prompt: str = "a figure", **overrides: Any) -> Item:
    return Item(name, prompt, overrides, f"j.yaml:{name}")


def job(*items: Item, **fields: Any) -> Job:
    where = {f"matrix.{axis}": f"j.yaml:{axis}" for axis in fields.get("matrix", {})}
    return Job("j", "j.yaml", **{"output": OutputRules("assets/j"), "items": items, "where": where, **fields})


def expanded(of: Job, drawn: dict[str, int] | None = None) -> Expansion:
    return expand(of, of.items, lambda _: BACKEND, JobDecisions(drawn or {}))


def paths(of: Job) -> list[str]:
    expansion = expanded(of)
    assert expansion.problems == ()
    return [output.path for output in expansion.outputs]


def whats(of: Job) -> list[str]:
    return [problem.what for problem in expanded(of).problems]


def test_an_item_is_an_output() -> None:
    (output,) = expanded(job(item("The Mallsing", steps=7), generate={"steps": 5, "cfg": 2.0})).outputs
    assert (output.task, output.path) == ("j:the-mallsing", "assets/j/the-mallsing.png")
    assert (output.request.steps, output.request.cfg, output.request.width) == (7, 2.0, 1024)
    assert output.request.model == "default"


def test_while_its_model_is_not_decided_an_output_has_no_fingerprint() -> None:
    of = job(item("Mallsing"))
    (output,) = expand(
        of, of.items, lambda _: replace(BACKEND, model=None, has_open_model=True), JobDecisions()
    ).outputs
    assert output.fingerprint == ""
    assert output.with_decisions(model="m").fingerprint != ""


def test_slugs_are_item_then_cell_in_the_matrix_order_then_variant() -> None:
    matrix = {"mood": {"angry": "furious", "calm": "serene"}, "steps": {"10": 10}}
    of = job(item("Mallsing", "a {mood} figure"), matrix=matrix, variants=2)
    assert [output.slug for output in expanded(of).outputs] == [
        "mallsing-angry-10-v1", "mallsing-angry-10-v2", "mallsing-calm-10-v1", "mallsing-calm-10-v2",
    ]  # fmt: skip
    first = expanded(of).outputs[0].request
    assert (first.prompt, first.steps) == ("a furious figure", 10)


@pytest.mark.parametrize(
    ("prefix", "prompt", "suffix", "joined"),
    [
        ("oil painting", "a raven", "soft light", "oil painting, a raven, soft light"),
        ("Oil painting.", "A raven,", "soft light", "Oil painting. A raven, soft light"),
        ("", "a raven", "", "a raven"),
        ("", "a raven", "x", "a raven, x"),
    ],
)
def test_prefix_prompt_and_suffix_are_joined(prefix: str, prompt: str, suffix: str, joined: str) -> None:
    of = job(item("A", prompt), prefix=prefix, suffix=suffix)
    assert expanded(of).outputs[0].request.prompt == joined


def test_braces_mean_nothing_without_a_matrix() -> None:
    assert expanded(job(item("A", "a {mood} figure"))).outputs[0].request.prompt == "a {mood} figure"


def test_seeds_by_name_leave_others_alone_when_items_move() -> None:
    before = {o.slug: o.request.seed for o in expanded(job(item("A"), item("B"))).outputs}
    after = {o.slug: o.request.seed for o in expanded(job(item("New"), item("B"), item("A"))).outputs}
    assert before == {slug: after[slug] for slug in before}
    assert before["a"] == compute_seed(1, "a") != before["b"]


def test_the_modes_of_seeds() -> None:
    two = (item("A"), item("B"))
    assert [o.request.seed for o in expanded(job(*two, seed=SeedRule("sequence", 5))).outputs] == [5, 6]
    assert [o.request.seed for o in expanded(job(*two, seed=SeedRule("fixed", 5))).outputs] == [5, 5]
    assert [o.request.seed for o in expanded(job(item("A", seed=0), seed=SeedRule("fixed", 5))).outputs] == [0]


def test_random_seeds_are_those_that_were_drawn() -> None:
    of = job(item("A"), item("B"), seed=SeedRule("random"))
    one, other = expanded(of, {"a": 77}).outputs
    assert (one.request.seed, one.has_random_seed, other.request.seed, other.fingerprint) == (77, True, None, "")
    assert other.with_decisions(seed=77).fingerprint == one.fingerprint  # names are not honoured by this backend


def test_names_of_outputs_can_be_a_pattern() -> None:
    rules = OutputRules("assets/x/", "{item}/{mood}-{variant}", encoding=Encoding("webp", 90, "full"))
    of = job(item("Mallsing", "{mood}"), matrix={"mood": {"Very Calm": "calm"}}, variants=1, output=rules)
    assert paths(of) == ["assets/x/mallsing/very-calm-1.webp"]


def test_a_name_that_windows_reserves_is_fine_within_another() -> None:
    assert paths(job(item("Con"), output=OutputRules("x", "sheet{item}"))) == ["x/sheetcon.png"]
    (problem,) = expanded(job(item("Con"), output=OutputRules("x", "{item}"))).problems
    assert problem.what == "output.name: 'con': Windows reserves the name 'con' for a device"


@pytest.mark.parametrize(
    ("of", "expected"),
    [
        (job(item("!!!")), "name: '!!!' has nothing in it that a file could be named after: use letters or digits"),
        (job(item("con")), "name: 'con' makes a file named 'con', which Windows reserves for a device: choose another"),
        (job(item("x" * 130)), "name: '" + "x" * 60 + "' makes a file name of 130 characters; at most 120 are portable: shorten it"),
        (job(item("A"), item("A")), "name: 'A': 'A' at j.yaml:A has the same name"),
        (job(item("A b"), item("a-B")), "name: 'a-B': 'A b' at j.yaml:A b has the file name 'a-b' too"),
        (job(item("A", "{moood}"), matrix={"mood": {"x": "x"}}), "prompt: {moood}: no axis of the matrix has this name; did you mean 'mood'?"),
        (job(item("A", "plain"), matrix={"mood": {"x": "x"}}), "matrix.mood: the prompt of 'A' does not use {mood}: add it to the prompt, or to prompt.prefix or suffix"),
        (job(item("A"), matrix={"steps": {"x": "x"}}), "matrix.steps: expected a whole number from 1 to 10000, found 'x'"),
        (job(item("A", "{m}"), matrix={"m": {"A b": "1", "a-b": "2"}}), "matrix.m: 'A b' and 'a-b' give the same file name"),
        (job(item("A", "{m}"), matrix={"m": {"?": "1"}}), "matrix.m: '?' has nothing in it that a file could be named after: use letters or digits"),
        (job(item("A"), output=OutputRules("x", "{nam}")), "output.name: there is no {nam}"),
        (job(item("A"), output=OutputRules("x", "{Slug}")), "output.name: there are only {slug}, {item}, {variant}"),
        (job(item("A"), output=OutputRules("x", "../{slug}")), "output.name: is not a path within its folder"),
        (job(item("A", seed=3), variants=2), "seed: 3 for all variants of 'A' makes them alike"),
        (job(item("A"), matrix={"width": {"1": 1}}), "matrix.width: expected a whole number from 16 to 8192, found '1'"),
        (job(*(item(f"A{n}") for n in range(300)), variants=1000), "makes 300000 images, more than the 200000 that one job may have: split it"),
    ],
)  # fmt: skip
def test_what_cannot_be_expanded(of: Job, expected: str) -> None:
    assert expected in whats(of)


def test_variants_without_a_seed_are_refused_unless_their_prompts_differ() -> None:
    def problems(prompt: str) -> list[str]:
        of = job(item("A", prompt), item("B", prompt), variants=2)
        no_seed = replace(BACKEND, parameters=BACKEND.parameters - {"seed"})
        return [one.what for one in expand(of, of.items, lambda _: no_seed, JobDecisions()).problems]

    assert problems("a fox") == ["variants: b takes no seed, so all variants would be the same image"] * 2
    assert problems("a {red|grey} fox") == []


def test_items_and_cells_that_make_one_slug_are_told() -> None:
    of = job(item("A", "{m}"), item("A b", "{m}"), matrix={"m": {"b c": "1", "c": "2"}})
    assert "two outputs of this job have the name 'a-b-c'" in whats(of)


def test_two_outputs_on_one_path_are_found_also_by_case_and_normalisation() -> None:
    one = expanded(job(item("A"), output=OutputRules("assets/Ä"))).outputs
    other = expanded(job(item("A"), output=OutputRules("assets/a\u0308"))).outputs
    assert find_clashes([*one, *other], {}) == [(one[0], other[0])]
    assert find_clashes(one, {}) == []


def test_fields_that_the_backend_does_not_honour_are_told_once() -> None:
    of = job(item("A", sampler="x"), item("B", sampler="y"), generate={"width": 64, "steps": 3})
    assert expanded(of).notes == ("b ignores width, sampler",)
    matrix = {"width": {"s": 64, "l": 128}, "mood": {"calm": "serene"}}
    assert expanded(job(item("A", "{mood}"), matrix=matrix)).notes == ("b ignores width",)


@pytest.mark.parametrize(
    ("turbo", "notes"),
    [
        ("A", ("b ignores width", "b ignores cfg for A: turbo or its program does not take it")),
        ("ABC", ("b ignores width", "b ignores cfg: turbo or its program does not take it")),
        ("", ("b ignores width",)),
    ],
)
def test_fields_that_a_model_does_not_take_are_named_with_the_items_that_have_it(
    turbo: str, notes: tuple[str, ...]
) -> None:
    of = job(item("A"), item("B"), item("C"), generate={"width": 64, "cfg": 1.0})
    without = BACKEND.parameters - {"cfg", "negative"}
    distilled = replace(BACKEND, parameters=without, model="turbo", unused=frozenset({"cfg", "negative"}))
    assert expand(of, of.items, lambda one: distilled if one.name in turbo else BACKEND, JobDecisions()).notes == notes


def test_of_many_items_that_have_a_model_the_first_are_named_once_for_all_fields() -> None:
    of = job(*(item(f"A{n}") for n in range(8)), item("Z"), generate={"negative": "x", "cfg": 1.0, "steps": 2})
    without = BACKEND.parameters - {"cfg", "negative"}
    distilled = replace(BACKEND, parameters=without, model="", unused=frozenset({"cfg", "negative"}))
    (note,) = expand(of, of.items, lambda one: BACKEND if one.name == "Z" else distilled, JobDecisions()).notes
    assert (
        note == "b ignores negative, cfg for A0, A1, A2, A3, A4 and 3 more: the model or its program does not take them"
    )


WORDS = st.text("abcXYZ ÄÖ0123-", min_size=1, max_size=8).filter(make_slug)


@given(st.lists(WORDS, min_size=1, max_size=5), st.dictionaries(WORDS, WORDS, max_size=3), st.integers(1, 3))
def test_any_job_expands_to_unique_portable_outputs_or_says_why_not(
    names: list[str], moods: dict[str, str], variants: int
) -> None:
    matrix: dict[str, dict[str, str | int | float]] = {"mood": {**moods}} if moods else {}
    of = job(*(item(name, "a {mood}" if moods else "a") for name in names), matrix=matrix, variants=variants)
    expansion = expanded(of)
    assert expansion == expanded(of)
    if not expansion.problems:
        assert len(expansion.outputs) == len(names) * max(1, len(moods)) * variants
        assert find_clashes(expansion.outputs, {}) == []
        assert len({output.slug for output in expansion.outputs}) == len(expansion.outputs)


def test_the_seed_decides_what_is_drawn_for_the_prompt() -> None:
    of = job(
        item("A", "a {red|green} {mood} cloak", negative="{a|b}"),
        matrix={"mood": {"m": "{old|new}"}},
        seed=SeedRule("random"),
    )
    (open_,) = expanded(of).outputs
    assert (open_.fingerprint, open_.request.seed) == ("", None)
    for seed in range(8):
        (drawn,) = expanded(of, {"a-m": seed}).outputs
        assert open_.with_decisions(seed=seed) == drawn
        assert drawn.request.prompt.split()[1] in ("red", "green")
        assert drawn.request.prompt.split()[2] in ("old", "new")
        assert drawn.request.negative in ("a", "b")
        assert drawn.with_decisions(seed=77) == open_.with_decisions(seed=77)


def test_the_same_words_in_prefix_and_prompt_are_drawn_apart() -> None:
    of = [job(item("A", "{a|b}", seed=seed), prefix="{a|b}") for seed in range(30)]
    assert len({expanded(one).outputs[0].request.prompt for one in of}) == 4


def test_what_an_empty_draw_leaves_at_the_ends_is_no_part_of_the_prompt() -> None:
    assert expanded(job(item("A", "{|} a raven {|}"), suffix="{|}")).outputs[0].request.prompt == "a raven"


@pytest.mark.parametrize(
    ("of", "expected"),
    [
        (job(item("A", "{|a}")), "prompt: can be empty, depending on what is picked"),
        (job(item("A", "__hair__")), "prompt: there is no jobs/wildcards/hair.txt for __hair__"),
        (job(item("A", "x", negative="{a|b")), "negative: the alternatives '{a|b' are not closed"),
        (job(item("A", "x"), prefix="{a|b"), "prompt.prefix: the alternatives '{a|b' are not closed"),
        (job(item("A", "{m}"), matrix={"m": {"x": "{a|b"}}), "matrix.m: the alternatives '{a|b' are not closed"),
        (job(item("A", "{m}"), matrix={"m": {"x": "{a|}"}}), "prompt: can be empty, depending on what is picked"),
    ],
)
def test_what_cannot_be_drawn(of: Job, expected: str) -> None:
    assert expected in whats(of)


def test_a_picked_variant_has_the_items_name_and_its_own_request() -> None:
    of = job(item("A"), item("B"), variants=3)
    third = expanded(of).outputs[2]
    found = expand(of, of.items, lambda _: BACKEND, JobDecisions(picked={"a": 3})).outputs
    assert [output.slug for output in found] == ["a", "b-v1", "b-v2", "b-v3"]
    assert (found[0].path, found[0].full_slug, found[0].fingerprint) == ("assets/j/a.png", "a-v3", third.fingerprint)


def test_a_rerolled_seed_goes_before_the_rule_and_after_the_items_own() -> None:
    of = job(item("A"), item("B", seed=5))
    found = expand(of, of.items, lambda _: BACKEND, JobDecisions(rerolled={"a": 9, "b": 9})).outputs
    assert [(output.request.seed, output.has_own_seed) for output in found] == [(9, False), (5, True)]


def test_a_seed_counts_as_given_unless_we_chose_it() -> None:
    rules = [(SeedRule("fixed", 5), True), (SeedRule("sequence", 5), True), (SeedRule("by-name"), False)]
    for rule, is_given in (*rules, (SeedRule("random"), False)):
        own, chosen = expanded(job(item("A", seed=3), item("B"), seed=rule)).outputs
        assert own.request.given == ("seed",)
        assert chosen.request.given == (("seed",) if is_given else ())
    of = job(item("A", steps=9), seed=SeedRule("fixed", 5))
    (rerolled,) = expand(of, of.items, lambda _: BACKEND, JobDecisions(rerolled={"a": 7})).outputs
    assert (rerolled.request.seed, rerolled.request.given) == (7, ("steps",))


def test_a_sequence_that_leaves_the_range_of_seeds_is_refused() -> None:
    of = job(item("A"), item("B"), seed=SeedRule("sequence", 2**64 - 1))
    assert whats(of) == [f"seed: {2**64} for 'B' is too large: the sequence may go up to {2**64 - 1}"]


MATRIX_BACKEND = BackendCapabilities("b", frozenset({"prompt", "steps", "seed"}))
MATRIX: dict[str, Any] = {"mood": {"calm": "serene", "angry": "shouting"}, "steps": [20, 40]}


def matrix_job(matrix: dict[str, Any], *prompts: str) -> Job:
    items = [{"name": f"Item {n}", "prompt": prompt} for n, prompt in enumerate(prompts or ["a {mood} figure"])]
    text = json.dumps({"items": items, "matrix": matrix}, indent=0)
    return check_job("j", read_document("j.json", text.encode()), {})


def expand_all(of: Job) -> Expansion:
    return expand(of, of.items, lambda _: MATRIX_BACKEND, JobDecisions())


def cell_names(**changes: Any) -> list[str]:
    found, problems = expand_matrix(matrix_job(MATRIX | changes))
    assert problems == []
    return ["-".join(choice.name for choice in cell) for cell in found]


def matrix_problems(**changes: Any) -> list[str]:
    return [problem.what for problem in expand_matrix(matrix_job(MATRIX | changes))[1]]


def test_without_a_matrix_there_is_one_cell() -> None:
    of = check_job("j", read_document("j.json", b'{"items": [{"name": "A", "prompt": "a"}]}'), {})
    assert expand_matrix(of) == ([()], [])


def test_exclude_drops_each_cell_that_has_all_that_an_entry_names() -> None:
    assert cell_names() == ["calm-20", "calm-40", "angry-20", "angry-40"]
    assert cell_names(exclude=[{"mood": "angry", "steps": 40}]) == ["calm-20", "calm-40", "angry-20"]
    assert cell_names(exclude=[{"steps": 20}, {"mood": "angry"}]) == ["calm-40"]


def test_include_adds_cells_after_those_of_the_product() -> None:
    include = [{"steps": 60, "mood": "furious"}, {"mood": "calm", "steps": 5}]
    assert cell_names(include=include, exclude=[{"mood": "calm"}]) == ["angry-20", "angry-40", "furious-60", "calm-5"]


def test_an_excluded_cell_can_be_included_again() -> None:
    assert cell_names(exclude=[{"mood": "angry"}], include=[{"mood": "angry", "steps": 40}])[2:] == ["angry-40"]


def test_included_values_have_the_text_of_their_name_unless_it_is_given() -> None:
    entries = [
        {"mood": "furious", "steps": "40"},  # its text is in the entry below
        {"mood": {"furious": "roaring, teeth bared"}, "steps": {"many": 90}},
        {"mood": "glad", "steps": 60},
        {"mood": "angry", "steps": 60},
    ]
    expansion = expand_all(matrix_job(MATRIX | {"include": entries}))
    assert expansion.problems == ()
    assert [(o.slug, o.request.prompt, o.request.steps) for o in expansion.outputs[4:]] == [
        ("item-0-furious-40", "a roaring, teeth bared figure", 40),
        ("item-0-furious-many", "a roaring, teeth bared figure", 90),
        ("item-0-glad-60", "a glad figure", 60),
        ("item-0-angry-60", "a shouting figure", 60),
    ]


def test_seeds_by_name_stay_when_other_cells_come_and_go() -> None:
    seeds = {output.slug: output.request.seed for output in expand_all(matrix_job(MATRIX)).outputs}
    changed = expand_all(matrix_job(MATRIX | {"exclude": [{"steps": 20}], "include": [{"mood": "sad", "steps": 1}]}))
    kept = {output.slug: output.request.seed for output in changed.outputs if output.slug in seeds}
    assert kept.items() < seeds.items()
    assert len(kept) == 2


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"exclude": [{"moood": "calm"}]}, "matrix.exclude[0].moood: the matrix has no axis 'moood'; did you mean 'mood'?"),
        ({"exclude": [{"mood": "clam"}]}, "matrix.exclude[0].mood: matrix.mood has no value 'clam'; did you mean 'calm'?"),
        ({"exclude": [{"steps": 30}]}, "matrix.exclude[0].steps: matrix.steps has no value '30'"),
        ({"exclude": [{"steps": 40}, {"steps": 40}]}, "matrix.exclude[1]: every cell that it matches is excluded already"),
        ({"exclude": [{"steps": 40}, {"steps": 20}]}, "matrix.exclude: leaves no cell of the matrix"),
        ({"exclude": [{"mood": "x"}], "include": [{"mood": "x", "steps": 1}]}, "matrix.exclude[0].mood: matrix.mood has no value 'x'"),
        ({"include": [{"mood": "x"}]}, "matrix.include[0]: has no value for steps"),
        ({"include": [{"mood": "x", "step": 1}]}, "matrix.include[0].step: the matrix has no axis 'step'; did you mean 'steps'?"),
        ({"include": [{"mood": "calm", "steps": 20}]}, "matrix.include[0]: duplicates a cell of the matrix"),
        ({"include": [{"mood": "x", "steps": 20}, {"mood": {"x": "x"}, "steps": 20}]}, "matrix.include[1]: duplicates a cell of matrix.include[0]"),
        ({"include": [{"mood": {"calm": "asleep"}, "steps": 1}]}, "matrix.include[0].mood: 'calm' has another text in matrix.mood"),
        ({"include": [{"mood": {"x": "1"}, "steps": 1}, {"mood": {"x": "2"}, "steps": 2}]}, "matrix.include[1].mood: 'x' has another text in matrix.include[0].mood"),
        ({"include": [{"mood": "Calm", "steps": 1}]}, "matrix.include[0].mood: 'calm' and 'Calm' give the same file name"),
        ({"include": [{"mood": "?", "steps": 1}]}, "matrix.include[0].mood: '?' has nothing in it that a file could be named after: use letters or digits"),
    ],
)  # fmt: skip
def test_what_a_matrix_must_not_say(changes: dict[str, Any], expected: str) -> None:
    assert expected in matrix_problems(**changes)


def test_a_matrix_needs_an_axis() -> None:
    assert [p.what for p in expand_matrix(matrix_job({"exclude": [{"mood": "calm"}]}))[1]] == ["matrix: has no axis"]


def test_the_text_of_an_included_value_is_checked_like_any_other() -> None:
    (problem,) = expand_all(matrix_job(MATRIX | {"include": [{"mood": "calm", "steps": "many"}]})).problems
    assert problem.what == "matrix.include[0].steps: expected a whole number from 1 to 10000, found 'many'"


def test_problems_stand_at_their_entry() -> None:
    text = (
        "items: [{name: A, prompt: '{mood}'}]\n"
        "matrix:\n  mood: [calm, angry]\n  exclude:\n    - mood: clam\n  include:\n    - mood: calm\n    - {}\n"
    )
    with pytest.raises(ImagegenError) as caught:
        check_job("j", read_document("j.yaml", text.encode()), {})
    assert [(p.where, p.what) for p in caught.value.problems] == [("j.yaml:8:7", "matrix.include[1]: is empty")]
    of = check_job("j", read_document("j.yaml", text.replace("    - {}\n", "").encode()), {})
    assert [problem.where for problem in expand_matrix(of)[1]] == ["j.yaml:5:7", "j.yaml:7:7"]


AXES = st.sampled_from(["mood", "light", "steps"])
NAMES = st.sampled_from(["a", "b", "A", "a b", "b-a", "20", "?"]) | st.integers(19, 21)
AXIS = st.lists(NAMES, min_size=1, max_size=3) | st.dictionaries(NAMES.map(str), NAMES, min_size=1, max_size=3)
ENTRIES: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "exclude": st.lists(st.dictionaries(AXES, NAMES, min_size=1), min_size=1, max_size=3),
        "include": st.lists(
            st.dictionaries(AXES, NAMES | st.dictionaries(NAMES.map(str), NAMES, min_size=1, max_size=1), min_size=1),
            min_size=1,
            max_size=3,
        ),
    },
)


@given(st.dictionaries(AXES, AXIS), ENTRIES)
def test_any_matrix_expands_to_unique_outputs_in_one_order_or_says_why_not(
    axes: dict[str, Any], entries: dict[str, Any]
) -> None:
    if not axes | entries:
        return
    of = matrix_job(
        axes | entries,
        "".join(f"{{{axis}}}" for axis in axes) or "plain",
        "a b " + "".join(f"{{{axis}}}" for axis in axes),
    )
    expansion = expand_all(of)
    assert expansion == expand_all(of)
    slugs = [output.slug for output in expansion.outputs]
    if expansion.problems:
        assert all(problem.where.startswith("j.json:") for problem in expansion.problems)
        return
    assert slugs
    assert len(set(slugs)) == len(slugs)
    found, _ = expand_matrix(of)
    assert len(slugs) == len(of.items) * len(found)
    assert all([choice.axis for choice in cell] == list(axes) for cell in found)
    for entry in entries.get("include", ()):
        names = {axis: next(iter(value)) if isinstance(value, dict) else str(value) for axis, value in entry.items()}
        assert names in [{choice.axis: choice.name for choice in cell} for cell in found]
