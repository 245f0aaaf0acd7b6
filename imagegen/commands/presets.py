"""`doit presets`: list the presets of derived files and sheets, and write a page with a picture of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

from imagegen.commands.build import Build
from imagegen.commands.command import Answer, command
from imagegen.errors import ImagegenError, InputError, Problem, did_you_mean, not_written
from imagegen.report.json_output import json_output

if TYPE_CHECKING:
    from imagegen.config.presets import Preset

__all__ = ["presets"]

_PAGE = ".imagegen/presets.html"


@command(
    "presets",
    "List the presets of derived files and of sheets, and write a page with a picture of what each does.",
    {"doit presets": f"all of them, and {_PAGE}", "doit presets token-foundry": "what is in it, and how a job uses it"},
    words="[NAME...]",
    needs_settings=False,
    needs_jobs=False,
)
def presets(build: Build, words: list[str]) -> Answer:
    """Print what was asked for, and write the page."""
    from imagegen.config.presets import Use, list_presets, load_preset
    from imagegen.report.presets.page import check_package, render
    from imagegen.report.presets.pictures import show_preset
    from imagegen.state.atomic import replace_file

    known = [load_preset(use, name) for use in get_args(Use) for name in list_presets(use)]
    names = [preset.name for preset in known]
    for word in words:
        if word not in names:
            what = f"there is no preset '{word}'{did_you_mean(word, names)}"
            raise InputError(Problem("presets", what, f"there are {', '.join(names)}"))
    data = {"presets": [_as_data(preset) for preset in known if not words or preset.name in words]}
    if json_output():
        return Answer(data)
    chosen = [preset for preset in known if preset.name in words]
    print("\n\n".join(map(_describe, chosen)) if chosen else _list(known), flush=True)
    try:
        check_package()
    except ImagegenError as error:  # the page is an extra: what was asked for is said
        print(f"\n{error}")
        return Answer(data)
    page = render([show_preset(preset) for preset in known])
    try:
        replace_file(build.root / _PAGE, page.encode("utf-8"), build.root / ".imagegen" / "tmp")
    except OSError as error:
        raise ImagegenError(not_written(error, path=_PAGE)) from None
    return Answer(data, ("", f"pictures of all presets: {_PAGE}"))


def _as_data(preset: Preset) -> dict[str, Any]:
    from imagegen.report.presets.pictures import write_use

    return {
        "name": preset.name,
        "use": preset.use,
        "description": preset.description,
        "keys": preset.keys,
        "optional": sorted(preset.optional),
        "example": write_use(preset),
    }


def _list(presets: list[Preset]) -> str:
    from imagegen.report.console import table

    rows = [(one.name, one.use, one.description) for one in presets]
    return "\n".join([*table(rows), "", "what is in one, and how a job uses it: doit presets NAME"])


def _describe(preset: Preset) -> str:
    from imagegen.report.console import table
    from imagegen.report.presets.pictures import describe_preset, write_use

    rows = [(f"  {line}", does) for line, does in describe_preset(preset)]
    return "\n".join(
        [
            f"{preset.name}: {preset.description}",
            "",
            *table(rows),
            "",
            "in a job:",
            "",
            *(f"  {line}" for line in write_use(preset).splitlines()),
        ]
    )
