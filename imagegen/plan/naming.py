"""Names that follow from names: slugs, and the path of an output."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import re
import unicodedata

__all__ = [
    "MAX_SLUG",
    "check_slug",
    "compute_seed",
    "fold_path",
    "is_output_name",
    "make_slug",
    "shorten_slug",
    "write_in_ascii",
]

MAX_SLUG = 120
"""Characters: with a folder and an extension, well within what every file system takes."""
_RESERVED = frozenset(
    ["con", "prn", "aux", "nul", "conin$", "conout$"] + [f"{port}{n}" for port in ("com", "lpt") for n in range(10)]
)
"""Names that Windows reserves for devices, whatever the extension:
https://learn.microsoft.com/en-us/windows/win32/fileio/naming-a-file"""
_OUTPUT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*(:[a-z0-9-]+){1,2}")
_PLAIN = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_COMMA = re.compile(r"(?<=\d),(?=\d)")
"""Between thousands."""


@functools.lru_cache(maxsize=65536)
def make_slug(name: str) -> str:
    """Return `the-aesir-s-own` for `The Æsir's Own`; empty if nothing of the name can be written so."""
    if _PLAIN.fullmatch(name):
        return name
    return write_in_ascii(name).lower()


def write_in_ascii(name: str) -> str:
    """Return `The-AEsir-s-Own` for `The Æsir's Own`: a slug that keeps the case of its letters."""
    text = unicodedata.normalize("NFKD", _replace_letters(name.replace("'", "-"))).replace("'", "")
    return re.sub(r"[^A-Za-z0-9]+", "-", _COMMA.sub("", text)).strip("-")


def _replace_letters(name: str) -> str:
    """Write a name in ASCII letters: `Æsir` as `AEsir`, `&amp;` as `&`.

    It uses text-unidecode only, whose one release never changes: file names and seeds depend on it.
    """
    text = unicodedata.normalize("NFKD", name)
    if not text.isascii():
        from text_unidecode import unidecode  # only for names that need it

        text = unidecode(text)
    return _replace_entities(text) if "&" in text else text


def _replace_entities(text: str) -> str:
    """Write `&amp;`, `&#38;` and `&#x26;` as `&`."""
    from html.entities import name2codepoint

    text = re.sub(
        "&(\\w+);", lambda match: chr(name2codepoint[match[1]]) if match[1] in name2codepoint else match[0], text
    )
    for pattern, base in ((r"&#(\d+);", 10), (r"&#x([\da-fA-F]+);", 16)):
        with contextlib.suppress(ValueError, OverflowError):  # all of them or none
            text = re.sub(pattern, functools.partial(_decode, base), text)
    return text


def _decode(base: int, match: re.Match[str]) -> str:
    return chr(int(match[1], base))


def is_output_name(text: str) -> bool:
    """Whether this names an output (`portraits:mallsing`, `portraits:mallsing:thumb`) where a file can be named too.

    A file that is called so is written with its folder: `./portraits:mallsing`.
    """
    return _OUTPUT.fullmatch(text) is not None


def check_slug(slug: str, *, names_file: bool = True) -> str:
    """Return why some system does not accept this slug as a file name, or in one; empty if all do."""
    if not slug:
        return "has nothing in it that a file could be named after: use letters or digits"
    if len(slug) > MAX_SLUG:
        return f"makes a file name of {len(slug)} characters; at most {MAX_SLUG} are portable: shorten it"
    if names_file and slug in _RESERVED:
        return f"makes a file named '{slug}', which Windows reserves for a device: choose another"
    return ""


def shorten_slug(text: str, length: int = 50) -> str:
    """Return a file name for a text of any length: its first words and, if that is not all of it, a hash of it."""
    slug = make_slug(text)
    if len(slug) <= length:
        return slug
    head = slug[: length - 7]
    head = head[: head.rfind("-")] if "-" in head[20:] else head
    return f"{head}-{hashlib.sha256(text.encode('utf-8')).hexdigest()[:6]}"


def fold_path(path: str) -> str:
    """Return the same text for paths that are one file on some system, as they differ only in case or normalisation."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())


def compute_seed(base: int, slug: str) -> int:
    """Return the seed of mode `by-name`, 1 … 2^32−1. It depends only on the base and the output's own name.

    It is the first eight bytes, big-endian, of the SHA-256 of `BASE:SLUG` in UTF-8, modulo 2^32−1, plus one.
    """
    digest = hashlib.sha256(f"{base}:{slug}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % (2**32 - 1) + 1
