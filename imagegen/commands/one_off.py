"""One-off images: from the options of `doit image` to outputs, made and told."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from doit import get_initial_workdir

from imagegen.commands.build import Build
from imagegen.commands.command_line import RANDOM_SEED
from imagegen.config.checking import check_job
from imagegen.config.document import Document
from imagegen.config.job import FORMATS, Encoding, Job
from imagegen.config.schema import SEED
from imagegen.errors import ImagegenError, Problem
from imagegen.execute.events import Event, Outcome
from imagegen.execute.forecast import estimate
from imagegen.execute.recovered_settings import Likeness, likeness
from imagegen.execute.run import SelectedOutput, run
from imagegen.execute.saved_items import Keepsake, save, saving
from imagegen.plan.naming import shorten_slug
from imagegen.plan.output import ONE_OFF, Output
from imagegen.plan.prompt_template import escape_prompt
from imagegen.project import Project
from imagegen.report.console import failures, outcome_line, saved_line
from imagegen.report.progress import following

__all__ = [
    "make_images",
]


_WHERE = "doit image"
_MOST = 1000
"""Images of one prompt."""


def make_images(build: Build, prompts: Sequence[str], options: dict[str, Any], folder: str) -> str:
    """Make an image of each prompt and print what became of it; what went wrong, empty where nothing did.

    options: of the task `image`, None where one was not given. folder: where images go that are told no other.
    """
    outcomes: list[Outcome] = []

    try:
        keepsakes = _keepsakes(build.project, prompts, options, folder)
        outputs = tuple(one.output for one in keepsakes)
        if options["save"]:
            outputs = saving(build.project, options["save"], keepsakes).outputs
        others = {one.output.path: task for task, one in build.planned.items() if one.output.job != outputs[0].job}
        _refuse_jobs_files(outputs, others)
        taking = estimate(build.project, outputs)
        report = following(sys.stdout, os.environ, len(outputs), taking, line_of=_line)

        def tell(event: Event) -> None:
            if isinstance(event, Outcome):
                outcomes.append(event)
            report.tell(event)

        try:
            ending = run(build.project, [SelectedOutput(output, build.invocation.always) for output in outputs], tell)
        finally:
            report.stop()
        made = {outcome.output.slug for outcome in outcomes if outcome.state in ("generated", "restored", "fresh")}
        if options["save"] and made:
            kept = [one for one in keepsakes if one.output.slug in made]
            saved = save(build.project, options["save"], kept)
            print(saved_line(saved.file, saved.added))
    except ImagegenError as error:
        return "\n".join(str(replace(one, where=one.where or _WHERE)) for one in error.problems)
    if ending.stopped:
        raise SystemExit(130)
    return "\n".join([*failures(outcomes), *map(str, ending.problems)])


def _line(outcome: Outcome) -> str:
    seed = f"  seed {outcome.output.request.seed}" if outcome.state != "failed" else ""
    return outcome_line(outcome) + seed


def _keepsakes(project: Project, prompts: Sequence[str], options: dict[str, Any], folder: str) -> list[Keepsake]:
    """The images that are asked for. Raises ImagegenError."""
    for word in (*prompts, *filter(None, (value for value in options.values() if isinstance(value, str)))):
        if any("\ud800" <= character <= "\udfff" for character in word):
            raise ImagegenError(Problem(_WHERE, f"{word!a} is not UTF-8", "check the terminal's encoding"))
    chosen = options["backend"] or project.settings.forced_backend or ""
    options = options | {"like": _image_file(project, options["like"])}
    like = _like(project, options["like"], chosen)
    backend = project.backends[chosen or like.backend or project.settings.backend]
    prompts = prompts or [escape_prompt(like.prompt)] if like.prompt else prompts
    if not prompts:
        raise ImagegenError(
            Problem(_WHERE, "no prompt", 'for example: doit image --prompt "a raven on a standing stone"')
        )
    fields = {**like.fields, **_given(options, "width", "height", "steps", "cfg", "sampler", "scheduler")}
    fields["negative"] = (
        options["negative"] if options["negative"] is not None else escape_prompt(fields.get("negative", ""))
    )
    seed = _seed(options["seed"], fields.pop("seed", None))
    where_to = _where_to(options, len(prompts) * options["count"], folder)
    if options["like"] and len(prompts) == 1 and not options["name"]:
        options["name"] = _name_like(project, options, where_to)
    items = list(_items(prompts, options, seed))
    section = dict(like.section) if like.backend == backend.name else {}
    if options["model"]:
        if not backend.model_option:
            raise ImagegenError(Problem(_WHERE, f"--model: the backend {backend.name} has no models", "leave it out"))
        section[backend.model_option] = options["model"]
    values: dict[str, Any] = {
        "backend": backend.name,
        "generate": {key: value for key, value in fields.items() if value != ""},
        "items": items,
        "output": where_to,
        **({backend.name: section} if section else {}),
    }
    job = _checked(project, values)
    expansion = project.planner.expand_job(job, job.items)
    if expansion.problems:
        raise ImagegenError(*map(_worded, expansion.problems))
    for note in (*like.notes, *expansion.notes):
        print(note)
    return [Keepsake(item["name"], one, section) for item, one in zip(items, expansion.outputs, strict=True)]


def _checked(project: Project, values: dict[str, Any]) -> Job:
    """The job that these values are. Raises ImagegenError, in the words of the options."""
    try:
        return check_job(ONE_OFF, Document(_WHERE, values, {}), project.backends.sections())
    except ImagegenError as error:
        raise ImagegenError(*map(_worded, error.problems)) from None


def _worded(problem: Problem) -> Problem:
    named = re.sub(r"^output\.(?:dir|name):", "--out:", problem.what)
    return replace(problem, what=re.sub(r"^(?:generate|items\[\d+\]|output)\.(\w+):", r"--\1:", named))


def _like(project: Project, file: str | None, backend: str) -> Likeness:
    if not file:
        return Likeness("", "", {})
    project.lock(ONE_OFF)  # those of jobs were read with them
    return likeness(project, file, backend)


def _image_file(project: Project, file: str | None) -> str | None:
    """From the project, also where the shell completed it from the folder that doit was called in."""
    called_in = get_initial_workdir()
    if file and called_in and not os.path.exists(project.root / file) and os.path.exists(Path(called_in, file)):  # noqa: PTH110 - a name that is too long raises nothing
        return Path(os.path.relpath(Path(called_in, file), project.root)).as_posix()
    return file


def _seed(given: int | None, of_image: int | None) -> int | None:
    """The seed of the first image; None where it follows from the name. Raises ImagegenError."""
    if given is not None and not SEED["min"] <= given <= SEED["max"]:
        what = f"--seed={given}: expected a whole number from {SEED['min']} to {SEED['max']}"
        raise ImagegenError(Problem(_WHERE, what, RANDOM_SEED))
    return of_image if given is None else given


def _items(prompts: Sequence[str], options: dict[str, Any], seed: int | None) -> Iterator[dict[str, Any]]:
    count = options["count"]
    if not 1 <= count <= _MOST:
        raise ImagegenError(Problem(_WHERE, f"--count={count}: expected a number from 1 to {_MOST}"))
    for index, prompt in enumerate(prompts):
        name = options["name"] or shorten_slug(prompt) or prompt[:60]
        if options["name"] and len(prompts) > 1:
            name = f"{name}-{index + 1}"
        for number in range(count):
            own_seed = {} if seed is None else {"seed": seed + number}
            yield {"name": f"{name}-{number + 1}" if count > 1 else name, "prompt": prompt, **own_seed}


def _name_like(project: Project, options: Mapping[str, Any], where_to: Mapping[str, Any]) -> str:
    """That of the image it is like; with a number where that would take this very image's place."""
    path = project.root / str(options["like"])
    if options["save"] or options["count"] > 1 or "name" in where_to:
        return path.stem
    folder = project.root / where_to["dir"]
    if path.suffix != FORMATS[where_to.get("format", Encoding().format)] or path.resolve().parent != folder.resolve():
        return path.stem
    number = 2
    while (folder / f"{path.stem}-{number}{path.suffix}").exists():
        number += 1
    return f"{path.stem}-{number}"


def _given(options: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: options[name] for name in names if options[name] is not None}


def _where_to(options: Mapping[str, Any], count: int, folder: str) -> dict[str, Any]:
    """The output section: what ends in / and what is a folder already is a folder, and so is what has no ending."""
    out, kind = options["out"], options["format"]
    chosen = {} if kind is None else {"format": kind}
    if options["save"]:
        for name in ("out", "format"):
            if options[name] is not None:
                what = f"--{name}: where a saved image goes, and its format, its job says"
                raise ImagegenError(Problem(_WHERE, what, "leave it out"))
    if out is None:
        return {"dir": folder, **chosen}
    path = PurePosixPath(out)
    if out.endswith("/") or os.path.isdir(out) or not path.suffix:  # noqa: PTH112 - a name that is too long raises nothing
        return {"dir": out, **chosen}
    formats = {suffix: kind for kind, suffix in FORMATS.items()} | {".jpeg": "jpeg"}
    ends = formats.get(path.suffix.lower())
    if ends is None:
        hint = f"end it in {' or '.join(FORMATS.values())}; a folder ends in /: --out={out}/"
        raise ImagegenError(Problem(_WHERE, f"--out={out}: there is no format '{path.suffix}'", hint))
    if kind not in (None, ends):
        hint = f"leave --format out, or write --out={path.with_suffix(FORMATS[kind])}"
        raise ImagegenError(Problem(_WHERE, f"--out={out} is {ends}, and --format={kind} says otherwise", hint))
    if count > 1:
        raise ImagegenError(Problem(_WHERE, f"--out={out} is one file, for {count} images", "name a folder"))
    if path.suffix != FORMATS[ends]:
        hint = f"--out={path.with_suffix(FORMATS[ends])}"
        raise ImagegenError(Problem(_WHERE, f"--out={out}: the ending of {ends} is {FORMATS[ends]}", hint))
    return {"dir": str(path.parent), "name": path.stem, "format": ends}


def _refuse_jobs_files(outputs: Sequence[Output], taken: Mapping[str, str]) -> None:
    for output in outputs:
        if output.path in taken:
            raise ImagegenError(
                Problem(_WHERE, f"{output.path} belongs to {taken[output.path]}", "choose another --out or --name")
            )
