"""US dollars: read exactly, and shown as `$0.17`. A run that pays for nothing imports nothing of it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal

__all__ = ["dollars", "find_price", "name_entry", "read_dollars", "split_entry"]

_LARGEST = 1_000_000


def read_dollars(value: object) -> Decimal:
    """Return an amount that TOML or a text holds, exactly as it is written there. Raises ValueError."""
    text = value if isinstance(value, str) else ""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        text = format(Decimal(str(value)), "f")  # the shortest that reads as this number: as it was written
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,12})?", text) or Decimal(text) > _LARGEST:
        raise ValueError("expected dollars, such as 5.00")
    return Decimal(text)


def dollars(amount: Decimal) -> str:
    """Return `$0.17`, with as many decimals as are needed, at least two."""
    exponent = amount.normalize().as_tuple().exponent
    return f"${amount:.{max(2, -exponent if isinstance(exponent, int) else 0)}f}"


def find_price(prices: Iterable[tuple[str, Decimal]], model: str, quality: str, size: str) -> Decimal | None:
    """Return what an image costs, by the most specific entry; None if there is none.

    prices: by `MODEL`, `MODEL WIDTHxHEIGHT`, `MODEL QUALITY` or `MODEL QUALITY WIDTHxHEIGHT`.
    """
    known = {split_entry(name): price for name, price in prices}
    names = (f"{model} {quality} {size}", f"{model} {quality}", f"{model} {size}", model)
    return next((known[words] for words in map(split_entry, names) if words in known), None)


def split_entry(name: str) -> frozenset[str]:
    """Return the words of a price's name: entries with the same ones, in any order or case, are the same."""
    return frozenset(name.lower().replace("×", "x").split())


def name_entry(model: str, quality: str, size: str) -> str:
    """Return the name of the price that is only for such images."""
    return " ".join(filter(None, (model or "MODEL", quality, size)))
