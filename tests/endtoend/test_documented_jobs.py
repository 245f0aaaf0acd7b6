"""Whole jobs of the documentation, built as they stand there."""

from __future__ import annotations

import re

from PIL import Image

from tests.project_folder import ProjectFolder
from tests.wheels import ROOT


def write_jobs(project: ProjectFolder, page: str, *names: str) -> None:
    """Write these jobs of a page, at once or one by one."""
    for name, text in re.findall(
        r"^```yaml\n# jobs/(\w+\.yaml)\n(.*?)^```$", (ROOT / page).read_text("utf-8"), re.M | re.S
    ):
        if name in names:
            project.write(f"jobs/{name}", text)


def test_a_cast_for_renpy_is_cut_out_and_has_the_names_that_show_finds(project: ProjectFolder) -> None:
    write_jobs(project, "docs/presets.md", "cast.yaml")
    assert project.doit().code == 0
    files = {path.name: path for path in (project.root / "game/images").iterdir()}
    names = [f"{item} {mood}.webp" for item in ("eileen", "old_tom") for mood in ("happy", "sad")]
    assert sorted(files) == sorted([*names, *(f"side {name}" for name in names)])
    for name in names:
        with Image.open(files[name]) as sprite:
            assert (sprite.mode, sprite.height) == ("RGBA", 960)
            assert sprite.getpixel((0, 0))[3] == 0


def test_tokens_for_foundry_are_for_characters_and_not_for_moods(project: ProjectFolder) -> None:
    write_jobs(project, "docs/presets.md", "party.yaml")
    assert project.doit().code == 0
    assert sorted(path.name for path in (project.root / "tokens").iterdir()) == ["mallsing.webp", "old-tom.webp"]
    assert len([*(project.root / "assets/party").glob("*.png")]) == 4


def test_a_second_sheet_of_the_same_images_generates_none_of_them_again(project: ProjectFolder) -> None:
    write_jobs(project, "docs/sheets.md", "icons.yaml", "web.yaml")
    run = project.doit()
    assert len(run.tasks("generated")) == 2
    assert run.tasks("restored") == ["web:key", "web:lamp"]
    for file in ("game/icons/sheet.png", "game/icons/sheet.tres", "web/sheet.webp", "web/sheet.css"):
        assert (project.root / file).exists(), file
