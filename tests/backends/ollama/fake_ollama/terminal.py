"""What goes to the terminal, also where there is none: progress, and the image itself."""

from __future__ import annotations

import base64
import os
import re
import sys

__all__ = [
    "Bar",
    "Progress",
    "Spinner",
    "StepBar",
    "ago",
    "duration",
    "inline_image",
    "parameters",
    "size",
    "table",
]


GLYPHS = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"


class Spinner:
    def __init__(self, message: str) -> None:
        self.message, self.turn, self.running = message, 0, True

    def __str__(self) -> str:
        self.turn += 1
        glyph = f"{GLYPHS[self.turn % len(GLYPHS)]} " if self.running else ""
        return f"{self.message} {glyph}" if self.message else glyph


class StepBar:
    """Steps of an image: `Generating  25% ▕█   ▏ 1/4`."""

    def __init__(self, total: int) -> None:
        self.total, self.done = total, 0

    def __str__(self) -> str:
        bar = "█" * self.done + " " * (self.total - self.done)
        return f"Generating {self.done / self.total * 100:3.0f}% ▕{bar}▏ {self.done}/{self.total}"


class Bar:
    """Share of a download, with words for how many bytes."""

    def __init__(self, message: str) -> None:
        self.message, self.share, self.words = message, 0.0, ""

    def __str__(self) -> str:
        before, after = f"{self.message} {self.share * 100:3.0f}% ▕", f"▏ {self.words}"
        room = 80 - len(before) - len(after)
        full = int(room * self.share)
        return before + "█" * full + " " * (room - full) + after


class Progress:
    """Lines on stderr that are written over and over."""

    def __init__(self) -> None:
        self.lines: list[Spinner | StepBar | Bar] = []
        self.height = 0

    def add(self, line: Spinner | StepBar | Bar) -> None:
        """A new last line: those before it no longer turn."""
        self._rest()
        self.lines.append(line)
        self.render()

    def render(self) -> None:
        up = "\033[A" * (self.height - 1)
        body = "\n".join(f"{line}\033[K" for line in self.lines)
        self._write(f"\033[?2026h\033[?25l{up}\033[1G{body}\033[?25h\033[?2026l")
        self.height = len(self.lines)

    def stop(self) -> None:
        self._rest()
        self.render()
        self._write("\n")

    def clear(self) -> None:
        """Leave nothing to be seen; what follows comes right after the sequences, with no new line."""
        self._write("\033[?25l")
        self._rest()
        self.render()
        self._write("\033[A".join(["\033[2K\033[1G"] * self.height) + "\033[?25h")

    def _rest(self) -> None:
        for line in self.lines:
            if isinstance(line, Spinner):
                line.running = False

    def _write(self, text: str) -> None:
        sys.stderr.write(text)
        sys.stderr.flush()


def inline_image(data: bytes) -> str:
    """The whole image as an escape sequence, where the environment tells of a terminal that shows such."""
    program = os.environ.get("TERM_PROGRAM", "")
    encoded = base64.b64encode(data).decode()
    if program in ("iTerm.app", "WezTerm") or os.environ.get("WEZTERM_PANE"):
        return f"\033]1337;File=inline=1;preserveAspectRatio=1:{encoded}\a\n"
    if program == "ghostty" or os.environ.get("KITTY_WINDOW_ID") or os.environ.get("GHOSTTY_RESOURCES_DIR"):
        chunks = [encoded[at : at + 4096] for at in range(0, len(encoded), 4096)]
        heads = ["a=T,f=100,", *[""] * (len(chunks) - 1)]
        more = [1] * (len(chunks) - 1) + [0]
        parts = zip(heads, more, chunks, strict=True)
        return "".join(f"\033_G{head}m={flag};{chunk}\033\\" for head, flag, chunk in parts) + "\n"
    return ""


SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600}


def size(count: int) -> str:
    """`12 GB`, `5.7 GB`."""
    for unit, power in (("TB", 12), ("GB", 9), ("MB", 6), ("KB", 3)):
        if count >= 10**power:
            value = count / 10**power
            return f"{int(value)} {unit}" if value >= 10 or value == int(value) else f"{value:.1f} {unit}"
    return f"{count} B"


def parameters(count: int) -> str:
    """`10.3B`."""
    return f"{count / 1e9:.1f}B" if count >= 1e9 else f"{count / 1e6:.2f}M"


def ago(seconds: float) -> str:
    if seconds < 1:
        return "Less than a second ago"
    hours = seconds / 3600
    for count, unit, limit in (
        (seconds, "second", 60),
        (seconds / 60, "minute", 60),
        (hours, "hour", 48),
        (hours / 24, "day", 14),
        (hours / 24 / 7, "week", 8),
        (hours / 24 / 30, "month", 24),
    ):
        if count < limit:
            special = {"minute": "About a minute", "hour": "About an hour"}.get(unit)
            if int(count) == 1:
                return f"{special or f'1 {unit}'} ago"
            return f"{int(count)} {unit}s ago"
    return f"{int(hours / 24 / 365)} years ago"


def duration(text: str) -> float | str:
    """Seconds; what is wrong with it where it is none: `5` has no unit."""
    if re.fullmatch(r"[-+]?0", text):
        return 0.0
    unit = "|".join(SECONDS)
    if re.fullmatch(rf"[-+]?((\d+\.?\d*|\.\d+)({unit}))+", text):
        parts = re.findall(rf"(\d+\.?\d*|\.\d+)({unit})", text)
        return sum(float(number) * SECONDS[name] for number, name in parts) * (-1 if text[0] == "-" else 1)
    missing = re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)", text)
    return f'time: {"missing unit in" if missing else "invalid"} duration "{text}"'


def table(rows: list[list[str]]) -> str:
    """Columns, each filled up and followed by four spaces, the last one too."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    filled = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in rows]
    return "".join("    ".join([*row, ""]) + "\n" for row in filled)
