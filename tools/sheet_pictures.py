"""Write docs/images/sheets/layouts.webp: the job in docs/sheets.md, built with both layouts."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml
from PIL import Image, ImageDraw

from imagegen.config.document import read_document

ROOT = Path(__file__).parents[1]
_JOB = re.compile(r"^```yaml\n# jobs/heroes.yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def build_sheet(job: dict[str, Any]) -> Image.Image:
    """Build a job in a project of its own, and return its sheet."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        (root / "jobs").mkdir()
        (root / "dodo.py").write_text("from imagegen.tasks import *\n", "utf-8")
        (root / "jobs/heroes.yaml").write_text(yaml.safe_dump(job, sort_keys=False), "utf-8")
        subprocess.run([sys.executable, "-m", "doit"], cwd=root, check=True, stdout=subprocess.DEVNULL)
        with Image.open(root / "assets/heroes/sheet.png") as file:
            sheet: Image.Image = file.convert("RGBA")
            return sheet


def put_on_checks(picture: Image.Image) -> Image.Image:
    """Return the picture on a checkerboard, which shows where it is transparent."""
    ground = Image.new("RGBA", picture.size, "#ffffff")
    pen = ImageDraw.Draw(ground)
    for x in range(0, picture.width, 8):
        for y in range(8 * (x // 8 % 2), picture.height, 16):
            pen.rectangle((x, y, x + 7, y + 7), fill="#d8dbe0")
    return Image.alpha_composite(ground, picture)


def draw_layouts(job: dict[str, Any]) -> Image.Image:
    """Return the job's sheet in cells and packed, side by side."""
    grid = {"of": job["sheet"]["of"], "cell": 128}
    both = [put_on_checks(build_sheet({**job, "sheet": sheet})) for sheet in (grid, job["sheet"])]
    gap = 24
    canvas = Image.new("RGBA", (sum(one.width for one in both) + gap, max(one.height for one in both)))
    canvas.paste(both[0], (0, 0))
    canvas.paste(both[1], (both[0].width + gap, 0))
    return canvas


if __name__ == "__main__":
    (written,) = _JOB.findall((ROOT / "docs/sheets.md").read_text("utf-8"))
    folder = ROOT / "docs/images/sheets"
    folder.mkdir(parents=True, exist_ok=True)
    draw_layouts(read_document("docs/sheets.yaml", written.encode()).values).save(
        folder / "layouts.webp", quality=85, method=6
    )
