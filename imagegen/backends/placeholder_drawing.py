"""How a stand-in looks: a composition and a palette that follow from the request, with what it stands in for.

Deterministic: every choice comes from a hash of the request, none from a clock or a random generator.
"""

from __future__ import annotations

import colorsys
import hashlib
import io
import math
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont, ImageOps

from imagegen.plan.request import Request, canonical, fingerprint

__all__ = ["BAND", "draw"]

Colour = tuple[int, int, int]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

BAND = "PLACEHOLDER"
_SHARP = 1_200_000
"""Pixels up to which shapes are drawn at twice the size and reduced, for smooth edges."""
_KNOWN = "·…"
"""What Pillow's embedded font draws besides ASCII and is used here; all else is transliterated."""
_INK: Colour = (244, 239, 228)
_NIGHT: Colour = (18, 17, 24)


def draw(request: Request) -> bytes:
    """The stand-in as PNG, `request.width` × `request.height` pixels."""
    width, height = request.width, request.height
    dice = _Dice(request)
    palette = _palette(dice)
    scale = 2 if width * height <= _SHARP else 1
    image = _sky(width * scale, height * scale, palette, dice)
    scene = _Scene(image, ImageDraw.Draw(image), palette, dice)
    _COMPOSITIONS[int(dice.number() * len(_COMPOSITIONS))](scene)
    image = image.reduce(scale)
    _label(image, request, palette)
    buffer = io.BytesIO()
    image.save(buffer, "png", compress_level=2)
    return buffer.getvalue()


class _Dice:
    """A stream of choices that follows from the request alone."""

    def __init__(self, request: Request) -> None:
        decisive = ("prompt", "negative", "seed", "steps", "cfg", "sampler", "scheduler")
        self._key = fingerprint(canonical(request, decisive)).encode()
        self._count = 0

    def number(self) -> float:
        """From 0 up to 1."""
        self._count += 1
        digest = hashlib.sha256(self._key + str(self._count).encode()).digest()
        return int.from_bytes(digest[:6], "big") / 2**48

    def between(self, low: float, high: float) -> float:
        return low + (high - low) * self.number()

    def whole(self, low: int, high: int) -> int:
        """From low to high, both included."""
        return low + int(self.number() * (high - low + 1))


@dataclass(frozen=True)
class _Palette:
    top: Colour
    bottom: Colour
    light: Colour
    near: Colour
    far: Colour
    accent: Colour


@dataclass(frozen=True)
class _Scene:
    """What a composition draws on: coordinates are in pixels of `image`."""

    image: Image.Image
    pen: ImageDraw.ImageDraw
    palette: _Palette
    dice: _Dice

    @property
    def unit(self) -> float:
        """A hundredth of the room between the band and the label: the shorter side of it."""
        return min(self.image.width, self.image.height * 0.68) / 100

    @property
    def centre(self) -> tuple[float, float]:
        """A little above the middle: the label takes the lower part."""
        return self.image.width / 2, self.image.height * 0.39

    def disc(self, x: float, y: float, radius: float, fill: Colour | None, line: Colour | None = None) -> None:
        box = (x - radius, y - radius, x + radius, y + radius)
        self.pen.ellipse(box, fill=fill, outline=line, width=max(1, round(self.unit * 0.5)))


def _palette(dice: _Dice) -> _Palette:
    hue = dice.number()
    shift = (0.08, 0.5, 0.42, 0.33, -0.08)[dice.whole(0, 4)]
    other = hue + shift
    return _Palette(
        top=_hsl(hue, 0.42, dice.between(0.20, 0.30)),
        bottom=_hsl(hue + shift / 3, 0.45, dice.between(0.52, 0.64)),
        light=_hsl(other, 0.62, 0.78),
        near=_hsl(hue + 0.02, 0.38, 0.13),
        far=_hsl(hue + 0.01, 0.34, 0.34),
        accent=_hsl(other, 0.60, 0.56),
    )


def _hsl(hue: float, saturation: float, lightness: float) -> Colour:
    red, green, blue = colorsys.hls_to_rgb(hue % 1.0, lightness, saturation)
    return round(red * 255), round(green * 255), round(blue * 255)


def _between(one: Colour, other: Colour, share: float) -> Colour:
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue


def _sky(width: int, height: int, palette: _Palette, dice: _Dice) -> Image.Image:
    """A gradient from top to bottom, and a glow."""
    ramp = Image.linear_gradient("L").resize((1, height))
    sky = ImageOps.colorize(ramp, palette.top, palette.bottom).resize((width, height))
    radius = round(min(width, height) * dice.between(0.55, 0.8))
    glow = ImageOps.invert(Image.radial_gradient("L")).point([max(0, level - 74) * 7 // 10 for level in range(256)])
    glow = glow.resize((radius * 2, radius * 2))
    sky.paste(palette.light, (width // 2 - radius, round(height * 0.40) - radius), glow)
    return sky


def _portrait(scene: _Scene) -> None:
    """Head and shoulders before a halo."""
    dice, palette, unit = scene.dice, scene.palette, scene.unit
    x, y = scene.centre
    halo = dice.between(27, 33) * unit
    for ring in range(dice.whole(1, 3), 0, -1):
        scene.disc(x, y, halo + ring * 3.2 * unit, None, palette.light)
    scene.disc(x, y, halo, _between(palette.light, palette.bottom, 0.25))
    if dice.number() < 0.6:
        _rays(scene, x, y, halo + 1.5 * unit, halo + dice.between(5, 12) * unit, dice.whole(12, 36))
    head = dice.between(11, 14) * unit
    tall = dice.between(1.15, 1.4)
    shoulders = dice.between(28, 38) * unit
    top = y + head * tall * 0.86
    cloak = _between(palette.near, palette.accent, 0.28)
    foot = scene.image.height + unit
    scene.pen.polygon(_shoulders(x, top, shoulders * 1.12, foot), fill=cloak)
    scene.pen.polygon(_shoulders(x, top + 7 * unit, shoulders, foot), fill=palette.near)
    neck = [(-0.5, 0.3), (0.5, 0.3), (0.52, 0.9), (1.25, 1.45), (1.25, 1.9), (-1.25, 1.9), (-1.25, 1.45), (-0.52, 0.9)]
    scene.pen.polygon([(x + head * dx, y + head * tall * dy) for dx, dy in neck], fill=palette.near)
    scene.pen.ellipse((x - head, y - head * tall, x + head, y + head * tall), fill=palette.near)
    _headdress(scene, x, y - head * tall, head)
    if dice.number() < 0.7:
        scene.disc(x, top + 12 * unit, 2.6 * unit, palette.accent, palette.light)


def _shoulders(x: float, top: float, half: float, foot: float) -> list[tuple[float, float]]:
    steps = [step / 16 * math.pi for step in range(17)]
    return [(x - half * math.cos(a), top + half * 0.62 * (1 - math.sin(a))) for a in steps] + [
        (x + half * 1.05, foot),
        (x - half * 1.05, foot),
    ]


def _headdress(scene: _Scene, x: float, crown: float, head: float) -> None:
    kind = scene.dice.whole(0, 5)
    pen, near, accent = scene.pen, scene.palette.near, scene.palette.accent
    if kind == 0:  # horns
        for side in (-1, 1):
            pen.polygon(
                [
                    (x + side * head * 0.45, crown + head * 0.35),
                    (x + side * head * 1.7, crown - head * 0.95),
                    (x + side * head * 0.95, crown + head * 0.75),
                ],
                fill=near,
            )
    elif kind == 1:  # crown
        points = [(x - head * 0.9, crown + head * 0.55)]
        for tooth in range(5):
            points.append((x + head * (-0.9 + 0.45 * tooth), crown - head * (0.45 if tooth % 2 == 0 else 0.02)))
        points.append((x + head * 0.9, crown + head * 0.55))
        pen.polygon(points, fill=accent)
    elif kind == 2:  # pointed hood
        hood = _between(near, accent, 0.28)
        pen.ellipse((x - head * 1.3, crown - head * 0.3, x + head * 1.3, crown + head * 3.1), fill=hood)
        peak = [
            (x - head * 1.05, crown + head * 0.45),
            (x, crown - head * 0.95),
            (x + head * 1.05, crown + head * 0.45),
        ]
        pen.polygon(peak, fill=hood)
        pen.ellipse((x - head * 0.85, crown + head * 0.35, x + head * 0.85, crown + head * 2.6), fill=near)
    elif kind == 3:  # ears
        for side in (-1, 1):
            pen.polygon(
                [
                    (x + side * head * 0.8, crown + head * 0.75),
                    (x + side * head * 1.75, crown + head * 0.35),
                    (x + side * head * 0.85, crown + head * 1.5),
                ],
                fill=near,
            )
    elif kind == 4:  # topknot
        scene.disc(x, crown - head * 0.15, head * 0.42, near)


def _rays(scene: _Scene, x: float, y: float, inner: float, outer: float, count: int) -> None:
    for ray in range(count):
        angle = 2 * math.pi * ray / count
        width = math.pi / count * 0.42
        reach = outer if ray % 2 == 0 else inner + (outer - inner) * 0.6
        points = [
            (x + inner * math.cos(angle - width), y + inner * math.sin(angle - width)),
            (x + reach * math.cos(angle), y + reach * math.sin(angle)),
            (x + inner * math.cos(angle + width), y + inner * math.sin(angle + width)),
        ]
        scene.pen.polygon(points, fill=scene.palette.light)


def _mountains(scene: _Scene) -> None:
    """A moon over ranges that grow darker towards us."""
    dice, palette, unit = scene.dice, scene.palette, scene.unit
    width, height = scene.image.size
    x, y = width * dice.between(0.3, 0.7), height * dice.between(0.20, 0.32)
    moon = dice.between(10, 16) * unit
    scene.disc(x, y, moon * 1.18, None, palette.light)
    scene.disc(x, y, moon, _between(palette.light, _INK, 0.4))
    ranges = dice.whole(4, 5)
    for layer in range(ranges):
        share = layer / (ranges - 1)
        base = height * (0.42 + 0.13 * layer)
        rough = (17 - 2.5 * layer) * unit
        phases = [dice.between(0, 6.28) for _ in range(4)]
        steps = 90
        points = []
        for step in range(steps + 1):
            at = step / steps * 6.28
            swing = math.sin(at * 1.3 + phases[0]) + 0.6 * math.sin(at * 3.1 + phases[1])
            ridge = abs(math.sin(at * 4.3 + phases[2])) * 0.7 + abs(math.sin(at * 9.7 + phases[3])) * 0.22
            points.append((width * step / steps, base - rough * (0.45 * swing + ridge)))
        colour = _between(_between(palette.far, palette.bottom, 0.35), palette.near, share)
        scene.pen.polygon([*points, (width, height), (0, height)], fill=colour)
    for _ in range(dice.whole(3, 7)):  # birds
        bx, by = width * dice.between(0.15, 0.85), height * dice.between(0.12, 0.4)
        span = dice.between(1.2, 2.4) * unit
        line = [(bx - span, by - span * 0.5), (bx, by), (bx + span, by - span * 0.5)]
        scene.pen.line(line, fill=palette.near, width=max(1, round(unit * 0.45)))


def _shield(scene: _Scene) -> None:
    """A coat of arms."""
    dice, palette, unit = scene.dice, scene.palette, scene.unit
    x, y = scene.centre
    for radius in (47, 44):
        scene.disc(x, y, radius * unit, None, _between(palette.light, palette.bottom, 0.4))
    half, top, foot = 27 * unit, y - 30 * unit, y + 36 * unit
    rim = _shield_outline(x, half + 2.4 * unit, top - 2.4 * unit, foot + 3.6 * unit)
    scene.pen.polygon(rim, fill=_between(palette.light, _INK, 0.2))
    outline = _shield_outline(x, half, top, foot)
    field, charge = palette.near, palette.accent
    mask = Image.new("L", scene.image.size, 0)
    ImageDraw.Draw(mask).polygon(outline, fill=255)
    arms = Image.new("RGB", scene.image.size, field)
    pen = ImageDraw.Draw(arms)
    left, right = x - half, x + half
    kind = dice.whole(0, 5)
    thick = dice.between(9, 13) * unit
    if kind == 0:  # chevron
        for share in (0, 1) if dice.number() < 0.5 else (0,):
            peak = y - 12 * unit + share * thick * 1.9
            lines = [(left, peak + half), (x, peak), (right, peak + half)]
            pen.line(lines, fill=charge, width=round(thick), joint="curve")
    elif kind == 1:  # per pale
        pen.rectangle((x, top, right, foot), fill=charge)
    elif kind == 2:  # bend
        pen.line([(left, top), (right, top + half * 2)], fill=charge, width=round(thick * 1.4))
    elif kind == 3:  # cross
        pen.rectangle((x - thick / 2, top, x + thick / 2, foot), fill=charge)
        pen.rectangle((left, y - 8 * unit - thick / 2, right, y - 8 * unit + thick / 2), fill=charge)
    elif kind == 4:  # barry
        for bar in range(3):
            at = top + (8 + 20 * bar) * unit
            pen.rectangle((left, at, right, at + 10 * unit), fill=charge)
    else:  # quarterly
        pen.rectangle((left, top, x, y), fill=charge)
        pen.rectangle((x, y, right, foot), fill=charge)
    scene.image.paste(arms, (0, 0), mask)
    badge = dice.whole(0, 3)
    if badge == 0:
        scene.disc(x, y - 2 * unit, 8 * unit, palette.light, field)
    elif badge == 1:
        scene.pen.polygon(_star(x, y - 2 * unit, 11 * unit, dice.whole(5, 8)), fill=palette.light)
    elif badge == 2:
        moon = [
            (x + 10 * unit * math.sin(angle), y - (2 + 10 * math.cos(angle)) * unit)
            for angle in (math.radians(60 + 240 * step / 24) for step in range(25))
        ]
        moon += [
            (x + (5 + 8.4 * math.sin(angle)) * unit, y - (2 + 8.4 * math.cos(angle)) * unit)
            for angle in (math.radians(335 - 130 * step / 24) for step in range(25))
        ]
        scene.pen.polygon(moon, fill=palette.light)


def _shield_outline(x: float, half: float, top: float, foot: float) -> list[tuple[float, float]]:
    turn = top + (foot - top) * 0.42
    points = [(x - half, top), (x + half, top), (x + half, turn)]
    for side, order in ((1, range(13)), (-1, range(12, -1, -1))):
        for step in order:
            angle = step / 12 * math.pi / 2
            points.append((x + side * half * math.cos(angle) ** 0.85, turn + (foot - turn) * math.sin(angle)))
    return [*points, (x - half, turn)]


def _star(x: float, y: float, radius: float, rays: int) -> list[tuple[float, float]]:
    return [
        (
            x + radius * (1 if point % 2 == 0 else 0.45) * math.sin(math.pi * point / rays),
            y - radius * (1 if point % 2 == 0 else 0.45) * math.cos(math.pi * point / rays),
        )
        for point in range(rays * 2)
    ]


def _rose(scene: _Scene) -> None:
    """A rose window: petals in rings about a star."""
    dice, palette, unit = scene.dice, scene.palette, scene.unit
    x, y = scene.centre
    scene.disc(x, y, 44 * unit, _between(palette.near, palette.far, 0.35), palette.light)
    rings = ((34, 9.0), (20, 6.5))
    petals = dice.whole(4, 8) * 2
    colours = (palette.accent, palette.light, _between(palette.accent, palette.bottom, 0.6))
    for number, (radius, size) in enumerate(rings):
        count = petals if number == 0 else petals // 2 + 2
        turn = dice.between(0, 1)
        size = min(size, radius * math.pi / count * 0.92)
        for petal in range(count):
            angle = 2 * math.pi * (petal + turn) / count
            px, py = x + radius * unit * math.cos(angle), y + radius * unit * math.sin(angle)
            fill = colours[(petal + number) % (2 if count % 2 == 0 else 3)]
            scene.disc(px, py, size * unit, fill, palette.near)
            scene.disc(px, py, size * unit * 0.45, palette.near)
    scene.pen.polygon(_star(x, y, 12 * unit, dice.whole(5, 9)), fill=palette.light)
    scene.disc(x, y, 3.5 * unit, palette.near)


_COMPOSITIONS = (_portrait, _portrait, _mountains, _shield, _rose)
"""Portraits twice: they are what is mostly asked for."""


def _label(image: Image.Image, request: Request, palette: _Palette) -> None:
    """The band on top, the panel with the words below, and a frame about it all."""
    width, height = image.size
    unit = min(width, height) / 100
    pen = ImageDraw.Draw(image, "RGBA")
    band = _band(image, pen, palette)
    margin = 5 * unit
    room = width - 2 * margin
    lines: list[tuple[str, Font, Colour, float]] = []
    name_size = 8.4 * unit
    if name_size >= 7:
        lines += [(text, font, _INK, 1.32) for text, font in _title(_drawable(request.name), name_size, room)]
        small = max(7.0, 3.1 * unit)
        if unit >= 1.8:
            words = _wrapped(_drawable(request.prompt), _font(small), room, 3)
            lines += [(text, _font(small), _between(_INK, palette.bottom, 0.25), 1.3) for text in words]
        lines += [(text, _font(small * 0.86), palette.light, 1.4) for text in _caption(request, small * 0.86, room)]
    tall = sum(_height(font) * leading for _, font, _, leading in lines)
    while lines and tall + 2 * margin * 0.7 > height * 0.55 - band:
        _, font, _, leading = lines.pop()
        tall -= _height(font) * leading
    if lines:
        top = height - tall - margin * 1.5
        pen.rectangle((0, top - margin * 0.6, width, height), fill=(*_NIGHT, 205))
        pen.line(
            (0, top - margin * 0.6, width, top - margin * 0.6), fill=palette.accent, width=max(1, round(unit * 0.5))
        )
        for text, font, colour, leading in lines:
            pen.text((width / 2 - _length(font, text) / 2, top), text, font=font, fill=colour)
            top += _height(font) * leading
    if unit >= 1:
        edge = round(1.2 * unit)
        pen.rectangle((0, 0, width - 1, height - 1), outline=palette.near, width=max(1, edge))
        pen.rectangle((edge, edge, width - 1 - edge, height - 1 - edge), outline=palette.light, width=max(1, edge // 4))


def _band(image: Image.Image, pen: ImageDraw.ImageDraw, palette: _Palette) -> float:
    """Across the top; its height in pixels."""
    width, height = image.size
    tall = max(3.0, min(height * 0.075, width * 0.09))
    pen.rectangle((0, 0, width, tall), fill=(*_NIGHT, 235))
    pen.rectangle((0, tall, width, tall + max(1, tall * 0.06)), fill=palette.accent)
    text = " ".join(BAND)
    font = _font(tall * 0.46)
    while _length(font, text) > width * 0.86 and tall > 8 and _size(font) > 6:
        font = _font(_size(font) * 0.9)
    if _length(font, text) > width * 0.95:
        text = BAND
    if _length(font, text) <= width:
        at = (width / 2 - _length(font, text) / 2, tall * 0.56 - _height(font) * 0.58)
        pen.text(at, text, font=font, fill=palette.light)
    return tall


def _caption(request: Request, size: float, room: float) -> list[str]:
    seed = f"seed {request.seed}"
    parts = [
        f"{request.width} x {request.height}",
        seed,
        f"{request.steps} steps",
        f"CFG {request.cfg:g}",
        _drawable(f"{request.sampler}/{request.scheduler}"),
    ]
    return _wrapped("  ·  ".join(parts), _font(size), room, 2, glue="  ·  ")


def _title(name: str, size: float, room: float) -> list[tuple[str, Font]]:
    """The name in one line, smaller where it must be, in two where it is long."""
    if not name:
        return []
    font = _font(size)
    if _length(font, name) > room * 1.5 and " " in name:
        font = _font(size * 0.72)
        return [(line, font) for line in _wrapped(name, font, room, 2)]
    if _length(font, name) > room:
        font = _font(max(7.0, size * room / _length(font, name)))
    return [(line, font) for line in _wrapped(name, font, room, 1)]


def _wrapped(text: str, font: Font, room: float, most: int, glue: str = " ") -> list[str]:
    """The first words of the text in at most that many lines of `room` pixels, with … where there is more."""
    lines: list[str] = []
    words = [word for word in text.split(glue if glue != " " else None) if word]
    while words and len(lines) < most:
        line = words.pop(0)
        while words and _length(font, f"{line}{glue}{words[0]}") <= room:
            line += glue + words.pop(0)
        lines.append(line)
    if words and glue == " " and lines:
        lines[-1] += " …"
    return [_cut(line, font, room) for line in lines]


def _cut(line: str, font: Font, room: float) -> str:
    if _length(font, line) <= room:
        return line
    while line and _length(font, line + "…") > room:
        line = line[: -max(1, len(line) // 12)].rstrip(" …")
    return line + "…" if line else ""


def _drawable(text: str) -> str:
    """The text as the embedded font can draw it: other letters in ASCII ones, and what has none left out."""
    text = text[:2000]
    if not text.isascii():
        from text_unidecode import unidecode  # a dependency of python-slugify

        text = "".join(character if character in _KNOWN else unidecode(character) for character in text)
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _font(size: float) -> Font:
    return ImageFont.load_default(max(1.0, round(size, 1)))


def _length(font: Font, text: str) -> float:
    return font.getlength(text)


def _size(font: Font) -> float:
    return getattr(font, "size", 10)


def _height(font: Font) -> float:
    """Of a line of text, in pixels."""
    return _size(font)
