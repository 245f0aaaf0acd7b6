"""Names that a server lists: which one is meant, and what else may be."""

from __future__ import annotations

from typing import Any

import pytest

from imagegen.backends.choices import check_each, choose_listed, explain_unlisted, index_names
from imagegen.errors import Problem
from imagegen.plan.request import Request

LISTED = {"a/x.safetensors": ["a/x.safetensors [ab]", "x"], "b/x.safetensors": ["b/x.safetensors", "x"], "y": ["y"]}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("y", "y"),
        ("a/x.safetensors", "a/x.safetensors"),
        ("a/x.safetensors [ab]", "a/x.safetensors"),
        ("x", "URL has 2 models of the name x | name one: b.model: a/x.safetensors, b/x.safetensors"),
        ("z", "b.model: URL has no z | choose one of "),
        ("", "the job names no model, and URL has 3; y is loaded | name one: b.model: a/x.safetensors, "),
    ],
)
def test_a_name_means_one_of_the_listed_or_is_a_problem_with_a_hint(name: str, expected: str) -> None:
    found = choose_listed("b.model", name, LISTED, "URL", "y")
    assert (found if isinstance(found, str) else f"{found.what} | {found.hint}").startswith(expected)


def test_without_a_name_it_is_the_only_one() -> None:
    assert choose_listed("b.model", "", {"y": ["y"]}, "URL") == "y"
    assert choose_listed("b.model", "", {}, "URL") == Problem("", "URL has no model", "give it one, and start it again")


@pytest.mark.parametrize(
    ("listed", "expected"),
    [
        ([{"name": "Euler a", "more": ["k_euler_a"]}], {"euler a": "Euler a", "k_euler_a": "Euler a"}),
        ([{"name": "karras", "more": "Karras"}], {"karras": "karras"}),
        ([{"name": "A", "more": ["b"]}, {"name": "B"}], {"a": "A", "b": "B"}),
        ([{"name": None}, {"more": "x"}, {"name": "A", "more": [1, None]}], {"a": "A"}),
        ([{"name": "A", "more": None}], {"a": "A"}),
    ],
)
def test_names_are_found_in_any_case_and_by_what_else_they_are_called(
    listed: list[dict[str, Any]], expected: dict[str, str]
) -> None:
    assert index_names(listed, "more") == expected


@pytest.mark.parametrize(
    ("field", "given", "hint"),
    [
        ("sampler", "euler_ancestral", "P calls it Euler a"),
        ("sampler", "k_dpmpp_2m", "P calls it DPM++ 2M"),
        ("sampler", "DPM++ 2M Karras", "write sampler: DPM++ 2M, scheduler: karras"),
        ("sampler", "uni_pc", "choose one of "),
        ("scheduler", "ays", "P calls it align_your_steps"),
        ("scheduler", "normal", "P calls it discrete"),
        ("scheduler", "other", "choose one of "),
    ],
)
def test_another_programs_name_for_the_same_is_recognised(field: str, given: str, hint: str) -> None:
    problem = explain_unlisted(field, given, "P", ["Euler a", "DPM++ 2M"], ["discrete", "karras", "align_your_steps"])
    assert problem.what.startswith(f"{field} {given}: P has none of that name")
    assert problem.hint.startswith(hint)


def test_what_all_requests_have_is_said_once() -> None:
    requests = [Request("b", name, "a fox") for name in ("one", "two")]

    def check(request: Request) -> list[Problem]:
        return [Problem("", "both"), Problem("", "both"), *([Problem("", "own")] if request.name == "two" else [])]

    assert check_each(requests, check) == [Problem("", "both"), Problem("two", "own")]
