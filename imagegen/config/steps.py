"""The steps that a derived file can be made in: each is declared here, and `images.steps` carries it out.

A step is written as `- trim`, as `- mask: circle` with its main parameter, or as `- resize: {width: 256}`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from imagegen.config.cutout_models import CUTOUT_MODELS
from imagegen.config.rules import Schema, list_of, mapping, number, one_of, rules, text, whole
from imagegen.errors import did_you_mean

__all__ = [
    "NEEDS_ALPHA_HINT",
    "STEPS",
    "Side",
    "StepRules",
    "check_colour",
    "check_step",
    "gives_alpha",
    "model_key",
    "needs_alpha",
    "read_step",
    "step_file",
    "step_model",
    "step_schemas",
    "steps_schema",
]

Mode = Literal["fit", "fill", "exact"]
Place = Literal["over", "under"]
Shape = Literal["circle", "rounded"]
Filter = Literal["smooth", "nearest"]
Canvas = Literal["square", "power-of-two"]
Direction = Literal["horizontal", "vertical"]
Side = Literal["centre", "top", "bottom", "left", "right", "top-left", "top-right", "bottom-left", "bottom-right"]
_LONGEST_SIDE = 8192
_LONGEST_PATH = 500


NEEDS_ALPHA_HINT = "put background, cutout or mask before it in steps, or give background or cutout beside the preset"
"""What to do where a step needs a picture that can be transparent."""


def _accept(_: Mapping[str, Any]) -> str:
    return ""


def _never(_: Mapping[str, Any]) -> bool:
    return False


def _always(_: Mapping[str, Any]) -> bool:
    return True


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
    needs_alpha: Callable[[Mapping[str, Any]], bool] = _never  # whether an image that can't be transparent is refused
    gives_alpha: Callable[[Mapping[str, Any]], bool] = _never  # whether what comes out can be, whatever goes in


def _file(description: str, example: str, **others: Any) -> Schema:
    meta = {"expected": f"path of a file, such as {example}"}
    return text(description, _LONGEST_PATH, regex=r".*\.[A-Za-z0-9]+", meta=meta, **others)


def _colour(description: str, word: str = "", *, is_opaque: bool = False) -> Schema:
    kind = "colour without opacity" if is_opaque else "colour"
    ways = f", by its name in CSS, or {word}" if word else " or by its name in CSS"
    expected = f"{kind}: write it as '#2f4f4f'{ways}"
    digits = "[0-9A-Fa-f]{3}|[0-9A-Fa-f]{6}" if is_opaque else "[0-9A-Fa-f]{3,4}|[0-9A-Fa-f]{6}|[0-9A-Fa-f]{8}"
    pattern = f"(#({digits})|[A-Za-z]+)"
    return text(description, 40, regex=pattern, meta={"expected": expected, "word": word})


_FILTER = one_of(Filter, "smooth, or nearest, which keeps the hard edges of pixel art. By default, smooth.")


def _is_translucent(colour: str) -> bool:
    digits = {5: colour[4:], 9: colour[7:]}.get(len(colour), "") if colour[0] == "#" else ""
    return colour == "transparent" or digits.lower() not in ("", "f", "ff")


def _check_rotate(parameters: Mapping[str, Any]) -> str:
    return "" if parameters["angle"] % 360 else f"{parameters['angle']:g}° turns nothing: leave the step out"


def _check_mask(parameters: Mapping[str, Any]) -> str:
    if ("shape" in parameters) == ("image" in parameters):
        return "needs a shape or an image, and not both"
    if "margin" in parameters and "image" in parameters:
        return "margin is for a shape: an image has its own"
    return "radius is for the shape rounded" if "radius" in parameters and parameters.get("shape") != "rounded" else ""


def _check_resize(parameters: Mapping[str, Any]) -> str:
    if "width" not in parameters and "height" not in parameters:
        return "needs a width or a height"
    mode = parameters["mode"]
    if mode != "fit" and not ("width" in parameters and "height" in parameters):
        return f"mode {mode} needs a width and a height"
    return "keep is for the mode fill" if "keep" in parameters and mode != "fill" else ""


def _check_pad(parameters: Mapping[str, Any]) -> str:
    ways = ["to" in parameters, "margin" in parameters, bool({"width", "height"} & parameters.keys())]
    if sum(ways) != 1:
        return "needs one of these: to; margin; or width and height"
    return "position has no effect beside margin" if "margin" in parameters and "position" in parameters else ""


def _check_quantise(parameters: Mapping[str, Any]) -> str:
    is_one = ("colours" in parameters) != ("palette" in parameters)
    return "" if is_one else "needs a number of colours or a palette, and not both"


def _check_shadow(parameters: Mapping[str, Any]) -> str:
    return "the opacity 0 shows nothing: leave the step out" if parameters["opacity"] == 0 else ""


STEPS: Mapping[str, StepRules] = {
    "trim": StepRules(
        "Cuts off what is transparent around the picture.",
        {"padding": whole("Transparent pixels to leave on each side. By default, 0.", 0, 1024)},
        {"padding": 0},
        main="padding",
        needs_alpha=_always,
    ),
    "background": StepRules(
        "Makes a background of one colour transparent.",
        {
            "colour": _colour(
                "The background's colour. By default, corners: that of the picture's corners.",
                "corners",
                is_opaque=True,
            ),
            "tolerance": whole("How far red, green and blue may each be from that colour. By default, 32.", 0, 255),
            "feather": whole(
                "Pixels over which edges fade. With 0, they are hard. By default, 1, as in the picture.", 0, 64
            ),
            "everywhere": rules(
                "boolean",
                "Whether the colour goes everywhere, as for a chroma key, or only where it is connected with the "
                "picture's edges. By default, only there.",
            ),
        },
        {"colour": "corners", "tolerance": 32, "feather": 1, "everywhere": False},
        main="colour",
        gives_alpha=_always,
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
        gives_alpha=_always,
    ),
    "mask": StepRules(
        "Makes everything outside a shape transparent.",
        {
            "shape": one_of(Shape, "circle: as large as fits in the middle; rounded: the picture with round corners."),
            "image": _file(
                "An image file instead of a shape: its transparency, or else its brightness, is the mask.",
                "art/mask.png",
            ),
            "radius": whole("Of round corners, in pixels. By default, an eighth of the shorter side.", 1, 4096),
            "margin": whole("Pixels between the shape and the picture's edges. By default, none.", 1, 4096),
        },
        {},
        main="shape",
        file="image",
        check=_check_mask,
        gives_alpha=_always,
    ),
    "frame": StepRules(
        "Puts an image file, resized to the picture's size, over or under the picture.",
        {
            "image": _file("The image file. Its path starts in the project's folder.", "art/ring.png", required=True),
            "place": one_of(Place, "Whether it goes over the picture or under it. By default, over."),
        },
        {"place": "over"},
        main="image",
        file="image",
        needs_alpha=lambda parameters: parameters["place"] == "under",
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
            "keep": one_of(Side, "The side that the mode fill keeps. By default, centre."),
            "enlarge": rules("boolean", "Whether a smaller picture is enlarged. By default, that is an error."),
            "filter": _FILTER,
        },
        {"mode": "fit", "enlarge": False, "filter": "smooth"},
        check=_check_resize,
    ),
    "pad": StepRules(
        "Adds room around the picture.",
        {
            "to": one_of(Canvas, "square, or power-of-two: each side becomes the next of 1, 2, 4, 8, …"),
            "width": whole("Width in pixels.", 1, _LONGEST_SIDE),
            "height": whole("Height in pixels.", 1, _LONGEST_SIDE),
            "margin": whole("Pixels to add on each side.", 1, 4096),
            "position": one_of(Side, "Where in it the picture goes. By default, centre."),
            "colour": _colour("The colour of the room. By default, transparent.", "transparent"),
        },
        {"colour": "transparent"},
        main="to",
        check=_check_pad,
        gives_alpha=lambda parameters: _is_translucent(parameters["colour"]),
    ),
    "quantise": StepRules(
        "Reduces the picture to a few colours. Its transparency stays as it is, unless hard is given.",
        {
            "colours": whole("How many colours; they are chosen from the picture.", 2, 256),
            "palette": _file(
                "A file with the colours: .gpl of GIMP, .hex of Lospec, .pal of JASC, or an image.",
                "art/palette.gpl; a number of colours is written in digits",
            ),
            "dither": rules("boolean", "Whether dots of two colours stand for those between them. By default, false."),
            "hard": rules(
                "boolean",
                "Whether each pixel becomes either opaque or fully transparent, as in pixel art. By default, false.",
            ),
        },
        {"dither": False, "hard": False},
        main="colours",
        file="palette",
        check=_check_quantise,
    ),
    "outline": StepRules(
        "Draws a line around what isn't transparent. The picture grows by the line's width on each side.",
        {
            "width": whole("Width of the line in pixels. By default, 2.", 1, 128),
            "colour": _colour("The line's colour. By default, black."),
            "smooth": rules(
                "boolean", "Whether its edges are smooth. With false, they are hard, as in pixel art. By default, true."
            ),
        },
        {"width": 2, "colour": "black", "smooth": True},
        main="width",
        needs_alpha=_always,
    ),
    "shadow": StepRules(
        "Puts a shadow under what isn't transparent. The picture grows so that the shadow isn't cut off.",
        {
            "x": whole("Pixels by which the shadow is moved to the right. By default, 4.", -1024, 1024),
            "y": whole("Pixels by which the shadow is moved down. By default, 4.", -1024, 1024),
            "blur": whole("Pixels over which its edges fade. By default, 8.", 0, 512),
            "colour": _colour("The shadow's colour. By default, black."),
            "opacity": number("From 0, not visible, to 1. By default, 0.5.", 0, 1),
        },
        {"x": 4, "y": 4, "blur": 8, "colour": "black", "opacity": 0.5},
        check=_check_shadow,
        needs_alpha=_always,
    ),
    "tile": StepRules(
        "Makes a texture seamless: opposite edges are blended, and the picture gets smaller by the overlap.",
        {
            "overlap": whole(
                "Pixels over which opposite edges are blended. By default, an eighth of the shorter side.", 1, 4096
            )
        },
        {},
        main="overlap",
    ),
    "flip": StepRules(
        "Mirrors the picture.",
        {"direction": one_of(Direction, "horizontal swaps left and right, vertical top and bottom.", required=True)},
        {},
        main="direction",
    ),
    "rotate": StepRules(
        "Turns the picture clockwise. Quarter turns are exact; for any other angle, it grows.",
        {"angle": number("Degrees.", -360, 360, required=True), "filter": _FILTER},
        {"filter": "smooth"},
        main="angle",
        check=_check_rotate,
        gives_alpha=lambda parameters: parameters.get("angle", 0) % 90 != 0,
    ),
}
"""By name. A parameter that a later release adds must do nothing while it is not given, and have no default here: else
all files with this step would become stale."""


_EXAMPLES = {"frame": "art/ring.png", "flip": "horizontal", "rotate": "90"}
"""Of steps that need a parameter: what it may be."""


def steps_schema() -> Schema:
    """Return the rules of a list of steps."""
    as_mapping = rules("mapping", minlength=1, maxlength=1, schema=step_schemas())
    step = {"anyof": [rules("text", allowed=list(STEPS)), as_mapping]}
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
    """Return a valid step's name, and its parameters with our defaults. `rotate: 45` and `rotate: 45.0` are one."""
    name, value = (written, {}) if isinstance(written, str) else next(iter(written.items()))
    step = STEPS[name]
    if not isinstance(value, Mapping):
        is_file = step.file and isinstance(value, str) and value not in step.parameters[step.main].get("allowed", ())
        value = {step.file if is_file else step.main: value}
    numbers = {key: float(one) for key, one in value.items() if step.parameters[key].get("type") == "number"}
    return name, {**step.defaults, **value, **numbers}


def check_step(name: str, parameters: Mapping[str, Any]) -> str:
    """Return what is wrong with the parameters of a step, each of which is valid by itself; empty if nothing is."""
    known = STEPS[name].parameters
    missing = [key for key, rule in known.items() if rule.get("required") and key not in parameters]
    if missing:  # the step is written as its name alone
        return f"needs its {missing[0]}, as in - {name}: {_EXAMPLES[name]}"
    return check_colour(name, parameters) or STEPS[name].check(parameters)


def check_colour(name: str, parameters: Mapping[str, Any]) -> str:
    """Return why a step's `colour` is not one; empty if it is, or there is none."""
    colour = parameters.get("colour", "")
    if colour and colour[0] != "#" and colour != STEPS[name].parameters["colour"]["meta"]["word"]:
        from PIL.ImageColor import colormap

        if colour.lower() not in colormap:
            return f"'{colour}' is not a colour{did_you_mean(colour.lower(), colormap)}"
    return ""


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


def needs_alpha(name: str, parameters: Mapping[str, Any]) -> bool:
    """Return whether a step is not possible with an image that can't be transparent."""
    return STEPS[name].needs_alpha(parameters)


def gives_alpha(name: str, parameters: Mapping[str, Any]) -> bool:
    """Return whether what comes out of a step can be transparent, whatever goes in."""
    return STEPS[name].gives_alpha(parameters)
