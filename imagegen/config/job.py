"""A checked job: what a job file says, with our defaults in place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from imagegen.config.schema import (
    Case,
    Crop,
    Format,
    Layout,
    Metadata,
    Overwrite,
    SeedMode,
    Separator,
    SheetIndex,
)

__all__ = [
    "DEFAULT_QUALITY",
    "DEFAULT_TIMEOUT_S",
    "FORMATS",
    "INDEX_FILES",
    "LONGEST_SIDE",
    "SIZE_KEYS",
    "Derivation",
    "Encoding",
    "FolderRules",
    "Item",
    "Job",
    "OutputRules",
    "SeedRule",
    "SheetRules",
    "Step",
]

DEFAULT_TIMEOUT_S = 600.0

FORMATS: Mapping[str, str] = {"png": ".png", "webp": ".webp", "jpeg": ".jpg", "avif": ".avif"}
"""The file name extension of each format."""
DEFAULT_QUALITY: Mapping[str, int] = {"webp": 90, "jpeg": 92, "avif": 80, "png": 100}
"""The quality of each format if a job gives none."""
INDEX_FILES: Mapping[SheetIndex, str] = {
    "texturepacker": ".json",
    "texturepacker-array": "-array.json",
    "phaser": "-phaser.json",
    "libgdx": ".atlas",
    "godot": ".tres",
    "unity": "-unity.json",
    "css": ".css",
}
"""What the names of a sheet's indexes end in."""
INDEX_FORMATS: Mapping[SheetIndex, tuple[Format, ...]] = {
    "libgdx": ("png", "jpeg"),
    "godot": ("png", "webp", "jpeg"),
    "unity": ("png", "jpeg"),
}
"""The image formats that an index's engine loads, if not all of them.

https://libgdx.com/wiki/graphics/2d/pixmaps
https://docs.godotengine.org/en/stable/tutorials/assets_pipeline/importing_images.html
https://docs.unity3d.com/2022.2/Documentation/Manual/ImportingTextures.html
"""
SIZE_KEYS = ("width", "height", "crop", "enlarge")
"""The keys of a derived file that resize it without steps."""
LONGEST_SIDE: Mapping[str, int] = {"webp": 16_383, "jpeg": 65_500, "avif": 32_768}
"""Pixels. WebP: RFC 9649; JPEG: libjpeg's JPEG_MAX_DIMENSION; AVIF: the longest that libavif reads by default."""


@dataclass(frozen=True)
class Encoding:
    """How an output's file is written, given its pixels; resolved. It needs no backend."""

    format: Format | Literal["json", "text"] = "png"  # the last two: a sheet's index
    quality: int = 100  # 1 to 100; of PNG, which has none, always 100; WebP is lossless at 100
    metadata: Metadata = "full"  # full: the file says what made it; none: it has no metadata at all

    @property
    def is_image(self) -> bool:
        """Whether the file is an image, and not a sheet's index."""
        return self.format in FORMATS

    @property
    def is_lossless(self) -> bool:
        """Whether a file of this encoding gives back the exact pixels."""
        return self.format not in ("jpeg", "avif") and self.quality == 100


@dataclass(frozen=True)
class SeedRule:
    """How seeds are chosen."""

    mode: SeedMode = "by-name"
    base: int = 1  # 0 … 2^64−1


@dataclass(frozen=True)
class Item:
    """A named prompt."""

    name: str
    prompt: str
    overrides: Mapping[str, Any]  # its own fields of `generate`
    where: str  # `file:line:column` of its name
    sections: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # its own options, by backend
    file: str = ""  # of the job's folder, relative to the project

    def merge_section(self, job: Job, backend: str, schema: Mapping[str, Any]) -> dict[str, Any]:
        """Return the options for a backend: the job's with the item's own, mappings merged key by key.

        An option whose rule has `meta: {instead_of: [one, …]}` excludes the first one. If the job has that and the item
        does not, it goes with all the others, so that an item can take an alternative.
        """
        options = dict(job.sections.get(backend, {}))
        own_options = self.sections.get(backend, {})
        for key in own_options:
            rival, *others = schema.get(key, {}).get("meta", {}).get("instead_of", [None])
            if rival in options and rival not in own_options:
                options = {name: value for name, value in options.items() if name not in (rival, *others)}
        for key, own in own_options.items():
            of_job = options.get(key)
            options[key] = {**of_job, **own} if isinstance(of_job, dict) and isinstance(own, dict) else own
        return options


@dataclass(frozen=True)
class FolderRules:
    """Files whose pictures are items."""

    pattern: str  # `art/scans/*.png`
    prompt: str | None = None  # of every item; None: nothing is generated


@dataclass(frozen=True)
class OutputRules:
    """Where a job's images go, and in which encoding."""

    folder: str
    name: str = "{slug}"  # a pattern
    case: Case = "lower"
    separator: Separator = "-"
    encoding: Encoding = field(default_factory=Encoding)
    overwrite: Overwrite = "own"


@dataclass(frozen=True)
class Step:
    """One step in which a derived file is made."""

    name: str  # of `STEPS`
    parameters: Mapping[str, Any]  # with our defaults
    key: str  # where it is in the job: `derive.token.steps[1].mask`
    where: str  # `file:line:column`


@dataclass(frozen=True)
class Derivation:
    """The rules for a file that is derived from each image: `thumb`, for example."""

    name: str
    encoding: Encoding
    width: int | None = None  # pixels; None: follows from the image
    height: int | None = None
    crop: Crop | None = None  # None: the image is fitted in whole
    enlarge: bool = False
    folder: str | None = None  # None: the image's own
    file_name: str | None = None  # a pattern; None: the image's file name and this one
    steps: tuple[Step, ...] = ()  # instead of a size
    only: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # axis → the values whose images have this file


@dataclass(frozen=True)
class SheetRules:
    """The rules for pictures with all of a job's images on them, and their indexes."""

    encoding: Encoding
    name: str = "sheet"  # of its task and its files
    layout: Layout = "grid"
    of: str | None = None  # the derived files that it shows; None: the images
    folder: str | None = None  # None: the job's own
    columns: int | None = None  # None: as many as make it nearly square
    cell: int = 256  # pixels, of both sides
    padding: int = 2  # pixels, between packed images
    extrude: int = 0  # pixels, around each
    trim: bool = True
    power_of_two: bool = False
    max_size: int = 2048  # pixels, of both sides
    pages: int = 1
    animations: str | None = None  # a pattern
    fps: float = 12.0
    indexes: tuple[SheetIndex, ...] = ()  # besides the one that each sheet has


@dataclass(frozen=True)
class Job:
    """One job file, checked."""

    name: str
    file: str  # as shown to the user
    output: OutputRules
    description: str = ""
    backend: str | None = None  # None: the project's setting
    generate: Mapping[str, Any] = field(default_factory=dict)  # the fields that it sets, without seed
    seed: SeedRule = field(default_factory=SeedRule)
    prefix: str = ""
    suffix: str = ""
    source: str | None = None
    items: tuple[Item, ...] = ()
    folder: FolderRules | None = None  # instead of items
    matrix: Mapping[str, Mapping[str, str | int | float]] = field(default_factory=dict)  # axis → value's name → text
    include: tuple[Mapping[str, Any], ...] = ()  # cells to add: axis → value's name, or {name: text}
    exclude: tuple[Mapping[str, str], ...] = ()  # cells to leave out: axis → value's name
    variants: int = 1
    derive: tuple[Derivation, ...] = ()
    sheet: SheetRules | None = None
    sections: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # by backend
    where: Mapping[str, str] = field(default_factory=dict)
    """`file:line:column` of its parts, by path: 'source', 'matrix.include[0].mood', 'comfyui.workflow'."""

    @property
    def has_pictures(self) -> bool:
        """Whether its items are pictures as they are, and nothing is generated."""
        return self.folder is not None and self.folder.prompt is None
