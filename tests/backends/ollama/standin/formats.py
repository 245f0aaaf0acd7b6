"""Numbers, times and tables as Ollama writes them."""

from __future__ import annotations

import re

__all__ = ["ago", "duration", "parameters", "size", "table"]

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
