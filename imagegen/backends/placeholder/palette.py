"""Colours and choices: both follow from the request alone."""

from __future__ import annotations

import colorsys
import hashlib
import json
from dataclasses import dataclass

from imagegen.plan.request import Request

__all__ = ["INK", "NIGHT", "Colour", "Dice", "Palette", "hsl", "mix", "palette_of"]

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
    """The palette of a card."""
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
    """hue: degrees. saturation, lightness: 0 … 1."""
    red, green, blue = colorsys.hls_to_rgb(hue / 360 % 1.0, lightness, saturation)
    return round(red * 255), round(green * 255), round(blue * 255)


def mix(one: Colour, other: Colour, share: float) -> Colour:
    """share: how much of the other, 0 … 1."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue
