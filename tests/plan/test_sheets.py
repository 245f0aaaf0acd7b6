"""Sheets as planned: their outputs, what each is made from, and what is refused before anything is built."""

from __future__ import annotations

from typing import Any

import pytest

from imagegen.config.checking import check_job
from imagegen.config.document import Document
from imagegen.plan.expansion import BackendCapabilities, Expansion, expand
from imagegen.plan.output import Output
from imagegen.plan.record import JobDecisions
from imagegen.plan.sheets import name_page

from .test_origins import line_of, reasons, settled

ITEMS = [{"name": "Mallsing", "prompt": "a"}, {"name": "Yrr", "prompt": "b"}]
PARAMETERS = frozenset({"prompt", "seed", "width", "height"})
THUMB = {"derive": {"thumb": {"width": 32}}}
WALK = {"matrix": {"step": [1, 2]}, "prompt": {"suffix": "{step}"}}


def expansion(**keys: Any) -> Expansion:
    values = {"items": ITEMS, **keys}
    marks: dict[tuple[str | int, ...], tuple[int, int]] = {
        ("sheet", key): (1, column) for column, key in enumerate(values.get("sheet", {}), 1)
    }
    job = check_job("j", Document("jobs/j.yaml", values, marks), {})
    return expand(job, job.items, lambda _: BackendCapabilities("scripted", PARAMETERS), JobDecisions())


def sheets(**keys: Any) -> dict[str, Output]:
    """The outputs of the sheet, by slug."""
    found = expansion(**keys)
    assert not found.problems
    return {output.slug: output for output in found.outputs if output.slug.partition(":")[0] == "sheet"}


def origins(output: Output) -> list[str]:
    return [origin.task for origin in output.origins]


def test_a_grid_is_requested_as_it_always_was() -> None:
    found = sheets(sheet={})
    fingerprints = {slug: settled(output).fingerprint for slug, output in found.items()}
    assert fingerprints == {
        "sheet": "cfb374622863c750a7d556b98b60e1a7b4ea1b59574d7b18dd98f4a3785a971a",
        "sheet:index": "de72ade464a50eca148152e993e08c466a538788def1d391a425042535fd1135",
    }


def test_a_packed_sheet_is_made_from_its_index_and_the_images() -> None:
    found = sheets(sheet={"layout": "packed", "pages": 2, "index": ["godot", "css", "texturepacker"], "dir": "art"})
    images = ["j:mallsing", "j:yrr"]
    assert {slug: (output.path, origins(output)) for slug, output in found.items()} == {
        "sheet": ("art/sheet.png", ["j:sheet:index", *images]),
        "sheet:2": ("art/sheet-2.png", ["j:sheet:index", *images]),
        "sheet:index": ("art/sheet.json", images),
        "sheet:index-2": ("art/sheet-2.json", ["j:sheet:index"]),
        "sheet:godot": ("art/sheet.tres", ["j:sheet:index"]),
        "sheet:css": ("art/sheet.css", ["j:sheet:index"]),
    }
    assert [output.encoding.format for output in found.values()] == ["png", "png", "json", "json", "text", "text"]


def test_a_grid_can_have_other_indexes_too() -> None:
    found = sheets(sheet={"index": "unity"})
    assert (found["sheet:unity"].path, origins(found["sheet:unity"])) == (
        "assets/j/sheet-unity.json",
        ["j:sheet:index"],
    )


@pytest.mark.parametrize("layout", ["grid", "packed"])
def test_a_sheet_of_derived_files_names_its_frames_after_the_images(layout: str) -> None:
    index = sheets(**THUMB, sheet={"layout": layout, "of": "thumb"})["sheet:index"]
    assert index.fields["order"] == ["mallsing", "yrr"]
    assert [(origin.key, origin.task) for origin in index.origins] == [
        ("mallsing", "j:mallsing:thumb"),
        ("yrr", "j:yrr:thumb"),
    ]


def test_animations_are_named_by_a_pattern() -> None:
    def animations(pattern: str, **keys: Any) -> Any:
        return sheets(**keys, sheet={"layout": "packed", "animations": pattern})["sheet:index"].fields["animations"]

    assert animations("{job}") == {"j": ["mallsing", "yrr"]}
    assert animations("{item} walk", **WALK) == {
        "mallsing walk": ["mallsing-1", "mallsing-2"],
        "yrr walk": ["yrr-1", "yrr-2"],
    }
    assert animations("step{step}", **WALK) == {"step1": ["mallsing-1", "yrr-1"], "step2": ["mallsing-2", "yrr-2"]}
    assert animations("{variant}", variants=2)["2"] == ["mallsing-v2", "yrr-v2"]


def test_a_change_of_a_key_is_a_reason_in_words() -> None:
    old = settled(sheets(**WALK, sheet={"layout": "packed", "animations": "{item}"})["sheet:index"])
    new = sheets(**WALK, sheet={"layout": "packed", "animations": "{step}", "padding": 3, "pages": 2, "fps": 8})
    found = reasons(settled(new["sheet:index"]), line_of(old))
    assert {"padding 2 → 3", "pages 1 → 2", "fps 12.0 → 8.0", "animations.1 changed"} <= set(found)


PACKED = {"layout": "packed"}
LARGE = {"generate": {"width": 256, "height": 192}}


@pytest.mark.parametrize(
    ("keys", "where", "what"),
    [
        ({"sheet": {"padding": 2}}, 1, "sheet.padding: has no effect with layout: grid"),
        ({"sheet": {**PACKED, "cell": 64}}, 2, "sheet.cell: has no effect with layout: packed"),
        ({"sheet": {**PACKED, "fps": 8}}, 2, "sheet.fps: has no effect without animations"),
        ({**THUMB, "sheet": {"of": "thum"}}, 1, "sheet.of: derive has no 'thum'; did you mean 'thumb'?"),
        ({"sheet": {"of": "thumb"}}, 1, "sheet.of: derive has no 'thumb'"),
        ({"sheet": {"animations": "{itm}"}}, 1, "sheet.animations: there is no {itm}; did you mean 'item'?"),
        ({"sheet": {"animations": "a{}"}}, 1, "sheet.animations: there are only {job}, {slug}, {item}, {variant}"),
        ({"sheet": {**PACKED, "pages": 2, "index": "texturepacker-array"}}, 3, "sheet.index: texturepacker-array has one page only"),
        ({"sheet": {"animations": "a{item"}}, 1, "sheet.animations: a { has no }"),
        ({"matrix": {"job": ["x"]}, "prompt": {"suffix": "{job}"}, "sheet": {"animations": "{job}"}}, 1, "sheet.animations: {job} could be the job's name or the axis 'job'"),
        ({"sheet": {**PACKED, "index": ["unity", "css", "godot"], "format": "webp"}}, 3, "sheet.format: unity does not load webp files"),
        ({"sheet": {**PACKED, "index": ["godot", "libgdx"], "format": "avif"}}, 3, "sheet.format: godot and libgdx do not load avif files"),
        ({"sheet": {"preset": "sprites-css", "index": "libgdx"}}, 2, "sheet.format: libgdx does not load webp files"),
        ({"sheet": {"preset": "atlas-unity", "format": "webp"}}, 2, "sheet.format: unity does not load webp files"),
        ({"sheet": {**PACKED, "power_of_two": True, "max_size": 63}}, 3, "sheet.max_size: 63 is not a power of two"),
        ({"sheet": {"name": "con"}}, 1, "sheet.name: 'con'"),
        ({**LARGE, "sheet": {**PACKED, "max_size": 250, "trim": False}}, 2, "sheet.max_size: j:mallsing is 256×192 pixels, and a page at most 250"),
        ({**LARGE, "sheet": {**PACKED, "max_size": 256, "trim": False, "extrude": 1}}, 2, "sheet.max_size: j:mallsing is 256×192"),
        (
            {**LARGE, "sheet": {**PACKED, "pages": 1, "max_size": 256, "trim": False}},
            2,
            "sheet.pages: 2 images have 98304 pixels, and 1 page of 256×256 fewer",
        ),
        (
            {
                "derive": {"big": {"width": 300, "height": 300, "crop": "top"}},
                "sheet": {**PACKED, "max_size": 250, "of": "big", "trim": False},
            },
            2,
            "sheet.max_size: j:mallsing:big is 300×300 pixels",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_where_it_is_written(keys: Any, where: int, what: str) -> None:
    (problem,) = expansion(**keys).problems
    assert problem.what.startswith(what)
    assert problem.where == f"jobs/j.yaml:1:{where}"


def test_a_format_that_each_engine_loads_is_suggested() -> None:
    (problem,) = expansion(sheet={"index": ["unity", "godot"], "format": "avif"}).problems
    assert problem.hint == "use format: png or jpeg"


@pytest.mark.parametrize("more", [{}, {"trim": True}])
def test_what_trimming_may_make_small_enough_is_not_refused(more: Any) -> None:
    assert not expansion(**LARGE, sheet={**PACKED, "max_size": 250, **more}).problems


def test_jpegs_are_never_trimmed() -> None:
    (problem,) = expansion(**LARGE, output={"format": "jpeg"}, sheet={**PACKED, "max_size": 250}).problems
    assert "256×192" in problem.what


def test_pages_have_their_number_before_the_ending() -> None:
    assert [name_page("art/a.b.png", page) for page in (1, 2)] == ["art/a.b.png", "art/a.b-2.png"]
