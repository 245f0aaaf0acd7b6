"""Write docs/images/steps/*.webp: of each example in docs/steps.md, the picture before and after it.

The examples are read from the page, checked as a job's are, and carried out on pictures that are drawn here.
"""

from __future__ import annotations

import io
import random
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image, ImageChops, ImageDraw, ImageFilter

from imagegen.backends.placeholder.picture import draw_picture
from imagegen.backends.placeholder.scene import Dice, palette_of
from imagegen.config.document import read_document
from imagegen.config.steps import check_step, read_step, step_file
from imagegen.images.steps import apply_steps, check_file
from imagegen.plan.request import Request

__all__ = [
    "EXAMPLE_FILES",
    "ROOT",
    "Example",
    "draw_example",
    "draw_potion",
    "draw_stones",
    "read_examples",
    "repeat",
    "run_example",
    "show_both",
]

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/steps.md"
_EXAMPLE = re.compile(r"^```yaml\n(.*?)^```\n\n!\[[^]]*\]\(images/steps/([\w-]+)\.webp\)$", re.MULTILINE | re.DOTALL)
_SMOOTH = 4
_GROUND = "#eef0e6"
_CHECKS = ("#ffffff", "#d8dbe0")


class Example(NamedTuple):
    """An example of the page. name: of its picture. steps: as they are written."""

    name: str
    steps: tuple[str | Mapping[str, Any], ...]


def read_examples(page: str) -> Iterator[Example]:
    """Yield the page's examples: each block of YAML that a picture follows."""
    for block, name in _EXAMPLE.findall(page):
        values = read_document("docs/steps.yaml", block.encode()).values
        entry = values if "steps" in values else next(iter(values["derive"].values()))
        yield Example(name, tuple(entry["steps"]))


def run_example(example: Example) -> tuple[Image.Image, Image.Image]:
    """Return the picture that the example starts from, and what its steps make of it. Raises BadImage."""
    before = _SOURCES.get(example.name, draw_potion)()
    recipe = []
    for name, parameters in map(read_step, example.steps):
        if problem := check_step(name, parameters):
            raise SystemExit(f"{example.name}: {name}: {problem}")
        if file := step_file(name, parameters):
            check_file(name, parameters, EXAMPLE_FILES[parameters[file]])
        recipe.append((name, parameters))
    return before, apply_steps(before, recipe, EXAMPLE_FILES)


def draw_example(example: Example) -> Image.Image:
    """Return the picture before and after the example."""
    before, after = run_example(example)
    if example.name == "tile":
        before, after = repeat(before), repeat(after)
    return show_both(before, after)


def show_both(before: Image.Image, after: Image.Image) -> Image.Image:
    """Return both pictures side by side, on a checkerboard where they are transparent."""
    shown = [_on_checks(picture) for picture in (before, after)]
    gap, height = 44, max(picture.height for picture in shown)
    canvas = Image.new("RGBA", (sum(picture.width for picture in shown) + gap, height))
    for picture, left in zip(shown, (0, shown[0].width + gap), strict=True):
        canvas.paste(picture, (left, (height - picture.height) // 2))
    x, y = shown[0].width + gap // 2, height // 2
    ImageDraw.Draw(canvas).polygon([(x - 7, y - 9), (x + 8, y), (x - 7, y + 9)], fill="#8a9099")
    return canvas


def _on_checks(picture: Image.Image) -> Image.Image:
    ground = Image.new("RGBA", picture.size, _CHECKS[0])
    pen = ImageDraw.Draw(ground)
    for x in range(0, picture.width, 8):
        for y in range(8 * (x // 8 % 2), picture.height, 16):
            pen.rectangle((x, y, x + 7, y + 7), fill=_CHECKS[1])
    return Image.alpha_composite(ground, picture.convert("RGBA"))


def repeat(picture: Image.Image) -> Image.Image:
    """Return the picture twice across and twice down."""
    whole = Image.new("RGB", (2 * picture.width, 2 * picture.height))
    for x in (0, picture.width):
        for y in (0, picture.height):
            whole.paste(picture.convert("RGB"), (x, y))
    return whole


def draw_potion(width: int = 128, height: int = 160, ground: str = _GROUND) -> Image.Image:
    """Return a flask on a flat ground, with a label of the same colour."""
    scale = _SMOOTH * width / 128
    picture = Image.new("RGB", (width * _SMOOTH, height * _SMOOTH), ground)
    pen = ImageDraw.Draw(picture)

    def box(*sides: float) -> tuple[float, float, float, float]:
        left, top, right, bottom = (side * scale for side in sides)
        return left, top, right, bottom

    pen.rounded_rectangle(box(52, 14, 76, 36), 4 * scale, fill="#8c6239")
    pen.rectangle(box(54, 30, 74, 70), fill="#bfe3e6")
    pen.rounded_rectangle(box(48, 32, 80, 40), 3 * scale, fill="#9fcdd3")
    pen.ellipse(box(22, 56, 106, 140), fill="#bfe3e6")
    pen.chord(box(28, 62, 100, 134), -8, 188, fill="#b5306b")
    pen.chord(box(28, 88, 100, 134), 20, 160, fill="#96255a")
    pen.ellipse(box(29, 86, 99, 102), fill="#d4528a")
    pen.rounded_rectangle(box(48, 104, 80, 122), 2 * scale, fill=ground)
    pen.line([(54 * scale, 110 * scale), (74 * scale, 110 * scale)], fill="#5b4636", width=round(1.6 * scale))
    pen.line([(54 * scale, 116 * scale), (68 * scale, 116 * scale)], fill="#5b4636", width=round(1.6 * scale))
    pen.ellipse(box(36, 70, 50, 92), fill="#eefafa")
    for x, y, r in ((62, 96, 3), (74, 92, 2), (68, 84, 2.4)):
        pen.ellipse(box(x - r, y - r, x + r, y + r), fill="#f0b6d0")
    return picture.reduce(_SMOOTH)


def _draw_small_potion() -> Image.Image:
    return draw_potion(32, 40)


def _cut_out() -> Image.Image:
    return apply_steps(draw_potion(), [read_step("background")], {})


def _cut_out_tight() -> Image.Image:
    return apply_steps(_cut_out(), [read_step("trim")], {})


def _draw_portrait() -> Image.Image:
    request = Request("placeholder", "Yrr", "portrait of a woman with long hair", width=128, height=160)
    dice = Dice(request)
    return draw_picture(request.prompt, 128, 160, palette_of(dice), dice)


def draw_stones() -> Image.Image:
    """Return a texture whose edges do not meet."""
    chance = random.Random(7)  # noqa: S311 - a drawing
    side = 80
    picture = Image.new("RGB", (side * _SMOOTH, side * _SMOOTH), "#39402f")
    pen = ImageDraw.Draw(picture)
    for _ in range(170):
        x, y, r = chance.random() * side, chance.random() * side, 4 + chance.random() * 6
        shade = chance.randrange(120, 190)
        place = [at * _SMOOTH for at in (x - r, y - r * 0.8, x + r, y + r * 0.8)]
        pen.ellipse(place, fill=(shade, shade - 4, shade - 18), outline="#4d5148", width=_SMOOTH)
    slope = Image.linear_gradient("L").rotate(90).point([215 + level // 7 for level in range(256)])
    return ImageChops.multiply(picture.reduce(_SMOOTH), slope.resize((side, side)).convert("RGB"))


def _draw_ring() -> Image.Image:
    ring = Image.new("RGBA", (128 * _SMOOTH, 128 * _SMOOTH))
    pen = ImageDraw.Draw(ring)
    for inset, colour, width in ((0, "#5d4410", 12), (1.5, "#e0b03c", 9), (3.5, "#fbe08a", 3)):
        sides = [side * _SMOOTH for side in (inset, inset, 128 - inset, 128 - inset)]
        pen.ellipse(sides, outline=colour, width=round(width * _SMOOTH))
    return ring.reduce(_SMOOTH)


def _draw_mask() -> Image.Image:
    """Return a shield in white on black."""
    mask = Image.new("L", (128 * _SMOOTH, 160 * _SMOOTH))
    points = [(8, 8), (120, 8), (120, 92), (104, 124), (64, 154), (24, 124), (8, 92)]
    ImageDraw.Draw(mask).polygon([(x * _SMOOTH, y * _SMOOTH) for x, y in points], fill=255)
    return mask.filter(ImageFilter.GaussianBlur(2 * _SMOOTH)).reduce(_SMOOTH)


def _png(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "png")
    return file.getvalue()


EXAMPLE_FILES: Mapping[str, bytes] = {
    "art/ring.png": _png(_draw_ring()),
    "art/shield.png": _png(_draw_mask()),
    "art/dusk.gpl": b"GIMP Palette\n33 24 48\n88 52 92\n156 74 104\n214 122 110\n243 190 134\n255 238 200\n",
}
"""The files that the examples name."""

_SOURCES = {
    "overview": _draw_portrait,
    "mask": _draw_portrait,
    "mask-image": _draw_portrait,
    "frame": _draw_portrait,
    "resize": _draw_portrait,
    "resize-nearest": _draw_small_potion,
    "quantise-palette": _draw_portrait,
    "trim": _cut_out,
    "outline": _cut_out,
    "shadow": _cut_out,
    "pad": _cut_out_tight,
    "tile": draw_stones,
}
"""By the name of an example, the picture that it starts from, where that is not the flask."""


if __name__ == "__main__":
    folder = ROOT / "docs/images/steps"
    folder.mkdir(parents=True, exist_ok=True)
    for one in read_examples(PAGE.read_text("utf-8")):
        draw_example(one).save(folder / f"{one.name}.webp", quality=88, method=6)
