"""Where rectangles go on pages: as close as they fit, never turned, and always alike."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

__all__ = ["Packing", "Page", "TooLargeGroup", "pack"]


@dataclass(frozen=True)
class Packing:
    """What pages are like. In pixels."""

    padding: int  # between two rectangles
    extrude: int  # around each of them, on the page too
    max_size: int  # of both sides of a page
    power_of_two: bool  # whether both sides are one


@dataclass(frozen=True)
class Page:
    """A page, and the upper left corner of each rectangle on it, by its number. In pixels."""

    width: int
    height: int
    corners: dict[int, tuple[int, int]]


class TooLargeGroup(Exception):  # noqa: N818 - it is a finding
    """Rectangles that belong on one page do not fit on one."""

    def __init__(self, group: int) -> None:
        super().__init__(group)
        self.group = group


_Size = tuple[int, int]
_Boxes = Sequence[tuple[int, _Size]]
"""Rectangles with all that is kept free for them, each by its number."""


def pack(sizes: Sequence[_Size], groups: Sequence[Sequence[int]], rules: Packing) -> list[Page]:
    """Return as many pages as the rectangles need. They are filled in the order of the groups.

    Args:
        sizes: width and height of each rectangle, at least 1.
        groups: numbers of rectangles that belong on one page; each number is in one group.
        rules: for the pages.

    Raises:
        TooLargeGroup: a group does not fit on a page.

    """
    room = rules.padding + 2 * rules.extrude
    boxes = [(width + room, height + room) for width, height in sizes]
    side = (1 << rules.max_size.bit_length() - 1) if rules.power_of_two else rules.max_size
    limit = side + rules.padding  # that of the last one may hang over
    pages, done = [], 0
    while done < len(groups):
        count = _fill_page(boxes, groups[done:], limit)
        if not count:
            raise TooLargeGroup(done)
        on_page = [(number, boxes[number]) for group in groups[done : done + count] for number in group]
        pages.append(_shrink(on_page, limit, rules))
        done += count
    return pages


def _fill_page(boxes: Sequence[_Size], groups: Sequence[Sequence[int]], limit: int) -> int:
    """Return how many groups, from the first, go on one page."""
    areas = accumulate(sum(boxes[n][0] * boxes[n][1] for n in group) for group in groups)
    up_to = [area for area in areas if area <= limit * limit]
    share, count = 1.0, len(up_to)
    while count:
        on_page = [(number, boxes[number]) for group in groups[:count] for number in group]
        if _place(on_page, limit, limit) is not None:
            return count
        share *= _STEP
        count = min(count - 1, sum(area <= limit * limit * share for area in up_to))
    return 0


_STEP = 0.98
"""A page that is too full is tried again with this share of it."""


def _shrink(boxes: _Boxes, limit: int, rules: Packing) -> Page:
    """Return the smallest page found for boxes that fit on one of the limit."""
    found = []
    for width, height in _try_sizes(boxes, limit, rules):
        if corners := _place(boxes, width, height):
            ends = [(corners[number][0] + box[0], corners[number][1] + box[1]) for number, box in boxes]
            used = [max(side) - rules.padding for side in zip(*ends, strict=True)]
            size = [_next_power(side) for side in used] if rules.power_of_two else used
            moved = {number: (x + rules.extrude, y + rules.extrude) for number, (x, y) in corners.items()}
            found.append(Page(size[0], size[1], dict(sorted(moved.items()))))
    # of two with about the same area, the one that is more like a square
    return min(found, key=lambda page: max(page.width, page.height) * (page.width + page.height))


def _try_sizes(boxes: _Boxes, limit: int, rules: Packing) -> Iterator[_Size]:
    """Yield the sizes that are tried: the limit, which is large enough, and smaller ones, about square."""
    yield limit, limit
    widest = max(width for _, (width, _) in boxes)
    side = sum(width * height for _, (width, height) in boxes) ** 0.5
    if rules.power_of_two:
        powers = [1 << n for n in range(limit.bit_length()) if 1 << n <= limit - rules.padding]
        for width in powers:
            if width + rules.padding >= widest:
                yield width + rules.padding, limit
    else:
        tries = max(4, min(15, 4000 // len(boxes)))  # many boxes fill a page of any width
        for percent in range(100, 160, 60 // tries):
            yield min(limit, max(widest, int(side * percent / 100))), limit


def _next_power(side: int) -> int:
    return 1 << (side - 1).bit_length()


def _place(boxes: _Boxes, width: int, height: int) -> dict[int, tuple[int, int]] | None:
    """Return the corner of each box on a page of that size; None if they do not fit on it."""
    from rectpack import SkylineBlWm

    page = SkylineBlWm(width, height, rot=False)
    corners = {}
    # the highest first: they pack most densely, and fastest
    for number, (across, down) in sorted(boxes, key=lambda box: (-box[1][1], -box[1][0], box[0])):
        placed = page.add_rect(across, down)
        if placed is None:
            return None
        corners[number] = (placed.x, placed.y)
    return corners
