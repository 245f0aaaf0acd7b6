"""Packed sheets, their pages and indexes: built with what they are made from, and never out of step."""

from __future__ import annotations

import json
from typing import Any

import pytest
from PIL import Image

from tests.project_folder import DODO, ProjectFolder, Run, items

TOKEN = {"token": {"steps": [{"resize": {"width": 32, "height": 32, "mode": "fill"}}, {"mask": "circle"}]}}
SHEET = {"layout": "packed", "of": "token", "animations": "{job}", "index": ["godot", "css"]}
INDEXES = ["portraits:sheet:css", "portraits:sheet:godot", "portraits:sheet:index"]
ALL = ["portraits:sheet", *INDEXES]


def frames(project: ProjectFolder) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(project.image("sheet", ".json").read_text("utf-8"))["frames"]
    return found


def test_a_changed_portrait_updates_its_token_its_atlas_and_every_index(project: ProjectFolder) -> None:
    run = project.build_job(derive=TOKEN, sheet=SHEET)
    assert sorted(run.tasks("derived")) == sorted(
        [*ALL, *(f"portraits:{name}:token" for name in ("mallsing", "yrr", "okka"))]
    )
    assert list(frames(project)) == ["mallsing", "yrr", "okka"]
    at = frames(project)["yrr"]["frame"]
    with Image.open(project.image("sheet")) as page, Image.open(project.image("yrr-token")) as token:
        part = page.crop((at["x"], at["y"], at["x"] + at["w"], at["y"] + at["h"]))
        assert part.tobytes() == token.convert("RGBA").crop(token.convert("RGBA").getchannel("A").getbbox()).tobytes()
    assert "10 fresh, nothing to do" in project.doit().closing
    project.job(derive=TOKEN, sheet=SHEET, items=items(Yrr="something else"))
    why = project.doit("why").out
    assert "portraits:sheet:godot  assets/portraits/sheet.tres  (may change with portraits:sheet:index)" in why
    run = project.doit()
    assert run.tasks("generated") == ["portraits:yrr"]
    # its token looks different, and is as large: so the index is the same, and so are those that follow from it
    assert sorted(run.tasks("derived")) == ["portraits:sheet", "portraits:sheet:index", "portraits:yrr:token"]
    assert "10 fresh, nothing to do" in project.doit().closing
    assert "10 intact" in project.doit("verify").out


def test_the_sheet_has_its_indexes_and_an_index_only_what_it_is_made_from(project: ProjectFolder) -> None:
    project.job(sheet={"layout": "packed", "pages": 2, "max_size": 130, "index": ["godot", "css"]})
    run = project.doit("portraits:sheet:godot")
    assert run.tasks("derived") == ["portraits:sheet:godot", "portraits:sheet:index"]
    run = project.doit("portraits:sheet")
    assert sorted(run.tasks("derived")) == [
        "portraits:sheet",
        "portraits:sheet:2",
        "portraits:sheet:css",
        "portraits:sheet:index-2",
    ]
    assert project.doit("portraits:sheet").tasks("derived") == []
    # fewer pages: the files of the others belong to no item any more
    project.job(sheet={"layout": "packed", "index": "css"})
    assert project.doit().code == 0
    out = project.doit("prune", "-y").out
    assert sorted(path.name for path in project.image("sheet").parent.glob("sheet*")) == [
        "sheet.css",
        "sheet.json",
        "sheet.png",
    ]
    assert "sheet-2.png" in out


def test_what_does_not_fit_says_how_many_pages_do(project: ProjectFolder) -> None:
    project.job(sheet={"layout": "packed", "max_size": 70, "index": "godot"})
    run = project.doit()
    assert (run.code, sorted(run.tasks("failed"))) == (
        1,
        ["portraits:sheet", "portraits:sheet:godot", "portraits:sheet:index"],
    )
    assert "portraits:sheet:index: 3 pictures do not fit on 1 page of 70×70 pixels; they need 3" in run.out
    assert "portraits:sheet, portraits:sheet:godot: not built, because portraits:sheet:index failed" in run.out
    project.job(sheet={"layout": "packed", "max_size": 70, "pages": 3, "index": "godot"})
    assert sorted(project.doit().tasks("derived"))[-1] == "portraits:sheet:index-3"
    # known before anything is built
    project.job(sheet={"layout": "packed", "max_size": 60, "trim": False})
    assert "sheet.max_size: portraits:mallsing is 64×64 pixels, and a page at most 60" in project.doit().out


def test_an_accepted_index_is_restored_as_it_is(project: ProjectFolder) -> None:
    project.build_job(sheet={"cell": 32, "index": "css"})
    edited = project.image("sheet", ".json").read_bytes() + b"\n"
    project.image("sheet", ".json").write_bytes(edited)
    assert project.doit("accept", "portraits:sheet:index").code == 0
    assert project.doit().tasks("derived") == ["portraits:sheet:css"]
    project.image("sheet", ".json").unlink()
    assert project.doit().tasks("restored") == ["portraits:sheet:index"]
    assert project.image("sheet", ".json").read_bytes() == edited
    assert project.doit("restore", "portraits:sheet:index").code == 0
    assert project.image("sheet", ".json").read_bytes() == edited[:-1]


def hint_of(run: Run) -> list[str]:
    """The words of the command that a message ends with."""
    return (run.out + run.err).strip().splitlines()[-1].strip().removeprefix("doit ").split()


def test_what_is_to_be_built_is_the_same_for_why_and_for_doit(project: ProjectFolder) -> None:
    project.build_job(sheet={"layout": "packed", "pages": 2, "max_size": 130, "index": "godot"})
    project.image("sheet", ".tres").unlink()
    project.image("sheet-2").unlink()
    why = project.doit("why", "portraits:sheet").out
    assert "restore   portraits:sheet:godot" in why
    assert "restore   portraits:sheet:2" in why
    assert set(project.doit("portraits:sheet").tasks("restored")) == {"portraits:sheet:godot", "portraits:sheet:2"}
    parts = ["2", "godot", "index", "index-2"]
    built = {"portraits:sheet", *(f"portraits:sheet:{part}" for part in parts)}
    assert set(project.doit("-a", "portraits:sheet").tasks("derived")) == built


@pytest.mark.long
def test_the_hint_of_a_reroll_is_a_reroll_that_is_done(project: ProjectFolder) -> None:
    project.build_job(derive=TOKEN, sheet=SHEET)
    for name, images in (("sheet", 3), ("sheet:godot", 3), ("yrr:token", 1)):
        run = project.doit("reroll", f"portraits:{name}")
        assert "it is derived from portraits:" in run.out + run.err
        again = project.doit(*hint_of(run), *(["-y"] if images > 1 else []))
        assert (again.code, len(again.tasks("generated"))) == (0, images)


@pytest.mark.long
def test_the_hint_of_a_pick_names_an_image(project: ProjectFolder) -> None:
    project.build_job(derive=TOKEN, sheet=SHEET, variants=2)
    run = project.doit("pick", "portraits:sheet", "--variant", "1")
    assert hint_of(run)[:2] == ["pick", "portraits:mallsing"]
    assert project.doit(*hint_of(run)[:-1], "2").code == 0


@pytest.mark.parametrize(("package", "where"), [("rectpack", "portraits:sheet:index: "), ("yaml", "ERROR: ")])
def test_a_package_that_an_upgrade_did_not_install_is_named(project: ProjectFolder, package: str, where: str) -> None:
    project.imports_count = True
    project.write("dodo.py", f"import sys\nsys.modules['{package}'] = None\n{DODO}")
    project.job(sheet={"layout": "packed"})
    run = project.doit()
    assert run.code != 0
    assert f"{where}imagegen needs the package '{package}', which is not installed\n    " in run.out + run.err
    assert "-m pip install " in run.out + run.err


@pytest.mark.parametrize(
    "words",
    [
        ["portraits:sheet", "portraits:sheet:css"],
        pytest.param(["portraits:sheet"], marks=pytest.mark.long),
        pytest.param(["portraits:sheet*"], marks=pytest.mark.long),
        pytest.param(["portraits"], marks=pytest.mark.long),
    ],
)
def test_the_files_of_a_sheet_are_cleaned_together(project: ProjectFolder, words: list[str]) -> None:
    project.build_job(sheet={"layout": "packed", "pages": 2, "max_size": 130, "index": "css"})
    there = sorted(path.name for path in project.image("sheet").parent.glob("sheet*"))
    assert "remove assets/portraits/sheet.css" in project.doit("clean", "-n", *words).out
    run = project.doit("clean", *words)
    assert (run.out.count("remove assets/portraits/sheet"), run.code) == (len(there), 0)
    assert not [*project.image("sheet").parent.glob("sheet*")]
    assert len(project.doit().tasks("restored")) == (len(there) if words != ["portraits"] else len(there) + 3)
    project.doit("clean", "portraits:sheet:css")
    assert sorted(path.name for path in project.image("sheet").parent.glob("sheet*")) == [
        name for name in there if name != "sheet.css"
    ]
