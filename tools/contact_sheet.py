"""Draw docs/images/kins.webp, the picture in the README: the portraits that `doit portraits` made, side by side."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageOps

__all__ = ["contact_sheet"]

ROOT = Path(__file__).parents[1]
COLUMNS = 7
CELL = (168, 224)
GAP = 8
"""All in pixels."""


def contact_sheet(pictures: list[Path]) -> Image.Image:
    """The pictures in rows of `COLUMNS`, each cut to `CELL`, on nothing: it shows on light and dark pages."""
    width, height = CELL[0] + GAP, CELL[1] + GAP
    rows = -(-len(pictures) // COLUMNS)
    sheet = Image.new("RGBA", (COLUMNS * width - GAP, rows * height - GAP))
    for at, path in enumerate(pictures):
        row, column = divmod(at, COLUMNS)
        with Image.open(path) as picture:
            sheet.paste(ImageOps.fit(picture.convert("RGB"), CELL), (column * width, row * height))
    return sheet


if __name__ == "__main__":
    portraits = sorted((ROOT / "assets/portraits/kins").glob("*.png"))
    if not portraits:
        raise SystemExit("there are no portraits yet: run `doit portraits` first")
    target = ROOT / "docs/images/kins.webp"
    target.parent.mkdir(exist_ok=True)
    contact_sheet(portraits).save(target, quality=85, method=6)
