"""Where rectangles go on pages."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imagegen.images.packing import Packing, Page, TooLargeGroup, pack

SIDES = st.integers(1, 40)
RULES = st.builds(
    Packing,
    padding=st.integers(0, 4),
    extrude=st.integers(0, 3),
    max_size=st.integers(64, 160),
    power_of_two=st.booleans(),
)


@st.composite
def groups_of(draw: st.DrawFn, count: int) -> list[list[int]]:
    """Each number in one group, in order of their first ones."""
    found: dict[int, list[int]] = {}
    for number in range(count):
        found.setdefault(draw(st.integers(0, count)), []).append(number)
    return list(found.values())


def is_apart(one: tuple[int, ...], other: tuple[int, ...], by: int) -> bool:
    """Whether two boxes (left, top, right, bottom) have so many pixels between them."""
    return (
        one[2] + by <= other[0] or other[2] + by <= one[0] or one[3] + by <= other[1] or other[3] + by <= one[1]
    )  # fmt: skip


@settings(max_examples=150)
@given(sizes=st.lists(st.tuples(SIDES, SIDES), min_size=1, max_size=25), rules=RULES, data=st.data())
def test_each_rectangle_has_its_place_with_room_around_it(
    sizes: list[tuple[int, int]], rules: Packing, data: st.DataObject
) -> None:
    groups = data.draw(groups_of(len(sizes)))
    try:
        pages = pack(sizes, groups, rules)
    except TooLargeGroup as error:
        assert len(groups[error.group]) > 1, "each of them alone fits"
        return
    assert sorted(number for page in pages for number in page.corners) == [*range(len(sizes))]
    for page in pages:
        assert max(page.width, page.height) <= rules.max_size
        assert not rules.power_of_two or all(side & (side - 1) == 0 for side in (page.width, page.height))
        extruded = [
            (x - rules.extrude, y - rules.extrude, x + sizes[n][0] + rules.extrude, y + sizes[n][1] + rules.extrude)
            for n, (x, y) in page.corners.items()
        ]
        assert all(a >= 0 and b >= 0 and c <= page.width and d <= page.height for a, b, c, d in extruded)
        assert all(
            is_apart(*pair, rules.padding)
            for n, one in enumerate(extruded)
            for pair in [(one, other) for other in extruded[:n]]
        )
    on_page = {number: at for at, page in enumerate(pages) for number in page.corners}
    assert all(len({on_page[number] for number in group}) == 1 for group in groups), "a group is on one page"
    assert [on_page[group[0]] for group in groups] == sorted(on_page[group[0]] for group in groups), "filled in order"
    assert pages == pack(sizes, groups, rules), "it is always alike"


def singles(count: int) -> list[list[int]]:
    return [[number] for number in range(count)]


def test_equal_rectangles_make_about_a_square() -> None:
    (page,) = pack([(10, 10)] * 9, singles(9), Packing(2, 0, 1000, power_of_two=False))
    assert (page.width, page.height) == (34, 34)
    assert page.corners[0] == (0, 0)


def test_a_page_has_the_next_power_of_two() -> None:
    (page,) = pack([(10, 10)] * 9, singles(9), Packing(2, 0, 1000, power_of_two=True))
    assert (page.width, page.height) in ((64, 32), (32, 64), (64, 64))
    (page,) = pack([(32, 32)] * 4, singles(4), Packing(0, 0, 100, power_of_two=True))
    assert (page.width, page.height) == (64, 64)


def test_a_page_may_be_filled_to_its_last_pixel() -> None:
    assert pack([(64, 32), (64, 32)], singles(2), Packing(0, 0, 64, power_of_two=False)) == [
        Page(64, 64, {0: (0, 0), 1: (0, 32)})
    ]
    assert len(pack([(64, 32), (64, 31)], singles(2), Packing(1, 0, 64, power_of_two=False))) == 1
    assert len(pack([(64, 32), (64, 32)], singles(2), Packing(1, 0, 64, power_of_two=False))) == 2


def test_what_does_not_fit_names_its_group() -> None:
    with pytest.raises(TooLargeGroup) as caught:
        pack([(40, 40)] * 6, [[0], [1, 2, 3, 4, 5]], Packing(0, 0, 80, power_of_two=False))
    assert caught.value.group == 1


def test_thousands_are_packed_densely() -> None:
    sizes = [(20 + 7 * n % 83, 20 + 11 * n % 79) for n in range(1500)]
    pages = pack(sizes, singles(1500), Packing(2, 0, 2048, power_of_two=False))
    assert len(pages) == 2
    assert sum(w * h for w, h in sizes) / sum(page.width * page.height for page in pages) > 0.9
