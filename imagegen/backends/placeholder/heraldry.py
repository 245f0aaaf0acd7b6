"""A coat of arms: field, ordinary and charge."""

from __future__ import annotations

import math

from PIL import Image, ImageDraw

from imagegen.backends.placeholder.scene import (
    Colour,
    Point,
    Scene,
    close_shape,
    crescent_points,
    curve_points,
    hsl,
    mix,
    path_points,
    polar_point,
    sky_colour,
    star_points,
)

__all__ = ["draw_shield"]

_TINCTURES = (
    # words in a prompt, and the hue in degrees and saturation that they give a shield
    (("red", "gules", "crimson", "blood"), 356, 0.62),
    (("blue", "azure"), 222, 0.55),
    (("green", "vert"), 140, 0.45),
    (("purple", "purpure", "violet"), 284, 0.42),
    (("black", "sable"), 250, 0.10),
)


def draw_shield(scene: Scene) -> None:
    """Draw a coat of arms."""
    dice, palette, unit = scene.dice, scene.palette, scene.unit
    x, y = scene.centre
    field, second = palette.near, mix(palette.far, palette.near, 0.25)
    for words, hue, saturation in _TINCTURES:
        if not scene.words.isdisjoint(words):
            field, second = hsl(hue, saturation, 0.30), hsl(hue, saturation, 0.20)
            break
    scene.disc(x, y, 46 * unit, mix(sky_colour(scene, y), palette.near, 0.45))
    scene.ring(x, y, 46 * unit, palette.light, 0.6)
    scene.ring(x, y, 43.6 * unit, mix(palette.light, palette.near, 0.45), 0.35)
    half, top, foot = 26 * unit, y - 31 * unit, y + 36 * unit
    eared = dice.chance(0.5)
    scene.shape(_shield_outline(x, half + 2.6 * unit, top - 2.6 * unit, foot + 3.6 * unit, eared), palette.accent)
    scene.shape(_shield_outline(x, half + 1.5 * unit, top - 1.5 * unit, foot + 2.1 * unit, eared), palette.near)
    box = tuple(round(edge) for edge in (x - half, top - 4 * unit, x + half, foot))
    size = (max(1, box[2] - box[0]), max(1, box[3] - box[1]))
    arms = Image.new("RGB", size, field)
    mask = Image.new("L", size, 0)
    outline = [(px - box[0], py - box[1]) for px, py in _shield_outline(x, half, top, foot, eared)]
    ImageDraw.Draw(mask).polygon(outline, fill=255)
    _ordinary(scene, ImageDraw.Draw(arms), *size, second)
    scene.image.paste(arms, (box[0], box[1]), mask)
    _charge(scene, x, y - 2 * unit, 13 * unit)


def _shield_outline(x: float, half: float, top: float, foot: float, eared: bool) -> list[Point]:
    """Return a shield. eared: with a top edge that dips beside the middle, else straight."""
    rise = half * 0.12 if eared else 0.0
    right = (
        curve_points([(x, top - rise * 0.6), (x + half * 0.5, top + rise), (x + half, top - rise)])
        if eared
        else [(x, top)]
    )
    right.append((x + half, top - rise))
    turn = top + (foot - top) * 0.45
    for step in range(15):
        angle = step / 14 * math.pi / 2
        right.append((x + half * math.cos(angle) ** 0.8, turn + (foot - turn) * math.sin(angle)))
    return close_shape(right, x)


def _ordinary(scene: Scene, pen: ImageDraw.ImageDraw, width: int, height: int, second: Colour) -> None:
    """Divide the field, within the shield's own box."""
    kind = scene.dice.whole(0, 7)
    thick, middle = round(width * 0.26), width / 2
    gold = scene.palette.accent
    edge = max(1, thick // 9)
    if kind == 0:  # chevron
        line = [(-thick, height * 0.86), (middle, height * 0.36), (width + thick, height * 0.86)]
        pen.line(line, fill=gold, width=thick + 2 * edge)
        pen.line(line, fill=second, width=thick)
    elif kind == 1:  # per pale
        pen.rectangle((middle, 0, width, height), fill=second)
        pen.line([(middle, 0), (middle, height)], fill=gold, width=edge)
    elif kind == 2:  # bend
        line = [(-thick, 0), (width + thick, height * 0.9)]
        pen.line(line, fill=gold, width=thick + 2 * edge)
        pen.line(line, fill=second, width=thick)
    elif kind == 3:  # cross
        for grow, colour in ((edge, gold), (0, second)):
            pen.rectangle((middle - thick / 2 - grow, 0, middle + thick / 2 + grow, height), fill=colour)
        for grow, colour in ((edge, gold), (0, second)):
            across = height * 0.45
            pen.rectangle((0, across - thick / 2 - grow, width, across + thick / 2 + grow), fill=colour)
        pen.rectangle((middle - thick / 2, 0, middle + thick / 2, height), fill=second)
    elif kind == 4:  # barry
        for bar in range(1, 8, 2):
            pen.rectangle((0, height * bar / 8, width, height * (bar + 1) / 8), fill=second)
    elif kind == 5:  # quarterly
        pen.rectangle((0, 0, middle, height * 0.45), fill=second)
        pen.rectangle((middle, height * 0.45, width, height), fill=second)
        pen.line([(middle, 0), (middle, height)], fill=gold, width=edge)
        pen.line([(0, height * 0.45), (width, height * 0.45)], fill=gold, width=edge)
    elif kind == 6:  # gyronny
        for part in range(0, 8, 2):
            points = [polar_point(middle, height * 0.45, height, math.pi * (part + k) / 4) for k in (0, 1)]
            pen.polygon([(middle, height * 0.45), *points], fill=second)
    else:  # chief
        pen.rectangle((0, 0, width, height * 0.27), fill=second)
        pen.line([(0, height * 0.27), (width, height * 0.27)], fill=gold, width=edge)
        for star in range(3):
            at = middle + (star - 1) * width * 0.3
            pen.polygon(star_points(at, height * 0.16, width * 0.075, 5), fill=scene.palette.light)


def _charge(scene: Scene, x: float, y: float, size: float) -> None:
    """Draw what the shield shows: what the prompt names, if that can be drawn, else one by the dice."""
    draws = (_sun_charge, _moon_charge, _star_charge, _tower_charge, _tree_charge, _bird_charge)
    named = (("sun",), ("moon",), ("star",), ("tower", "castle"), ("tree", "oak"), ("raven", "bird", "eagle"))
    hits = [at for at, words in enumerate(named) if not scene.words.isdisjoint(words)]
    draws[hits[-1] if hits else scene.dice.whole(0, len(draws) - 1)](scene, x, y, size)


def _sun_charge(scene: Scene, x: float, y: float, size: float) -> None:
    scene.shape(star_points(x, y, size * 1.2, 16, 0.66), scene.palette.light)
    scene.disc(x, y, size * 0.62, scene.palette.accent)
    scene.ring(x, y, size * 0.62, scene.palette.near, 0.4)


def _moon_charge(scene: Scene, x: float, y: float, size: float) -> None:
    scene.shape(crescent_points(x, y, size), scene.palette.light)
    scene.shape(star_points(x + size * 0.45, y, size * 0.3, 5), scene.palette.light)


def _star_charge(scene: Scene, x: float, y: float, size: float) -> None:
    rays = scene.dice.whole(5, 8)
    scene.shape(star_points(x, y, size * 1.2, rays), scene.palette.light)
    scene.shape(star_points(x, y, size * 0.55, rays), scene.palette.accent)


def _tower_charge(scene: Scene, x: float, y: float, size: float) -> None:
    pen, light, near = scene.pen, scene.palette.light, scene.palette.near
    pen.polygon(
        [
            (x - size * 0.62, y - size * 0.5),
            (x + size * 0.62, y - size * 0.5),
            (x + size * 0.74, y + size * 1.2),
            (x - size * 0.74, y + size * 1.2),
        ],
        fill=light,
    )
    pen.rectangle((x - size * 0.8, y - size * 0.9, x + size * 0.8, y - size * 0.45), fill=light)
    for tooth in (-1, 0, 1):
        at = x + tooth * size * 0.58
        pen.rectangle((at - size * 0.22, y - size * 1.2, at + size * 0.22, y - size * 0.8), fill=light)
    pen.rectangle((x - size * 0.24, y + size * 0.6, x + size * 0.24, y + size * 1.2), fill=near)
    scene.disc(x, y + size * 0.6, size * 0.24, near)
    pen.rectangle((x - size * 0.09, y - size * 0.25, x + size * 0.09, y + size * 0.1), fill=near)


def _tree_charge(scene: Scene, x: float, y: float, size: float) -> None:
    light, shade = scene.palette.light, scene.palette.accent
    trunk = path_points("-0.14 0.1, -0.16 0.8, -0.6 1.3, 0.0 1.08, 0.6 1.3, 0.16 0.8, 0.14 0.1")
    scene.shape([(x + a * size, y + b * size) for a, b in trunk], light)
    crown = path_points("0.0 -0.75, -0.58 -0.4, 0.58 -0.4, -0.4 0.12, 0.4 0.12, 0.0 -0.2")
    for a, b in crown:
        scene.disc(x + a * size, y + b * size, size * 0.46, light)
    for a, b in crown:
        scene.disc(x + a * size * 0.9, y + b * size, size * 0.13, shade)


def _bird_charge(scene: Scene, x: float, y: float, size: float) -> None:
    light = scene.palette.light
    wing = path_points("0.1 -0.35, 0.55 -0.95, 1.15 -1.2, 1.3 -0.5, 1.12 -0.45, 1.1 0.1, 0.9 0.02, 0.8 0.5")
    wing += [(0.62, 0.3), (0.45, 0.62), (0.2, 0.4)]
    for side in (-1, 1):
        scene.shape([(x + side * a * size, y + b * size) for a, b in wing], light)
    body = path_points("0 -0.75, 0.24 -0.45, 0.3 0.1, 0.14 0.65, 0.34 1.2, 0 1.08")
    right = curve_points([(x + a * size, y + b * size) for a, b in body])
    scene.shape(close_shape(right, x), light)
    scene.disc(x, y - size * 0.82, size * 0.24, light)
    beak = [(-0.14, -0.98), (-0.62, -0.78), (-0.14, -0.72)]
    scene.shape([(x + a * size, y + b * size) for a, b in beak], scene.palette.accent)
    scene.disc(x - size * 0.07, y - size * 0.86, size * 0.055, scene.palette.near)
