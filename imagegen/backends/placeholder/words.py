"""The words on a card: what the font can draw of them, and how they are broken into lines."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import ImageFont

from imagegen.plan.request import Request

__all__ = ["Line", "encodable_text", "font_of", "font_size", "text_length", "text_lines"]

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
    """As many as fit into `most` pixels: the name goes last, the prompt's later lines first."""
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
    """The name in one line, smaller where it must be, in two where it is long."""
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
    """The text in at most that many lines of `room` pixels, with … where there is more."""
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
    """The text as the embedded font can draw it: other letters in ASCII ones, and what has none left out."""
    text = text[:_LONGEST].replace("×", "x")
    if not text.isascii():
        text = "".join(map(_in_ascii, text, text[1:] + " "))
    text = " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
    return text.replace(" ,", ",")


def _in_ascii(sign: str, following: str) -> str:
    """The sign in ASCII letters, unless the font knows it: `Aegir` and `AEGIR`, as the sign after it is written."""
    from text_unidecode import unidecode

    if sign in _KNOWN:
        return sign
    letters: str = unidecode(sign)
    return letters.capitalize() if letters.isupper() and following.islower() else letters


def _code_points(text: str) -> str:
    """A name of which no letter can be drawn, as U+1F409."""
    return " ".join(f"U+{ord(sign):04X}" for sign in text[:3] if not sign.isspace())


def font_of(size: float) -> Font:
    """size: pixels. Without FreeType there is one bitmap font in one size."""
    try:
        return ImageFont.load_default(round(size, 1))
    except ImportError:
        return ImageFont.load_default()


def text_length(font: Font, text: str) -> float:
    """Of the text as drawn, in pixels."""
    return font.getlength(encodable_text(font, text))


def encodable_text(font: Font, text: str) -> str:
    """The bitmap font takes Latin-1 only."""
    return text if isinstance(font, ImageFont.FreeTypeFont) else text.encode("latin-1", "replace").decode("latin-1")


def font_size(font: Font) -> float:
    """In pixels; the fallback font has one size only."""
    return font.size if isinstance(font, ImageFont.FreeTypeFont) else 11.0
