from __future__ import annotations

import importlib.util
from pathlib import Path

from PIL import Image

from tests.wheels import ROOT

SCRIPT = ROOT / "tools/contact_sheet.py"


def test_the_sheet_has_each_picture_once_in_rows(tmp_path: Path) -> None:
    specification = importlib.util.spec_from_file_location("contact_sheet", SCRIPT)
    assert specification is not None
    assert specification.loader is not None
    tool = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(tool)
    pictures = [tmp_path / f"{at}.png" for at in range(8)]
    for at, path in enumerate(pictures):
        Image.new("RGB", (768 + 64 * (at % 2), 1024), (at, 0, 0)).save(path)

    sheet = tool.contact_sheet(pictures)

    width, height = tool.CELL
    assert sheet.size == (7 * (width + tool.GAP) - tool.GAP, 2 * height + tool.GAP)
    places = [(at % 7 * (width + tool.GAP), at // 7 * (height + tool.GAP)) for at in range(8)]
    assert [sheet.getpixel(place) for place in places] == [(at, 0, 0, 255) for at in range(8)]
    assert sheet.getpixel((width + tool.GAP, height + tool.GAP))[3] == 0, "the rest of the last row is empty"


def test_the_picture_in_the_readme_is_there_and_small() -> None:
    picture = ROOT / "docs/images/kins.webp"
    assert picture.relative_to(ROOT).as_posix() in (ROOT / "README.md").read_text("utf-8")
    assert picture.stat().st_size < 300_000
