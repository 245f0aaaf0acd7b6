"""`doit image --prompt "…"`: generate one-off images, without a job file."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

from imagegen.commands.build import Build, build_now, exit_code_of, summarise
from imagegen.commands.command import Answer, command, option
from imagegen.commands.command_line import RANDOM_SEED, initial_folder
from imagegen.config.schema import COMMON, Format, GenerateFields
from imagegen.errors import FAILED, ImagegenError, InputError, Problem, printable

__all__ = ["image"]

_FOLDER = "assets/images"
_WHERE = "doit image"


def _describe(field: str) -> str:
    """Return a field's description in the schema, as a line of help."""
    text: str = COMMON[field]["meta"]["description"].rstrip(".")
    return text[0].lower() + text[1:] if text[1].islower() else text


@command(
    "image",
    "Generate one-off images, without a job file.",
    {
        'doit image --prompt "a raven on a standing stone"': f"writes {_FOLDER}/a-raven-on-a-standing-stone.png",
        'doit image --prompt "a raven" --count 4 --out drafts/': "four seeds, in a folder of their own",
        "doit image --like assets/portraits/kins/mallsing.png --steps 40": "that image's settings, but for the steps",
        'doit image --prompt "a raven" --save jobs/scraps.yaml': "also makes it an item of that job",
    },
    [
        option("prompt", list, [], "what to generate; several make a small batch"),
        option("name", str, None, "name of the image, and of its file [default: the prompt's first words]"),
        *(
            option(name.replace("_", "-"), type(default), None, _describe(name))
            for name, default in vars(GenerateFields()).items()
        ),
        option("seed", int, None, "the seed [default: it follows from the name]"),
        option("backend", str, None, "the backend, such as comfyui [default: as the settings say]", value="NAME"),
        option("model", str, None, "the checkpoint or model ID, for a backend that has them", value="NAME"),
        option("count", int, 1, "images of each prompt, with different seeds: NAME-1, NAME-2 and so on"),
        option("like", str, None, "an image to take settings from, unless another option gives them", value="FILE"),
        option("save", str, None, "a job file, such as jobs/scraps.yaml, that gets the image as an item", value="FILE"),
        option(
            "format", str, None, "the file's format, where --out has no ending [default: png]", choices=get_args(Format)
        ),
        option("out", str, None, f"the file to write, or a folder [default: {_FOLDER}/]", value="PATH"),
    ],
    result="imagegen.report.results.one_off:OneOffImages",
)
def image(build: Build, prompt: list[str], **options: Any) -> Answer:
    """Generate an image of each prompt, and save them as items if asked to."""
    from imagegen.execute.one_off import plan_images
    from imagegen.execute.saved_items import plan_save, save
    from imagegen.report.results.one_off import OneOffImages
    from imagegen.report.run_summary import image_problems, summarise_cost

    options["like"] = _from_project(build.root, options["like"])
    result = None
    try:
        _check_seed(options["seed"])
        images, notes = plan_images(build.project, prompt, options, _FOLDER)
        for note in notes:
            print(note, flush=True)
        outputs = [one.output for one in images]
        if options["save"]:
            outputs = list(plan_save(build.project, options["save"], images).outputs)
        taken = {one.output.path: task for task, one in build.planned.items() if one.output.job != outputs[0].job}
        for output in outputs:
            if output.path in taken:
                what = f"{output.path} belongs to {taken[output.path]}"
                raise InputError(Problem(_WHERE, what, "choose another --out or --name"))
        outcomes, ending = build_now(build, outputs, forced=build.invocation.always)
        built_images = summarise(build, outcomes, with_fresh=True)
        result = OneOffImages(built_images, summarise_cost(ending.costs), None, (), tuple(notes))
        built = {one.output.slug for one in outcomes if one.state in ("generated", "restored", "fresh")}
        if options["save"] and built:
            saved = save(build.project, options["save"], [one for one in images if one.output.slug in built])
            names = ", ".join(saved.added)
            print(printable(f"added to {saved.file}: {names}" if names else f"{saved.file} has it already"))
            result = replace(result, saved_to=saved.file, saved=saved.added)
    except ImagegenError as error:
        problems = [replace(one, where=one.where or _WHERE) for one in error.problems]
        if result is None:
            raise error.with_problems(*problems) from None
        return Answer(result, (), FAILED, problems, image_problems(result.images))
    suggested = [] if options["backend"] or options["like"] else build.suggest_sd(outcomes)
    result = replace(result, notes=(*notes, *suggested))
    code = exit_code_of(outcomes, ending)
    return Answer(result, suggested, code, ending.problems, image_problems(result.images))


def _check_seed(seed: int | None) -> None:
    from imagegen.config.schema import SEED

    if seed is not None and not SEED["min"] <= seed <= SEED["max"]:
        what = f"--seed={seed}: expected a whole number from {SEED['min']} to {SEED['max']}"
        raise InputError(Problem(_WHERE, what, RANDOM_SEED))


def _from_project(root: Path, file: str | None) -> str | None:
    """Return the file relative to the project, also where the shell completed it from the folder doit was called in."""
    called_in = initial_folder()
    if file and called_in and not os.path.exists(root / file) and os.path.exists(Path(called_in, file)):  # noqa: PTH110 - a name that is too long raises nothing
        return Path(os.path.relpath(Path(called_in, file), root)).as_posix()
    return file
