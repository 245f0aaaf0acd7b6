"""How a stand-in looks: a card with the item's name, what was asked for, and a picture that follows from it.

Deterministic: every choice comes from a hash of the request, none from a clock or a random generator.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from imagegen.backends.placeholder.palette import INK, NIGHT, Dice, Palette, mix, palette_of
from imagegen.backends.placeholder.picture import draw_picture
from imagegen.backends.placeholder.scene import star_points
from imagegen.backends.placeholder.words import Line, encodable_text, font_of, font_size, text_length, text_lines
from imagegen.plan.request import Request

__all__ = ["BAND", "band_height", "draw"]

Box = tuple[int, int, int, int]


BAND = "PLACEHOLDER"


def draw(request: Request) -> bytes:
    """The stand-in as PNG, `request.width` × `request.height` pixels (16 or more each)."""
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
    """Of the band that says PLACEHOLDER, across the top; all in pixels."""
    share = height * 0.22 if width > height * 6 else min(height * 0.07, width * 0.09)
    legible = 11 if width >= 64 and height >= 48 else 3
    return max(legible, round(share))


@dataclass(frozen=True)
class _Panel:
    """Where the words go, and which; box in pixels, empty where there is no room for words."""

    box: Box
    lines: tuple[Line, ...]
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
    lines = text_lines(request, unit, room - max(4.0, 12 * unit), most - 6 * unit)
    if not lines:
        return _Panel((0, height, width, height), (), unit)
    if beside:
        return _Panel((width - wide, top, width, height), lines, unit)
    tall = round(sum(line.height for line in lines) + 8.5 * unit)
    return _Panel((0, height - tall, width, height), lines, unit)


def _finish(card: Image.Image, panel: _Panel, top: int, palette: Palette) -> None:
    """The words, the band on top, and a frame about it all."""
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
    """The word, its letters spaced where there is room. edge: what the frame will cover, pixels."""
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
