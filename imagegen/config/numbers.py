"""Numbers as people write them in a job or a prompt source: plain decimal, with nothing to misread."""

from __future__ import annotations

import re

__all__ = ["plain_number"]

_WHOLE = re.compile(r"[-+]?(0|[1-9][0-9]{0,39})")
_DIGITS = re.compile(r"[-+]?[0-9]+")
_NUMBER = re.compile(r"[-+]?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?")


def plain_number(text: str) -> int | float | None:
    """The whole (up to 40 digits) or decimal number that the text is, infinite where it is too large.

    None for what is none, such as `012` and `1_000`.
    """
    if _WHOLE.fullmatch(text):
        return int(text)
    return float(text) if _NUMBER.fullmatch(text) and not _DIGITS.fullmatch(text) else None
