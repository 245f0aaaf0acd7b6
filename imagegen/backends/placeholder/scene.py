"""What a picture is drawn on, and the curves that pictures are made of."""

from __future__ import annotations

import colorsys
import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from imagegen.plan.request import Request

__all__ = [
    "INK",
    "NIGHT",
    "Colour",
    "Dice",
    "Palette",
    "Point",
    "Scene",
    "close_shape",
    "crescent_points",
    "curve_points",
    "hsl",
    "mix",
    "palette_of",
    "path_points",
    "polar_point",
    "sky_colour",
    "star_points",
]


Point = tuple[float, float]


@dataclass(frozen=True)
class Scene:
    """What a composition draws on. Coordinates are in pixels of `image`, x to the right and y down."""

    image: Image.Image
    pen: ImageDraw.ImageDraw
    palette: Palette
    dice: Dice
    words: frozenset[str]
    """The prompt's, in lower case."""

    @property
    def unit(self) -> float:
        """A hundredth of the shorter side."""
        return min(self.image.size) / 100

    @property
    def centre(self) -> Point:
        """The middle of the picture, in pixels."""
        return self.image.width / 2, self.image.height / 2

    def hair(self, share: float = 0.5) -> int:
        """Return a line's width in pixels: so many units."""
        return max(1, round(self.unit * share))

    def disc(self, x: float, y: float, radius: float, fill: Colour) -> None:
        """Draw a filled circle; x, y and radius in pixels."""
        self.pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill)

    def ring(self, x: float, y: float, radius: float, line: Colour, share: float = 0.5) -> None:
        """Draw a circle. share: the line's width, units."""
        box = (x - radius, y - radius, x + radius, y + radius)
        self.pen.ellipse(box, outline=line, width=self.hair(share))

    def shape(self, points: Sequence[Point], fill: Colour) -> None:
        """Draw a filled polygon."""
        self.pen.polygon(points, fill=fill)

    def rimmed(self, points: Sequence[Point], fill: Colour, rim: Colour, share: float = 0.7) -> None:
        """Draw a shape with light falling on it from the upper left. share: the rim's width, units."""
        off = self.unit * share
        self.pen.polygon([(x - off, y - off * 0.6) for x, y in points], fill=rim)
        self.pen.polygon(points, fill=fill)


def curve_points(points: Sequence[Point], closed: bool = False, steps: int = 7) -> list[Point]:
    """Return a smooth line through the points (Catmull-Rom)."""
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


def close_shape(right: Sequence[Point], x: float) -> list[Point]:
    """Return a closed shape from its right half, mirrored at the vertical line through x."""
    return [*right, *((2 * x - px, py) for px, py in reversed(right))]


def path_points(text: str) -> list[Point]:
    """Read points written as `x y, x y, …`."""
    return [(float(x), float(y)) for x, y in (pair.split() for pair in text.split(","))]


def star_points(x: float, y: float, radius: float, rays: int, waist: float = 0.45) -> list[Point]:
    """Return a star. waist: the inner radius, as a share of the outer one."""
    return [
        polar_point(x, y, radius * (waist if point % 2 else 1), math.pi * point / rays) for point in range(rays * 2)
    ]


def polar_point(x: float, y: float, radius: float, angle: float) -> Point:
    """Return a point of a circle. angle: radians, clockwise from straight up."""
    return x + radius * math.sin(angle), y - radius * math.cos(angle)


def crescent_points(x: float, y: float, radius: float) -> list[Point]:
    """Return a moon that is open to the right."""
    horn = math.radians(30)
    outer = [polar_point(x, y, radius, horn - (math.pi + 2 * horn) * step / 32) for step in range(33)]
    middle = x + radius * 0.36
    right, up = outer[0][0] - middle, y - outer[0][1]
    tip = math.atan2(right, up)
    inner = [polar_point(middle, y, math.hypot(right, up), tip - (math.pi + 2 * tip) * step / 32) for step in range(33)]
    return [*outer, *reversed(inner)]


def sky_colour(scene: Scene, y: float) -> Colour:
    """Return the colour that the sky has at this height, in pixels from the top."""
    share = max(0.0, min(1.0, y / scene.image.height))
    return mix(scene.palette.top, scene.palette.bottom, share**1.25)


Colour = tuple[int, int, int]


INK: Colour = (244, 238, 224)


NIGHT: Colour = (20, 18, 26)


class Dice:
    """A stream of choices that follows from the request alone."""

    def __init__(self, request: Request) -> None:
        # the size and the name are left out: what is meant to be one subject keeps its look at every size
        decisive = ("prompt", "negative", "seed", "steps", "cfg", "sampler", "scheduler")
        # JSON in ASCII takes any text, a lone surrogate too
        self._key = hashlib.sha256(json.dumps([getattr(request, field) for field in decisive]).encode()).digest()
        self._count = 0

    def number(self) -> float:
        """Return a number from 0 up to 1."""
        self._count += 1
        digest = hashlib.sha256(self._key + str(self._count).encode()).digest()
        return int.from_bytes(digest[:6], "big") / 2**48

    def between(self, low: float, high: float) -> float:
        """Return a number from low up to high."""
        return low + (high - low) * self.number()

    def whole(self, low: int, high: int) -> int:
        """Return a whole number from low to high, both included."""
        return low + int(self.number() * (high - low + 1))

    def chance(self, share: float) -> bool:
        """Return True in that share of all cases."""
        return self.number() < share


@dataclass(frozen=True)
class Palette:
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


def palette_of(dice: Dice) -> Palette:
    """Choose the palette of a card."""
    above, horizon, shine = _SCHEMES[dice.whole(0, len(_SCHEMES) - 1)]
    turn = dice.between(-9, 9)
    depth = dice.between(0.17, 0.24)
    return Palette(
        top=hsl(above + turn, 0.48, depth),
        bottom=hsl(horizon + turn, dice.between(0.34, 0.46), dice.between(0.50, 0.58)),
        light=hsl(shine + turn, 0.66, 0.83),
        accent=hsl(shine + turn, 0.58, 0.58),
        near=hsl(above + turn, 0.40, 0.115),
        far=hsl(above + turn, 0.34, 0.33),
    )


def hsl(hue: float, saturation: float, lightness: float) -> Colour:
    """Return the colour. hue: degrees. saturation, lightness: 0 … 1."""
    red, green, blue = colorsys.hls_to_rgb(hue / 360 % 1.0, lightness, saturation)
    return round(red * 255), round(green * 255), round(blue * 255)


def mix(one: Colour, other: Colour, share: float) -> Colour:
    """Mix two colours. share: how much of the other, 0 … 1."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue
