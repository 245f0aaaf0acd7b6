"""What `doit watch` did, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from imagegen.report.run_summary import RunState

__all__ = ["WatchResult"]


@dataclass(frozen=True)
class WatchResult:
    """What a watch did.

    Attributes:
        edits: number of edits noticed.
        builds: number of builds started.
        counts: number of images built, by state.
        spent: US dollars spent, as far as prices are known.
    """

    edits: int
    builds: int
    counts: Mapping[RunState, int]
    spent: float
