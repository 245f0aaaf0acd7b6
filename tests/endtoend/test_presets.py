"""`doit presets`, and files made with a preset."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from PIL import Image

from imagegen.config.presets import list_presets
from tests.project_folder import ProjectFolder


def test_the_list_names_each_preset_and_writes_the_page(project: ProjectFolder) -> None:
    run = project.doit("presets")
    assert (run.code, run.err) == (0, "")
    names = [*list_presets("derive"), *list_presets("sheet")]
    for name in names:
        assert f"\n{name} " in f"\n{run.out}"
    page = (project.root / ".imagegen/presets.html").read_text("utf-8")
    assert page.count("<article") == len(names)
    assert "http://" not in page
    assert "https://" not in page


def test_without_jinja2_the_list_is_shown_and_how_to_have_the_page(project: ProjectFolder) -> None:
    project.write("none/jinja2.py", "raise ModuleNotFoundError(name='jinja2')\n")
    for words in ([], ["portrait-renpy"]):
        run = project.doit("presets", *words, PYTHONPATH=f"{project.root / 'none'}:{Path(__file__).parents[2]}")
        assert (run.code, run.err) == (0, "")
        assert "\nportrait-renpy" in f"\n{run.out}"
        assert "picture of each preset is written with jinja2, which is not installed" in run.out
        assert run.out.rstrip().endswith("-m pip install jinja2")
    assert not (project.root / ".imagegen/presets.html").exists()


@pytest.mark.long
def test_one_preset_is_shown_with_its_steps_and_what_to_paste(project: ProjectFolder) -> None:
    out = project.doit("presets", "token-foundry", "spritesheet-phaser").out
    assert "mask: circle " in out
    assert "Only if you give it." in out
    assert "    token: {preset: token-foundry, frame: art/ring.png}" in out
    assert "  sheet: {preset: spritesheet-phaser, animations: '{item}'}" in out


def test_as_json_a_preset_has_its_keys_and_an_example(project: ProjectFolder) -> None:
    (found,) = project.doit("presets", "token-roll20", "--json").result["presets"]
    assert (found["use"], found["optional"], found["keys"]["format"]) == ("derive", ["frame"], "png")
    assert yaml.safe_load(found["example"])["derive"]["token"]["preset"] == "token-roll20"


def test_an_unknown_one_is_refused_with_the_nearest_name(project: ProjectFolder) -> None:
    run = project.doit("presets", "token-foundri")
    assert run.code != 0
    assert "there is no preset 'token-foundri'; did you mean 'token-foundry'?" in run.out + run.err


def test_a_token_follows_its_ring(project: ProjectFolder) -> None:
    def draw_ring(colour: str) -> None:
        (project.root / "art").mkdir(exist_ok=True)
        Image.new("RGBA", (8, 8), colour).save(project.root / "art/ring.png")

    draw_ring("#ff000080")
    entry = {"preset": "token-foundry", "resize": {"width": 32, "height": 32}, "frame": "art/ring.png"}
    run = project.build_job(derive={"token": entry, "plain": {"preset": "thumbnail-web", "resize": {"width": 16}}})
    assert len(run.tasks("derived")) == 6
    with Image.open(project.image("yrr-token", ".webp")) as image:
        assert (image.format, image.mode, image.size) == ("WEBP", "RGBA", (32, 32))
    assert "9 fresh, nothing to do" in project.doit().closing
    draw_ring("#00ff0080")
    assert "frame (3).image" in project.doit("why").out
    assert project.doit().tasks("derived") == [f"portraits:{name}:token" for name in ("mallsing", "okka", "yrr")]


@pytest.mark.parametrize(("before", "after"), [("token-foundry", "token-roll20")])
def test_another_preset_is_a_reason_that_a_person_understands(project: ProjectFolder, before: str, after: str) -> None:
    small = {"resize": {"width": 32, "height": 32}}
    project.build_job(derive={"token": {"preset": before, **small}})
    project.job(derive={"token": {"preset": after, **small}})
    assert "portraits:yrr:token" in project.doit("why").out


def test_a_sheet_has_the_keys_of_its_preset_where_the_job_has_none(project: ProjectFolder) -> None:
    face = {"preset": "face-rpgmaker", "resize": {"width": 16, "height": 16}}
    run = project.build_job(derive={"face": face}, sheet={"preset": "faces-rpgmaker", "of": "face", "cell": 16})
    assert (run.code, "8 fresh" in project.doit().closing) == (0, True)
    with Image.open(project.image("sheet")) as image:
        assert image.size == (4 * 16, 16)
    run = project.build_job(sheet={"preset": "atlas-godot"})
    assert project.image("sheet", ".tres").exists()
    project.job(sheet={"preset": "atlas-godot", "columns": 4})
    run = project.doit()
    assert "sheet.columns: has no effect with layout: packed" in run.out + run.err
    project.job(sheet={"preset": "atlas-godott"})
    run = project.doit()
    assert "sheet.preset: 'atlas-godott' is not one of " in run.out + run.err
    assert "did you mean 'atlas-godot'?" in run.out + run.err


def test_drawings_that_are_too_small_for_it_are_one_cause_and_its_hint_works(project: ProjectFolder) -> None:
    entry: dict[str, object] = {"preset": "token-foundry"}
    project.job(derive={"token": entry})
    out = project.doit().out
    paths = r"(, assets/portraits/\w+\.png){3}"
    assert (
        len(re.findall(rf"{paths}: the image is 64×64, too small for 400×400 pixels", out.replace("with ", ", "))) == 1
    )
    assert out.count("ask for less, or resize: {enlarge: true}") == 1
    project.job(derive={"token": entry | {"resize": {"enlarge": True}}})
    assert len(project.doit().tasks("derived")) == 3
