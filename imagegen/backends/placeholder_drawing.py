"""How a stand-in looks: a card with the item's name, what was asked for, and a picture that follows from it.

Deterministic: every choice comes from a hash of the request, none from a clock or a random generator.
"""

from __future__ import annotations

import colorsys
import hashlib
import io
import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from PIL import Image, ImageChops, ImageDraw, ImageFont

from imagegen.plan.request import Request

__all__ = ["BAND", "band_height", "draw"]

Colour = tuple[int, int, int]
Point = tuple[float, float]
Box = tuple[int, int, int, int]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

BAND = "PLACEHOLDER"
_INK: Colour = (244, 238, 224)
_NIGHT: Colour = (20, 18, 26)
_SHARP = 1_500_000
"""Pixels up to which shapes are drawn at twice the size and reduced, for smooth edges."""
_KNOWN = "·…‘’“”°±«»©™"
"""What Pillow's embedded font draws besides ASCII; all else is transliterated."""
_LONGEST = 1500
"""Characters of a text that are looked at: more than fit on any card."""


def draw(request: Request) -> bytes:
    """The stand-in as PNG, `request.width` × `request.height` pixels (16 or more each)."""
    width, height = request.width, request.height
    dice = _Dice(request)
    palette = _palette(dice)
    ground = _mix(_NIGHT, palette.near, 0.35)
    card = Image.new("RGB", (width, height), ground)
    top = band_height(width, height)
    panel = _panel(request, width, height, top)
    stage = (0, top, width, panel.box[1]) if panel.box[0] == 0 else (0, top, panel.box[0], height)
    card.paste(_picture(request.prompt, stage[2] - stage[0], stage[3] - stage[1], palette, dice), stage[:2])
    _finish(card, panel, top, palette)
    buffer = io.BytesIO()
    card.save(buffer, "png", compress_level=3)
    return buffer.getvalue()


def band_height(width: int, height: int) -> int:
    """Of the band that says PLACEHOLDER, across the top; all in pixels."""
    share = height * 0.22 if width > height * 6 else min(height * 0.07, width * 0.09)
    legible = 11 if width >= 64 and height >= 48 else 3
    return max(legible, round(share))


class _Dice:
    """A stream of choices that follows from the request alone."""

    def __init__(self, request: Request) -> None:
        # the size and the name are left out: what is meant to be one subject keeps its look at every size
        decisive = ("prompt", "negative", "seed", "steps", "cfg", "sampler", "scheduler")
        # JSON in ASCII takes any text, a lone surrogate too
        self._key = hashlib.sha256(json.dumps([getattr(request, field) for field in decisive]).encode()).digest()
        self._count = 0

    def number(self) -> float:
        """From 0 up to 1."""
        self._count += 1
        digest = hashlib.sha256(self._key + str(self._count).encode()).digest()
        return int.from_bytes(digest[:6], "big") / 2**48

    def between(self, low: float, high: float) -> float:
        """From low up to high."""
        return low + (high - low) * self.number()

    def whole(self, low: int, high: int) -> int:
        """From low to high, both included."""
        return low + int(self.number() * (high - low + 1))

    def chance(self, share: float) -> bool:
        """True in that share of all cases."""
        return self.number() < share


# --- colours


@dataclass(frozen=True)
class _Palette:
    """top, bottom: of the sky. light, accent: what shines. near, far: silhouettes. All contrast with `light`."""

    top: Colour
    bottom: Colour
    light: Colour
    accent: Colour
    near: Colour
    far: Colour


_SCHEMES = (
    # hues in degrees: the sky above, the sky at the horizon, what shines
    (228, 262, 42),
    (236, 340, 36),
    (205, 172, 46),
    (262, 312, 48),
    (190, 28, 32),
    (338, 22, 44),
    (152, 96, 50),
    (216, 196, 18),
    (12, 34, 46),
    (280, 214, 168),
    (168, 200, 340),
    (246, 24, 30),
    (98, 58, 12),
    (318, 268, 190),
)


def _palette(dice: _Dice) -> _Palette:
    above, horizon, shine = _SCHEMES[dice.whole(0, len(_SCHEMES) - 1)]
    turn = dice.between(-9, 9)
    depth = dice.between(0.17, 0.24)
    return _Palette(
        top=_hsl(above + turn, 0.48, depth),
        bottom=_hsl(horizon + turn, dice.between(0.34, 0.46), dice.between(0.50, 0.58)),
        light=_hsl(shine + turn, 0.66, 0.83),
        accent=_hsl(shine + turn, 0.58, 0.58),
        near=_hsl(above + turn, 0.40, 0.115),
        far=_hsl(above + turn, 0.34, 0.33),
    )


def _hsl(hue: float, saturation: float, lightness: float) -> Colour:
    """hue: degrees. saturation, lightness: 0 … 1."""
    red, green, blue = colorsys.hls_to_rgb(hue / 360 % 1.0, lightness, saturation)
    return round(red * 255), round(green * 255), round(blue * 255)


def _mix(one: Colour, other: Colour, share: float) -> Colour:
    """share: how much of the other, 0 … 1."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue


# --- the picture


@dataclass(frozen=True)
class _Scene:
    """What a composition draws on. Coordinates are in pixels of `image`, x to the right and y down."""

    image: Image.Image
    pen: ImageDraw.ImageDraw
    palette: _Palette
    dice: _Dice
    words: frozenset[str]
    """Of the prompt, in lower case."""

    @property
    def unit(self) -> float:
        """A hundredth of the shorter side."""
        return min(self.image.size) / 100

    @property
    def centre(self) -> Point:
        return self.image.width / 2, self.image.height / 2

    def hair(self, share: float = 0.5) -> int:
        """A line's width in pixels: so many units."""
        return max(1, round(self.unit * share))

    def disc(self, x: float, y: float, radius: float, fill: Colour) -> None:
        self.pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill)

    def ring(self, x: float, y: float, radius: float, line: Colour, share: float = 0.5) -> None:
        """share: the line's width, units."""
        box = (x - radius, y - radius, x + radius, y + radius)
        self.pen.ellipse(box, outline=line, width=self.hair(share))

    def shape(self, points: Sequence[Point], fill: Colour) -> None:
        self.pen.polygon(points, fill=fill)

    def rimmed(self, points: Sequence[Point], fill: Colour, rim: Colour, share: float = 0.7) -> None:
        """A shape with light falling on it from the upper left. share: the rim's width, units."""
        off = self.unit * share
        self.pen.polygon([(x - off, y - off * 0.6) for x, y in points], fill=rim)
        self.pen.polygon(points, fill=fill)


def _picture(prompt: str, width: int, height: int, palette: _Palette, dice: _Dice) -> Image.Image:
    width, height = max(1, width), max(1, height)
    scale = 2 if width * height <= _SHARP else 1
    image = _sky(width * scale, height * scale, palette, dice)
    scene = _Scene(image, ImageDraw.Draw(image), palette, dice, frozenset(re.findall(r"[a-z]+", prompt.lower())))
    _composition(scene)(scene)
    image = image.reduce(scale) if scale > 1 else image
    return _darker_at_the_edges(image)


def _sky(width: int, height: int, palette: _Palette, dice: _Dice) -> Image.Image:
    """A gradient from top to bottom, and at times stars."""
    sky = Image.new("RGB", (1, 64))
    for row in range(64):
        sky.putpixel((0, row), _mix(palette.top, palette.bottom, (row / 63) ** 1.25))
    image = sky.resize((width, height), Image.Resampling.BICUBIC)
    if dice.chance(0.6):
        pen = ImageDraw.Draw(image)
        colour = _mix(palette.top, palette.light, 0.75)
        unit = min(width, height) / 100
        for _ in range(dice.whole(26, 60)):
            x, y = dice.number() * width, dice.number() ** 1.5 * height * 0.8
            size = unit * dice.between(0.15, 0.5)
            if size > unit * 0.46:
                pen.polygon(_star(x, y, size * 3.4, 4, 0.2), fill=palette.light)
            else:
                pen.ellipse((x - size, y - size, x + size, y + size), fill=colour)
    return image


def _darker_at_the_edges(image: Image.Image) -> Image.Image:
    shade = Image.radial_gradient("L").point([255 - max(0, level - 110) * 62 // 145 for level in range(256)])
    return ImageChops.multiply(image, shade.resize(image.size, Image.Resampling.BILINEAR).convert("RGB"))


def _composition(scene: _Scene) -> Callable[[_Scene], None]:
    """What the prompt speaks of, so that a stand-in resembles what it stands in for; else one by the dice."""
    for words, compositions in _SUBJECTS:
        if not scene.words.isdisjoint(words):
            return compositions[scene.dice.whole(0, len(compositions) - 1)]
    return _ANY[scene.dice.whole(0, len(_ANY) - 1)]


def _curve(points: Sequence[Point], closed: bool = False, steps: int = 7) -> list[Point]:
    """A smooth line through the points (Catmull-Rom)."""
    count = len(points)
    result: list[Point] = []
    for at in range(count if closed else count - 1):
        if closed:
            a, b, c, d = (points[(at + k) % count] for k in (-1, 0, 1, 2))
        else:
            a, b, c, d = (points[min(max(at + k, 0), count - 1)] for k in (-1, 0, 1, 2))
        for step in range(steps):
            t = step / steps
            result.append((_spline(a[0], b[0], c[0], d[0], t), _spline(a[1], b[1], c[1], d[1], t)))
    return result if closed else [*result, points[-1]]


def _spline(a: float, b: float, c: float, d: float, t: float) -> float:
    return 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)


def _path(text: str) -> list[Point]:
    """Points as `x y, x y, …`."""
    return [(float(x), float(y)) for x, y in (pair.split() for pair in text.split(","))]


def _star(x: float, y: float, radius: float, rays: int, waist: float = 0.45) -> list[Point]:
    """waist: the inner radius, as a share of the outer one."""
    return [_polar(x, y, radius * (waist if point % 2 else 1), math.pi * point / rays) for point in range(rays * 2)]


def _polar(x: float, y: float, radius: float, angle: float) -> Point:
    """angle: radians, clockwise from straight up."""
    return x + radius * math.sin(angle), y - radius * math.cos(angle)


def _crescent(x: float, y: float, radius: float) -> list[Point]:
    """A moon that is open to the right."""
    horn = math.radians(30)
    outer = [_polar(x, y, radius, horn - (math.pi + 2 * horn) * step / 32) for step in range(33)]
    middle = x + radius * 0.36
    right, up = outer[0][0] - middle, y - outer[0][1]
    tip = math.atan2(right, up)
    inner = [_polar(middle, y, math.hypot(right, up), tip - (math.pi + 2 * tip) * step / 32) for step in range(33)]
    return [*outer, *reversed(inner)]


# --- head and shoulders


def _portrait(scene: _Scene) -> None:
    """Head and shoulders before a halo."""
    dice, palette, unit = scene.dice, scene.palette, scene.unit
    x = scene.centre[0]
    wide = dice.between(10.5, 12.8) * unit
    tall = wide * dice.between(1.24, 1.42)
    y = scene.image.height - 54 * unit
    _halo(scene, x, y)
    bust = _Bust(scene, x, y, wide, tall, _mix(palette.near, palette.accent, dice.between(0.12, 0.4)))
    hair, crest = dice.whole(0, 4), dice.whole(0, 9)
    hooded = crest == 0
    if not hooded:
        bust.hair_behind(hair)
    if crest in (1, 2):
        bust.horns(curled=crest == 2)
    elif crest == 3:
        bust.antlers()
    bust.shoulders()
    if hooded:
        bust.hood()
    if dice.chance(0.4) and not hooded:
        bust.ears()
    bust.face()
    if not hooded:
        bust.hair_above(hair)
    if crest == 4:
        bust.crown()
    elif crest == 5:
        bust.hat()
    elif crest == 6:
        bust.circlet()
    elif crest == 7:
        bust.laurel()


def _halo(scene: _Scene, x: float, y: float) -> None:
    dice, palette, unit = scene.dice, scene.palette, scene.unit
    radius = dice.between(27, 31) * unit
    disc = _mix(palette.light, palette.bottom, dice.between(0.12, 0.4))
    kind = dice.whole(0, 4)
    if kind == 0:
        scene.shape(_star(x, y, radius + 13 * unit, dice.whole(12, 20), 0.74), _mix(disc, palette.bottom, 0.35))
    elif kind == 1:
        count = dice.whole(10, 18) * 2
        for ray in range(count):
            inner, outer = radius + 4 * unit, radius + (12 if ray % 2 else 8) * unit
            angle, slim = 2 * math.pi * ray / count, math.pi / count * 0.36
            points = [_polar(x, y, inner, angle - slim), _polar(x, y, outer, angle), _polar(x, y, inner, angle + slim)]
            scene.shape(points, palette.light)
        scene.ring(x, y, radius + 2.6 * unit, palette.light)
    elif kind == 2:
        for ring in range(dice.whole(2, 4)):
            scene.ring(x, y, radius + (3 + 2.9 * ring) * unit, _mix(palette.light, palette.bottom, 0.18 * ring), 0.4)
    elif kind == 3:
        count = dice.whole(9, 16)
        scene.ring(x, y, radius + 6 * unit, palette.light, 0.35)
        for dot in range(count):
            scene.disc(*_polar(x, y, radius + 6 * unit, 2 * math.pi * dot / count), 1.4 * unit, palette.light)
    else:
        scene.ring(x, y, radius + 3 * unit, palette.light)
        for phase in range(-3, 4):
            at = _polar(x, y, radius + 8.5 * unit, phase * 0.42)
            size = (3.0 - abs(phase) * 0.4) * unit
            scene.disc(*at, size, palette.light)
            if phase:
                shift = math.copysign(size * (1.5 - 0.35 * abs(phase)), phase)
                scene.disc(at[0] - shift, at[1], size * 1.02, _sky_at(scene, at[1]))
    scene.disc(x, y, radius, disc)
    scene.ring(x, y, radius - 1.8 * unit, _mix(disc, palette.near, 0.25), 0.35)


def _sky_at(scene: _Scene, y: float) -> Colour:
    share = max(0.0, min(1.0, y / scene.image.height))
    return _mix(scene.palette.top, scene.palette.bottom, share**1.25)


@dataclass(frozen=True)
class _Bust:
    """A figure whose head is centred at x, y; wide and tall are half the head's size, in pixels."""

    scene: _Scene
    x: float
    y: float
    wide: float
    tall: float
    cloth: Colour

    def at(self, right: float, down: float) -> Point:
        """A point of the figure, in half heads from the middle of the head."""
        return self.x + right * self.wide, self.y + down * self.tall

    def both(self, points: Sequence[Point]) -> list[Point]:
        """A closed shape from its right half, given from top to bottom in half heads."""
        right = _curve([self.at(*point) for point in points])
        return [*right, *((2 * self.x - x, y) for x, y in reversed(right))]

    @property
    def rim(self) -> Colour:
        return self.scene.palette.light

    @property
    def hair_colour(self) -> Colour:
        return _mix(self.scene.palette.near, self.scene.palette.far, 0.35)

    @property
    def bone_colour(self) -> Colour:
        return _mix(self.scene.palette.far, self.scene.palette.accent, 0.3)

    def shoulders(self) -> None:
        """Cloak, robe and neck, down to the foot of the picture."""
        scene, dice, palette = self.scene, self.scene.dice, self.scene.palette
        broad = dice.between(2.6, 3.3)
        foot = (scene.image.height - self.y) / self.tall + 0.2
        collar = dice.between(0.85, 1.25)
        cloak = [
            (0.75, 0.72),
            (collar + 0.2, 1.0),
            (1.5, 1.42),
            (broad * 0.86, 1.86),
            (broad, 2.7),
            (broad * 1.05, foot),
        ]
        scene.rimmed(self.both(cloak), self.cloth, self.rim)
        skin = _mix(palette.near, palette.far, 0.25)
        neck = _path("0.46 0.3, 0.47 1.0, 0.56 1.35, 0.9 1.62, 0.9 2.3")
        scene.shape(self.both(neck), skin)
        robe_top = [(0.66, 1.16), (0.95, 1.5), (broad * 0.6, 2.0), (broad * 0.74, 2.8), (broad * 0.76, foot)]
        right = _curve([self.at(*point) for point in robe_top])
        opening = self.at(0, dice.between(2.0, 2.5))
        robe = [opening, *right, *((2 * self.x - px, py) for px, py in reversed(right))]
        scene.shape(robe, palette.near)
        trim = [(2 * self.x - right[0][0], right[0][1]), opening, right[0]]
        scene.pen.line(trim, fill=palette.accent, width=scene.hair(1.1), joint="curve")
        scene.pen.line([opening, (self.x, scene.image.height)], fill=palette.accent, width=scene.hair(0.7))
        gem = dice.whole(0, 3)
        if gem == 0:
            scene.disc(*opening, self.wide * 0.24, palette.accent)
            scene.disc(*opening, self.wide * 0.13, palette.near)
        elif gem == 1:
            scene.shape(_star(*opening, self.wide * 0.34, 4, 0.6), palette.light)
        elif gem == 2:
            scene.shape(_star(*opening, self.wide * 0.36, dice.whole(5, 8)), palette.light)

    def outline(self) -> list[Point]:
        """The right half of the face, from the crown to the chin, in half heads."""
        jaw = self.scene.dice.between(0.5, 0.74)
        return [(0, -1.0), (0.6, -0.86), (0.95, -0.35), (0.9, 0.18), (jaw, 0.7), (0.26, 0.97), (0, 1.02)]

    def face(self) -> None:
        """Lit from the left: the profile of the nose parts light from shade."""
        scene, palette = self.scene, self.scene.palette
        half = self.outline()
        lit = _mix(palette.far, palette.light, 0.16)
        shade = _mix(palette.near, palette.far, 0.35)
        scene.rimmed(self.both(half), lit, self.rim, 0.5)
        nose = self.scene.dice.between(-0.3, -0.16)
        profile = [
            (0.06, -1.0),
            (0.0, -0.35),
            (0.02, -0.2),
            (nose, 0.3),
            (0.0, 0.4),
            (-0.1, 0.52),
            (0.0, 0.6),
            (-0.05, 0.72),
            (0, 1.02),
        ]
        line = [self.at(*point) for point in profile]
        scene.shape([*line, *reversed(_curve([self.at(*point) for point in half]))], shade)
        for side in (-1, 1):
            eye = [(side * 0.22, 0.0), (side * 0.42, -0.09), (side * 0.64, -0.03), (side * 0.42, 0.05)]
            scene.shape(_curve([self.at(*p) for p in eye], True), palette.near if side < 0 else palette.light)
            brow = [self.at(side * 0.16, -0.14), self.at(side * 0.4, -0.24), self.at(side * 0.72, -0.14)]
            scene.pen.line(_curve(brow), fill=palette.near, width=scene.hair(0.7))
        mouth = [self.at(-0.3, 0.56), self.at(-0.08, 0.54), self.at(0.1, 0.56), self.at(0.28, 0.55)]
        scene.pen.line(_curve(mouth), fill=palette.near, width=scene.hair(0.5))

    def ears(self) -> None:
        """Long and pointed."""
        reach = self.scene.dice.between(1.45, 1.9)
        for side in (-1, 1):
            points = [(side * 0.84, -0.25), (side * reach, -0.62), (side * 1.2, 0.05), (side * 0.84, 0.3)]
            colour = _mix(self.scene.palette.near, self.scene.palette.far, 0.9 if side < 0 else 0.4)
            self.scene.rimmed(_curve([self.at(*p) for p in points], True), colour, self.rim, 0.4)

    def hair_behind(self, kind: int) -> None:
        """What of the hair hangs behind the shoulders and the neck."""
        if kind == 1:  # long
            shape = _path("0 -1.16, 0.8 -1.0, 1.22 -0.3, 1.25 0.6, 1.5 1.5, 1.3 1.9")
        elif kind == 2:  # a mane
            shape = _path("0 -1.3, 0.9 -1.18, 1.45 -0.5, 1.5 0.3, 1.2 1.0, 0.9 1.3")
        elif kind == 3:  # to the chin
            shape = _path("0 -1.14, 0.8 -0.98, 1.16 -0.3, 1.2 0.4, 1.12 0.82, 0.6 0.86")
        else:
            return
        self.scene.rimmed(self.both(shape), self.hair_colour, self.rim, 0.5)

    def hair_above(self, kind: int) -> None:
        """What of the hair frames the brow."""
        if kind == 0:
            return
        if kind == 4:  # a knot
            self.scene.disc(*self.at(-0.02, -1.24), self.wide * 0.42, self.rim)
            self.scene.disc(*self.at(0.03, -1.22), self.wide * 0.41, self.hair_colour)
        parting = self.scene.dice.between(-0.35, 0.35)
        low = -0.1 if kind != 4 else -0.45
        cap = [(-1.02, low), (-1.04, -0.5), (-0.62, -1.0), (0, -1.15), (0.62, -1.0), (1.04, -0.5), (1.02, low)]
        brow = [(0.88, -0.4), (0.5, -0.66), (parting, -0.82), (-0.5, -0.66), (-0.88, -0.4)]
        points = _curve([self.at(*p) for p in [*cap, *brow]], True)
        self.scene.shape(points, self.hair_colour)

    def horns(self, curled: bool) -> None:
        """Swept up, or curled."""
        for side in (-1, 1):
            if not curled:
                outer = _path("0.3 -0.85, 1.05 -1.1, 1.5 -1.6, 1.35 -2.15")
                inner = _path("1.2 -1.55, 0.9 -1.2, 0.6 -0.55, 0.3 -0.55")
            else:
                outer = _path("0.5 -0.95, 1.3 -1.25, 1.85 -0.7, 1.75 0.05, 1.35 0.2")
                inner = _path("1.52 -0.08, 1.56 -0.55, 1.25 -0.86, 0.8 -0.55, 0.5 -0.6")
            points = _curve([self.at(side * px, py) for px, py in outer])
            points += _curve([self.at(side * px, py) for px, py in inner])
            self.scene.rimmed(points, self.bone_colour, self.rim, 0.5)

    def antlers(self) -> None:
        """Four tines a side."""
        beams = [_path("0.4 -0.8, 0.75 -1.3, 1.3 -1.7, 1.45 -2.3")]
        beams += [[(0.68, -1.2), (0.45, -1.6), (0.5, -2.0)], [(1.1, -1.56), (1.0, -1.9), (1.05, -2.25)]]
        beams += [[(1.3, -1.72), (1.7, -1.8), (1.9, -2.05)]]
        for off, colour in ((0.4, self.rim), (0.0, self.bone_colour)):
            for side in (-1, 1):
                for number, beam in enumerate(beams):
                    shift = off * self.scene.unit
                    line = [(px - shift, py - shift) for px, py in (self.at(side * bx, by) for bx, by in beam)]
                    width = self.scene.hair(1.7 if number == 0 else 1.2)
                    self.scene.pen.line(_curve(line), fill=colour, width=width, joint="curve")

    def hood(self) -> None:
        """Drawn up over the head, its inside dark."""
        scene = self.scene
        outer = _path("0 -1.62, 0.5 -1.38, 1.2 -0.72, 1.42 0.1, 1.36 0.9, 1.6 1.5, 0.6 2.05")
        inner = _path("0 -1.2, 0.6 -1.02, 1.02 -0.5, 1.1 0.15, 0.98 0.8, 0.6 1.3, 0 1.6")
        scene.rimmed(self.both(outer), self.cloth, self.rim)
        scene.shape(self.both(inner), scene.palette.near)

    def crown(self) -> None:
        """With five points."""
        scene, palette = self.scene, self.scene.palette
        rim = [self.at(-0.98, -0.52)]
        for tooth in range(9):
            rim.append(
                self.at(-1.08 + 0.27 * tooth, (-1.38 - 0.12 * (4 - abs(tooth - 4)) / 2) if tooth % 2 == 0 else -0.98)
            )
        scene.rimmed([*rim, self.at(0.98, -0.52), self.at(0, -0.66)], palette.accent, self.rim, 0.4)
        for tooth in range(0, 9, 2):
            scene.disc(*self.at(-1.08 + 0.27 * tooth, -1.42 - 0.06 * (4 - abs(tooth - 4))), self.wide * 0.09, self.rim)

    def hat(self) -> None:
        """Wide-brimmed and pointed."""
        scene = self.scene
        crown = _path("-0.92 -0.62, -0.62 -1.3, -0.1 -2.1, 0.3 -2.3, 0.34 -1.7, 0.66 -1.2, 0.92 -0.62")
        scene.rimmed(_curve([self.at(*p) for p in crown]), self.cloth, self.rim, 0.5)
        brim = _path("0 -0.78, 1.2 -0.84, 2.15 -0.56, 1.2 -0.52, 0 -0.42")
        scene.rimmed(self.both(brim), _mix(self.cloth, scene.palette.near, 0.35), self.rim, 0.4)
        ribbon = [self.at(-0.84, -0.86), self.at(0, -0.98), self.at(0.82, -0.86)]
        scene.pen.line(_curve(ribbon), fill=scene.palette.accent, width=scene.hair(1.3))

    def circlet(self) -> None:
        """With one stone."""
        line = [
            self.at(-0.99, -0.42),
            self.at(-0.5, -0.56),
            self.at(0, -0.6),
            self.at(0.5, -0.56),
            self.at(0.99, -0.42),
        ]
        self.scene.pen.line(_curve(line), fill=self.scene.palette.accent, width=self.scene.hair(1.1))
        self.scene.shape(_star(*self.at(0, -0.6), self.wide * 0.24, 4, 0.5), self.rim)

    def laurel(self) -> None:
        """Leaves round the brow."""
        for side in (-1, 1):
            for leaf in range(6):
                at = self.at(side * (0.16 + 0.175 * leaf), -0.95 + 0.02 * leaf**2)
                turn = side * (1.1 + 0.12 * leaf)
                tip, size = _polar(*at, self.wide * 0.5, turn - side * 0.8), self.wide * 0.5
                belly = (_polar(*at, size * 0.55, turn - side * 0.3), _polar(*at, size * 0.55, turn - side * 1.3))
                self.scene.shape(_curve([at, belly[0], tip, belly[1]], True), self.scene.palette.accent)


# --- other compositions


def _mountains(scene: _Scene) -> None:
    """A moon over ranges that grow darker towards us, and a tower on one of them."""
    dice, palette, unit = scene.dice, scene.palette, scene.unit
    width, height = scene.image.size
    x, y = width * dice.between(0.3, 0.7), height * dice.between(0.22, 0.34)
    moon = dice.between(11, 17) * unit
    for ring in range(3, 0, -1):
        scene.disc(x, y, moon * (1 + 0.22 * ring), _mix(_sky_at(scene, y), palette.light, 0.22 - 0.055 * ring))
    scene.disc(x, y, moon, _mix(palette.light, _INK, 0.25))
    ranges = dice.whole(4, 5)
    haze = _mix(palette.bottom, palette.light, 0.18)
    tower = dice.whole(1, ranges - 2) if dice.chance(0.7) else -1
    for layer in range(ranges):
        share = layer / (ranges - 1)
        base = height * (0.52 + 0.40 * share)
        colour = _mix(_mix(palette.far, haze, 0.45), palette.near, share**0.8)
        ridge = _ridge(dice, width, base, (22 - 13 * share) * unit, 5 if layer < 2 else 7)
        if layer == tower:
            _tower(scene, *ridge[dice.whole(len(ridge) // 5, len(ridge) * 4 // 5)], (3.6 - share) * unit, colour)
        scene.shape([*ridge, (width, height), (0, height)], colour)
    for _ in range(dice.whole(3, 6)):  # birds
        at = width * dice.between(0.12, 0.88), height * dice.between(0.1, 0.42)
        span = dice.between(1.1, 2.2) * unit
        wing = _path("-1.0 -0.45, -0.5 -0.6, 0.0 0.0, 0.5 -0.6, 1.0 -0.45")
        scene.pen.line(_curve([(at[0] + a * span, at[1] + b * span) for a, b in wing]), palette.near, scene.hair(0.4))


def _ridge(dice: _Dice, width: float, base: float, rough: float, octaves: int) -> list[Point]:
    """A line of mountains by midpoint displacement, from left to right."""
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


def _tower(scene: _Scene, x: float, foot: float, half: float, colour: Colour) -> None:
    """half: half its width, pixels."""
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


_TINCTURES = (
    # words in a prompt, and the hue in degrees and saturation that they give a shield
    (("red", "gules", "crimson", "blood"), 356, 0.62),
    (("blue", "azure"), 222, 0.55),
    (("green", "vert"), 140, 0.45),
    (("purple", "purpure", "violet"), 284, 0.42),
    (("black", "sable"), 250, 0.10),
)


def _shield(scene: _Scene) -> None:
    """A coat of arms."""
    dice, palette, unit = scene.dice, scene.palette, scene.unit
    x, y = scene.centre
    field, second = palette.near, _mix(palette.far, palette.near, 0.25)
    for words, hue, saturation in _TINCTURES:
        if not scene.words.isdisjoint(words):
            field, second = _hsl(hue, saturation, 0.30), _hsl(hue, saturation, 0.20)
            break
    scene.disc(x, y, 46 * unit, _mix(_sky_at(scene, y), palette.near, 0.45))
    scene.ring(x, y, 46 * unit, palette.light, 0.6)
    scene.ring(x, y, 43.6 * unit, _mix(palette.light, palette.near, 0.45), 0.35)
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
    """eared: with a top edge that dips beside the middle, else straight."""
    rise = half * 0.12 if eared else 0.0
    right = (
        _curve([(x, top - rise * 0.6), (x + half * 0.5, top + rise), (x + half, top - rise)]) if eared else [(x, top)]
    )
    right.append((x + half, top - rise))
    turn = top + (foot - top) * 0.45
    for step in range(15):
        angle = step / 14 * math.pi / 2
        right.append((x + half * math.cos(angle) ** 0.8, turn + (foot - turn) * math.sin(angle)))
    return [*right, *((2 * x - px, py) for px, py in reversed(right))]


def _ordinary(scene: _Scene, pen: ImageDraw.ImageDraw, width: int, height: int, second: Colour) -> None:
    """How the field is divided, within the shield's own box."""
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
            points = [_polar(middle, height * 0.45, height, math.pi * (part + k) / 4) for k in (0, 1)]
            pen.polygon([(middle, height * 0.45), *points], fill=second)
    else:  # chief
        pen.rectangle((0, 0, width, height * 0.27), fill=second)
        pen.line([(0, height * 0.27), (width, height * 0.27)], fill=gold, width=edge)
        for star in range(3):
            at = middle + (star - 1) * width * 0.3
            pen.polygon(_star(at, height * 0.16, width * 0.075, 5), fill=scene.palette.light)


def _charge(scene: _Scene, x: float, y: float, size: float) -> None:
    """What the shield shows: what the prompt names, where that can be drawn, else one by the dice."""
    draws = (_sun_charge, _moon_charge, _star_charge, _tower_charge, _tree_charge, _bird_charge)
    named = (("sun",), ("moon",), ("star",), ("tower", "castle"), ("tree", "oak"), ("raven", "bird", "eagle"))
    hits = [at for at, words in enumerate(named) if not scene.words.isdisjoint(words)]
    draws[hits[-1] if hits else scene.dice.whole(0, len(draws) - 1)](scene, x, y, size)


def _sun_charge(scene: _Scene, x: float, y: float, size: float) -> None:
    scene.shape(_star(x, y, size * 1.2, 16, 0.66), scene.palette.light)
    scene.disc(x, y, size * 0.62, scene.palette.accent)
    scene.ring(x, y, size * 0.62, scene.palette.near, 0.4)


def _moon_charge(scene: _Scene, x: float, y: float, size: float) -> None:
    scene.shape(_crescent(x, y, size), scene.palette.light)
    scene.shape(_star(x + size * 0.45, y, size * 0.3, 5), scene.palette.light)


def _star_charge(scene: _Scene, x: float, y: float, size: float) -> None:
    rays = scene.dice.whole(5, 8)
    scene.shape(_star(x, y, size * 1.2, rays), scene.palette.light)
    scene.shape(_star(x, y, size * 0.55, rays), scene.palette.accent)


def _tower_charge(scene: _Scene, x: float, y: float, size: float) -> None:
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


def _tree_charge(scene: _Scene, x: float, y: float, size: float) -> None:
    light, shade = scene.palette.light, scene.palette.accent
    trunk = _path("-0.14 0.1, -0.16 0.8, -0.6 1.3, 0.0 1.08, 0.6 1.3, 0.16 0.8, 0.14 0.1")
    scene.shape([(x + a * size, y + b * size) for a, b in trunk], light)
    crown = _path("0.0 -0.75, -0.58 -0.4, 0.58 -0.4, -0.4 0.12, 0.4 0.12, 0.0 -0.2")
    for a, b in crown:
        scene.disc(x + a * size, y + b * size, size * 0.46, light)
    for a, b in crown:
        scene.disc(x + a * size * 0.9, y + b * size, size * 0.13, shade)


def _bird_charge(scene: _Scene, x: float, y: float, size: float) -> None:
    light = scene.palette.light
    wing = _path("0.1 -0.35, 0.55 -0.95, 1.15 -1.2, 1.3 -0.5, 1.12 -0.45, 1.1 0.1, 0.9 0.02, 0.8 0.5")
    wing += [(0.62, 0.3), (0.45, 0.62), (0.2, 0.4)]
    for side in (-1, 1):
        scene.shape([(x + side * a * size, y + b * size) for a, b in wing], light)
    body = _path("0 -0.75, 0.24 -0.45, 0.3 0.1, 0.14 0.65, 0.34 1.2, 0 1.08")
    right = _curve([(x + a * size, y + b * size) for a, b in body])
    scene.shape([*right, *((2 * x - px, py) for px, py in reversed(right))], light)
    scene.disc(x, y - size * 0.82, size * 0.24, light)
    beak = [(-0.14, -0.98), (-0.62, -0.78), (-0.14, -0.72)]
    scene.shape([(x + a * size, y + b * size) for a, b in beak], scene.palette.accent)
    scene.disc(x - size * 0.07, y - size * 0.86, size * 0.055, scene.palette.near)


def _rose(scene: _Scene) -> None:
    """A rose window: pointed petals in rings."""
    dice, palette, unit = scene.dice, scene.palette, scene.unit
    x, y = scene.centre
    scene.disc(x, y, 46 * unit, palette.near)
    scene.ring(x, y, 46 * unit, palette.light, 0.8)
    count = dice.whole(4, 7) * 2
    deep = _mix(palette.near, palette.accent, 0.35)
    glass = (
        palette.accent,
        _mix(palette.bottom, palette.far, 0.3),
        palette.light,
        _mix(palette.far, palette.near, 0.2),
    )
    for number in range(count):
        angle = 2 * math.pi * number / count
        half = math.pi / count
        scene.disc(*_polar(x, y, 38.2 * unit, angle + half), min(5.4, 105 / count) * unit, glass[1])
        scene.disc(*_polar(x, y, 38.2 * unit, angle + half), min(2.4, 45 / count) * unit, palette.light)
        _petal(scene, x, y, 12 * unit, 43.5 * unit, angle, half * 0.72, glass[number % 2 * 3])
        _petal(scene, x, y, 18 * unit, 38 * unit, angle, half * 0.42, deep if number % 2 == 0 else glass[1])
    scene.ring(x, y, 43.9 * unit, _mix(palette.light, palette.near, 0.4), 0.4)
    scene.disc(x, y, 17 * unit, palette.near)
    scene.ring(x, y, 17 * unit, palette.light, 0.6)
    for number in range(count):
        _petal(
            scene, x, y, 4 * unit, 15 * unit, 2 * math.pi * (number + 0.5) / count, math.pi / count * 0.8, palette.light
        )
    scene.disc(x, y, 5 * unit, palette.accent)
    scene.disc(x, y, 2.4 * unit, palette.near)


def _petal(
    scene: _Scene, x: float, y: float, inner: float, outer: float, angle: float, half: float, fill: Colour
) -> None:
    """half: half its width at the middle, radians."""
    middle = inner + (outer - inner) * 0.62
    belly = (_polar(x, y, middle, angle - half), _polar(x, y, middle, angle + half))
    first, last = _polar(x, y, inner, angle), _polar(x, y, outer, angle)
    low = (
        _polar(x, y, inner + (outer - inner) * 0.25, angle - half),
        _polar(x, y, inner + (outer - inner) * 0.25, angle + half),
    )
    scene.shape([*_curve([first, low[0], belly[0], last]), *_curve([last, belly[1], low[1], first])], fill)


def _sun(scene: _Scene) -> None:
    """A sun as on old cards: straight rays and waving ones, above clouds."""
    dice, palette, unit = scene.dice, scene.palette, scene.unit
    x, y = scene.centre
    scene.disc(x, y, 46 * unit, _mix(_sky_at(scene, y), palette.near, 0.35))
    scene.ring(x, y, 46 * unit, palette.light, 0.6)
    rays = dice.whole(7, 10)
    for ray in range(rays * 2):
        angle = math.pi * ray / rays
        half = math.pi / rays * 0.42
        if ray % 2 == 0:
            points = [
                _polar(x, y, 18 * unit, angle - half),
                _polar(x, y, 43 * unit, angle),
                _polar(x, y, 18 * unit, angle + half),
            ]
            scene.shape(points, palette.light)
            scene.shape([*points[1:], _polar(x, y, 18 * unit, angle)], palette.accent)
        else:
            left: list[Point] = []
            right: list[Point] = []
            for step in range(13):
                share = step / 12
                sway = math.sin(share * 2 * math.pi) * half * 0.5
                slim = half * 0.62 * (1 - share)
                reach = (18 + 21 * share) * unit
                left.append(_polar(x, y, reach, angle + sway - slim))
                right.append(_polar(x, y, reach, angle + sway + slim))
            scene.shape([*left, *reversed(right)], _mix(palette.accent, palette.light, 0.35))
    scene.disc(x, y, 19.5 * unit, palette.near)
    scene.disc(x, y, 18.3 * unit, palette.light)
    if dice.chance(0.5):
        scene.disc(x, y, 15.5 * unit, palette.accent)
        scene.disc(x, y, 14.8 * unit, palette.near)
        scene.shape(_crescent(x, y, 10.5 * unit), palette.light)
        return
    scene.ring(x, y, 16.2 * unit, palette.accent, 0.5)
    width = scene.hair(0.8)
    for side in (-1, 1):
        lid = [(x + side * a * unit, y - b * unit) for a, b in ((2.6, 2.4), (5.5, 4.4), (8.6, 2.6))]
        scene.pen.line(_curve(lid), fill=palette.near, width=width)
        low = [(x + side * a * unit, y - b * unit) for a, b in ((3.2, 2.0), (5.6, 0.7), (8.2, 2.2))]
        scene.pen.line(_curve(low), fill=palette.near, width=width)
        scene.disc(x + side * 5.6 * unit, y - 2.3 * unit, 1.3 * unit, palette.near)
        scene.disc(x + side * 9.2 * unit, y + 3.6 * unit, 2.2 * unit, _mix(palette.light, palette.accent, 0.6))
    nose = [(x - 0.6 * unit, y - 3 * unit), (x - 1.6 * unit, y + 3.4 * unit), (x + 1.4 * unit, y + 3.6 * unit)]
    scene.pen.line(_curve(nose), fill=palette.near, width=width)
    mouth = [(x + a * unit, y + b * unit) for a, b in _path("-4.6 6.8, -2 8.2, 2 8.2, 4.6 6.8")]
    scene.pen.line(_curve(mouth), fill=palette.near, width=width)


def _gate(scene: _Scene) -> None:
    """Pointed arches, one within the other, and a light at the end."""
    dice, palette, unit = scene.dice, scene.palette, scene.unit
    x = scene.centre[0]
    foot = float(scene.image.height)
    arches = dice.whole(5, 7)
    glow = _mix(palette.light, palette.bottom, 0.15)
    for arch in range(arches):
        share = arch / (arches - 1)
        half = (40 - 27 * share) * unit
        spring = foot - (58 - 20 * share) * unit
        colour = _mix(
            _mix(palette.near, palette.far, 0.15 + 0.1 * (arch % 2)), _mix(palette.accent, glow, share), share**1.3
        )
        scene.rimmed(_arch(x, half, spring, foot + unit), colour, _mix(palette.light, colour, 0.25 + 0.3 * share), 0.55)
    last = foot - 38 * unit
    if dice.chance(0.5):
        scene.disc(x, last + 2 * unit, 6 * unit, _INK)
    else:
        scene.shape(_star(x, last + 1 * unit, 9 * unit, 8, 0.32), _INK)
    for step in range(5):
        top = foot - (10 - 2.2 * step) * unit
        half = (13 + 5.4 * step) * unit
        tone = _mix(_mix(palette.near, palette.accent, 0.5), palette.near, step / 4)
        scene.pen.rectangle((x - half, top, x + half, foot), fill=tone)
        scene.pen.line([(x - half, top), (x + half, top)], fill=_mix(tone, palette.light, 0.5), width=scene.hair(0.35))
    robe = _path("0 -17, 1.5 -15.6, 1.2 -13.6, 2.8 -11.5, 3.6 -2, 3.9 0")
    right = _curve([(x + a * unit, foot - 8 * unit + b * unit) for a, b in robe])
    scene.shape([*right, *((2 * x - px, py) for px, py in reversed(right))], palette.near)


def _arch(x: float, half: float, spring: float, foot: float) -> list[Point]:
    """A pointed arch. spring: where the curve begins, pixels from the top."""
    right = []
    for step in range(17):
        angle = math.pi / 3 * step / 16
        right.append((x - half + 2 * half * math.cos(angle), spring - 2 * half * math.sin(angle) * 0.8))
    return [(x - half, foot), (x + half, foot), *right, *((2 * x - px, py) for px, py in reversed(right))]


_ANY: tuple[Callable[[_Scene], None], ...] = (_portrait, _mountains, _shield, _rose, _sun, _gate)
_SUBJECTS: tuple[tuple[tuple[str, ...], tuple[Callable[[_Scene], None], ...]], ...] = (
    (("heraldic", "heraldry", "shield", "crest", "emblem"), (_shield,)),
    (("portrait", "portraits", "face", "shoulders", "eyes", "bust"), (_portrait,)),
    (("landscape", "mountain", "mountains", "valley", "hills"), (_mountains,)),
    (("gate", "door", "dungeon", "corridor", "temple", "portal"), (_gate,)),
    (("rune", "sigil", "glyph", "icon", "spell"), (_rose, _sun)),
)


# --- the card's words


@dataclass(frozen=True)
class _Line:
    """One line of text; height in pixels, with the space to the next. rank: the higher, the sooner it is left out."""

    text: str
    font: Font
    colour: str
    height: float
    rank: int


@dataclass(frozen=True)
class _Panel:
    """Where the words go, and which; box in pixels, empty where there is no room for words."""

    box: Box
    lines: tuple[_Line, ...]
    unit: float


def _panel(request: Request, width: int, height: int, top: int) -> _Panel:
    """Below the picture, or on a wide card beside it."""
    beside = width > height * 2
    if beside:
        wide = min(width // 2, max(round(height * 1.9), width // 3))
        unit = min(wide / 92, (height - top) / 46)
        room, most = wide, height - top
    else:
        unit = min(width / 100, height / 90)
        room, most = width, round(height * (0.42 if height <= width * 3 else 0.3))
    lines = _lines(request, unit, room - max(4.0, 12 * unit), most - 6 * unit)
    if not lines:
        return _Panel((0, height, width, height), (), unit)
    if beside:
        return _Panel((width - wide, top, width, height), lines, unit)
    tall = round(sum(line.height for line in lines) + 8.5 * unit)
    return _Panel((0, height - tall, width, height), lines, unit)


def _lines(request: Request, unit: float, room: float, most: float) -> tuple[_Line, ...]:
    """As many as fit into `most` pixels: the name goes last, the prompt's later lines first."""
    if room < 20:
        return ()
    lines = _title(_drawable(request.name) or _code_points(request.name), max(8.0, 8.6 * unit), room)
    words, small = max(7.5, 3.15 * unit), max(7.0, 2.6 * unit)
    if unit >= 1.2:
        prompt = _wrapped(_drawable(request.prompt), _font(words), room, 3)
        lines += [_Line(text, _font(words), "prompt", words * 1.36, 3 + at) for at, text in enumerate(prompt)]
    if unit >= 0.9:
        caption = _caption(request, _font(small), room)
        lines += [_Line(text, _font(small), "caption", small * 1.62, 1 + at) for at, text in enumerate(caption)]
    while lines and sum(line.height for line in lines) > most:
        lines.remove(max(lines, key=lambda line: line.rank))
    return tuple(lines)


def _title(name: str, size: float, room: float) -> list[_Line]:
    """The name in one line, smaller where it must be, in two where it is long."""
    if not name:
        return []
    long = _length(_font(size), name) / room
    if long > 1.35 and " " in name:
        font = _font(max(8.0, size * min(0.78, 1.7 / long)))
        return [_Line(text, font, "name", _size(font) * 1.22, 0) for text in _wrapped(name, font, room, 2)]
    font = _font(max(7.0, size / max(1.0, min(long, 1.9))))
    return [_Line(_wrapped(name, font, room, 1)[0], font, "name", _size(font) * 1.34, 0)]


def _caption(request: Request, font: Font, room: float) -> list[str]:
    parts = [
        f"{request.width}×{request.height}",
        f"seed {request.seed}",
        f"{request.steps} steps",
        f"CFG {request.cfg:g}",
        f"{request.sampler}/{request.scheduler}",
    ]
    return _wrapped("\n".join(_drawable(part) for part in parts), font, room, 2, "\n", "  ·  ")


def _wrapped(text: str, font: Font, room: float, most: int, cut: str | None = None, glue: str = " ") -> list[str]:
    """The text in at most that many lines of `room` pixels, with … where there is more."""
    words = [word for word in text.split(cut) if word]
    lines: list[str] = []
    while words and len(lines) < most:
        line = words.pop(0)
        while words and _length(font, line + glue + words[0]) <= room:
            line += glue + words.pop(0)
        lines.append(line)
    if words and cut is None:
        while " " in lines[-1] and _length(font, lines[-1] + " …") > room:
            lines[-1] = lines[-1].rpartition(" ")[0]
        lines[-1] = lines[-1].rstrip(",;:. ") + " …"
    return [_cut(line, font, room) for line in lines]


def _cut(line: str, font: Font, room: float) -> str:
    if _length(font, line) <= room:
        return line
    while line and _length(font, line + "…") > room:
        line = line[: -max(1, len(line) // 16)].rstrip(" …")
    return line + "…"


def _drawable(text: str) -> str:
    """The text as the embedded font can draw it: other letters in ASCII ones, and what has none left out."""
    text = text[:_LONGEST].replace("×", "x")
    if not text.isascii():
        from text_unidecode import unidecode  # a dependency of python-slugify

        text = "".join(sign if sign in _KNOWN else unidecode(sign) for sign in text)
    text = " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
    return text.replace(" ,", ",")


def _code_points(text: str) -> str:
    """A name of which no letter can be drawn, as U+1F409."""
    return " ".join(f"U+{ord(sign):04X}" for sign in text[:3] if not sign.isspace())


def _font(size: float) -> Font:
    """size: pixels. Without FreeType there is one bitmap font in one size."""
    try:
        return ImageFont.load_default(round(size, 1))
    except ImportError:
        return ImageFont.load_default()


def _length(font: Font, text: str) -> float:
    return font.getlength(_encodable(font, text))


def _encodable(font: Font, text: str) -> str:
    """The bitmap font takes Latin-1 only."""
    return text if isinstance(font, ImageFont.FreeTypeFont) else text.encode("latin-1", "replace").decode("latin-1")


def _size(font: Font) -> float:
    return font.size if isinstance(font, ImageFont.FreeTypeFont) else 11.0


def _finish(card: Image.Image, panel: _Panel, top: int, palette: _Palette) -> None:
    """The words, the band on top, and a frame about it all."""
    width, height = card.size
    unit = min(width, height) / 100
    pen = ImageDraw.Draw(card)
    left, upper, right, lower = panel.box
    colours = {"name": _INK, "prompt": _mix(_INK, palette.bottom, 0.2), "caption": palette.light}
    rule = max(1, round(unit * 0.45))
    if panel.lines:
        beside = left > 0
        pen.rectangle((left, upper, right, lower), fill=_mix(_NIGHT, palette.near, 0.35))
        pen.line((left, upper, left, lower) if beside else (left, upper, right, upper), fill=palette.accent, width=rule)
        tall = sum(line.height for line in panel.lines)
        y = upper + (lower - upper - tall) / 2 if beside else upper + 3.2 * panel.unit
        middle = (left + right) / 2
        for line in panel.lines:
            x = middle - _length(line.font, line.text) / 2
            pen.text((x, y), _encodable(line.font, line.text), font=line.font, fill=colours[line.colour])
            y += line.height
        if not beside and unit > 2:
            pen.polygon(_star(middle, upper, 1.9 * unit, 4, 0.55), fill=palette.accent)
    edge = max(2, round(1.3 * unit)) if unit >= 1.5 else 0
    _band(pen, width, top, edge, palette)
    if edge:
        _frame(pen, width, height, edge, palette)


def _band(pen: ImageDraw.ImageDraw, width: int, tall: int, edge: int, palette: _Palette) -> None:
    """The word, its letters spaced where there is room. edge: what the frame will cover, pixels."""
    pen.rectangle((0, 0, width, tall - 1), fill=_NIGHT)
    rule = max(1, tall // 16)
    pen.rectangle((0, tall - rule, width, tall - 1), fill=palette.accent)
    size = tall * 0.5
    for text in (" ".join(BAND), BAND):
        font = _font(max(6.0, size))
        while _length(font, text) > width * 0.86 and _size(font) > 6.5 and isinstance(font, ImageFont.FreeTypeFont):
            font = _font(max(6.0, _size(font) * 0.92))
        if _length(font, text) <= width * 0.94 and _size(font) <= tall * 0.95:
            pen.text(
                ((width - _length(font, text)) / 2, (tall - rule + edge) / 2 - _size(font) * 0.6), text, _INK, font
            )
            return


def _frame(pen: ImageDraw.ImageDraw, width: int, height: int, edge: int, palette: _Palette) -> None:
    unit = min(width, height) / 100
    pen.rectangle((0, 0, width - 1, height - 1), outline=_mix(_NIGHT, palette.near, 0.5), width=edge)
    line = max(1, round(unit * 0.28))
    pen.rectangle((edge, edge, width - 1 - edge, height - 1 - edge), outline=palette.accent, width=line)
    if unit < 2.5:
        return
    corner = 2.2 * unit
    for x in (edge, width - 1 - edge):
        for y in (edge, height - 1 - edge):
            pen.polygon([(x - corner, y), (x, y - corner), (x + corner, y), (x, y + corner)], fill=palette.accent)
            inner = corner * 0.55
            pen.polygon([(x - inner, y), (x, y - inner), (x + inner, y), (x, y + inner)], fill=_NIGHT)
