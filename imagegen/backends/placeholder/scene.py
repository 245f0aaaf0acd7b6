"""What a picture is drawn on, and the curves that pictures are made of."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from imagegen.backends.placeholder.palette import Colour, Dice, Palette, mix

__all__ = [
    "Point",
    "Scene",
    "crescent_points",
    "curve_points",
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
    """Of the prompt, in lower case."""

    @property
    def unit(self) -> float:
        """A hundredth of the shorter side."""
        return min(self.image.size) / 100

    @property
    def centre(self) -> Point:
        """Of the picture, in pixels."""
        return self.image.width / 2, self.image.height / 2

    def hair(self, share: float = 0.5) -> int:
        """A line's width in pixels: so many units."""
        return max(1, round(self.unit * share))

    def disc(self, x: float, y: float, radius: float, fill: Colour) -> None:
        """A filled circle; x, y and radius in pixels."""
        self.pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill)

    def ring(self, x: float, y: float, radius: float, line: Colour, share: float = 0.5) -> None:
        """share: the line's width, units."""
        box = (x - radius, y - radius, x + radius, y + radius)
        self.pen.ellipse(box, outline=line, width=self.hair(share))

    def shape(self, points: Sequence[Point], fill: Colour) -> None:
        """A filled polygon."""
        self.pen.polygon(points, fill=fill)

    def rimmed(self, points: Sequence[Point], fill: Colour, rim: Colour, share: float = 0.7) -> None:
        """A shape with light falling on it from the upper left. share: the rim's width, units."""
        off = self.unit * share
        self.pen.polygon([(x - off, y - off * 0.6) for x, y in points], fill=rim)
        self.pen.polygon(points, fill=fill)


def curve_points(points: Sequence[Point], closed: bool = False, steps: int = 7) -> list[Point]:
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


def path_points(text: str) -> list[Point]:
    """Points as `x y, x y, …`."""
    return [(float(x), float(y)) for x, y in (pair.split() for pair in text.split(","))]


def star_points(x: float, y: float, radius: float, rays: int, waist: float = 0.45) -> list[Point]:
    """waist: the inner radius, as a share of the outer one."""
    return [
        polar_point(x, y, radius * (waist if point % 2 else 1), math.pi * point / rays) for point in range(rays * 2)
    ]


def polar_point(x: float, y: float, radius: float, angle: float) -> Point:
    """angle: radians, clockwise from straight up."""
    return x + radius * math.sin(angle), y - radius * math.cos(angle)


def crescent_points(x: float, y: float, radius: float) -> list[Point]:
    """A moon that is open to the right."""
    horn = math.radians(30)
    outer = [polar_point(x, y, radius, horn - (math.pi + 2 * horn) * step / 32) for step in range(33)]
    middle = x + radius * 0.36
    right, up = outer[0][0] - middle, y - outer[0][1]
    tip = math.atan2(right, up)
    inner = [polar_point(middle, y, math.hypot(right, up), tip - (math.pi + 2 * tip) * step / 32) for step in range(33)]
    return [*outer, *reversed(inner)]


def sky_colour(scene: Scene, y: float) -> Colour:
    """The colour that the sky has at this height, in pixels from the top."""
    share = max(0.0, min(1.0, y / scene.image.height))
    return mix(scene.palette.top, scene.palette.bottom, share**1.25)
