"""Head and shoulders before a halo."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from imagegen.backends.placeholder.scene import (
    Colour,
    Point,
    Scene,
    close_shape,
    curve_points,
    mix,
    path_points,
    polar_point,
    sky_colour,
    star_points,
)

__all__ = ["draw_portrait"]


def draw_portrait(scene: Scene) -> None:
    """Draw head and shoulders before a halo."""
    dice, palette, unit = scene.dice, scene.palette, scene.unit
    x = scene.centre[0]
    wide = dice.between(10.5, 12.8) * unit
    tall = wide * dice.between(1.24, 1.42)
    y = scene.image.height - 54 * unit
    _halo(scene, x, y)
    bust = _Bust(scene, x, y, wide, tall, mix(palette.near, palette.accent, dice.between(0.12, 0.4)))
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


def _halo(scene: Scene, x: float, y: float) -> None:
    dice, palette, unit = scene.dice, scene.palette, scene.unit
    radius = dice.between(27, 31) * unit
    disc = mix(palette.light, palette.bottom, dice.between(0.12, 0.4))
    kind = dice.whole(0, 4)
    if kind == 0:
        scene.shape(star_points(x, y, radius + 13 * unit, dice.whole(12, 20), 0.74), mix(disc, palette.bottom, 0.35))
    elif kind == 1:
        count = dice.whole(10, 18) * 2
        for ray in range(count):
            inner, outer = radius + 4 * unit, radius + (12 if ray % 2 else 8) * unit
            angle, slim = 2 * math.pi * ray / count, math.pi / count * 0.36
            points = [
                polar_point(x, y, inner, angle - slim),
                polar_point(x, y, outer, angle),
                polar_point(x, y, inner, angle + slim),
            ]
            scene.shape(points, palette.light)
        scene.ring(x, y, radius + 2.6 * unit, palette.light)
    elif kind == 2:
        for ring in range(dice.whole(2, 4)):
            scene.ring(x, y, radius + (3 + 2.9 * ring) * unit, mix(palette.light, palette.bottom, 0.18 * ring), 0.4)
    elif kind == 3:
        count = dice.whole(9, 16)
        scene.ring(x, y, radius + 6 * unit, palette.light, 0.35)
        for dot in range(count):
            scene.disc(*polar_point(x, y, radius + 6 * unit, 2 * math.pi * dot / count), 1.4 * unit, palette.light)
    else:
        scene.ring(x, y, radius + 3 * unit, palette.light)
        for phase in range(-3, 4):
            at = polar_point(x, y, radius + 8.5 * unit, phase * 0.42)
            size = (3.0 - abs(phase) * 0.4) * unit
            scene.disc(*at, size, palette.light)
            if phase:
                shift = math.copysign(size * (1.5 - 0.35 * abs(phase)), phase)
                scene.disc(at[0] - shift, at[1], size * 1.02, sky_colour(scene, at[1]))
    scene.disc(x, y, radius, disc)
    scene.ring(x, y, radius - 1.8 * unit, mix(disc, palette.near, 0.25), 0.35)


@dataclass(frozen=True)
class _Bust:
    """A figure whose head is centred at x, y; wide and tall are half the head's size, in pixels."""

    scene: Scene
    x: float
    y: float
    wide: float
    tall: float
    cloth: Colour

    def at(self, right: float, down: float) -> Point:
        """Return a point of the figure, given in half heads from the middle of the head."""
        return self.x + right * self.wide, self.y + down * self.tall

    def both(self, points: Sequence[Point]) -> list[Point]:
        """Return a closed shape from its right half, given from top to bottom in half heads."""
        right = curve_points([self.at(*point) for point in points])
        return close_shape(right, self.x)

    @property
    def rim(self) -> Colour:
        return self.scene.palette.light

    @property
    def hair_colour(self) -> Colour:
        return mix(self.scene.palette.near, self.scene.palette.far, 0.35)

    @property
    def bone_colour(self) -> Colour:
        return mix(self.scene.palette.far, self.scene.palette.accent, 0.3)

    def shoulders(self) -> None:
        """Draw cloak, robe and neck, down to the foot of the picture."""
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
        skin = mix(palette.near, palette.far, 0.25)
        neck = path_points("0.46 0.3, 0.47 1.0, 0.56 1.35, 0.9 1.62, 0.9 2.3")
        scene.shape(self.both(neck), skin)
        robe_top = [(0.66, 1.16), (0.95, 1.5), (broad * 0.6, 2.0), (broad * 0.74, 2.8), (broad * 0.76, foot)]
        right = curve_points([self.at(*point) for point in robe_top])
        opening = self.at(0, dice.between(2.0, 2.5))
        robe = [opening, *close_shape(right, self.x)]
        scene.shape(robe, palette.near)
        trim = [(2 * self.x - right[0][0], right[0][1]), opening, right[0]]
        scene.pen.line(trim, fill=palette.accent, width=scene.hair(1.1), joint="curve")
        scene.pen.line([opening, (self.x, scene.image.height)], fill=palette.accent, width=scene.hair(0.7))
        gem = dice.whole(0, 3)
        if gem == 0:
            scene.disc(*opening, self.wide * 0.24, palette.accent)
            scene.disc(*opening, self.wide * 0.13, palette.near)
        elif gem == 1:
            scene.shape(star_points(*opening, self.wide * 0.34, 4, 0.6), palette.light)
        elif gem == 2:
            scene.shape(star_points(*opening, self.wide * 0.36, dice.whole(5, 8)), palette.light)

    def outline(self) -> list[Point]:
        """Return the right half of the face, from the crown to the chin, in half heads."""
        jaw = self.scene.dice.between(0.5, 0.74)
        return [(0, -1.0), (0.6, -0.86), (0.95, -0.35), (0.9, 0.18), (jaw, 0.7), (0.26, 0.97), (0, 1.02)]

    def face(self) -> None:
        """Draw a face lit from the left: the profile of the nose parts light from shade."""
        scene, palette = self.scene, self.scene.palette
        half = self.outline()
        lit = mix(palette.far, palette.light, 0.16)
        shade = mix(palette.near, palette.far, 0.35)
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
        scene.shape([*line, *reversed(curve_points([self.at(*point) for point in half]))], shade)
        for side in (-1, 1):
            eye = [(side * 0.22, 0.0), (side * 0.42, -0.09), (side * 0.64, -0.03), (side * 0.42, 0.05)]
            scene.shape(curve_points([self.at(*p) for p in eye], True), palette.near if side < 0 else palette.light)
            brow = [self.at(side * 0.16, -0.14), self.at(side * 0.4, -0.24), self.at(side * 0.72, -0.14)]
            scene.pen.line(curve_points(brow), fill=palette.near, width=scene.hair(0.7))
        mouth = [self.at(-0.3, 0.56), self.at(-0.08, 0.54), self.at(0.1, 0.56), self.at(0.28, 0.55)]
        scene.pen.line(curve_points(mouth), fill=palette.near, width=scene.hair(0.5))

    def ears(self) -> None:
        """Draw long and pointed ones."""
        reach = self.scene.dice.between(1.45, 1.9)
        for side in (-1, 1):
            points = [(side * 0.84, -0.25), (side * reach, -0.62), (side * 1.2, 0.05), (side * 0.84, 0.3)]
            colour = mix(self.scene.palette.near, self.scene.palette.far, 0.9 if side < 0 else 0.4)
            self.scene.rimmed(curve_points([self.at(*p) for p in points], True), colour, self.rim, 0.4)

    def hair_behind(self, kind: int) -> None:
        """Draw what of the hair hangs behind the shoulders and the neck."""
        if kind == 1:  # long
            shape = path_points("0 -1.16, 0.8 -1.0, 1.22 -0.3, 1.25 0.6, 1.5 1.5, 1.3 1.9")
        elif kind == 2:  # a mane
            shape = path_points("0 -1.3, 0.9 -1.18, 1.45 -0.5, 1.5 0.3, 1.2 1.0, 0.9 1.3")
        elif kind == 3:  # to the chin
            shape = path_points("0 -1.14, 0.8 -0.98, 1.16 -0.3, 1.2 0.4, 1.12 0.82, 0.6 0.86")
        else:
            return
        self.scene.rimmed(self.both(shape), self.hair_colour, self.rim, 0.5)

    def hair_above(self, kind: int) -> None:
        """Draw what of the hair frames the brow."""
        if kind == 0:
            return
        if kind == 4:  # a knot
            self.scene.disc(*self.at(-0.02, -1.24), self.wide * 0.42, self.rim)
            self.scene.disc(*self.at(0.03, -1.22), self.wide * 0.41, self.hair_colour)
        parting = self.scene.dice.between(-0.35, 0.35)
        low = -0.1 if kind != 4 else -0.45
        cap = [(-1.02, low), (-1.04, -0.5), (-0.62, -1.0), (0, -1.15), (0.62, -1.0), (1.04, -0.5), (1.02, low)]
        brow = [(0.88, -0.4), (0.5, -0.66), (parting, -0.82), (-0.5, -0.66), (-0.88, -0.4)]
        points = curve_points([self.at(*p) for p in [*cap, *brow]], True)
        self.scene.shape(points, self.hair_colour)

    def horns(self, curled: bool) -> None:
        """Draw them swept up, or curled."""
        for side in (-1, 1):
            if not curled:
                outer = path_points("0.3 -0.85, 1.05 -1.1, 1.5 -1.6, 1.35 -2.15")
                inner = path_points("1.2 -1.55, 0.9 -1.2, 0.6 -0.55, 0.3 -0.55")
            else:
                outer = path_points("0.5 -0.95, 1.3 -1.25, 1.85 -0.7, 1.75 0.05, 1.35 0.2")
                inner = path_points("1.52 -0.08, 1.56 -0.55, 1.25 -0.86, 0.8 -0.55, 0.5 -0.6")
            points = curve_points([self.at(side * px, py) for px, py in outer])
            points += curve_points([self.at(side * px, py) for px, py in inner])
            self.scene.rimmed(points, self.bone_colour, self.rim, 0.5)

    def antlers(self) -> None:
        """Draw four tines a side."""
        beams = [path_points("0.4 -0.8, 0.75 -1.3, 1.3 -1.7, 1.45 -2.3")]
        beams += [[(0.68, -1.2), (0.45, -1.6), (0.5, -2.0)], [(1.1, -1.56), (1.0, -1.9), (1.05, -2.25)]]
        beams += [[(1.3, -1.72), (1.7, -1.8), (1.9, -2.05)]]
        for off, colour in ((0.4, self.rim), (0.0, self.bone_colour)):
            for side in (-1, 1):
                for number, beam in enumerate(beams):
                    shift = off * self.scene.unit
                    line = [(px - shift, py - shift) for px, py in (self.at(side * bx, by) for bx, by in beam)]
                    width = self.scene.hair(1.7 if number == 0 else 1.2)
                    self.scene.pen.line(curve_points(line), fill=colour, width=width, joint="curve")

    def hood(self) -> None:
        """Draw it over the head, its inside dark."""
        scene = self.scene
        outer = path_points("0 -1.62, 0.5 -1.38, 1.2 -0.72, 1.42 0.1, 1.36 0.9, 1.6 1.5, 0.6 2.05")
        inner = path_points("0 -1.2, 0.6 -1.02, 1.02 -0.5, 1.1 0.15, 0.98 0.8, 0.6 1.3, 0 1.6")
        scene.rimmed(self.both(outer), self.cloth, self.rim)
        scene.shape(self.both(inner), scene.palette.near)

    def crown(self) -> None:
        """Draw it with five points."""
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
        """Draw a wide-brimmed and pointed one."""
        scene = self.scene
        crown = path_points("-0.92 -0.62, -0.62 -1.3, -0.1 -2.1, 0.3 -2.3, 0.34 -1.7, 0.66 -1.2, 0.92 -0.62")
        scene.rimmed(curve_points([self.at(*p) for p in crown]), self.cloth, self.rim, 0.5)
        brim = path_points("0 -0.78, 1.2 -0.84, 2.15 -0.56, 1.2 -0.52, 0 -0.42")
        scene.rimmed(self.both(brim), mix(self.cloth, scene.palette.near, 0.35), self.rim, 0.4)
        ribbon = [self.at(-0.84, -0.86), self.at(0, -0.98), self.at(0.82, -0.86)]
        scene.pen.line(curve_points(ribbon), fill=scene.palette.accent, width=scene.hair(1.3))

    def circlet(self) -> None:
        """Draw it with one stone."""
        line = [
            self.at(-0.99, -0.42),
            self.at(-0.5, -0.56),
            self.at(0, -0.6),
            self.at(0.5, -0.56),
            self.at(0.99, -0.42),
        ]
        self.scene.pen.line(curve_points(line), fill=self.scene.palette.accent, width=self.scene.hair(1.1))
        self.scene.shape(star_points(*self.at(0, -0.6), self.wide * 0.24, 4, 0.5), self.rim)

    def laurel(self) -> None:
        """Draw leaves round the brow."""
        for side in (-1, 1):
            for leaf in range(6):
                at = self.at(side * (0.16 + 0.175 * leaf), -0.95 + 0.02 * leaf**2)
                turn = side * (1.1 + 0.12 * leaf)
                tip, size = polar_point(*at, self.wide * 0.5, turn - side * 0.8), self.wide * 0.5
                belly = (
                    polar_point(*at, size * 0.55, turn - side * 0.3),
                    polar_point(*at, size * 0.55, turn - side * 1.3),
                )
                self.scene.shape(curve_points([at, belly[0], tip, belly[1]], True), self.scene.palette.accent)
