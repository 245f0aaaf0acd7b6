"""The picture of a stand-in: which composition its prompt asks for, on a sky, with its edges darkened."""

from __future__ import annotations

import re
from collections.abc import Callable

from PIL import Image, ImageChops, ImageDraw

from imagegen.backends.placeholder.bust import draw_portrait
from imagegen.backends.placeholder.heraldry import draw_shield
from imagegen.backends.placeholder.palette import Dice, Palette, mix
from imagegen.backends.placeholder.scene import Scene, star_points
from imagegen.backends.placeholder.views import draw_gate, draw_mountains, draw_rose, draw_sun

__all__ = ["draw_picture"]

_SHARP = 1_500_000
"""Pixels up to which shapes are drawn at twice the size and reduced, for smooth edges."""


def draw_picture(prompt: str, width: int, height: int, palette: Palette, dice: Dice) -> Image.Image:
    """The picture, that many pixels wide and high."""
    width, height = max(1, width), max(1, height)
    scale = 2 if width * height <= _SHARP else 1
    image = _sky(width * scale, height * scale, palette, dice)
    scene = Scene(image, ImageDraw.Draw(image), palette, dice, frozenset(re.findall(r"[a-z]+", prompt.lower())))
    _composition(scene)(scene)
    image = image.reduce(scale) if scale > 1 else image
    return _darker_at_the_edges(image)


def _sky(width: int, height: int, palette: Palette, dice: Dice) -> Image.Image:
    """A gradient from top to bottom, and at times stars."""
    sky = Image.new("RGB", (1, 64))
    for row in range(64):
        sky.putpixel((0, row), mix(palette.top, palette.bottom, (row / 63) ** 1.25))
    image = sky.resize((width, height), Image.Resampling.BICUBIC)
    if dice.chance(0.6):
        pen = ImageDraw.Draw(image)
        colour = mix(palette.top, palette.light, 0.75)
        unit = min(width, height) / 100
        for _ in range(dice.whole(26, 60)):
            x, y = dice.number() * width, dice.number() ** 1.5 * height * 0.8
            size = unit * dice.between(0.15, 0.5)
            if size > unit * 0.46:
                pen.polygon(star_points(x, y, size * 3.4, 4, 0.2), fill=palette.light)
            else:
                pen.ellipse((x - size, y - size, x + size, y + size), fill=colour)
    return image


def _darker_at_the_edges(image: Image.Image) -> Image.Image:
    shade = Image.radial_gradient("L").point([255 - max(0, level - 110) * 62 // 145 for level in range(256)])
    return ImageChops.multiply(image, shade.resize(image.size, Image.Resampling.BILINEAR).convert("RGB"))


def _composition(scene: Scene) -> Callable[[Scene], None]:
    """What the prompt speaks of, so that a stand-in resembles what it stands in for; else one by the dice."""
    for words, compositions in _SUBJECTS:
        if not scene.words.isdisjoint(words):
            return compositions[scene.dice.whole(0, len(compositions) - 1)]
    return _ANY[scene.dice.whole(0, len(_ANY) - 1)]


_ANY: tuple[Callable[[Scene], None], ...] = (draw_portrait, draw_mountains, draw_shield, draw_rose, draw_sun, draw_gate)


_SUBJECTS: tuple[tuple[tuple[str, ...], tuple[Callable[[Scene], None], ...]], ...] = (
    (("heraldic", "heraldry", "shield", "crest", "emblem"), (draw_shield,)),
    (("portrait", "portraits", "face", "shoulders", "eyes", "bust"), (draw_portrait,)),
    (("landscape", "mountain", "mountains", "valley", "hills"), (draw_mountains,)),
    (("gate", "door", "dungeon", "corridor", "temple", "portal"), (draw_gate,)),
    (("rune", "sigil", "glyph", "icon", "spell"), (draw_rose, draw_sun)),
)
