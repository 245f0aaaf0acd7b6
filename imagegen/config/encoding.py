"""The encoding: what decides the file, given the pixels; it needs no backend."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["DEFAULT_QUALITY", "FORMATS", "LONGEST_SIDE", "Encoding"]

FORMATS = {"png": ".png", "webp": ".webp", "jpeg": ".jpg"}
"""The file name extension of each format."""

DEFAULT_QUALITY = {"webp": 90, "jpeg": 92, "png": 100}
"""The quality of each format where a job names none."""

LONGEST_SIDE = {"webp": 16_383, "jpeg": 65_500}
"""Pixels. WebP: RFC 9649; JPEG: libjpeg's JPEG_MAX_DIMENSION."""


@dataclass(frozen=True)
class Encoding:
    """How an output's pixels are written; resolved.

    format: a key of `FORMATS`; `json` for the index of a sheet.
    quality: 1 to 100. PNG has none, and is always at 100 here; WebP at 100 is lossless.
    metadata: `full` embeds the provenance, `none` takes all metadata out.
    """

    format: str = "png"
    quality: int = 100
    metadata: str = "full"

    @property
    def lossless(self) -> bool:
        """Whether the pixels can be had back exactly from a file of this encoding."""
        return self.format != "jpeg" and self.quality == 100
