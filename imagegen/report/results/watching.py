"""What `doit watch` did, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["WatchResult"]


@dataclass(frozen=True)
class WatchResult:
    """What a watch did.

    Attributes:
        edits: that it noticed.
        builds: that it started.
        counts: of the images that these built, by state.
        spent: by these, in US dollars, as far as prices are known.
    """

    edits: int
    builds: int
    counts: Mapping[str, int]
    spent: float
