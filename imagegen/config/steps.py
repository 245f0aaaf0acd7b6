"""The steps that a derived file can be made in: each is declared here, and `images.steps` carries it out.

A step is written as `- trim`, as `- mask: circle` with its main parameter, or as `- resize: {width: 256}`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from imagegen.config.cutout_models import CUTOUT_MODELS
from imagegen.config.rules import Schema, list_of, mapping, one_of, rules, text, whole

__all__ = [
    "STEPS",
    "StepRules",
    "model_key",
    "read_step",
    "step_file",
    "step_model",
    "step_schemas",
    "steps_schema",
]

Mode = Literal["fit", "fill", "exact"]
Place = Literal["over", "under"]
Shape = Literal["circle", "rounded"]
_LONGEST_SIDE = 8192
_LONGEST_PATH = 500


def _accept(_: Mapping[str, Any]) -> str:
    return ""


@dataclass(frozen=True)
class StepRules:
    """What a step's parameters may be, and what it does to transparency."""

    description: str
    parameters: Schema
    defaults: Mapping[str, Any]  # of the parameters that have one
    main: str = ""  # the parameter that can be written in place of all: `mask: circle`
    file: str = ""  # the parameter that is the path of a file, which can be written in place of all too
    model: str = ""  # the parameter that is the name of a model file
    check: Callable[[Mapping[str, Any]], str] = _accept  # says what is wrong with the parameters; empty: nothing
    needs_alpha: bool = False  # an image that can't be transparent is refused
    gives_alpha: bool = False


def _file(description: str, **others: Any) -> Schema:
    meta = {"expected": "path of a file, such as art/ring.png"}
    return text(description, _LONGEST_PATH, regex=r".*\.[A-Za-z0-9]+", meta=meta, **others)


def _check_mask(parameters: Mapping[str, Any]) -> str:
    if ("shape" in parameters) == ("image" in parameters):
        return "needs a shape or an image, and not both"
    return "radius is for the shape rounded" if "radius" in parameters and parameters.get("shape") != "rounded" else ""


def _check_resize(parameters: Mapping[str, Any]) -> str:
    if "width" not in parameters and "height" not in parameters:
        return "needs a width or a height"
    is_whole = "width" in parameters and "height" in parameters
    return "" if is_whole or parameters["mode"] == "fit" else f"mode {parameters['mode']} needs a width and a height"


STEPS: Mapping[str, StepRules] = {
    "trim": StepRules(
        "Cuts off what is transparent around the picture.",
        {"padding": whole("Transparent pixels to leave on each side. By default, 0.", 0, 1024)},
        {"padding": 0},
        main="padding",
        needs_alpha=True,
    ),
    "cutout": StepRules(
        "Cuts the subject out: a model finds it, and everything else becomes transparent. Needs the extra cutout.",
        {
            "model": text(
                f"A model: {', '.join(CUTOUT_MODELS)}, or one that the project lists. By default, u2net.",
                100,
            ),
            "like": rules(
                "text",
                "For a model that the project lists: the known one that it works like, in size and colours of its "
                "input. By default, the one of its name.",
                allowed=list(CUTOUT_MODELS),
            ),
        },
        {"model": "u2net"},
        main="model",
        model="model",
        gives_alpha=True,
    ),
    "mask": StepRules(
        "Makes everything outside a shape transparent.",
        {
            "shape": one_of(Shape, "circle: as large as fits in the middle; rounded: the picture with round corners."),
            "image": _file("An image file instead of a shape: its transparency, or else its brightness, is the mask."),
            "radius": whole("Of round corners, in pixels. By default, an eighth of the shorter side.", 1, 4096),
        },
        {},
        main="shape",
        file="image",
        check=_check_mask,
        gives_alpha=True,
    ),
    "frame": StepRules(
        "Puts an image file, resized to the picture's size, over or under the picture.",
        {
            "image": _file("The image file. Its path starts in the project's folder.", required=True),
            "place": one_of(Place, "Whether it goes over the picture or under it. By default, over."),
        },
        {"place": "over"},
        main="image",
        file="image",
    ),
    "resize": StepRules(
        "Resizes the picture.",
        {
            "width": whole("Width in pixels.", 1, _LONGEST_SIDE),
            "height": whole("Height in pixels.", 1, _LONGEST_SIDE),
            "mode": one_of(
                Mode,
                "With both sides: fit keeps the whole picture within them, fill cuts off what is outside, exact "
                "distorts it. By default, fit.",
            ),
        },
        {"mode": "fit"},
        check=_check_resize,
    ),
}
"""By name. A parameter that a later release adds must do nothing while it is not given, and have no default here: else
all files with this step would become stale."""


def steps_schema() -> Schema:
    """Return the rules of a list of steps."""
    names = [name for name, step in STEPS.items() if not any(one.get("required") for one in step.parameters.values())]
    step = {"anyof": [rules("text", allowed=names), rules("mapping", minlength=1, maxlength=1, schema=step_schemas())]}
    return list_of("What is done to the image, in this order. Each entry is one step.", step)


def step_schemas() -> Schema:
    """Return the rules of what a step's name stands before, by name."""
    return {name: _step_schema(step) for name, step in STEPS.items()}


def _step_schema(step: StepRules) -> Schema:
    short = [
        {key: value for key, value in step.parameters[name].items() if key != "required"}
        for name in dict.fromkeys((step.main, step.file))
        if name
    ]
    return {"anyof": [*short, mapping("", step.parameters)], "meta": {"description": step.description}}


def read_step(written: str | Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return a valid step's name, and its parameters with our defaults."""
    name, value = (written, {}) if isinstance(written, str) else next(iter(written.items()))
    step = STEPS[name]
    if isinstance(value, Mapping):
        return name, {**step.defaults, **value}
    is_file = step.file and isinstance(value, str) and value not in step.parameters[step.main].get("allowed", ())
    return name, {**step.defaults, step.file if is_file else step.main: value}


def step_file(name: str, parameters: Mapping[str, Any]) -> str:
    """Return which of a step's parameters is a file; empty if none is."""
    file = STEPS[name].file
    return file if file in parameters else ""


def step_model(name: str, parameters: Mapping[str, Any]) -> str:
    """Return which of a step's parameters is a model file; empty if none is."""
    model = STEPS[name].model
    return model if model in parameters else ""


def model_key(name: str) -> str:
    """Return what a model of this name is called among the files that steps name: no path is like it."""
    return f"model {name}:"
