"""Lines of the JSON Lines files that are committed: how one is written, read and checked, and what is wrong with it."""

from __future__ import annotations

import codecs
import json
import math
import re
from collections.abc import Mapping
from typing import Any, NoReturn

from imagegen.config.document import CONFLICT
from imagegen.state.journal import NewerVersionError

__all__ = ["DECODER", "MAX_DEPTH", "dump_fields", "explain", "parse_fields"]

MAX_DEPTH = 100
"""Levels: a workflow in a request has at most 32. What is read must be writable again."""
_HALF_PAIR = re.compile(rb"\\u[dD][89a-fA-F]")
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def dump_fields(fields: Mapping[str, Any], version: int) -> bytes:
    """Return the line of these fields, without a newline."""
    return _ENCODER.encode({"v": version, **fields}).encode("utf-8")


def parse_fields(raw: bytes, version: int) -> dict[str, Any]:
    """Return the fields of a line but its version.

    Raises:
        NewerVersionError: it is of a later version than this one.
        ValueError: it cannot be read, or could not be written again.
    """
    try:
        fields = DECODER.decode(raw.removeprefix(codecs.BOM_UTF8).decode("utf-8"))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if raw.count(b"[") + raw.count(b"{") > MAX_DEPTH and _is_deeper(fields, MAX_DEPTH):
        raise ValueError("it is nested too deeply")
    if _HALF_PAIR.search(raw) and _has_half_pair(fields):
        raise ValueError("it has half of a surrogate pair in it")
    if not isinstance(fields, dict):
        raise ValueError("it is not a JSON object")
    found = fields.pop("v", None)
    if type(found) is not int or found < 1:
        raise ValueError("it has no version 'v'")
    if found > version:
        raise NewerVersionError(found)
    return fields


def _number(digits: str) -> float:
    if not math.isfinite(number := float(digits)):
        raise ValueError(f"it has the number {digits[:20]}, which is too large")
    return number


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"it has {word}, which is not a number in JSON")


DECODER = json.JSONDecoder(parse_constant=_no_number, parse_float=_number)


def _is_deeper(value: object, levels: int) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return levels < 0 or any(_is_deeper(one, levels - 1) for one in inner)


def _has_half_pair(fields: object) -> bool:
    try:
        json.dumps(fields, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        return True
    return False


def explain(raw: bytes, error: Exception, *, kind: str, attributes: str, version: int) -> tuple[str, str]:
    """Return what is wrong with a line that cannot be read, and what to do.

    Args:
        raw: the line.
        error: why it cannot be read.
        kind: of the file, in words: `a lock file`.
        attributes: the line of .gitattributes by which git merges such files.
        version: the latest that can be read.
    """
    if isinstance(error, NewerVersionError):
        return (
            f"written by a newer imagegen (line format {error.version}, this one reads up to {version})",
            "upgrade imagegen here: docs/your-repository.md says how",
        )
    if raw.startswith((b"<<<<<<<", b"=======", b">>>>>>>", b"|||||||")):
        return (
            CONFLICT,
            "delete the marker lines and keep the lines of both sides; "
            f"'{attributes}' in .gitattributes keeps this from happening",
        )
    reason = "it is not valid JSON" if isinstance(error, json.JSONDecodeError) else str(error)
    if isinstance(error, UnicodeDecodeError):
        reason = "it is not UTF-8"
    return (f"not a line of {kind}: {reason}", "restore the file from git, or delete this line")
