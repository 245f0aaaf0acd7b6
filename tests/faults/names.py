"""Names that break things: written down by kind, each with why."""

from __future__ import annotations

__all__ = ["HOSTILE", "SEPARATE"]

_DEVICES = ["CON", "con.txt", "nul", "Aux", "COM1", "lpt9.png", "com¹", "CONIN$", "PRN ", "nul ."]
_PATHS = [
    "../x",
    "..",
    ".",
    "/etc/passwd",
    "C:\\x",
    "\\\\host\\share",
    "a/../../b",
    "~root",
    "~/x",
    "file:///x",
    ".git",
    "GIT~1",
]
_WINDOWS = ["a:b", "a?", "a*", "<a>", "a|b", 'a"b', "a.", "a ", " a", "a...", "a:$DATA", "desktop.ini"]
_SHELL = ["$(x)", "`x`", "; rm -rf x", "-rf", "--help", "%PATH%", "$HOME", "a&b", "a\nb", "a\tb", "\r\n", "'", "''\"\""]
_TEMPLATES = [
    "{slug}",
    "{0}",
    "%s%n",
    "{{7*7}}",
    "${x}",
    "__x__",
    "<script>alert(1)</script>",
    "&lt;",
    "\\u0000",
    "*",
    "?",
]
_UNSEEN = [
    "\u200b",
    "a\u200bb",
    "\u202egnp.exe",
    "\u2066a",
    "\ufeffa",
    "a\u00adb",
    "\u2028",
    "\u00a0",
    "\u3000",
    "a\u034fb",
]
_COMBINING = [
    "e\u0301",
    "é",
    "Å",
    "Å",
    "ﬁ",
    "ß",
    "ẞ",
    "İ",
    "ı",
    "ſ",
    "Σς",
    "Z" + "\u0300\u0316\u0334" * 60,
    "ᾳ",
    "\u0345",
]
_SCRIPTS = ["雪女", "日本語テスト", "Ωmega", "наша", "שלום", "مرحبا", "ภาษาไทย", "हिन्दी", "ﷺ", "𝕳𝖊𝖑𝖑𝖔", "ⅷ", "１２３"]
_EMOJI = ["🐦", "👩\u200d🚀", "🇺🇳", "a🐦b", "❤\ufe0f", "\U000e0041", "🏴\U000e0067\U000e0062\U000e007f"]
_NUMBERS = ["0", "-1", "1e999", "NaN", "null", "true", "0x1F", "1/0", "९", "12:30", "1_000"]
_LENGTHS = ["x" * 121, "x" * 200, "x" * 10_000, "雪" * 200, "🐦" * 10_000, "\u0301" * 10_000, "a " * 100, "-" * 200]
_EDGES = [
    "",
    " ",
    "\t",
    "\x00",
    "a\x00b",
    "\x1b[2J",
    "\x7f",
    "\x85",
    "\x9b31m",
    "\ud800",
    "\uffff",
    "\ufffd",
    "\U0010ffff",
]

HOSTILE: list[str] = [
    *(_DEVICES + _PATHS + _WINDOWS + _SHELL + _TEMPLATES + _UNSEEN),
    *(_COMBINING + _SCRIPTS + _EMOJI + _NUMBERS + _LENGTHS + _EDGES),
]
SEPARATE: list[tuple[str, str]] = [
    ("A", "a"), ("é", "e\u0301"), ("é", "E"), ("ß", "ss"), ("ﬁ", "fi"), ("a b", "a-b"), ("a", "a!"), ("Å", "Å"), ("İ", "i"), ("Σ", "ς"),
]  # fmt: skip
"""Pairs that some file system, or a slug, takes for one name."""
