"""The picture on a placeholder: the composition that its prompt asks for, on a sky, with its edges darkened."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from itertools import pairwise

from PIL import Image, ImageChops, ImageDraw

from imagegen.backends.placeholder.bust import draw_portrait
from imagegen.backends.placeholder.heraldry import draw_shield
from imagegen.backends.placeholder.scene import (
    INK,
    Colour,
    Dice,
    Palette,
    Point,
    Scene,
    close_shape,
    crescent_points,
    curve_points,
    mix,
    path_points,
    polar_point,
    sky_colour,
    star_points,
)

__all__ = [
    "draw_gate",
    "draw_mountains",
    "draw_picture",
    "draw_rose",
    "draw_sun",
]


_SHARP = 1_500_000
"""Pixels up to which shapes are drawn at twice the size and reduced, for smooth edges."""


def draw_picture(prompt: str, width: int, height: int, palette: Palette, dice: Dice) -> Image.Image:
    """Return the picture, that many pixels wide and high."""
    width, height = max(1, width), max(1, height)
    scale = 2 if width * height <= _SHARP else 1
    image = _sky(width * scale, height * scale, palette, dice)
    scene = Scene(image, ImageDraw.Draw(image), palette, dice, frozenset(re.findall(r"[a-z]+", prompt.lower())))
    _composition(scene)(scene)
    image = image.reduce(scale) if scale > 1 else image
    return _darker_at_the_edges(image)


def _sky(width: int, height: int, palette: Palette, dice: Dice) -> Image.Image:
    """Return a gradient from top to bottom, at times with stars."""
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
    """Return what the prompt speaks of, so that the placeholder resembles the image to come; else one by the dice."""
    for words, compositions in _SUBJECTS:
        if not scene.words.isdisjoint(words):
            return compositions[scene.dice.whole(0, len(compositions) - 1)]
    return _ANY[scene.dice.whole(0, len(_ANY) - 1)]


def draw_mountains(scene: Scene) -> None:
    """Draw a moon over ranges that grow darker towards us, and a tower on one of them."""
    dice, palette, unit = scene.dice, scene.palette, scene.unit
    width, height = scene.image.size
    x, y = width * dice.between(0.3, 0.7), height * dice.between(0.22, 0.34)
    moon = dice.between(11, 17) * unit
    y = max(y, moon * 1.9)  # else the band would cut its halo
    for ring in range(3, 0, -1):
        scene.disc(x, y, moon * (1 + 0.22 * ring), mix(sky_colour(scene, y), palette.light, 0.22 - 0.055 * ring))
    scene.disc(x, y, moon, mix(palette.light, INK, 0.25))
    ranges = dice.whole(4, 5)
    haze = mix(palette.bottom, palette.light, 0.18)
    tower = dice.whole(1, ranges - 2) if dice.chance(0.7) else -1
    for layer in range(ranges):
        share = layer / (ranges - 1)
        base = height * (0.52 + 0.40 * share)
        colour = mix(mix(palette.far, haze, 0.45), palette.near, share**0.8)
        ridge = _ridge(dice, width, base, (22 - 13 * share) * unit, 5 if layer < 2 else 7)
        if layer == tower:
            _tower(scene, *ridge[dice.whole(len(ridge) // 5, len(ridge) * 4 // 5)], (3.6 - share) * unit, colour)
        scene.shape([*ridge, (width, height), (0, height)], colour)
    for _ in range(dice.whole(3, 6)):  # birds
        at = width * dice.between(0.12, 0.88), height * dice.between(0.1, 0.42)
        span = dice.between(1.1, 2.2) * unit
        wing = path_points("-1.0 -0.45, -0.5 -0.6, 0.0 0.0, 0.5 -0.6, 1.0 -0.45")
        scene.pen.line(
            curve_points([(at[0] + a * span, at[1] + b * span) for a, b in wing]), palette.near, scene.hair(0.4)
        )


def _ridge(dice: Dice, width: float, base: float, rough: float, octaves: int) -> list[Point]:
    """Return a line of mountains by midpoint displacement, from left to right."""
    heights = [dice.between(-0.4, 0.6), dice.between(-0.4, 0.6)]
    swing = 1.0
    for _ in range(octaves):
        finer: list[float] = []
        for one, other in pairwise(heights):
            finer += [one, (one + other) / 2 + dice.between(-swing, swing)]
        heights = [*finer, heights[-1]]
        swing *= 0.52
    last = len(heights) - 1
    return [(width * at / last, base - rough * level) for at, level in enumerate(heights)]


def _tower(scene: Scene, x: float, foot: float, half: float, colour: Colour) -> None:
    """Draw a tower. half: half its width, pixels."""
    top = foot - half * 5
    scene.pen.rectangle((x - half, top, x + half, foot + half * 3), fill=colour)
    scene.pen.rectangle((x - half * 1.25, top - half * 0.7, x + half * 1.25, top), fill=colour)
    scene.shape(
        [(x - half * 1.35, top - half * 0.7), (x, top - half * 3.4), (x + half * 1.35, top - half * 0.7)], colour
    )
    scene.pen.line([(x, top - half * 3.2), (x, top - half * 4.4)], fill=colour, width=scene.hair(0.3))
    flag = [(x, top - half * 4.5), (x + half * 1.5, top - half * 4.1), (x, top - half * 3.7)]
    scene.shape(flag, scene.palette.accent)
    scene.pen.rectangle((x - half * 0.2, top + half * 0.9, x + half * 0.2, top + half * 1.9), fill=scene.palette.light)


def draw_rose(scene: Scene) -> None:
    """Draw a rose window: pointed petals in rings."""
    dice, palette, unit = scene.dice, scene.palette, scene.unit
    x, y = scene.centre
    scene.disc(x, y, 46 * unit, palette.near)
    scene.ring(x, y, 46 * unit, palette.light, 0.8)
    count = dice.whole(4, 7) * 2
    deep = mix(palette.near, palette.accent, 0.35)
    glass = (
        palette.accent,
        mix(palette.bottom, palette.far, 0.3),
        palette.light,
        mix(palette.far, palette.near, 0.2),
    )
    for number in range(count):
        angle = 2 * math.pi * number / count
        half = math.pi / count
        scene.disc(*polar_point(x, y, 38.2 * unit, angle + half), min(5.4, 105 / count) * unit, glass[1])
        scene.disc(*polar_point(x, y, 38.2 * unit, angle + half), min(2.4, 45 / count) * unit, palette.light)
        _petal(scene, x, y, 12 * unit, 43.5 * unit, angle, half * 0.72, glass[number % 2 * 3])
        _petal(scene, x, y, 18 * unit, 38 * unit, angle, half * 0.42, deep if number % 2 == 0 else glass[1])
    scene.ring(x, y, 43.9 * unit, mix(palette.light, palette.near, 0.4), 0.4)
    scene.disc(x, y, 17 * unit, palette.near)
    scene.ring(x, y, 17 * unit, palette.light, 0.6)
    for number in range(count):
        _petal(
            scene, x, y, 4 * unit, 15 * unit, 2 * math.pi * (number + 0.5) / count, math.pi / count * 0.8, palette.light
        )
    scene.disc(x, y, 5 * unit, palette.accent)
    scene.disc(x, y, 2.4 * unit, palette.near)


def _petal(
    scene: Scene, x: float, y: float, inner: float, outer: float, angle: float, half: float, fill: Colour
) -> None:
    """Draw a petal. half: half its width at the middle, radians."""
    middle = inner + (outer - inner) * 0.62
    belly = (polar_point(x, y, middle, angle - half), polar_point(x, y, middle, angle + half))
    first, last = polar_point(x, y, inner, angle), polar_point(x, y, outer, angle)
    low = (
        polar_point(x, y, inner + (outer - inner) * 0.25, angle - half),
        polar_point(x, y, inner + (outer - inner) * 0.25, angle + half),
    )
    scene.shape([*curve_points([first, low[0], belly[0], last]), *curve_points([last, belly[1], low[1], first])], fill)


def draw_sun(scene: Scene) -> None:
    """Draw a sun as on old cards: straight rays and waving ones, above clouds."""
    dice, palette, unit = scene.dice, scene.palette, scene.unit
    x, y = scene.centre
    scene.disc(x, y, 46 * unit, mix(sky_colour(scene, y), palette.near, 0.35))
    scene.ring(x, y, 46 * unit, palette.light, 0.6)
    rays = dice.whole(7, 10)
    for ray in range(rays * 2):
        angle = math.pi * ray / rays
        half = math.pi / rays * 0.42
        if ray % 2 == 0:
            points = [
                polar_point(x, y, 18 * unit, angle - half),
                polar_point(x, y, 43 * unit, angle),
                polar_point(x, y, 18 * unit, angle + half),
            ]
            scene.shape(points, palette.light)
            scene.shape([*points[1:], polar_point(x, y, 18 * unit, angle)], palette.accent)
        else:
            left: list[Point] = []
            right: list[Point] = []
            for step in range(13):
                share = step / 12
                sway = math.sin(share * 2 * math.pi) * half * 0.5
                slim = half * 0.62 * (1 - share)
                reach = (18 + 21 * share) * unit
                left.append(polar_point(x, y, reach, angle + sway - slim))
                right.append(polar_point(x, y, reach, angle + sway + slim))
            scene.shape([*left, *reversed(right)], mix(palette.accent, palette.light, 0.35))
    scene.disc(x, y, 19.5 * unit, palette.near)
    scene.disc(x, y, 18.3 * unit, palette.light)
    if dice.chance(0.5):
        scene.disc(x, y, 15.5 * unit, palette.accent)
        scene.disc(x, y, 14.8 * unit, palette.near)
        scene.shape(crescent_points(x, y, 10.5 * unit), palette.light)
        return
    scene.ring(x, y, 16.2 * unit, palette.accent, 0.5)
    width = scene.hair(0.8)
    for side in (-1, 1):
        lid = [(x + side * a * unit, y - b * unit) for a, b in ((2.6, 2.4), (5.5, 4.4), (8.6, 2.6))]
        scene.pen.line(curve_points(lid), fill=palette.near, width=width)
        low = [(x + side * a * unit, y - b * unit) for a, b in ((3.2, 2.0), (5.6, 0.7), (8.2, 2.2))]
        scene.pen.line(curve_points(low), fill=palette.near, width=width)
        scene.disc(x + side * 5.6 * unit, y - 2.3 * unit, 1.3 * unit, palette.near)
        scene.disc(x + side * 9.2 * unit, y + 3.6 * unit, 2.2 * unit, mix(palette.light, palette.accent, 0.6))
    nose = [(x - 0.6 * unit, y - 3 * unit), (x - 1.6 * unit, y + 3.4 * unit), (x + 1.4 * unit, y + 3.6 * unit)]
    scene.pen.line(curve_points(nose), fill=palette.near, width=width)
    mouth = [(x + a * unit, y + b * unit) for a, b in path_points("-4.6 6.8, -2 8.2, 2 8.2, 4.6 6.8")]
    scene.pen.line(curve_points(mouth), fill=palette.near, width=width)


def draw_gate(scene: Scene) -> None:
    """Draw pointed arches, one within the other, and a light at the end."""
    dice, palette, unit = scene.dice, scene.palette, scene.unit
    x = scene.centre[0]
    foot = float(scene.image.height)
    arches = dice.whole(5, 7)
    rise = min(58.0, foot / unit - 60)  # else the band would cut the outermost arch
    glow = mix(palette.light, palette.bottom, 0.15)
    for arch in range(arches):
        share = arch / (arches - 1)
        half = (40 - 27 * share) * unit
        spring = foot - (rise + (38 - rise) * share) * unit
        colour = mix(
            mix(palette.near, palette.far, 0.15 + 0.1 * (arch % 2)), mix(palette.accent, glow, share), share**1.3
        )
        scene.rimmed(_arch(x, half, spring, foot + unit), colour, mix(palette.light, colour, 0.25 + 0.3 * share), 0.55)
    last = foot - 38 * unit
    if dice.chance(0.5):
        scene.disc(x, last + 2 * unit, 6 * unit, INK)
    else:
        scene.shape(star_points(x, last + 1 * unit, 9 * unit, 8, 0.32), INK)
    for step in range(5):
        top = foot - (10 - 2.2 * step) * unit
        half = (13 + 5.4 * step) * unit
        tone = mix(mix(palette.near, palette.accent, 0.5), palette.near, step / 4)
        scene.pen.rectangle((x - half, top, x + half, foot), fill=tone)
        scene.pen.line([(x - half, top), (x + half, top)], fill=mix(tone, palette.light, 0.5), width=scene.hair(0.35))
    robe = path_points("0 -17, 1.5 -15.6, 1.2 -13.6, 2.8 -11.5, 3.6 -2, 3.9 0")
    right = curve_points([(x + a * unit, foot - 8 * unit + b * unit) for a, b in robe])
    scene.shape(close_shape(right, x), palette.near)


def _arch(x: float, half: float, spring: float, foot: float) -> list[Point]:
    """Return a pointed arch. spring: where the curve begins, pixels from the top."""
    right = []
    for step in range(17):
        angle = math.pi / 3 * step / 16
        right.append((x - half + 2 * half * math.cos(angle), spring - 2 * half * math.sin(angle) * 0.8))
    return [(x - half, foot), (x + half, foot), *close_shape(right, x)]


_ANY: tuple[Callable[[Scene], None], ...] = (draw_portrait, draw_mountains, draw_shield, draw_rose, draw_sun, draw_gate)


_SUBJECTS: tuple[tuple[tuple[str, ...], tuple[Callable[[Scene], None], ...]], ...] = (
    (("heraldic", "heraldry", "shield", "crest", "emblem"), (draw_shield,)),
    (("portrait", "portraits", "face", "shoulders", "eyes", "bust"), (draw_portrait,)),
    (("landscape", "mountain", "mountains", "valley", "hills"), (draw_mountains,)),
    (("gate", "door", "dungeon", "corridor", "temple", "portal"), (draw_gate,)),
    (("rune", "sigil", "glyph", "icon", "spell"), (draw_rose, draw_sun)),
)
