"""What presets do, shown on examples: a head and shoulders before a plain background, or pebbles for a texture."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from imagegen.backends.placeholder.bust import draw_portrait
from imagegen.backends.placeholder.scene import Dice, Scene, mix, palette_of
from imagegen.config.checking import build_job
from imagegen.config.document import Document
from imagegen.config.presets import Preset
from imagegen.config.steps import STEPS, step_file
from imagegen.images.derive import picture
from imagegen.images.image_file import read_image
from imagegen.images.reshape import Shape
from imagegen.plan.request import Request

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["ShownPreset", "as_yaml", "draw_example", "show_preset"]

_SIZE = (768, 800)
_SEED = 20
"""Of a portrait that is easy to tell from its background."""


@dataclass(frozen=True)
class ShownPreset:
    """A preset with its pictures."""

    preset: Preset
    paste: str  # how a job uses it, as YAML
    steps: tuple[tuple[str, str], ...]  # each as YAML, and what it does
    before: bytes  # an image file
    after: bytes
    size: str  # of the latter
    is_tiny: bool  # so that its pixels are shown larger


def show_preset(preset: Preset) -> ShownPreset:
    """Run a preset for derived files on an example picture."""
    example = draw_texture() if "tile" in preset.steps else draw_example()
    entry = {"preset": preset.name, **(preset.example or {})}
    name = preset.name.partition("-")[0]
    after = _derive(_encode(example), name, entry)
    file = read_image(after)
    return ShownPreset(
        preset,
        f"derive:\n  {name}: {as_yaml(entry)}",
        tuple(_describe_steps(preset)),
        _encode(example.resize((example.width // 3, example.height // 3)), "webp"),
        after,
        f"{file.width}×{file.height} {file.format}",
        max(file.width, file.height) <= 64,
    )


def as_yaml(value: Any) -> str:
    """Return a value as YAML on one line."""
    import yaml

    text = yaml.safe_dump([value], default_flow_style=True, sort_keys=False, width=10_000, allow_unicode=True)
    return text.strip()[1:-1]


def _describe_steps(preset: Preset) -> list[tuple[str, str]]:
    found = []
    for name, written in zip(preset.steps, preset.keys.get("steps", ()), strict=True):
        step = name if isinstance(written, str) else as_yaml(written)[1:-1]
        note = " Only if you give it." if name in preset.optional else ""
        found.append((step, STEPS[name].description + note))
    return found


def _derive(image: bytes, name: str, entry: Mapping[str, Any]) -> bytes:
    """Return the file that an entry of `derive` makes of an image. Each file that it names is a ring."""
    (rules,) = build_job("example", Document("example", {"derive": {name: entry}}, {})).derive
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


def draw_example(seed: int = _SEED) -> Image:
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

    dice = Dice(Request("placeholder", "", "", seed=_SEED))
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
