"""What presets do, shown on examples: heads and shoulders before a plain background, or pebbles for a texture."""

from __future__ import annotations

import functools
import hashlib
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from imagegen.backends.placeholder.bust import draw_portrait
from imagegen.backends.placeholder.scene import Dice, Scene, mix, palette_of
from imagegen.config.checking import build_job
from imagegen.config.document import Document
from imagegen.config.presets import Preset
from imagegen.config.schema import job_schema
from imagegen.config.steps import STEPS, step_file
from imagegen.images.derive import picture
from imagegen.images.image_file import read_image
from imagegen.images.packed_sheet import draw_page, measure, write_packed_index
from imagegen.images.packing import Packing
from imagegen.images.reshape import Shape
from imagegen.images.sheet import Grid, draw_grid
from imagegen.plan.request import Request

if TYPE_CHECKING:
    from PIL.Image import Image

    from imagegen.config.job import SheetRules

__all__ = ["ShownPreset", "as_yaml", "describe_preset", "draw_example", "show_preset", "write_use"]

_SIZE = (768, 800)
_SEEDS = (20, 8, 15, 16, 17, 22, 23, 28)
"""Of portraits that are easy to tell from their background. One is enough for derived files."""


@dataclass(frozen=True)
class ShownPreset:
    """A preset with its pictures."""

    preset: Preset
    paste: str  # how a job uses it, as YAML
    lines: tuple[tuple[str, str], ...]  # its steps and keys, each as YAML, and what it does
    source: str  # what is on the picture before
    before: bytes  # an image file
    after: bytes
    size: str  # of the latter
    is_tiny: bool  # so that its pixels are shown larger


def show_preset(preset: Preset) -> ShownPreset:
    """Run a preset on an example picture, or on several for a sheet."""
    if preset.use == "sheet":
        source, before, after = f"{len(_SEEDS)} images", _draw_all(), _draw_sheet(preset)
    else:
        example = draw_texture() if "tile" in preset.steps else draw_example(_SEEDS[0])
        before = example.resize((example.width // 3, example.height // 3))
        source, after = "an image", _derive(_encode(example), _entry(preset))
    file = read_image(after)
    return ShownPreset(
        preset,
        write_use(preset),
        tuple(describe_preset(preset)),
        source,
        _encode(before, "webp"),
        after,
        f"{file.width}×{file.height} {file.format}",
        max(file.width, file.height) <= 64,
    )


def write_use(preset: Preset) -> str:
    """Return the lines of a job that use a preset."""
    entry = as_yaml(_entry(preset))
    if preset.use == "sheet":
        return f"sheet: {entry}"
    return f"derive:\n  {preset.name.partition('-')[0]}: {entry}"


def _entry(preset: Preset) -> dict[str, Any]:
    return {"preset": preset.name, **(preset.example or {})}


def as_yaml(value: Any) -> str:
    """Return a value as YAML on one line."""
    import yaml

    text = yaml.safe_dump([value], default_flow_style=True, sort_keys=False, width=10_000, allow_unicode=True)
    return text.strip()[1:-1]


def describe_preset(preset: Preset) -> Iterator[tuple[str, str]]:
    """Yield each step and each other key of a preset as YAML, and what it does."""
    for name, written in zip(preset.steps, preset.keys.get("steps", ()), strict=True):
        step = name if isinstance(written, str) else as_yaml(written)[1:-1]
        note = " Only if you give it." if name in preset.optional else ""
        yield step, STEPS[name].description + note
    rules = job_schema({})[preset.use]
    rules = rules["schema"] if preset.use == "sheet" else rules["valuesrules"]["schema"]
    for key, value in preset.keys.items():
        if key != "steps":
            yield as_yaml({key: value})[1:-1], rules[key]["meta"]["description"]


def _derive(image: bytes, entry: Mapping[str, Any]) -> bytes:
    """Return the file that an entry of `derive` makes of an image. Each file that it names is a ring."""
    (rules,) = build_job("example", Document("example", {"derive": {"example": entry}}, {})).derive
    files: dict[str, bytes] = {}
    steps = []
    for step in rules.steps:
        parameters = dict(step.parameters)
        if file := step_file(step.name, parameters):
            ring = _draw_ring()
            parameters[file] = hashlib.sha256(ring).hexdigest()
            files[parameters[file]] = ring
        steps.append((step.name, parameters))
    return picture(read_image(image), Shape(), rules.encoding, steps, files)


def _draw_sheet(preset: Preset) -> bytes:
    """Return the sheet that a preset makes of cut-out examples."""
    job = build_job("example", Document("example", {"sheet": {"preset": preset.name}}, {}))
    rules = cast("SheetRules", job.sheet)
    files = {str(seed): read_image(_cut_out(seed)) for seed in _SEEDS}
    if rules.layout == "grid":
        return draw_grid(files.values(), len(files), Grid(rules.columns or 4, rules.cell), rules.encoding)
    parts = {name: measure(file, trim=rules.trim) for name, file in files.items()}
    packing = Packing(rules.padding, rules.extrude, rules.max_size, rules.power_of_two)
    return draw_page(write_packed_index(parts, packing, ["sheet"]), 1, files.__getitem__, rules.encoding)


@functools.cache
def _cut_out(seed: int) -> bytes:
    size = 96 + seed * 7 % 64  # pictures of one size would pack like a grid
    steps = ["background", "trim", {"resize": {"width": size, "height": size}}]
    return _derive(_encode(draw_example(seed)), {"steps": steps})


def _draw_all() -> Image:
    """Draw all examples, small and side by side."""
    from PIL import Image

    size = 96
    whole = Image.new("RGB", (4 * size, -(-len(_SEEDS) // 4) * size))
    for number, seed in enumerate(_SEEDS):
        whole.paste(draw_example(seed).resize((size, size)), (number % 4 * size, number // 4 * size))
    return whole


@functools.cache
def draw_example(seed: int) -> Image:
    """Draw a head and shoulders before a plain background. Each seed gives another one."""
    from PIL import Image, ImageDraw

    dice = Dice(Request("placeholder", "", "", seed=seed))
    palette = palette_of(dice)
    image = Image.new("RGB", (_SIZE[0] * 2, _SIZE[1] * 2), palette.far)
    draw_portrait(Scene(image, ImageDraw.Draw(image), palette, dice, frozenset()))
    return image.reduce(2)


def draw_texture() -> Image:
    """Draw pebbles."""
    from PIL import Image, ImageDraw

    dice = Dice(Request("placeholder", "", "", seed=_SEEDS[0]))
    palette = palette_of(dice)
    image = Image.new("RGB", (1440, 1440), palette.near)
    pen = ImageDraw.Draw(image)
    for _ in range(420):
        x, y = dice.between(0, 1440), dice.between(0, 1440)
        wide, high = dice.between(30, 90), dice.between(30, 70)
        colour = mix(palette.far, palette.light, dice.between(0, 0.7))
        pen.ellipse((x - wide, y - high, x + wide, y + high), fill=colour, outline=palette.near, width=8)
    return image.reduce(2)


def _draw_ring() -> bytes:
    """Return a gold ring as a PNG file, transparent inside and outside."""
    from PIL import Image, ImageDraw

    ring = Image.new("RGBA", (1024, 1024))
    pen = ImageDraw.Draw(ring)
    for inset, width, colour in ((4, 60, "#5d4012"), (12, 44, "#d8a73c"), (22, 22, "#f6dc8b")):
        pen.ellipse((inset, inset, 1023 - inset, 1023 - inset), outline=colour, width=width)
    return _encode(ring.reduce(2))


def _encode(image: Image, kind: str = "png") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()
