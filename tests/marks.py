"""Marks of cases."""

from __future__ import annotations

from typing import Any

import pytest

__all__ = ["long"]


def long(*case: Any) -> Any:
    """One of a test's cases, left to `pytest -m ''`: others of them are its short form."""
    return pytest.param(*case, marks=pytest.mark.long)
