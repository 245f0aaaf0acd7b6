"""`only`: derived files of some cells of the matrix."""

from __future__ import annotations

from typing import Any

import pytest

from imagegen.config.checking import check_job
from imagegen.config.document import read_document
from imagegen.errors import ImagegenError
from imagegen.plan.expansion import BackendCapabilities, Expansion, expand
from imagegen.plan.record import JobDecisions
from imagegen.state.details import write_json

MATRIX: dict[str, Any] = {"mood": {"happy": "smiling", "sad": "in tears"}, "steps": [20, 40]}
BACKEND = BackendCapabilities("b", frozenset({"prompt", "seed", "steps"}))


def expansion(only: Any, **keys: Any) -> Expansion:
    rules = {"width": 8, **({} if only is None else {"only": only})}
    items = [{"name": name, "prompt": "a {mood} one" if keys.get("matrix", 1) else "a"} for name in ("Eileen", "Tom")]
    values = {"items": items, "matrix": MATRIX, "derive": {"token": rules}, **keys}
    values = {key: value for key, value in values.items() if value}
    job = check_job("j", read_document("j.json", write_json(values).encode()), {})
    return expand(job, job.items, lambda _: BACKEND, JobDecisions())


def tokens(only: Any, **keys: Any) -> list[str]:
    found = expansion(only, **keys)
    assert found.problems == ()
    return [output.slug for output in found.outputs if output.slug.endswith(":token")]


@pytest.mark.parametrize(
    ("only", "expected"),
    [
        ({"mood": "happy", "steps": 40}, ["eileen-happy-40", "tom-happy-40"]),
        ({"mood": ["sad"], "steps": [20, 40]}, ["eileen-sad-20", "eileen-sad-40", "tom-sad-20", "tom-sad-40"]),
        ({"steps": "20"}, ["eileen-happy-20", "eileen-sad-20", "tom-happy-20", "tom-sad-20"]),
    ],
)
def test_a_derived_file_is_made_only_of_images_with_these_values(only: Any, expected: list[str]) -> None:
    assert tokens(only) == [f"{slug}:token" for slug in expected]


def test_a_value_that_include_adds_can_be_named_and_all_variants_have_the_file() -> None:
    matrix = {**MATRIX, "include": [{"mood": {"furious": "roaring"}, "steps": 60}]}
    assert tokens({"mood": "furious"}, matrix=matrix, variants=2) == [
        f"{item}-furious-60-v{variant}:token" for item in ("eileen", "tom") for variant in (1, 2)
    ]


def test_names_clash_only_if_the_files_are_made() -> None:
    derive: dict[str, Any] = {"token": {"name": "{item}", "dir": "tokens", "only": {"mood": "happy", "steps": 20}}}
    paths = [one.path for one in expansion(None, derive=derive).outputs if one.is_derived]
    assert paths == ["tokens/eileen.png", "tokens/tom.png"]
    derive["token"]["only"] = {"mood": "happy"}
    (problem,) = expansion(None, derive=derive).problems
    assert "would both be written to tokens/eileen.png" in problem.what


@pytest.mark.parametrize("sheet", [{"of": "token"}, {"of": "token", "layout": "packed", "animations": "{item}"}])
def test_a_sheet_of_it_shows_just_these(sheet: dict[str, Any]) -> None:
    found = expansion({"mood": "sad", "steps": 20}, sheet=sheet)
    assert found.problems == ()
    (index,) = [one for one in found.outputs if one.slug == "sheet:index"]
    assert index.request.extra["order"] == ["eileen-sad-20", "tom-sad-20"]
    assert [origin.task for origin in index.origins] == ["j:eileen-sad-20:token", "j:tom-sad-20:token"]
    if "animations" in sheet:
        assert index.request.extra["animations"] == {"eileen": ["eileen-sad-20"], "tom": ["tom-sad-20"]}


def test_it_decides_which_files_there_are_and_nothing_of_them() -> None:
    (one,) = [one for one in expansion({"mood": "sad", "steps": 20}).outputs if one.task == "j:tom-sad-20:token"]
    (other,) = [one for one in expansion(None).outputs if one.task == "j:tom-sad-20:token"]
    assert one.fields == other.fields


def test_files_that_are_not_made_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imagegen.plan.expansion.MAX_OUTPUTS", 12)
    assert len(expansion({"mood": "sad"}).outputs) == 12
    (problem,) = expansion(None).problems
    assert problem.what.startswith("makes 8 images and 8 files of them, more than the 12")


@pytest.mark.parametrize(
    ("only", "expected", "hint"),
    [
        ({"moood": "sad"}, "derive.token.only.moood: the matrix has no axis 'moood'; did you mean 'mood'?", "its axes are mood, steps"),
        ({"mood": "hapy"}, "derive.token.only.mood: matrix.mood has no value 'hapy'; did you mean 'happy'?", "its values are happy, sad"),
        ({"mood": ["sad", "x"]}, "derive.token.only.mood: matrix.mood has no value 'x'", "its values are happy, sad"),
        ({"mood": "sad", "steps": 20}, "derive.token.only: no cell of the matrix has these values", ""),
    ],
)  # fmt: skip
def test_an_unknown_axis_or_value_is_a_problem_with_its_place(only: Any, expected: str, hint: str) -> None:
    matrix = {**MATRIX, "exclude": [{"mood": "sad", "steps": 20}]}
    (problem,) = expansion(only, matrix=matrix).problems
    assert (problem.what, problem.hint) == (expected, hint)
    assert problem.where.startswith("j.json:1:")


def test_without_a_matrix_there_is_nothing_to_name() -> None:
    (problem,) = expansion({"mood": "happy"}, matrix=None).problems
    assert problem.what == "derive.token.only: names values of the matrix, and this job has none"


@pytest.mark.parametrize("only", [{}, {"mood": []}, {"mood": {"happy": 1}}, "happy", {"mood": True}])
def test_what_is_not_a_value_is_refused(only: Any) -> None:
    with pytest.raises(ImagegenError, match=r"derive\.token\.only"):
        expansion(only)
