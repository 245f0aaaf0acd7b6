"""The grammar of a job file: one Cerberus schema, from which everything else that knows it is derived.

The types are our own, because Cerberus takes True as an integer and NaN as a float; so are the rules `blank` and
`unique`. Cerberus leaves `meta` to the application: it holds what an editor shows beside a key, and in words what a
`regex` expects.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from imagegen.config.presets import Use, list_presets
from imagegen.config.rules import Schema, list_of, mapping, number, one_of, rules, text, whole
from imagegen.config.steps import Side, step_schemas, steps_schema

__all__ = [
    "AXIS_FIELDS",
    "COMMON",
    "FIELD_TYPES",
    "GENERATE_FIELDS",
    "ITEM_SCHEMA",
    "SEED",
    "SHEET_KEYS",
    "TYPES",
    "Case",
    "Crop",
    "Format",
    "GenerateFields",
    "Layout",
    "Metadata",
    "Overwrite",
    "Sections",
    "SeedMode",
    "Separator",
    "SheetIndex",
    "ValueType",
    "item_schema",
    "job_schema",
]

Format = Literal["png", "webp", "jpeg", "avif"]
Metadata = Literal["full", "none"]
Overwrite = Literal["own", "never", "always"]
Case = Literal["lower", "keep"]
"""How names of items and axis values are written in file names."""
Separator = Literal["-", "_"]
"""What stands between the words of such a name."""
SeedMode = Literal["by-name", "sequence", "fixed", "random"]
Layout = Literal["grid", "packed"]
SheetIndex = Literal["texturepacker", "texturepacker-array", "phaser", "libgdx", "godot", "unity", "css"]
Crop = Side
"""The side of an image that a crop keeps."""


class ValueType(NamedTuple):
    """A type of values: its name for a person, its Python types, and those of their subtypes that are not meant."""

    name: str
    included: tuple[type, ...]
    excluded: tuple[type, ...] = ()


TYPES: Mapping[str, ValueType] = {
    "text": ValueType("text", (str,)),
    "whole": ValueType("a whole number", (int,), (bool,)),
    "number": ValueType("a number", (int, float), (bool,)),  # a document has no NaN or infinity
    "mapping": ValueType("a mapping", (Mapping,)),
    "list": ValueType("a list", (list,)),
    "boolean": ValueType("true or false", (bool,)),
}
"""By its name in a schema."""

Sections = Mapping[str, Mapping[str, Any] | None]
"""Each backend's name → the Cerberus schema of its section; None for a backend that failed to load: anything goes."""


_LONGEST_SIDE = 8192
_LONGEST_PATH = 500
_LONGEST_PROMPT = 20_000
_MAX_SEED = 2**64 - 1

SEED = whole("The seed of this item's images, used as it is.", 0, _MAX_SEED)


def _field(default: object, rules: Schema) -> Any:
    return dataclasses.field(default=default, metadata={"rules": rules})


@dataclasses.dataclass(frozen=True)
class GenerateFields:
    """The fields of `generate` that can decide pixels, except the seed: each is declared here, and nowhere else.

    The default of a field that a release adds must keep what was generated before: at its default, the field is left
    out of fingerprints (`plan.request`), so adding it makes no image stale.
    """

    negative: str = _field("", text("Negative prompt: what the image should not show.", _LONGEST_PROMPT, shortest=0))
    width: int = _field(1024, whole("Width in pixels.", 16, _LONGEST_SIDE))
    height: int = _field(1024, whole("Height in pixels.", 16, _LONGEST_SIDE))
    steps: int = _field(20, whole("Number of sampling steps.", 1, 10_000))
    cfg: float = _field(7.0, number("CFG scale: how closely the image follows the prompt.", 0, 1000))
    sampler: str = _field("euler", text("The sampler's name.", 100))
    scheduler: str = _field("normal", text("The scheduler's name.", 100))
    clip_skip: int = _field(
        1, whole("Clip skip: 1 uses the last layer of CLIP, 2 the one before it, and so on.", 1, 24)
    )


_RULES: Schema = {field.name: field.metadata["rules"] for field in dataclasses.fields(GenerateFields)}
GENERATE_FIELDS = (*_RULES, "seed")
"""The fields of `generate` that can decide pixels (`timeout_s` cannot)."""
AXIS_FIELDS = tuple(name for name in _RULES if name != "negative")
"""The fields of `generate` that a matrix axis of their name sets."""
FIELD_TYPES: Mapping[str, tuple[type, ...]] = {
    name: TYPES[rules["type"]].included for name, rules in {**_RULES, "seed": SEED}.items()
}

COMMON: Schema = {
    **_RULES,
    "timeout_s": number("Time limit for one image, in seconds. Doesn't affect the picture.", 0.01, most=7 * 24 * 3600),
}
"""The fields of `generate`, and of an item, except the seed: an item's is a number, a job's may be a rule."""

ITEM_SCHEMA: Schema = {
    "name": text("The item's name. Its files are named after it.", 200, required=True, blank=False),
    "prompt": text(
        "What the image shows. {mood} stands for the text of the matrix axis mood, {red|green} for one of the two, "
        "__hair__ for a line of jobs/wildcards/hair.txt.",
        _LONGEST_PROMPT,
        required=True,
        blank=False,
    ),
    **COMMON,
    "seed": SEED,
}
"""The fields of an item, without its own sections for backends."""

_VALUE = rules(["text", "whole", "number"])
_AXIS: Schema = {"anyof": [list_of("", _VALUE), rules("mapping", minlength=1, valuesrules=_VALUE)]}
_INCLUDED: Schema = {"anyof": [_VALUE, rules("mapping", minlength=1, maxlength=1, valuesrules=_VALUE)]}
"""A value by its name, or a value of its own: {name: text}."""
_AXIS_NAME = rules(
    "text",
    regex="^[a-z][a-z0-9_]*$",
    forbidden=["slug", "item", "variant"],
    meta={"expected": "name of an axis: lower-case letters, digits and _, a letter first"},
)
_NAME: dict[str, Any] = {
    "longest": 40,
    "shortest": 0,
    "regex": "^[a-z0-9]+(-[a-z0-9]+)*$",
    "meta": {"expected": "name here: lower-case letters and digits, with single hyphens between them"},
}
_BASE = text("", _LONGEST_PATH)
_QUALITY = whole("Quality of WebP (lossless at 100), JPEG and AVIF. PNG ignores it.", 1, 100)


def _cells(value: Schema, description: str) -> Schema:
    """Entries that name cells of the matrix: axis → value."""
    return list_of(description, rules("mapping", minlength=1, valuesrules=value))


_SEED_RULE = rules(
    ["whole", "mapping"],
    "How seeds are chosen. A bare number is the base of mode by-name.",
    min=0,
    max=_MAX_SEED,
    schema={
        "mode": one_of(SeedMode, "How seeds follow from the base. random picks one for each image and records it."),
        "base": whole("The number that the seeds follow from.", 0, _MAX_SEED),
    },
)
_PROMPT: Schema = {
    "prefix": text("Goes before every prompt.", _LONGEST_PROMPT, shortest=0),
    "suffix": text("Goes after every prompt.", _LONGEST_PROMPT, shortest=0),
}
_FOLDER: Schema = {
    "folder": text(
        "Image files, each of which is an item: art/scans/, art/scans/*.png or art/**. The path starts in the "
        "project's folder.",
        _LONGEST_PATH,
        required=True,
        blank=False,
    ),
    "prompt": text(
        "What is generated from each file, which {file} stands for in the options of the backend. Left out, nothing "
        "is generated: the files are what derive and sheet begin with.",
        _LONGEST_PROMPT,
        blank=False,
    ),
}
_OUTPUT: Schema = {
    "dir": text("The images' folder. By default, assets/ and the job's name.", _LONGEST_PATH),
    "name": text("The file name without its extension. It can use {slug}, {item}, {variant} and any axis.", 200),
    "case": one_of(Case, "lower: Old Tom gives old-tom. keep: it gives Old-Tom. By default, lower."),
    "separator": one_of(Separator, "What stands between the words of names: old-tom or old_tom. By default, -."),
    "format": one_of(Format, "The format of the image files."),
    "quality": _QUALITY,
    "overwrite": one_of(
        Overwrite,
        "Which existing files a build may replace. own: those that imagegen wrote and nobody changed.",
    ),
    "metadata": one_of(Metadata, "Whether each image file records what made it."),
}


def _preset(use: Use, description: str) -> Schema:
    return rules("text", description, allowed=list_presets(use))


_LEAVE_OUT = rules("boolean", allowed=[False])
"""Beside a preset: the preset's step is not wanted."""
_DERIVED_FILE: Schema = {
    "preset": _preset("derive", "A preset: steps and a format. Other keys here win. doit presets shows them."),
    **{name: {**step, "anyof": [*step["anyof"], _LEAVE_OUT]} for name, step in step_schemas().items()},
    "steps": steps_schema(),
    "width": whole("Width in pixels. If height is given too, the maximum (with crop: exact).", 1, _LONGEST_SIDE),
    "height": whole("Height in pixels. If width is given too, the maximum (with crop: exact).", 1, _LONGEST_SIDE),
    "crop": one_of(Crop, "Cuts to exactly width and height and keeps this side. By default, nothing is cut off."),
    "enlarge": rules("boolean", "Whether a smaller image is enlarged. By default, that is an error."),
    "format": one_of(Format, "The format of the file. By default, that of the images."),
    "quality": _QUALITY,
    "metadata": one_of(Metadata, "Whether the file records what made its image. By default, as the images do."),
    "dir": text("The folder. By default, that of the image.", _LONGEST_PATH),
    "name": text(
        "The file name without its extension. It can use {name} for this entry's name, and all that output.name can. "
        "By default, the image's name and this entry's.",
        200,
    ),
    "only": rules(
        "mapping",
        "The images that it is made of: axes of the matrix, each with a value or a list of values. By default, all.",
        minlength=1,
        valuesrules={"anyof": [_VALUE, list_of("", _VALUE)]},
    ),
}
_INDEX = one_of(SheetIndex, "")
_SHEET: Schema = {
    "preset": _preset("sheet", "A preset: a layout and an index. Other keys here win. doit presets shows them."),
    "name": text("The name of its task, its file and its index. By default, sheet.", **_NAME),
    "layout": one_of(Layout, "grid: each image in the middle of a cell. packed: trimmed, and as close as they fit."),
    "of": text("The derived files that it shows, by their name in derive. By default, the images.", **_NAME),
    "columns": whole("Cells in a row of a grid. By default, as many as make the sheet nearly square.", 1, 1000),
    "cell": whole("Width and height of a grid's cell in pixels. By default, 256.", 8, 2048),
    "padding": whole("Transparent pixels between packed images. By default, 2.", 0, 64),
    "extrude": whole("How often the pixels at a packed image's edges are repeated around it. By default, 0.", 0, 16),
    "trim": rules("boolean", "Whether transparent edges are left out of a packed sheet. By default, they are."),
    "power_of_two": rules("boolean", "Whether the sides of a packed sheet are powers of two. By default, they aren't."),
    "max_size": whole("Longest side of a packed sheet in pixels. By default, 2048.", 16, _LONGEST_SIDE),
    "pages": whole("How many files a packed sheet may need. By default, 1.", 1, 100),
    "animations": text(
        "The animation that an image belongs to, such as {item}. It can use {job}, {item}, {variant} and any axis.",
        200,
        regex=r"^[\w ./{}-]*$",
        meta={"expected": "pattern here: letters, digits, blanks, _ . / - and words in {}"},
    ),
    "fps": number("Frames a second of its animations. By default, 12.", 0.1, 240),
    "index": {
        "anyof": [_INDEX, {**list_of("", _INDEX), "unique": True}],
        "meta": {"description": "What else to write besides its JSON index: a format, or a list of them."},
    },
    "format": one_of(Format, "The format of its file. By default, png."),
    "quality": _QUALITY,
    "dir": text("The folder. By default, that of the job's images.", _LONGEST_PATH),
}

SHEET_KEYS: Mapping[Layout, tuple[str, ...]] = {
    "grid": ("columns", "cell"),
    "packed": ("padding", "extrude", "trim", "power_of_two", "max_size", "pages"),
}
"""The keys of a sheet that only one layout has."""


def item_schema(sections: Sections) -> Schema:
    """Return the schema of an item."""
    return {**ITEM_SCHEMA, **{name: _section(name, options) for name, options in sections.items() if options != {}}}


def job_schema(sections: Sections) -> Schema:
    """Return the schema of a job file."""
    return {
        "extends": {
            "anyof": [_BASE, list_of("", _BASE)],
            "meta": {"description": "The file, or list of files, that this job starts from. Paths start in jobs/."},
        },
        "description": text("Shown by doit list.", 1000, shortest=0),
        "backend": rules(
            "text", "What generates the images. By default, the project's setting.", allowed=sorted(sections)
        ),
        "generate": mapping(
            "How images are generated. Each item can override any of it.", {**COMMON, "seed": _SEED_RULE}
        ),
        "prompt": mapping("Text that all prompts have in common.", _PROMPT),
        "source": text("A Markdown or CSV file with prompts. Its path starts in the project's folder.", _LONGEST_PATH),
        "items": {
            # in a list within `anyof`, Cerberus accepts unknown keys unless the rules forbid them
            "anyof": [
                list_of("", rules("mapping", schema=item_schema(sections), allow_unknown=False)),
                mapping("", _FOLDER),
            ],
            "meta": {
                "description": "Named prompts, or a folder of pictures that are already there. If there is a source "
                "too, its items come after the prompts."
            },
        },
        "matrix": mapping(
            "Axes whose values multiply the items. An axis is a list, or a mapping of each value's name to its text.",
            {
                "include": _cells(_INCLUDED, "Extra cells, each with a value for every axis."),
                "exclude": _cells(_VALUE, "Cells to leave out: all that match an entry's values."),
            },
            minlength=1,
            keysrules=_AXIS_NAME,
            allow_unknown=_AXIS,  # every other key is an axis
        ),
        "variants": whole("How many variants of each image to generate. They differ in their seeds.", 1, 1000),
        "output": mapping("Where the images go, and in which format.", _OUTPUT),
        "derive": rules(
            "mapping",
            "Files made from each image without a backend, by name: thumbnails, other formats.",
            minlength=1,
            keysrules=text("", **_NAME),
            valuesrules=rules("mapping", schema=_DERIVED_FILE),
        ),
        "sheet": mapping("One image with all of the job's images in cells, and a JSON index of them.", _SHEET),
        **{name: _section(name, options) for name, options in sections.items()},
    }


def _section(backend: str, options: Mapping[str, Any] | None) -> Schema:
    if options is None:
        return rules("mapping", f"Options of the backend {backend}, which could not be loaded.")
    description = f"Options of the backend {backend}." if options else f"The backend {backend} has no options."
    return mapping(description, dict(options))
