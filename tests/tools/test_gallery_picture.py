from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import pytest
from PIL import Image

from tests.wheels import ROOT

SCRIPT = ROOT / "tools/gallery_picture.py"


@pytest.mark.skipif(not shutil.which("chromium"), reason="no Chromium here: apt-get install chromium")
def test_the_picture_is_the_page_as_a_browser_shows_it(tmp_path: Path) -> None:
    specification = importlib.util.spec_from_file_location("gallery_picture", SCRIPT)
    assert specification is not None
    assert specification.loader is not None
    tool = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(tool)
    page = tmp_path / "page.html"
    page.write_text("<style>body { background: #ff0000 }</style>")

    tool.picture(page, tmp_path / "picture.webp")

    with Image.open(tmp_path / "picture.webp") as picture:
        assert (picture.format, picture.width) == ("WEBP", tool.WINDOW[0] * 4 / 3)
        red, green, blue = picture.convert("RGB").getpixel((99, 99))
        assert (red > 240, green < 20, blue < 20) == (True, True, True)


def test_the_picture_in_the_readme_is_there_and_small() -> None:
    picture = ROOT / "docs/images/gallery.webp"
    assert picture.relative_to(ROOT).as_posix() in (ROOT / "README.md").read_text("utf-8")
    assert picture.stat().st_size < 300_000
