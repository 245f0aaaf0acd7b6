"""The grammar of a job file: one Cerberus schema, from which everything else that knows it is derived.

Types are our own, because Cerberus takes True as an integer and NaN as a float; so is the rule `blank`. What an editor
shows beside a key stands in its `meta`, which Cerberus leaves to the application; so does what a `regex` asks for, in
words.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["COMMON", "CROPS", "ITEM_SCHEMA", "TEST_BACKEND", "Sections", "item_schema", "job_schema"]

TEST_BACKEND = "scripted"
"""The backend that only tests use: nobody is told to choose it."""

Schema = dict[str, Any]
Sections = Mapping[str, Mapping[str, Any] | None]
"""Each backend's name → the Cerberus schema of its section; None of one that cannot be used: anything goes there."""

SEED: Schema = {
    "type": "whole",
    "min": 0,
    "max": 2**64 - 1,
    "meta": {"description": "The seed of this item's images, used as it is."},
}

COMMON: Schema = {
    "width": {"type": "whole", "min": 16, "max": 8192, "meta": {"description": "Width in pixels."}},
    "height": {"type": "whole", "min": 16, "max": 8192, "meta": {"description": "Height in pixels."}},
    "steps": {"type": "whole", "min": 1, "max": 10_000, "meta": {"description": "Sampling steps."}},
    "cfg": {
        "type": "number",
        "min": 0,
        "max": 1000,
        "meta": {"description": "CFG scale: how closely the image keeps to the prompt."},
    },
    "sampler": {"type": "text", "minlength": 1, "maxlength": 100, "meta": {"description": "The sampler's name."}},
    "scheduler": {"type": "text", "minlength": 1, "maxlength": 100, "meta": {"description": "The scheduler's name."}},
    "negative": {
        "type": "text",
        "maxlength": 20_000,
        "meta": {"description": "Negative prompt: what the image must not show."},
    },
    "timeout_s": {
        "type": "number",
        "min": 0.01,
        "max": 7 * 24 * 3600,
        "meta": {"description": "Seconds that one image may take. Decides no pixels."},
    },
}
"""The fields of `generate`, and of an item, but for the seed: an item's is one number, a job's may be a rule."""

ITEM_SCHEMA: Schema = {
    "name": {
        "type": "text",
        "required": True,
        "minlength": 1,
        "maxlength": 200,
        "blank": False,
        "meta": {"description": "What the item is called. Its files are named after it."},
    },
    "prompt": {
        "type": "text",
        "required": True,
        "minlength": 1,
        "maxlength": 20_000,
        "blank": False,
        "meta": {
            "description": "What the image shows. {mood} stands for the text of the matrix's axis mood, {red|green} "
            "for one of the two, __hair__ for a line of jobs/wildcards/hair.txt."
        },
    },
    **COMMON,
    "seed": SEED,
}
"""The fields of an item, but for its own sections for backends."""

_AXIS_NAME = "^[a-z][a-z0-9_]*$"
_VALUE_TEXT: Schema = {"type": ["text", "whole", "number"]}
_AXIS: Schema = {
    "anyof": [
        {"type": "list", "minlength": 1, "schema": _VALUE_TEXT},
        {"type": "mapping", "minlength": 1, "valuesrules": _VALUE_TEXT},
    ]
}
_INCLUDED: Schema = {
    "anyof": [_VALUE_TEXT, {"type": "mapping", "minlength": 1, "maxlength": 1, "valuesrules": _VALUE_TEXT}]
}
"""A value by its name, or a value of its own: {name: text}."""


_NAME: Schema = {
    "type": "text",
    "maxlength": 40,
    "regex": "^[a-z0-9]+(-[a-z0-9]+)*$",
    "meta": {"expected": "name here: lower-case letters and digits, with single hyphens between them"},
}
CROPS = ("centre", "top", "bottom", "left", "right", "top-left", "top-right", "bottom-left", "bottom-right")
"""The sides of an image that a crop keeps."""
_FORMAT: Schema = {"type": "text", "allowed": ["png", "webp", "jpeg"]}
_QUALITY: Schema = {
    "type": "whole",
    "min": 1,
    "max": 100,
    "meta": {"description": "Of WebP (lossless at 100) and JPEG. It means nothing to PNG."},
}
_FOLDER: Schema = {"type": "text", "minlength": 1, "maxlength": 500}


def _described(rules: Schema, description: str) -> Schema:
    return {**rules, "meta": {**rules.get("meta", {}), "description": description}}


_DERIVATION: Schema = {
    "width": {
        "type": "whole",
        "min": 1,
        "max": 8192,
        "meta": {"description": "Width in pixels; with a height too, the most it may be."},
    },
    "height": {
        "type": "whole",
        "min": 1,
        "max": 8192,
        "meta": {"description": "Height in pixels; with a width too, the most it may be."},
    },
    "crop": {
        "type": "text",
        "allowed": list(CROPS),
        "meta": {"description": "Cut to exactly width and height, keeping this side. Left out, it is fitted in whole."},
    },
    "enlarge": {
        "type": "boolean",
        "meta": {"description": "Whether a smaller image is enlarged. Left out, that is an error."},
    },
    "format": _described(_FORMAT, "The format of the file. Left out, the images' own."),
    "quality": _QUALITY,
    "metadata": {
        "type": "text",
        "allowed": ["full", "none"],
        "meta": {"description": "Whether the file says what made its image. Left out, as the images have it."},
    },
    "dir": _described(_FOLDER, "The folder. Left out, the image's own."),
}
_SHEET: Schema = {
    "name": _described(_NAME, "What it is called: its task, its file and its index. Left out, sheet."),
    "columns": {
        "type": "whole",
        "min": 1,
        "max": 1000,
        "meta": {"description": "Cells in a row. Left out, as many as make it nearly square."},
    },
    "cell": {
        "type": "whole",
        "min": 8,
        "max": 2048,
        "meta": {"description": "Width and height of a cell in pixels. Left out, 256."},
    },
    "format": _described(_FORMAT, "The format of its file. Left out, png."),
    "quality": _QUALITY,
    "dir": _described(_FOLDER, "The folder. Left out, that of the job's images."),
}
_BASE: Schema = {"type": "text", "minlength": 1, "maxlength": 500}


def _cells(value: Schema, description: str) -> Schema:
    """Entries that name cells of the matrix: axis → value."""
    entry = {"type": "mapping", "minlength": 1, "valuesrules": value}
    return {"type": "list", "minlength": 1, "schema": entry, "meta": {"description": description}}


def item_schema(sections: Sections) -> Schema:
    """The schema of an item."""
    return {**ITEM_SCHEMA, **{name: _section(name, options) for name, options in sections.items() if options != {}}}


def job_schema(sections: Sections) -> Schema:
    """The schema of a job file."""
    return {
        "extends": {
            "anyof": [_BASE, {"type": "list", "minlength": 1, "schema": _BASE}],
            "meta": {"description": "The file, or list of files, that this job starts from; paths from jobs/."},
        },
        "description": {"type": "text", "maxlength": 1000, "meta": {"description": "Shown by doit list."}},
        "backend": {
            "type": "text",
            "allowed": sorted(sections),
            "meta": {"description": "What draws the images. Left out, the project's setting holds."},
        },
        "generate": {
            "type": "mapping",
            "schema": {
                **COMMON,
                "seed": {
                    "type": ["whole", "mapping"],
                    "min": 0,
                    "max": 2**64 - 1,
                    "schema": {
                        "mode": {
                            "type": "text",
                            "allowed": ["by-name", "sequence", "fixed", "random"],
                            "meta": {"description": "How seeds follow from the base; random: they are drawn."},
                        },
                        "base": {
                            "type": "whole",
                            "min": 0,
                            "max": 2**64 - 1,
                            "meta": {"description": "What the seeds follow from."},
                        },
                    },
                    "meta": {"description": "How seeds are had. A bare number is the base of mode by-name."},
                },
            },
            "meta": {"description": "How images are drawn. Each item can override any of it."},
        },
        "prompt": {
            "type": "mapping",
            "schema": {
                "prefix": {
                    "type": "text",
                    "maxlength": 20_000,
                    "meta": {"description": "Put before every prompt."},
                },
                "suffix": {
                    "type": "text",
                    "maxlength": 20_000,
                    "meta": {"description": "Put after every prompt."},
                },
            },
            "meta": {"description": "What all prompts have in common."},
        },
        "source": {
            "type": "text",
            "minlength": 1,
            "maxlength": 500,
            "meta": {"description": "A Markdown page with prompts, its path from the project's folder."},
        },
        "items": {
            "type": "list",
            "minlength": 1,
            "schema": {"type": "mapping", "schema": item_schema(sections)},
            "meta": {"description": "Items of the job's own: named prompts. With a source, they come first."},
        },
        "matrix": {
            "type": "mapping",
            "minlength": 1,
            "keysrules": {
                "type": "text",
                "regex": _AXIS_NAME,
                "forbidden": ["slug", "item", "variant"],
                "meta": {"expected": "name of an axis: lower-case letters, digits and _, a letter first"},
            },
            "schema": {
                "include": _cells(_INCLUDED, "Cells that the axes do not make: a value for every axis."),
                "exclude": _cells(_VALUE_TEXT, "Cells to leave out: all that match an entry's values."),
            },
            "allow_unknown": _AXIS,  # every other key is an axis
            "meta": {"description": "Axes whose values multiply the items: a list, or each value's name and its text."},
        },
        "variants": {
            "type": "whole",
            "min": 1,
            "max": 1000,
            "meta": {"description": "Takes of each image, told apart by their seeds."},
        },
        "output": {
            "type": "mapping",
            "schema": {
                "dir": {
                    "type": "text",
                    "minlength": 1,
                    "maxlength": 500,
                    "meta": {"description": "The images' folder. Left out, it is assets/ and the job's name."},
                },
                "name": {
                    "type": "text",
                    "minlength": 1,
                    "maxlength": 200,
                    "meta": {"description": "The file name without its ending: {slug}, {item}, {variant}, any axis."},
                },
                "format": {
                    "type": "text",
                    "allowed": ["png", "webp", "jpeg"],
                    "meta": {"description": "The format of the images' files."},
                },
                "quality": {
                    "type": "whole",
                    "min": 1,
                    "max": 100,
                    "meta": {"description": "Of WebP (lossless at 100) and JPEG. It means nothing to PNG."},
                },
                "overwrite": {
                    "type": "text",
                    "allowed": ["own", "never", "always"],
                    "meta": {"description": "What may be replaced: files that this build wrote, none, or any."},
                },
                "metadata": {
                    "type": "text",
                    "allowed": ["full", "none"],
                    "meta": {"description": "Whether the image says what made it."},
                },
            },
            "meta": {"description": "Where the images go, and as what."},
        },
        "derive": {
            "type": "mapping",
            "minlength": 1,
            "keysrules": _NAME,
            "valuesrules": {"type": "mapping", "schema": _DERIVATION},
            "meta": {"description": "Files made of each image without a backend, by name: thumbnails, other formats."},
        },
        "sheet": {
            "type": "mapping",
            "schema": _SHEET,
            "meta": {"description": "One image with all of the job's images in cells, and a JSON index of them."},
        },
        **{name: _section(name, options) for name, options in sections.items()},
    }


def _section(backend: str, options: Mapping[str, Any] | None) -> Schema:
    if options is None:
        return {"type": "mapping", "meta": {"description": f"Options of the backend {backend}, which cannot be used."}}
    description = f"Options of the backend {backend}." if options else f"The backend {backend} has no options."
    return {"type": "mapping", "schema": dict(options), "meta": {"description": description}}
