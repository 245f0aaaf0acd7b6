"""Derived files in steps: their fingerprints, and the problems that planning finds."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from imagegen.config.checking import check_job
from imagegen.config.document import read_document
from imagegen.plan.expansion import BackendCapabilities, Expansion, expand
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
    "5e300ce81e4cd60d",
    "0154e874b280e9b6",
    "aed7c70e328ded74",
    "46d11ba894eb1baa",
    "041fcee0e54057b9",
    "6ff982ae78f8c6ac",
    "55e711ae074fa50e",
    "82745bf60cfa2c6f",
    "0ae102868f2e5038",
]


def planned(*steps: Any, **job: Any) -> Expansion:
    values = {"items": [{"name": "Yrr", "prompt": "a"}], "derive": {"token": {"steps": list(steps)}}, **job}
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
        "derive.token.steps[1].outline: 'x' is not a colour",
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
