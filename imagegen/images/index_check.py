"""Checks a sheet's JSON index before anything is made from it: a person may have edited and accepted it."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from imagegen.errors import InputError, Problem

__all__ = ["check_index"]

_Location = tuple[str | int, ...]


class _Wrong(Exception):  # noqa: N818 - it is a finding
    def __init__(self, at: _Location, what: str) -> None:
        super().__init__(what)
        self.at, self.what = at, what


def check_index(
    path: str,
    data: bytes,
    images: Iterable[str] | None = None,
    *,
    least_pages: int = 1,
    most_pages: int | None = None,
    max_size: int | None = None,
) -> None:
    """Check that an index says where each picture is on which page. More keys may stand beside.

    Args:
        path: of its file, as shown to the user.
        data: its content.
        images: names of the pictures that it must have; None for any.
        least_pages: how many it must have.
        most_pages: how many it may have; None for any number.
        max_size: longest side of a page.

    Raises:
        ImagegenError: what is wrong with it, and where.

    """
    try:
        pages = _list_pages(_decode(path, data))
        _check_count(len(pages), least_pages, most_pages)
        _check_pages(pages, None if images is None else dict.fromkeys(images), max_size)
    except _Wrong as wrong:
        from imagegen.config.document import read_document

        raise InputError(Problem(read_document(path, data).where(wrong.at), wrong.what)) from None


def _decode(path: str, data: bytes) -> Any:
    try:
        said = json.loads(data)
        json.dumps(said, ensure_ascii=False).encode("utf-8")  # \\ud800 by itself is no character
        return said
    except (ValueError, RecursionError) as error:
        from imagegen.config.document import read_document

        read_document(path, data)  # says it in plain words, and where
        raise InputError(Problem(path, f"is not valid JSON: {error}")) from None


def _check_count(pages: int, least: int, most: int | None) -> None:
    if pages < least or (most is not None and pages > most):
        raise _Wrong((), f"it has {pages} page{'' if pages == 1 else 's'}, and the sheet has {least}")


def _check_pages(
    pages: Iterable[tuple[_Location, Mapping[str, Any]]], images: Collection[str] | None, max_size: int | None
) -> None:
    there: set[str] = set()
    for at, page in pages:
        _check_page(at, page, images, max_size)
        if twice := next((name for name in page["frames"] if name in there), None):
            raise _Wrong((*at, "frames", twice), f"'{twice}' is on another page too")
        there |= page["frames"].keys()
    missing = next((name for name in images or () if name not in there), None)
    if missing is not None or not there:
        named = f"has no '{missing}', which is an image of the sheet" if missing is not None else "is empty"
        raise _Wrong(("frames",), f"'frames' {named}")


def _list_pages(said: Any) -> list[tuple[_Location, Mapping[str, Any]]]:
    first = _take((), said, dict)
    others = _take(("pages",), first.get("pages", []), list)
    return [((), first), *((("pages", at), _take(("pages", at), page, dict)) for at, page in enumerate(others))]


def _check_page(at: _Location, page: Mapping[str, Any], images: Collection[str] | None, max_size: int | None) -> None:
    meta, frames = _get(at, page, "meta", dict), _get(at, page, "frames", dict)
    _get((*at, "meta"), meta, "image", str)
    size = _numbers((*at, "meta"), meta, "size", ("w", "h"), least=1)
    if max_size is not None and max(size) > max_size:
        raise _Wrong((*at, "meta", "size"), f"the page is {size[0]}×{size[1]} pixels, and sheet.max_size is {max_size}")
    if not 0 <= _take((*at, "meta", "extrude"), meta.get("extrude", 0), int) <= max(size):
        raise _Wrong((*at, "meta", "extrude"), f"'extrude' must be between 0 and {max(size)}")
    for name, frame in frames.items():
        where = (*at, "frames", name)
        if images is not None and name not in images:
            raise _Wrong(where, f"the sheet has no image '{name}'")
        _check_frame(where, _take(where, frame, dict), size)
    _check_animations(at, page, meta, frames)


def _check_frame(at: _Location, frame: Mapping[str, Any], page: Sequence[int]) -> None:
    corner = _numbers(at, frame, "frame", ("x", "y"), least=0)
    size = _numbers(at, frame, "frame", ("w", "h"), least=1)
    source = _numbers(at, frame, "sourceSize", ("w", "h"), least=1)
    trimmed = (0, 0)
    if "spriteSourceSize" in frame:
        trimmed = _numbers(at, frame, "spriteSourceSize", ("x", "y"), least=0)
    for start, length, end, left, of_source in zip(corner, size, page, trimmed, source, strict=True):
        if start + length > end:
            raise _Wrong((*at, "frame"), f"'frame' reaches over the edge of the page, which is {page[0]}×{page[1]}")
        if left + length > of_source:
            raise _Wrong((*at, "sourceSize"), "'sourceSize' is smaller than the part of it that is on the page")


def _check_animations(at: _Location, page: Mapping[str, Any], meta: Mapping[str, Any], frames: Collection[str]) -> None:
    for animation, names in _take((*at, "animations"), page.get("animations", {}), dict).items():
        where = (*at, "animations", animation)
        for number, name in enumerate(_take(where, names, list)):
            if _take((*where, number), name, str) not in frames:
                raise _Wrong((*where, number), f"'frames' of this page has no '{name}'")
        if not names:
            raise _Wrong(where, "an animation has at least one frame")
        fps = meta.get("fps")
        if not isinstance(fps, (int, float)) or isinstance(fps, bool) or not 0 < fps < _MOST:
            raise _Wrong((*at, "meta"), "'fps', frames a second, must be a number above 0, as there are animations")


def _numbers(
    at: _Location, said: Mapping[str, Any], key: str, parts: tuple[str, str], *, least: int
) -> tuple[int, int]:
    found = _get(at, said, key, dict)
    first, second = (_get((*at, key), found, part, int) for part in parts)
    for part, number in zip(parts, (first, second), strict=True):
        if not least <= number < _MOST:
            raise _Wrong((*at, key, part), f"'{part}' must be a number of pixels from {least}")
    return first, second


def _get(at: _Location, said: Mapping[str, Any], key: str, kind: type) -> Any:
    if key not in said:
        raise _Wrong(at, f"'{key}' is missing")
    return _take((*at, key), said[key], kind)


def _take(at: _Location, value: Any, kind: type) -> Any:
    if not isinstance(value, kind) or isinstance(value, bool):
        name = "an index" if not at else f"'{at[-1]}'" if isinstance(at[-1], str) else "an entry"
        raise _Wrong(at, f"{name} must be {_KINDS[kind]}")
    return value


_KINDS = {dict: "a mapping", list: "a list", str: "a text", int: "a whole number"}
_MOST = 2**31
"""No whole number of an index is as large."""
