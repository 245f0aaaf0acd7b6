"""Presets: valid as job files have them, changed by the keys beside them, and refused where they are not valid."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from imagegen.config.checking import check_job
from imagegen.config.document import read_document
from imagegen.config.job import Derivation, Encoding, SheetRules
from imagegen.config.presets import list_presets, load_preset
from imagegen.config.schema import job_schema
from imagegen.config.steps import STEPS
from imagegen.errors import ImagegenError


def derivation(**rules: Any) -> Derivation:
    job = {"items": [{"name": "A", "prompt": "a"}], "derive": {"token": rules}}
    (found,) = check_job("j", read_document("j.yaml", yaml.safe_dump(job, sort_keys=False).encode()), {}).derive
    return found


def steps(**rules: Any) -> dict[str, Any]:
    return {step.name: dict(step.parameters) for step in derivation(**rules).steps}


RECIPES: dict[str, tuple[str, int, str, list[Any]]] = {
    "face-rpgmaker": ("png", 100, "full", [["resize", {"mode": "fill", "enlarge": False, "filter": "smooth", "width": 144, "height": 144, "keep": "top"}]]),
    "icon-godot": ("png", 100, "full", [["background", {"colour": "corners", "tolerance": 32, "feather": 1, "everywhere": False}], ["trim", {"padding": 0}], ["resize", {"mode": "fit", "enlarge": False, "filter": "smooth", "width": 128, "height": 128}], ["pad", {"colour": "transparent", "width": 128, "height": 128}]]),
    "icon-pixel": ("png", 100, "full", [["background", {"colour": "corners", "tolerance": 32, "feather": 1, "everywhere": False}], ["trim", {"padding": 0}], ["resize", {"mode": "fit", "enlarge": False, "filter": "smooth", "width": 30, "height": 30}], ["outline", {"width": 1, "colour": "black", "smooth": False}], ["quantise", {"dither": False, "colours": 16, "hard": True}], ["pad", {"colour": "transparent", "width": 32, "height": 32}]]),
    "icon-rpgmaker": ("png", 100, "full", [["background", {"colour": "corners", "tolerance": 32, "feather": 1, "everywhere": False}], ["trim", {"padding": 0}], ["resize", {"mode": "fit", "enlarge": False, "filter": "smooth", "width": 32, "height": 32}], ["pad", {"colour": "transparent", "width": 32, "height": 32}]]),
    "portrait-renpy": ("webp", 90, "full", [["background", {"colour": "corners", "tolerance": 32, "feather": 1, "everywhere": False}], ["trim", {"padding": 0}], ["resize", {"mode": "fit", "enlarge": True, "filter": "smooth", "height": 278}]]),
    "sprite-renpy": ("webp", 90, "full", [["background", {"colour": "corners", "tolerance": 32, "feather": 1, "everywhere": False}], ["trim", {"padding": 0}], ["resize", {"mode": "fit", "enlarge": True, "filter": "smooth", "height": 960}]]),
    "sprite-unity": ("png", 100, "full", [["background", {"colour": "corners", "tolerance": 32, "feather": 1, "everywhere": False}], ["trim", {"padding": 0}], ["resize", {"mode": "fit", "enlarge": True, "filter": "smooth", "width": 512, "height": 512}], ["pad", {"colour": "transparent", "width": 512, "height": 512}]]),
    "sticker": ("webp", 90, "full", [["background", {"colour": "corners", "tolerance": 32, "feather": 1, "everywhere": False}], ["trim", {"padding": 0}], ["resize", {"mode": "fit", "enlarge": True, "filter": "smooth", "width": 480, "height": 480}], ["outline", {"width": 10, "colour": "white", "smooth": True}], ["shadow", {"x": 0, "y": 3, "blur": 6, "colour": "black", "opacity": 0.4}]]),
    "texture-tile": ("png", 100, "full", [["resize", {"mode": "fill", "enlarge": False, "filter": "smooth", "width": 576, "height": 576}], ["tile", {"overlap": 64}]]),
    "thumbnail-web": ("webp", 80, "none", [["resize", {"mode": "fit", "enlarge": False, "filter": "smooth", "width": 320}]]),
    "token-foundry": ("webp", 90, "full", [["resize", {"mode": "fill", "enlarge": False, "filter": "smooth", "width": 400, "height": 400, "keep": "top"}], ["mask", {"shape": "circle"}], ["frame", {"place": "over", "image": "art/ring.png"}]]),
    "token-roll20": ("png", 100, "full", [["resize", {"mode": "fill", "enlarge": False, "filter": "smooth", "width": 280, "height": 280, "keep": "top"}], ["mask", {"shape": "circle"}], ["frame", {"place": "over", "image": "art/ring.png"}]]),
}  # fmt: skip
"""What each preset resolves to with its example: its format, quality, metadata and steps."""


@pytest.mark.parametrize("name", list_presets("derive"))
def test_what_a_preset_resolves_to_only_changes_on_purpose(name: str) -> None:
    """A change makes the files of all who use it stale: say so in the changelog."""
    found = derivation(preset=name, **(load_preset("derive", name).example or {}))
    encoding = found.encoding
    recipe = (encoding.format, encoding.quality, encoding.metadata, [[one.name, one.parameters] for one in found.steps])
    assert recipe == RECIPES[name]


SHEETS: dict[str, dict[str, Any]] = {
    "atlas-godot": {"layout": "packed", "padding": 2, "extrude": 1, "indexes": ("godot",), "animations": "{item}"},
    "atlas-libgdx": {"layout": "packed", "padding": 2, "power_of_two": True, "indexes": ("libgdx",)},
    "atlas-unity": {"layout": "packed", "padding": 4, "extrude": 1, "power_of_two": True, "indexes": ("unity",)},
    "faces-rpgmaker": {"columns": 4, "cell": 144, "of": "face", "name": "people1", "folder": "img/faces"},
    "icons-rpgmaker": {"columns": 16, "cell": 32, "of": "icon"},
    "sprites-css": {"layout": "packed", "padding": 1, "encoding": Encoding("webp", 90, "none"), "indexes": ("css",)},
    "spritesheet-phaser": {
        "layout": "packed", "padding": 2, "extrude": 1, "indexes": ("phaser",), "animations": "{item}"
    },
}  # fmt: skip
"""What each preset of a sheet resolves to with its example, where that is not the default."""


@pytest.mark.parametrize("name", list_presets("sheet"))
def test_what_a_sheet_s_preset_resolves_to_only_changes_on_purpose(name: str) -> None:
    entry = {"preset": name, **(load_preset("sheet", name).example or {})}
    derive = {one: {"width": 16} for one in ("face", "icon")}
    job = {"items": [{"name": "A", "prompt": "a"}], "derive": derive, "sheet": entry}
    found = check_job("j", read_document("j.yaml", yaml.safe_dump(job).encode()), {}).sheet
    assert found == SheetRules(**{"encoding": Encoding(metadata="none"), **SHEETS[name]})


@pytest.mark.parametrize("name", list_presets("derive"))
def test_each_preset_is_valid_alone_and_with_its_example(name: str) -> None:
    preset = load_preset("derive", name)
    assert set(steps(preset=name)) == set(preset.steps) - preset.optional
    example = dict(preset.example or {})
    assert set(steps(preset=name, **example)) == set(preset.steps) - preset.optional | (example.keys() & STEPS.keys())
    assert preset.optional <= set(preset.steps) <= set(STEPS)
    assert len(preset.steps) == len(set(preset.steps)), "a key beside the preset could mean either"
    assert preset.description.endswith(".")


def test_no_step_is_called_like_another_key_of_a_derived_file() -> None:
    keys = job_schema({})["derive"]["valuesrules"]["schema"]
    others = {
        "preset",
        "steps",
        "width",
        "height",
        "crop",
        "enlarge",
        "format",
        "quality",
        "metadata",
        "dir",
        "name",
        "only",
    }
    assert set(keys) == set(STEPS) | others
    assert not set(STEPS) & others


def test_keys_beside_a_preset_win() -> None:
    plain = derivation(preset="token-foundry")
    assert (plain.encoding.format, [step.name for step in plain.steps]) == ("webp", ["resize", "mask"])
    found = derivation(
        preset="token-foundry", frame="art/ring.png", mask="rounded", format="png", dir="x", name="{slug}"
    )
    assert (found.encoding.format, found.folder, found.file_name) == ("png", "x", "{slug}")
    assert [step.name for step in found.steps] == ["resize", "mask", "frame"]
    assert found.steps[1].parameters == {"shape": "rounded"}
    assert found.steps[2].parameters == {"image": "art/ring.png", "place": "over"}
    assert found.steps[0].parameters == plain.steps[0].parameters


@pytest.mark.parametrize(
    ("preset", "step", "given", "expected"),
    [
        ("token-foundry", "resize", {"width": 256, "height": 256}, {"width": 256, "height": 256, "mode": "fill", "keep": "top"}),
        ("icon-godot", "resize", {"enlarge": True}, {"width": 128, "height": 128, "enlarge": True}),
        ("token-foundry", "mask", "art/mask.png", {"image": "art/mask.png"}),
        ("token-foundry", "mask", {"image": "art/mask.png"}, {"image": "art/mask.png"}),
        ("token-foundry", "mask", {"shape": "rounded", "radius": 9}, {"shape": "rounded", "radius": 9}),
        ("icon-pixel", "quantise", {"dither": True}, {"colours": 16, "dither": True, "hard": True}),
        ("icon-pixel", "quantise", "art/palette.gpl", {"palette": "art/palette.gpl"}),
        ("icon-pixel", "quantise", {"palette": "art/palette.gpl"}, {"palette": "art/palette.gpl", "hard": True}),
        ("icon-pixel", "pad", "square", {"to": "square"}),
        ("icon-pixel", "pad", {"to": "square"}, {"to": "square"}),
        ("icon-pixel", "pad", {"margin": 3}, {"margin": 3}),
        ("token-foundry", "resize", {"mode": "fit"}, {"width": 400, "height": 400, "mode": "fit"}),
        ("token-foundry", "resize", {"mode": "exact"}, {"width": 400, "height": 400, "mode": "exact"}),
        ("sticker", "outline", {"colour": "red"}, {"width": 10, "colour": "red"}),
    ],
)  # fmt: skip
def test_a_step_keeps_the_parameters_that_the_job_does_not_give(
    preset: str, step: str, given: Any, expected: dict[str, Any]
) -> None:
    assert steps(preset=preset, **{step: given})[step] == {**STEPS[step].defaults, **expected}


@pytest.mark.parametrize("name", list_presets("derive"))
def test_each_step_can_be_left_out(name: str) -> None:
    preset = load_preset("derive", name)
    for left_out in preset.steps:
        own = {**(preset.example or {}), left_out: False}
        assert set(steps(preset=name, **own)) == set(steps(preset=name, **(preset.example or {}))) - {left_out}


def test_a_step_is_located_where_the_job_gives_it() -> None:
    resize, _, frame = derivation(preset="token-foundry", frame="art/ring.png").steps
    assert (resize.key, resize.where) == ("derive.token.preset: its step resize", "j.yaml:6:5")
    assert (frame.key, frame.where) == ("derive.token.frame", "j.yaml:7:5")


@pytest.mark.parametrize(
    ("rules", "what", "hint"),
    [
        ({"preset": "token-foundri"}, "preset: 'token-foundri' is not one of ", ""),
        ({"preset": "token-foundry", "trim": 2}, "trim: the preset token-foundry has no step trim", "its steps are resize, mask, frame; to have others, write them all under steps, without a preset"),
        ({"preset": "token-foundry", "steps": ["trim"]}, "steps: has no effect beside preset", "change a step of token-foundry by its name (resize, mask, frame), or leave preset out"),
        ({"frame": "art/ring.png"}, "frame: is the name of a step, which belongs under steps, or beside a preset", "write it under steps: - frame: …"),
        ({"preset": "sticker", "shadow": True}, "shadow: 'true' is not one of false", ""),
        ({"shadow": False}, "shadow: is the name of a step, which belongs under steps, or beside a preset", "write it under steps: - shadow: …"),
        ({"preset": "token-foundry", "mask": "sqare"}, "mask: 'sqare' is not one of circle, rounded", ""),
        ({"preset": "token-foundry", "frmae": "x.png"}, "frmae: unknown key; did you mean 'frame'?", ""),
    ],
)  # fmt: skip
def test_what_is_wrong_beside_a_preset_is_said_where_it_is(rules: dict[str, Any], what: str, hint: str) -> None:
    with pytest.raises(ImagegenError) as caught:
        derivation(**rules)
    (problem,) = caught.value.problems
    assert problem.what.startswith(f"derive.token.{what}")
    assert problem.hint == hint
    assert problem.where == f"j.yaml:{5 + len(rules)}:5"


@pytest.mark.parametrize(
    ("sheet", "what"),
    [
        ({"preset": "atlas-godot", "layout": "grid"}, "the preset atlas-godot is packed, and its padding and extrude have no effect with grid"),
        ({"preset": "icons-rpgmaker", "layout": "packed"}, "the preset icons-rpgmaker is grid, and its columns and cell have no effect with packed"),
    ],
)  # fmt: skip
def test_a_layout_that_loses_keys_of_a_sheets_preset_is_refused(sheet: dict[str, Any], what: str) -> None:
    job: dict[str, Any] = {"items": [{"name": "A", "prompt": "a"}], "sheet": sheet}
    with pytest.raises(ImagegenError) as caught:
        check_job("j", read_document("j.yaml", yaml.safe_dump(job, sort_keys=False).encode()), {})
    (problem,) = caught.value.problems
    assert (problem.where, problem.what) == ("j.yaml:6:3", f"sheet.layout: {what}")
    job["sheet"] = {**sheet, "layout": load_preset("sheet", sheet["preset"]).keys["layout"]}
    check_job("j", read_document("j.yaml", yaml.safe_dump(job).encode()), {})
