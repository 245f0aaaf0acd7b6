"""One-off images: from the options of `doit image` to outputs. Nothing is generated here."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

from imagegen.config.checking import check_job
from imagegen.config.document import Document
from imagegen.config.job import FORMATS, Encoding, Job
from imagegen.config.schema import AXIS_FIELDS
from imagegen.errors import ImagegenError, InputError, Problem
from imagegen.execute.recovered_settings import RecoveredSettings, recover_settings
from imagegen.execute.saved_items import ImageToSave
from imagegen.plan.naming import shorten_slug
from imagegen.plan.output import ONE_OFF, Output
from imagegen.plan.prompt_template import escape_prompt
from imagegen.project import Project

__all__ = [
    "plan_images",
]


_WHERE = "doit image"
_MOST = 1000
"""Images of one prompt."""


def plan_images(
    project: Project, prompts: Sequence[str], options: dict[str, Any], folder: str
) -> tuple[list[ImageToSave], list[str]]:
    """Return the images that are asked for, and what their user should know.

    Args:
        project: whose settings hold.
        prompts: one for each image, or none if `like` has one.
        options: of `doit image`; None if one was not given.
        folder: for images that no option sends elsewhere.

    Raises:
        ImagegenError: in the words of the options.

    """
    for word in (*prompts, *filter(None, (value for value in options.values() if isinstance(value, str)))):
        if any("\ud800" <= character <= "\udfff" for character in word):
            raise InputError(Problem(_WHERE, f"{word!a} is not UTF-8", "check the terminal's encoding"))
    chosen = options["backend"] or project.settings.forced_backend or ""
    like = _recover(project, options["like"], chosen)
    backend = project.backends[chosen or like.backend or project.settings.backend]
    prompts = prompts or [escape_prompt(like.prompt)] if like.prompt else prompts
    if not prompts:
        raise InputError(Problem(_WHERE, "no prompt", 'for example: doit image --prompt "a raven on a standing stone"'))
    fields = {**like.fields, **_given(options, *AXIS_FIELDS)}
    fields["negative"] = (
        options["negative"] if options["negative"] is not None else escape_prompt(fields.get("negative", ""))
    )
    of_image = fields.pop("seed", None)
    seed = of_image if options["seed"] is None else options["seed"]
    where_to = _where_to(options, len(prompts) * options["count"], folder)
    if options["like"] and len(prompts) == 1 and not options["name"]:
        options = options | {"name": _name_like(project, options, where_to)}
    items = list(_items(prompts, options, seed))
    section = dict(like.section) if like.backend == backend.name else {}
    if options["model"]:
        if not backend.model_option:
            raise InputError(Problem(_WHERE, f"--model: the backend {backend.name} has no models", "leave it out"))
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
        raise InputError(*map(_worded, expansion.problems))
    if options["count"] > 1 and _are_copies(expansion.outputs):
        what = f"--count: {backend.name} takes no seed, so some of the images would be copies"
        raise InputError(Problem(_WHERE, what, "leave it out; for another image later: doit -a image …"))
    images = [ImageToSave(item["name"], one, section) for item, one in zip(items, expansion.outputs, strict=True)]
    return images, [*like.notes, *expansion.notes]


def _are_copies(outputs: Sequence[Output]) -> bool:
    """Return whether any of these outputs is the same image as another one, because no seed tells them apart."""
    have_seeds = all("seed" in one.parameters for one in outputs)
    return not have_seeds and len({one.request.prompt for one in outputs}) < len(outputs)


def _checked(project: Project, values: dict[str, Any]) -> Job:
    """Return these values as a job. Raises ImagegenError, in the words of the options."""
    try:
        return check_job(ONE_OFF, Document(_WHERE, values, {}), project.backends.sections())
    except ImagegenError as error:
        raise error.with_problems(*map(_worded, error.problems)) from None


def _worded(problem: Problem) -> Problem:
    named = re.sub(r"^output\.(?:dir|name):", "--out:", problem.what)
    return replace(problem, what=re.sub(r"^(?:generate|items\[\d+\]|output)\.(\w+):", r"--\1:", named))


def _recover(project: Project, file: str | None, backend: str) -> RecoveredSettings:
    if not file:
        return RecoveredSettings("", "", {})
    project.lock(ONE_OFF)  # those of jobs were read with them
    return recover_settings(project, file, backend)


def _items(prompts: Sequence[str], options: dict[str, Any], seed: int | None) -> Iterator[dict[str, Any]]:
    count = options["count"]
    if not 1 <= count <= _MOST:
        raise InputError(Problem(_WHERE, f"--count={count}: expected a number from 1 to {_MOST}"))
    for index, prompt in enumerate(prompts):
        name = options["name"] or shorten_slug(prompt) or prompt[:60]
        if options["name"] and len(prompts) > 1:
            name = f"{name}-{index + 1}"
        for number in range(count):
            has_own_seed = {} if seed is None else {"seed": seed + number}
            yield {"name": f"{name}-{number + 1}" if count > 1 else name, "prompt": prompt, **has_own_seed}


def _name_like(project: Project, options: Mapping[str, Any], where_to: Mapping[str, Any]) -> str:
    """Return the name of the image it is like, with a number if it would replace that very image."""
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
    """Return the output section. A path that ends in /, has no suffix, or is a folder already, is a folder."""
    out, kind = options["out"], options["format"]
    chosen = {} if kind is None else {"format": kind}
    if options["save"]:
        for name in ("out", "format"):
            if options[name] is not None:
                what = f"--{name}: the job decides where a saved image goes, and its format"
                raise InputError(Problem(_WHERE, what, "leave it out"))
    if out is None:
        return {"dir": folder, **chosen}
    path = PurePosixPath(out)
    if out.endswith("/") or os.path.isdir(out) or not path.suffix:  # noqa: PTH112 - a name that is too long raises nothing
        return {"dir": out, **chosen}
    formats = {suffix: kind for kind, suffix in FORMATS.items()} | {".jpeg": "jpeg"}
    ends = formats.get(path.suffix.lower())
    if ends is None:
        hint = f"end it in {' or '.join(FORMATS.values())}; a folder ends in /: --out={out}/"
        raise InputError(Problem(_WHERE, f"--out={out}: there is no format '{path.suffix}'", hint))
    if kind not in (None, ends):
        hint = f"leave --format out, or write --out={path.with_suffix(FORMATS[kind])}"
        raise InputError(Problem(_WHERE, f"--out={out} is {ends}, and --format={kind} says otherwise", hint))
    if count > 1:
        raise InputError(Problem(_WHERE, f"--out={out} is one file, for {count} images", "name a folder"))
    if path.suffix != FORMATS[ends]:
        hint = f"--out={path.with_suffix(FORMATS[ends])}"
        raise InputError(Problem(_WHERE, f"--out={out}: the ending of {ends} is {FORMATS[ends]}", hint))
    return {"dir": str(path.parent), "name": path.stem, "format": ends}
