"""Marks of cases."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import pytest

__all__ = ["all_but_long", "long"]


def long(*case: Any) -> Any:
    """One of a test's cases, left to `pytest -m ''`: others of them are its short form."""
    return pytest.param(*case, marks=pytest.mark.long)


def all_but_long(cases: Iterable[str], short: Collection[str]) -> list[Any]:
    """The cases, by their names: the short ones as they are, the others `long`."""
    cases = list(cases)
    assert set(short) <= set(cases)
    return [case if case in short else long(case) for case in cases]
