"""How a placeholder looks: a card with the item's name, what was asked for, and a picture that follows from it.

Deterministic: every choice comes from a hash of the request, none from a clock or a random generator.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from imagegen.backends.placeholder.picture import draw_picture
from imagegen.backends.placeholder.scene import INK, NIGHT, Dice, Palette, mix, palette_of, star_points
from imagegen.plan.request import Request

__all__ = [
    "BAND",
    "Line",
    "band_height",
    "draw",
    "encodable_text",
    "font_of",
    "font_size",
    "text_length",
    "text_lines",
]


Box = tuple[int, int, int, int]


BAND = "PLACEHOLDER"


def draw(request: Request) -> bytes:
    """Return the placeholder as PNG, `request.width` × `request.height` pixels (16 or more each)."""
    width, height = request.width, request.height
    dice = Dice(request)
    palette = palette_of(dice)
    ground = mix(NIGHT, palette.near, 0.35)
    card = Image.new("RGB", (width, height), ground)
    top = band_height(width, height)
    panel = _panel(request, width, height, top)
    stage = (0, top, width, panel.box[1]) if panel.box[0] == 0 else (0, top, panel.box[0], height)
    card.paste(draw_picture(request.prompt, stage[2] - stage[0], stage[3] - stage[1], palette, dice), stage[:2])
    _finish(card, panel, top, palette)
    buffer = io.BytesIO()
    card.save(buffer, "png", compress_level=3)
    return buffer.getvalue()


def band_height(width: int, height: int) -> int:
    """Return the height of the band across the top that says PLACEHOLDER; all in pixels."""
    share = height * 0.22 if width > height * 6 else min(height * 0.07, width * 0.09)
    legible = 11 if width >= 64 and height >= 48 else 3
    return max(legible, round(share))


@dataclass(frozen=True)
class _Panel:
    """Where the words go, and which. box: in pixels, empty if there is no room for words."""

    box: Box
    lines: tuple[Line, ...]
    unit: float


def _panel(request: Request, width: int, height: int, top: int) -> _Panel:
    """Put the words below the picture, or on a wide card beside it."""
    beside = width > height * 2
    if beside:
        wide = min(width // 2, max(round(height * 1.9), width // 3))
        unit = min(wide / 92, (height - top) / 46)
        room, most = wide, height - top
    else:
        unit = min(width / 100, height / 90)
        room, most = width, round(height * (0.42 if height <= width * 3 else 0.3))
    lines = text_lines(request, unit, room - max(4.0, 12 * unit), most - 6 * unit)
    if not lines:
        return _Panel((0, height, width, height), (), unit)
    if beside:
        return _Panel((width - wide, top, width, height), lines, unit)
    tall = round(sum(line.height for line in lines) + 8.5 * unit)
    return _Panel((0, height - tall, width, height), lines, unit)


def _finish(card: Image.Image, panel: _Panel, top: int, palette: Palette) -> None:
    """Draw the words, the band on top, and a frame about it all."""
    width, height = card.size
    unit = min(width, height) / 100
    pen = ImageDraw.Draw(card)
    left, upper, right, lower = panel.box
    colours = {"name": INK, "prompt": mix(INK, palette.bottom, 0.2), "caption": palette.light}
    rule = max(1, round(unit * 0.45))
    if panel.lines:
        beside = left > 0
        pen.rectangle((left, upper, right, lower), fill=mix(NIGHT, palette.near, 0.35))
        pen.line((left, upper, left, lower) if beside else (left, upper, right, upper), fill=palette.accent, width=rule)
        tall = sum(line.height for line in panel.lines)
        y = upper + (lower - upper - tall) / 2 if beside else upper + 3.2 * panel.unit
        middle = (left + right) / 2
        for line in panel.lines:
            x = middle - text_length(line.font, line.text) / 2
            pen.text((x, y), encodable_text(line.font, line.text), font=line.font, fill=colours[line.colour])
            y += line.height
        if not beside and unit > 2:
            pen.polygon(star_points(middle, upper, 1.9 * unit, 4, 0.55), fill=palette.accent)
    edge = max(2, round(1.3 * unit)) if unit >= 1.5 else 0
    _band(pen, width, top, edge, palette)
    if edge:
        _frame(pen, width, height, edge, palette)


def _band(pen: ImageDraw.ImageDraw, width: int, tall: int, edge: int, palette: Palette) -> None:
    """Draw the word, its letters spaced if there is room. edge: what the frame will cover, pixels."""
    pen.rectangle((0, 0, width, tall - 1), fill=NIGHT)
    rule = max(1, tall // 16)
    pen.rectangle((0, tall - rule, width, tall - 1), fill=palette.accent)
    size = tall * 0.5
    for text in (" ".join(BAND), BAND):
        font = font_of(max(6.0, size))
        while (
            text_length(font, text) > width * 0.86
            and font_size(font) > 6.5
            and isinstance(font, ImageFont.FreeTypeFont)
        ):
            font = font_of(max(6.0, font_size(font) * 0.92))
        if text_length(font, text) <= width * 0.94 and font_size(font) <= tall * 0.95:
            pen.text(
                ((width - text_length(font, text)) / 2, (tall - rule + edge) / 2 - font_size(font) * 0.6),
                text,
                INK,
                font,
            )
            return


def _frame(pen: ImageDraw.ImageDraw, width: int, height: int, edge: int, palette: Palette) -> None:
    unit = min(width, height) / 100
    pen.rectangle((0, 0, width - 1, height - 1), outline=mix(NIGHT, palette.near, 0.5), width=edge)
    line = max(1, round(unit * 0.28))
    pen.rectangle((edge, edge, width - 1 - edge, height - 1 - edge), outline=palette.accent, width=line)
    if unit < 2.5:
        return
    corner = 2.2 * unit
    for x in (edge, width - 1 - edge):
        for y in (edge, height - 1 - edge):
            pen.polygon([(x - corner, y), (x, y - corner), (x + corner, y), (x, y + corner)], fill=palette.accent)
            inner = corner * 0.55
            pen.polygon([(x - inner, y), (x, y - inner), (x + inner, y), (x, y + inner)], fill=NIGHT)


Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


_KNOWN = "·…‘’“”°±«»©™"
"""What Pillow's embedded font draws besides ASCII; all else is transliterated."""


_LONGEST = 1500
"""Characters of a text that are looked at: more than fit on any card."""


@dataclass(frozen=True)
class Line:
    """One line of text; height in pixels, with the space to the next. rank: the higher, the sooner it is left out."""

    text: str
    font: Font
    colour: str
    height: float
    rank: int


def text_lines(request: Request, unit: float, room: float, most: float) -> tuple[Line, ...]:
    """Return as many lines as fit into `most` pixels: the prompt's later ones are left out first, the name last."""
    if room < 20:
        return ()
    lines = _title(_drawable(request.name) or _code_points(request.name), max(8.0, 8.6 * unit), room)
    words, small = max(7.5, 3.15 * unit), max(7.0, 2.6 * unit)
    if unit >= 1.2:
        prompt = _wrapped(_drawable(request.prompt), font_of(words), room, 3)
        lines += [Line(text, font_of(words), "prompt", words * 1.36, 3 + at) for at, text in enumerate(prompt)]
    if unit >= 0.9:
        caption = _caption(request, font_of(small), room)
        lines += [Line(text, font_of(small), "caption", small * 1.62, 1 + at) for at, text in enumerate(caption)]
    while lines and sum(line.height for line in lines) > most:
        lines.remove(max(lines, key=lambda line: line.rank))
    return tuple(lines)


def _title(name: str, size: float, room: float) -> list[Line]:
    """Put the name in one line, smaller if it must be, in two if it is long."""
    if not name:
        return []
    long = text_length(font_of(size), name) / room
    if long > 1.35 and " " in name:
        font = font_of(max(8.0, size * min(0.78, 1.7 / long)))
        first, *rest = _wrapped(name, font, room, 2)
        lines = [Line(first, font, "name", font_size(font) * 1.22, 0)]
        return [*lines, *(Line(text, font, "name", font_size(font) * 1.4, 0) for text in rest)]
    font = font_of(max(7.0, size / max(1.0, min(long, 1.9))))
    return [Line(_wrapped(name, font, room, 1)[0], font, "name", font_size(font) * 1.34, 0)]


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
    """Break the text into at most that many lines of `room` pixels, with … if there is more."""
    words = [word for word in text.split(cut) if word]
    lines: list[str] = []
    while words and len(lines) < most:
        line = words.pop(0)
        while words and text_length(font, line + glue + words[0]) <= room:
            line += glue + words.pop(0)
        lines.append(line)
    if words and cut is None:
        while " " in lines[-1] and text_length(font, lines[-1] + " …") > room:
            lines[-1] = lines[-1].rpartition(" ")[0]
        lines[-1] = lines[-1].rstrip(",;:. ") + " …"
    return [_cut(line, font, room) for line in lines]


def _cut(line: str, font: Font, room: float) -> str:
    if text_length(font, line) <= room:
        return line
    while line and text_length(font, line + "…") > room:
        line = line[: -max(1, len(line) // 16)].rstrip(" …")
    return line + "…"


def _drawable(text: str) -> str:
    """Return the text as the embedded font can draw it: other letters as ASCII ones, or left out if they have none."""
    text = text[:_LONGEST].replace("×", "x")
    if not text.isascii():
        text = "".join(map(_in_ascii, text, text[1:] + " "))
    text = " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
    return text.replace(" ,", ",")


def _in_ascii(sign: str, following: str) -> str:
    """Return the sign in ASCII letters, unless the font knows it: `Aegir` or `AEGIR`, by the case of the next sign."""
    from text_unidecode import unidecode

    if sign in _KNOWN:
        return sign
    letters: str = unidecode(sign)
    return letters.capitalize() if letters.isupper() and following.islower() else letters


def _code_points(text: str) -> str:
    """Return a name of which no letter can be drawn, as U+1F409."""
    return " ".join(f"U+{ord(sign):04X}" for sign in text[:3] if not sign.isspace())


def font_of(size: float) -> Font:
    """Return the font of this size in pixels. Without FreeType there is one bitmap font in one size."""
    try:
        return ImageFont.load_default(round(size, 1))
    except ImportError:
        return ImageFont.load_default()


def text_length(font: Font, text: str) -> float:
    """Return the length of the text as drawn, in pixels."""
    return font.getlength(encodable_text(font, text))


def encodable_text(font: Font, text: str) -> str:
    """Return what the font takes of the text: the bitmap font takes Latin-1 only."""
    return text if isinstance(font, ImageFont.FreeTypeFont) else text.encode("latin-1", "replace").decode("latin-1")


def font_size(font: Font) -> float:
    """Return the size in pixels; the fallback font has one size only."""
    return font.size if isinstance(font, ImageFont.FreeTypeFont) else 11.0
