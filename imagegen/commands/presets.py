"""`doit presets`: list the presets of derived files and sheets, and write a page with a picture of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, get_args

from imagegen.commands.build import Build
from imagegen.commands.command import Answer, command
from imagegen.errors import ImagegenError, InputError, Problem, did_you_mean, not_written
from imagegen.report.json_output import json_output

if TYPE_CHECKING:
    from imagegen.config.presets import Preset
    from imagegen.report.results.configuration import PresetDescription

__all__ = ["presets"]

_PAGE = ".imagegen/presets.html"


@command(
    "presets",
    "List the presets of derived files and of sheets, and write a page with a picture of what each does.",
    {"doit presets": f"all of them, and {_PAGE}", "doit presets token-foundry": "what is in it, and how a job uses it"},
    words="[NAME...]",
    needs_settings=False,
    needs_jobs=False,
    result="imagegen.report.results.configuration:PresetList",
)
def presets(build: Build, words: list[str]) -> Answer:
    """Describe what was asked for, and write the page, which takes seconds and is for people."""
    from imagegen.config.presets import Use, list_presets, load_preset
    from imagegen.report.results.configuration import PresetList

    known = [load_preset(use, name) for use in get_args(Use) for name in list_presets(use)]
    names = [preset.name for preset in known]
    for word in words:
        if word not in names:
            what = f"there is no preset '{word}'{did_you_mean(word, names)}"
            raise InputError(Problem("presets", what, f"there are {', '.join(names)}"))
    chosen = [preset for preset in known if preset.name in words]
    result = PresetList(tuple(map(_as_data, chosen or known)))
    if json_output():
        return Answer(result)
    print("\n\n".join(map(_describe, chosen)) if chosen else _list(known), flush=True)
    return Answer(result, ["", _write_page(build, known)])


def _write_page(build: Build, known: Sequence[Preset]) -> str:
    """Write the page, if the package for it is installed; return what to say of it."""
    from imagegen.report.presets.page import check_package, render
    from imagegen.report.presets.pictures import show_preset
    from imagegen.state.atomic import replace_file

    try:
        check_package()
    except ImagegenError as error:  # the page is an extra: what was asked for is said
        return str(error)
    page = render([show_preset(preset) for preset in known])
    try:
        replace_file(build.root / _PAGE, page.encode("utf-8"), build.root / ".imagegen" / "tmp")
    except OSError as error:
        raise ImagegenError(not_written(error, path=_PAGE)) from None
    return f"pictures of all presets: {_PAGE}"


def _as_data(preset: Preset) -> PresetDescription:
    from imagegen.report.presets.pictures import write_use
    from imagegen.report.results.configuration import PresetDescription

    return PresetDescription(
        name=preset.name,
        use=preset.use,
        description=preset.description,
        keys=preset.keys,
        optional=tuple(sorted(preset.optional)),
        example=write_use(preset),
    )


def _list(presets: Sequence[Preset]) -> str:
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
