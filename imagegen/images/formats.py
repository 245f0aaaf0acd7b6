"""The one error of this package, in a module of its own because every format's module raises it."""

from __future__ import annotations

__all__ = [
    "BadImage",
]


class BadImage(Exception):  # noqa: N818 - it names what is there, as `Cancelled` does
    """These bytes are not the whole, sound image that they should be.

    what: one sentence without a full stop.
    """

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what
