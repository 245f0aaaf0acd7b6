"""Derived files in steps: their fingerprints, and the problems that planning finds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import yaml

from imagegen.config.checking import check_job
from imagegen.config.document import Document, read_document
from imagegen.config.job_files import resolve_extends
from imagegen.plan.expansion import BackendCapabilities, Expansion, expand
from imagegen.plan.origins import plan_derived
from imagegen.plan.output import Origin, Output
from imagegen.plan.record import collect_decisions
from tests.config.test_steps import RECIPES

FILES = {"art/m.png": "aa" * 32, "art/ring.png": "bb" * 32, "art/p.gpl": "cc" * 32, "model u2net:": "dd" * 32}
GOLDEN = [
    "7c161dd9481867e9",
    "03c94d72d1c8c38b",
    "7f2f0b619f58e5d8",
    "f607504a51cbb709",
    "2e84c391a1658322",
    "cf8f9ab6a4388d67",
    "4b8a3332a99dc8b5",
    "5c3d0fac9bd0588e",
    "b6ccd8decc344ae7",
    "63ab2966d703bdf5",
    "a2c55fce7f00c9b4",
    "9d11caf010539ff2",
    "541cb5e5affbbf25",
    "baf083aac6f2017a",
    "aed7c70e328ded74",
    "46d11ba894eb1baa",
    "041fcee0e54057b9",
    "6ff982ae78f8c6ac",
    "55e711ae074fa50e",
    "82745bf60cfa2c6f",
    "0ae102868f2e5038",
]


GOOD = {"items": [{"name": "Yrr", "prompt": "a"}]}


def planned(*steps: Any, **job: Any) -> Expansion:
    values = {**GOOD, "derive": {"token": {"steps": list(steps)}}, **job}
    found = check_job("a", read_document("jobs/a.yaml", yaml.safe_dump(values).encode()), {"placeholder": {}})
    backend = BackendCapabilities("placeholder", frozenset({"prompt", "width"}), "", {}, frozenset())
    return expand(found, found.items, lambda _: backend, collect_decisions(()), step_files=FILES)


def token(*steps: Any) -> Output:
    (output,) = (one for one in planned(*steps).outputs if one.is_derived)
    return output.with_decisions(origins=[Origin("image", "a:yrr", "assets/a/yrr.png", "ab" * 32)])


def test_golden_fingerprints() -> None:
    """A change here makes derived files of users stale: it needs a very good reason."""
    assert [token(written).fingerprint[:16] for written, _ in RECIPES] == GOLDEN


def test_a_file_counts_by_its_content_and_not_by_its_name() -> None:
    (step,) = token({"frame": "art/ring.png"}).fields["derive_steps"]
    assert step == ["frame", {"image": "bb" * 32, "place": "over"}]


def test_all_problems_of_steps_are_found_at_once() -> None:
    problems = planned("resize", {"outline": {"colour": "x"}}, output={"format": "jpeg"}).problems
    assert [problem.what for problem in problems] == [
        "derive.token.steps[0].resize: needs a width or a height",
        "derive.token.steps[1].outline.colour: 'x' is not a colour",
        "derive.token.steps[1].outline: the images are JPEG files, which have no transparency",
    ]
    assert all(problem.where.startswith("jobs/a.yaml:") for problem in problems)


@pytest.mark.parametrize(
    ("steps", "index"),
    [
        (["trim"], 0),
        ([{"resize": {"width": 9}}, "shadow"], 1),
        ([{"frame": {"image": "art/ring.png", "place": "under"}}], 0),
        ([{"frame": "art/ring.png"}, "outline"], 1),
        (["background", "trim"], None),
        (["cutout", "trim"], None),
        ([{"mask": "circle"}, "trim", "outline"], None),
        ([{"pad": {"margin": 2}}, "shadow"], None),
        ([{"flip": "vertical"}], None),
    ],
)
def test_the_step_is_known_that_needs_an_image_with_transparency(steps: list[Any], index: int | None) -> None:
    step = token(*steps).alpha_step
    assert (step and step.key.split(".")[2]) == (None if index is None else f"steps[{index}]")
    is_refused = bool(planned(*steps, output={"format": "jpeg"}).problems)
    assert is_refused == (index is not None)


def test_a_colour_is_reported_where_it_is() -> None:
    text = "derive:\n  a:\n    steps:\n      - background: redd\n      - outline: {colour: redd}\n"
    assert problems_of({"a.yaml": text}) == [
        "jobs/a.yaml:4:9: derive.a.steps[0].background: 'redd' is not a colour; did you mean 'red'?",
        "jobs/a.yaml:5:19: derive.a.steps[1].outline.colour: 'redd' is not a colour; did you mean 'red'?",
    ]


def test_a_size_beside_the_steps_of_a_base_names_both_places() -> None:
    files = {
        "a.yaml": "extends: _b.yaml\nderive: {a: {width: 16}}\n",
        "_b.yaml": "derive: {a: {steps: [flip: vertical]}}",
    }
    (problem,) = problems_of(files)
    assert problem.startswith(
        "jobs/a.yaml:2:14: derive.a.width: has no effect beside steps, which jobs/_b.yaml:1:14 gives"
    )


@pytest.mark.parametrize(
    ("key", "value", "step"),
    [("enlarge", "true", "enlarge: true"), ("height", "9", "height: 9"), ("crop", "top", "mode: fill, keep: top")],
)
def test_a_size_beside_a_preset_is_shown_as_a_parameter_of_its_step(key: str, value: str, step: str) -> None:
    problems = problems_of({"a.yaml": f"derive: {{a: {{preset: token-foundry, {key}: {value}}}}}\n"})
    assert f"write it as its step: resize: {{{step}}}" in problems[-1]


def problems_of(files: dict[str, str]) -> list[str]:
    """The problems of the job a.yaml without its items; other files are its bases."""

    def read(name: str, _: str = "") -> Document:
        return read_document(f"jobs/{name}", files[name].encode())

    found = check_job("a", resolve_extends(replace(read("a.yaml"), values=read("a.yaml").values | GOOD), read), {})
    _, problems = plan_derived(found, [], {}, {})
    return [str(problem) for problem in problems]
