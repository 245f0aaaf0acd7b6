from __future__ import annotations

import re
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagegen.config.money import dollars, find_price, name_entry, read_dollars


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        ("0", "$0.00"),
        ("5", "$5.00"),
        ("0.17", "$0.17"),
        ("0.170", "$0.17"),
        ("0.0025", "$0.0025"),
        ("1200", "$1200.00"),
    ],
)
def test_dollars_have_as_many_decimals_as_they_need_and_at_least_two(amount: str, shown: str) -> None:
    assert dollars(Decimal(amount)) == shown


@given(st.decimals(min_value=0, max_value=1000, places=4))
def test_what_is_shown_reads_as_the_same(amount: Decimal) -> None:
    assert read_dollars(dollars(amount).removeprefix("$")) == amount


@given(st.decimals(min_value=0, max_value=1000, places=4))
def test_a_number_of_toml_is_what_was_written(amount: Decimal) -> None:
    assert read_dollars(float(str(amount))) == amount


@pytest.mark.parametrize(
    "value", [-1, "-0.01", True, float("nan"), float("inf"), "5,00", "$5", "1e3", "", "5.", None, [5], 1e12, "１"]
)
def test_what_is_not_an_amount_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=re.escape("expected dollars, such as 5.00")):
        read_dollars(value)


PRICES = {
    "m": "0.04",
    "m high": "0.2",
    "m 1536x1024": "0.06",
    "m high 1536x1024": "0.25",
    "n low": "0.01",
    "n 64x64": "0.02",
}


@pytest.mark.parametrize(
    ("model", "quality", "size", "price"),
    [
        ("m", "auto", "1024x1024", "0.04"),
        ("m", "high", "1024x1024", "0.2"),
        ("m", "high", "1536x1024", "0.25"),
        ("m", "low", "1536x1024", "0.06"),
        ("n", "low", "64x64", "0.01"),
        ("n", "auto", "64x64", "0.02"),
        ("n", "auto", "1024x1024", None),
        ("o", "low", "64x64", None),
        ("", "auto", "64x64", None),
    ],
)
def test_the_most_specific_price_counts(model: str, quality: str, size: str, price: str | None) -> None:
    found = find_price([(name, Decimal(one)) for name, one in PRICES.items()], model, quality, size)
    assert found == (Decimal(price) if price else None)


@pytest.mark.parametrize("entry", ["m  high 64x64 ", "M High 64X64", "m high 64×64", "m 64x64 high"])
def test_an_entry_counts_however_it_is_written(entry: str) -> None:
    assert find_price([(entry, Decimal(3))], "m", "high", "64x64") == Decimal(3)


def test_the_entry_for_such_images_only_has_all_words() -> None:
    assert name_entry("m", "high", "64x64") == "m high 64x64"
    assert name_entry("", "", "64x64") == "MODEL 64x64"
