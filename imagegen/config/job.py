"""A checked job: what a job file says, with our defaults in place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = [
    "DEFAULT_QUALITY",
    "DEFAULT_TIMEOUT_S",
    "FORMATS",
    "GENERATE_FIELDS",
    "LONGEST_SIDE",
    "Derivation",
    "Encoding",
    "Item",
    "Job",
    "OutputRules",
    "SeedRule",
    "SheetRules",
]


GENERATE_FIELDS = ("width", "height", "steps", "cfg", "sampler", "scheduler", "negative", "seed")
"""The fields of `generate` that can decide pixels (`timeout_s` cannot)."""
DEFAULT_TIMEOUT_S = 600.0


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


@dataclass(frozen=True)
class SeedRule:
    """How seeds follow. mode: by-name, sequence, fixed or random. base: 0 … 2^64−1."""

    mode: str = "by-name"
    base: int = 1


@dataclass(frozen=True)
class Item:
    """A named prompt.

    overrides: its own fields of `generate`. sections: its own options, by backend; they go before the job's.
    where: `file:line:column` of its name.
    """

    name: str
    prompt: str
    overrides: Mapping[str, Any]
    where: str
    sections: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def section(self, job: Job, backend: str) -> dict[str, Any]:
        """The options for a backend: the job's with the item's own; of mappings, key by key."""
        options = dict(job.sections.get(backend, {}))
        for key, own in self.sections.get(backend, {}).items():
            of_job = options.get(key)
            options[key] = {**of_job, **own} if isinstance(of_job, dict) and isinstance(own, dict) else own
        return options


@dataclass(frozen=True)
class OutputRules:
    """Where outputs go. name: a pattern, `{slug}` for example. overwrite: own, never or always."""

    folder: str
    name: str = "{slug}"
    encoding: Encoding = field(default_factory=Encoding)
    overwrite: str = "own"


@dataclass(frozen=True)
class Derivation:
    """A derived output of each image: `thumb`, for example.

    width, height: pixels, None where they follow from the image. crop: the side that is kept where the image is cut to
    fill both, None where it is fitted in whole. enlarge: whether an image that is smaller is enlarged. folder: None for
    the image's own.
    """

    name: str
    encoding: Encoding
    width: int | None = None
    height: int | None = None
    crop: str | None = None
    enlarge: bool = False
    folder: str | None = None


@dataclass(frozen=True)
class SheetRules:
    """One image with all of a job's images in cells, and its index.

    name: of its task and its files. columns: None for as many as make it nearly square. cell: pixels, of both sides.
    folder: None for the job's own.
    """

    encoding: Encoding
    name: str = "sheet"
    columns: int | None = None
    cell: int = 256
    folder: str | None = None


@dataclass(frozen=True)
class Job:
    """One job file, checked.

    file: as shown to the user. backend: None where the job leaves it to the settings.
    generate: the fields that it sets, without seed. sections: by backend. matrix: axis → value's name → its text.
    include: cells added to the matrix, each axis → value's name, or {name: text}. exclude: what takes cells out of it,
    each axis → value's name.
    where: `file:line:column` of its parts, by path ('source', 'output.dir', 'matrix.mood', 'matrix.include[0].mood',
    'derive.thumb.dir', 'comfyui.workflow').
    """

    name: str
    file: str
    output: OutputRules
    description: str = ""
    backend: str | None = None
    generate: Mapping[str, Any] = field(default_factory=dict)
    seed: SeedRule = field(default_factory=SeedRule)
    prefix: str = ""
    suffix: str = ""
    source: str | None = None
    items: tuple[Item, ...] = ()
    matrix: Mapping[str, Mapping[str, str | int | float]] = field(default_factory=dict)
    include: tuple[Mapping[str, Any], ...] = ()
    exclude: tuple[Mapping[str, str], ...] = ()
    variants: int = 1
    derive: tuple[Derivation, ...] = ()
    sheet: SheetRules | None = None
    sections: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    where: Mapping[str, str] = field(default_factory=dict)
