"""docs/steps.md against the steps that there are: parameters, examples, pictures."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import pytest
from PIL import Image

from imagegen.config.steps import STEPS, read_step
from imagegen.images.image_file import MAX_PIXELS
from tests.wheels import ROOT

PAGE = (ROOT / "docs/steps.md").read_text("utf-8")
SECTIONS = {part.partition("\n")[0]: part for part in PAGE.split("\n## ")[1:]}
PICTURES = ROOT / "docs/images/steps"


def load_tool() -> ModuleType:
    specification = importlib.util.spec_from_file_location("step_pictures", ROOT / "tools/step_pictures.py")
    assert specification is not None
    assert specification.loader is not None
    tool = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(tool)
    return tool


TOOL = load_tool()
EXAMPLES = {example.name: example for example in TOOL.read_examples(PAGE)}


def documented_type(rules: Mapping[str, Any]) -> str:
    expected = rules.get("meta", {}).get("expected", "")
    if expected.startswith("path"):
        return "file"
    if expected.startswith("colour"):
        word = rules["meta"]["word"]
        return f"colour, or `{word}`" if word else "colour"
    if "min" in rules:
        return f"{rules['type']}, {rules['min']} … {rules['max']}"
    if "allowed" in rules and rules["allowed"][0] not in ("u2net", "u2netp"):
        return ", ".join(f"`{word}`" for word in rules["allowed"])
    return str(rules["type"])


def documented_default(value: object) -> str:
    return "" if value is None else f"`{str(value).lower() if isinstance(value, bool) else value}`"


def test_the_sections_are_the_steps_in_their_order() -> None:
    named = [name for name in SECTIONS if name in STEPS]
    assert named == list(STEPS)
    assert re.findall(r"^\| \[`(\w+)`\]\(#\1\) \|", PAGE, re.MULTILINE) == list(STEPS)


@pytest.mark.parametrize("name", STEPS)
def test_each_parameter_is_there_with_its_type_and_default(name: str) -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \| (.*?) ?\| ", SECTIONS[name], re.MULTILINE)
    step = STEPS[name]
    assert rows == [
        (key, documented_type(rules), documented_default(step.defaults.get(key)))
        for key, rules in step.parameters.items()
    ]


@pytest.mark.parametrize("name", STEPS)
def test_its_short_form_is_there(name: str) -> None:
    step = STEPS[name]
    short = {key for key in (step.main, step.file) if key}
    rows = re.findall(rf"^\| `(\w+)` .*`- {name}: .*` is short for it", SECTIONS[name], re.MULTILINE)
    assert set(rows) == short


def test_each_step_has_an_example_and_each_example_is_one_with_a_picture() -> None:
    shown = {read_step(step)[0] for example in EXAMPLES.values() for step in example.steps}
    assert shown == STEPS.keys() - {"cutout"}  # which needs a model
    assert len(EXAMPLES) == PAGE.count("```yaml\n") == PAGE.count("](images/steps/")
    assert {picture.stem for picture in PICTURES.iterdir()} == EXAMPLES.keys()


@pytest.mark.parametrize("name", EXAMPLES)
def test_each_example_runs_and_its_picture_is_of_the_size_that_it_gives(name: str) -> None:
    expected = TOOL.draw_example(EXAMPLES[name])
    with Image.open(PICTURES / f"{name}.webp") as picture:
        assert picture.size == expected.size
    assert (PICTURES / f"{name}.webp").stat().st_size <= 15_000


def test_the_limit_is_the_one_that_holds() -> None:
    assert f"{MAX_PIXELS:,} pixels" in SECTIONS["Limits"]
