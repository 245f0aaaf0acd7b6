"""docs/presets.md against the presets that there are."""

from __future__ import annotations

import importlib.util
import io
from pathlib import Path
from typing import get_args

import pytest
from PIL import Image, ImageChops, ImageStat

from imagegen.config.checking import check_job
from imagegen.config.document import read_document
from imagegen.config.presets import Preset, Use, list_presets, load_preset
from imagegen.report.presets.pictures import show_preset, write_use
from tests.docs.pages import table

_SPECIFICATION = importlib.util.spec_from_file_location(
    "preset_pictures", Path(__file__).parents[2] / "tools/preset_pictures.py"
)
assert _SPECIFICATION
assert _SPECIFICATION.loader
TOOL = importlib.util.module_from_spec(_SPECIFICATION)
_SPECIFICATION.loader.exec_module(TOOL)
ROWS = {cells[1].strip("`"): cells for cells in table("docs/presets.md", "picture")}
PRESETS = [load_preset(use, name) for use in get_args(Use) for name in list_presets(use)]


def test_each_preset_is_on_the_page_and_nothing_else_is() -> None:
    assert list(ROWS) == [preset.name for preset in PRESETS]


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.name)
def test_its_row_says_what_it_is_and_how_to_use_it(preset: Preset) -> None:
    use = write_use(preset).removeprefix("derive:\n  ")
    picture = f"![](images/presets/{preset.name}.webp)"
    assert ROWS[preset.name] == [picture, f"`{preset.name}`", preset.description, f"`{use}`"]
    job = f"items: [{{name: A, prompt: a}}]\n{write_use(preset)}"
    check_job("j", read_document("j.yaml", job.encode()), {})


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.name)
def test_its_picture_is_what_it_makes_of_the_example(preset: Preset) -> None:
    shown = show_preset(preset)
    with Image.open(io.BytesIO(shown.after)) as after:
        assert shown.size.startswith(f"{after.width}×{after.height}")
    with Image.open(TOOL.FOLDER / f"{preset.name}.webp") as kept:
        made = TOOL.small_picture(shown.after)
        assert kept.size == made.size
        difference = ImageChops.difference(on_white(kept), on_white(made))
        assert max(ImageStat.Stat(difference).mean) < 8, "run tools/preset_pictures.py"


def on_white(picture: Image.Image) -> Image.Image:
    return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture.convert("RGBA")).convert("RGB")
