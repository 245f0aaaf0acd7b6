from __future__ import annotations

import csv
import io
import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from imagegen.execute.disclosure import DisclosedImage, Disclosure, UsedModel
from imagegen.report.disclosure import to_csv, to_json
from imagegen.report.disclosure_page import to_markdown
from tests.wheels import ROOT

KLEIN = UsedModel("model", "sd", "flux2-klein-4b", "ab" * 64, "Apache-2.0", "https://l/klein")
HOSTED = UsedModel("model", "openai", "gpt-image-1")
INK = UsedModel("lora", "sd", "ink|line", page="https://l/ink")
IMAGES = (
    DisclosedImage(
        "icons", "rope", "a/rope.png", "generated", "recorded", "sd", (KLEIN, INK), "T", uses_ai=True, is_marked=True
    ),
    DisclosedImage("icons", "lamp", "a/lamp.png", "generated", "accepted", "openai", (HOSTED,), "T", uses_ai=True),
    DisclosedImage(
        "icons",
        "rope:thumb",
        "a/rope-thumb.png",
        "derived",
        "recorded",
        "",
        (),
        "T",
        ("icons:rope",),
        True,
        is_marked=True,
    ),
    DisclosedImage(
        "icons",
        "sheet",
        "a/sheet.png",
        "derived",
        "missing",
        "",
        (),
        "T",
        ("icons:rope", "icons:lamp"),
        True,
        True,
        is_marked=False,
    ),
    DisclosedImage(
        "scans",
        "map:small",
        "b/map.png",
        "derived",
        "recorded",
        "",
        (),
        "T",
        ("scans:map",),
        None,
        True,
        is_marked=False,
    ),
    DisclosedImage(
        "scans", "key", "b/key.png", "placeholder", "recorded", "placeholder", (), "T", uses_ai=False, is_marked=False
    ),
)
FOUND = Disclosure(IMAGES, ("icons", "scans"), {KLEIN: 1, HOSTED: 1, INK: 1})
PAGE = Path(__file__).parent / "disclosure.md"


def schema() -> dict[str, Any]:
    blocks = re.findall(r"^```json\n(.*?)^```$", (ROOT / "docs/disclosure.md").read_text("utf-8"), re.M | re.S)
    (found,) = [json.loads(block) for block in blocks]
    assert isinstance(found, dict)
    return found


def validate(text: str) -> dict[str, Any]:
    data = json.loads(text)
    Draft202012Validator(schema()).validate(data)
    assert isinstance(data, dict)
    return data


def test_the_page_reads_as_it_should() -> None:
    """To see what changed: git diff tests/report/disclosure.md, after writing it again."""
    assert to_markdown(FOUND) == PAGE.read_text("utf-8")


def test_the_page_of_nothing_says_so() -> None:
    """The absence of a record is not that of the thing."""
    assert to_markdown(Disclosure(())).endswith("\n\nNo image is recorded: there are no lock files (jobs/*.lock).\n")
    assert to_markdown(Disclosure((), ("icons",))).endswith("\n\nNo image is recorded.\n")


def test_the_page_of_files_without_a_record_claims_nothing() -> None:
    page = to_markdown(Disclosure((DisclosedImage("j", "a", "x/a.png", "unrecorded", "unrecorded"),)))
    assert "no lock file (`jobs/*.lock`) says what made them. If imagegen\ngenerated them, bring" in page
    assert "\n- `x/a.png`\n" in page
    assert "\n\nimagegen does not know how 1 image was made (in `x`). If AI was used for it, say so.\n" in page
    assert "Of 1 image, nobody recorded whether there is AI-generated content." in page
    assert "none of the images" not in page.lower()


def test_json_is_as_its_schema_says_and_names_every_key() -> None:
    data = validate(to_json(FOUND))
    rules = schema()["properties"]
    assert data["summary"].keys() == rules["summary"]["properties"].keys()
    for list_ in ("models", "images"):
        assert data[list_][0].keys() == rules[list_]["items"]["properties"].keys()
        assert set(rules[list_]["items"]["required"]) == data[list_][0].keys()
    assert data["images"][0]["models"] == [0, 2]
    assert data["models"][1] == {
        "role": "model", "backend": "openai", "model": "gpt-image-1", "digest": None, "licence": None,
        "licence_page": None, "images": 1,
    }  # fmt: skip
    validate(to_json(Disclosure(())))


def test_csv_has_a_row_for_each_image() -> None:
    rows = list(csv.DictReader(io.StringIO(to_csv(FOUND))))
    assert [row["image"] for row in rows] == [image.task for image in IMAGES]
    assert (rows[0]["model"], rows[0]["loras"], rows[0]["licence"]) == ("flux2-klein-4b", "ink|line", "Apache-2.0")
    assert [row["by_ai"] for row in rows] == ["yes", "yes", "yes", "yes", "unknown", "no"]
    assert [row["marked"] for row in rows] == ["yes", "unknown", "yes", "no", "no", "no"]


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "=cmd|' /C calc'!A0", 'a,"b"\n=c'])
def test_no_cell_is_a_formula(name: str) -> None:
    model = UsedModel("model", name, name, name, name, name)
    image = DisclosedImage(name, name, name, "generated", "recorded", name, (model,), name, (name,))
    _, row = csv.reader(io.StringIO(to_csv(Disclosure((image,)))))
    assert not [cell for cell in row if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
    assert "\n" not in "".join(row)


texts = st.text(max_size=8)


@given(st.lists(st.tuples(texts, texts, texts), max_size=4))
def test_whatever_names_there_are_each_image_is_a_row_and_every_table_whole(names: list[tuple[str, str, str]]) -> None:
    images, models = [], {}
    for output, path, name in names:
        model = UsedModel("model", "sd", name)
        models[model] = 1
        images.append(DisclosedImage("j", output, path, "generated", "changed", "sd", (model,), uses_ai=True))
    found = Disclosure(tuple(images), ("j",), models)
    assert len(list(csv.reader(io.StringIO(to_csv(found))))) == len(images) + 1
    validate(to_json(found))
    lines = to_markdown(found).splitlines()
    for before, row in pairwise(lines):
        if before.startswith("|") and row.startswith("|"):
            assert len(re.findall(r"(?<!\\)\|", before)) == len(re.findall(r"(?<!\\)\|", row))
