from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagegen.config.checking import check_job
from imagegen.config.document import read_document
from imagegen.config.job import Job
from imagegen.errors import ImagegenError
from imagegen.plan.expansion import BackendCapabilities, Expansion, expand, expand_matrix
from imagegen.plan.record import JobDecisions

HONOURS = BackendCapabilities("b", frozenset({"prompt", "steps", "seed"}))
MATRIX: dict[str, Any] = {"mood": {"calm": "serene", "angry": "shouting"}, "steps": [20, 40]}


def job(matrix: dict[str, Any], *prompts: str) -> Job:
    items = [{"name": f"Item {n}", "prompt": prompt} for n, prompt in enumerate(prompts or ["a {mood} figure"])]
    text = json.dumps({"items": items, "matrix": matrix}, indent=0)
    return check_job("j", read_document("j.json", text.encode()), {})


def expanded(of: Job) -> Expansion:
    return expand(of, of.items, lambda _: HONOURS, JobDecisions())


def names(**changes: Any) -> list[str]:
    found, problems = expand_matrix(job(MATRIX | changes))
    assert problems == []
    return ["-".join(choice.name for choice in cell) for cell in found]


def problems(**changes: Any) -> list[str]:
    return [problem.what for problem in expand_matrix(job(MATRIX | changes))[1]]


def test_without_a_matrix_there_is_one_cell() -> None:
    of = check_job("j", read_document("j.json", b'{"items": [{"name": "A", "prompt": "a"}]}'), {})
    assert expand_matrix(of) == ([()], [])


def test_exclude_drops_each_cell_that_has_all_that_an_entry_names() -> None:
    assert names() == ["calm-20", "calm-40", "angry-20", "angry-40"]
    assert names(exclude=[{"mood": "angry", "steps": 40}]) == ["calm-20", "calm-40", "angry-20"]
    assert names(exclude=[{"steps": 20}, {"mood": "angry"}]) == ["calm-40"]


def test_include_adds_cells_after_those_of_the_product() -> None:
    include = [{"steps": 60, "mood": "furious"}, {"mood": "calm", "steps": 5}]
    assert names(include=include, exclude=[{"mood": "calm"}]) == ["angry-20", "angry-40", "furious-60", "calm-5"]


def test_an_excluded_cell_can_be_included_again() -> None:
    assert names(exclude=[{"mood": "angry"}], include=[{"mood": "angry", "steps": 40}])[2:] == ["angry-40"]


def test_included_values_have_the_text_of_their_name_unless_it_is_given() -> None:
    entries = [
        {"mood": "furious", "steps": "40"},  # its text is in the entry below
        {"mood": {"furious": "roaring, teeth bared"}, "steps": {"many": 90}},
        {"mood": "glad", "steps": 60},
        {"mood": "angry", "steps": 60},
    ]
    expansion = expanded(job(MATRIX | {"include": entries}))
    assert expansion.problems == ()
    assert [(o.slug, o.request.prompt, o.request.steps) for o in expansion.outputs[4:]] == [
        ("item-0-furious-40", "a roaring, teeth bared figure", 40),
        ("item-0-furious-many", "a roaring, teeth bared figure", 90),
        ("item-0-glad-60", "a glad figure", 60),
        ("item-0-angry-60", "a shouting figure", 60),
    ]


def test_seeds_by_name_stay_when_other_cells_come_and_go() -> None:
    seeds = {output.slug: output.request.seed for output in expanded(job(MATRIX)).outputs}
    changed = expanded(job(MATRIX | {"exclude": [{"steps": 20}], "include": [{"mood": "sad", "steps": 1}]}))
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
        ({"include": [{"mood": "calm", "steps": 20}]}, "matrix.include[0]: the matrix has this cell already"),
        ({"include": [{"mood": "x", "steps": 20}, {"mood": {"x": "x"}, "steps": 20}]}, "matrix.include[1]: matrix.include[0] has this cell already"),
        ({"include": [{"mood": {"calm": "asleep"}, "steps": 1}]}, "matrix.include[0].mood: 'calm' has another text in matrix.mood"),
        ({"include": [{"mood": {"x": "1"}, "steps": 1}, {"mood": {"x": "2"}, "steps": 2}]}, "matrix.include[1].mood: 'x' has another text in matrix.include[0].mood"),
        ({"include": [{"mood": "Calm", "steps": 1}]}, "matrix.include[0].mood: 'calm' and 'Calm' make one file name"),
        ({"include": [{"mood": "?", "steps": 1}]}, "matrix.include[0].mood: '?' has nothing in it that a file could be named after: use letters or digits"),
    ],
)  # fmt: skip
def test_what_a_matrix_must_not_say(changes: dict[str, Any], expected: str) -> None:
    assert expected in problems(**changes)


def test_a_matrix_needs_an_axis() -> None:
    assert [p.what for p in expand_matrix(job({"exclude": [{"mood": "calm"}]}))[1]] == ["matrix: has no axis"]


def test_the_text_of_an_included_value_is_checked_like_any_other() -> None:
    (problem,) = expanded(job(MATRIX | {"include": [{"mood": "calm", "steps": "many"}]})).problems
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
    of = job(
        axes | entries,
        "".join(f"{{{axis}}}" for axis in axes) or "plain",
        "a b " + "".join(f"{{{axis}}}" for axis in axes),
    )
    expansion = expanded(of)
    assert expansion == expanded(of)
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
