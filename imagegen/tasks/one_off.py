"""One-off images: from the options of `doit image` to outputs, made and told."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from imagegen.config.checking import check_job
from imagegen.config.document import Document
from imagegen.config.encoding import FORMATS
from imagegen.errors import ImagegenError, Problem
from imagegen.execute.outcome import Event, Outcome
from imagegen.execute.run import Wanted, run
from imagegen.plan.durations import Durations
from imagegen.plan.naming import short_slug
from imagegen.plan.output import Output
from imagegen.project import Project
from imagegen.report.console import failures, outcome_line
from imagegen.report.following import following
from imagegen.tasks.build import Build

__all__ = ["make_images"]

JOB = "image"
"""One-off images have a lock file as a job's have; no job can have this name, since the task has it."""
_WHERE = "doit image"


def make_images(build: Build, prompts: Sequence[str], options: dict[str, Any], folder: str) -> str:
    """Make an image of each prompt and print what became of it; what went wrong, empty where nothing did.

    options: of the task `image`, None where one was not given. folder: where images go that are told no other.
    """
    outcomes: list[Outcome] = []

    try:
        outputs = _outputs(build.project, prompts, options, folder)
        _refuse_jobs_files(outputs, {one.output.path: task for task, one in build.planned.items()})
        known = Durations(build.project.recorded())
        expected = {output.task: seconds for output in outputs if (seconds := known.of(output.request)) is not None}
        report = following(sys.stdout, os.environ, len(outputs), expected, line_of=_line)

        def tell(event: Event) -> None:
            if isinstance(event, Outcome):
                outcomes.append(event)
            report.tell(event)

        try:
            ending = run(build.project, [Wanted(output, build.invocation.always) for output in outputs], tell)
        finally:
            report.stop()
    except ImagegenError as error:
        return "\n".join(map(str, error.problems))
    if ending.stopped:
        raise SystemExit(130)
    return "\n".join([*failures(outcomes), *map(str, ending.problems)])


def _line(outcome: Outcome) -> str:
    seed = f"  seed {outcome.output.request.seed}" if outcome.state != "failed" else ""
    return outcome_line(outcome) + seed


def _outputs(project: Project, prompts: Sequence[str], options: dict[str, Any], folder: str) -> tuple[Output, ...]:
    if not prompts:
        raise ImagegenError(
            Problem(_WHERE, "no prompt", 'for example: doit image --prompt "a raven on a standing stone"')
        )
    for word in (*prompts, *filter(None, (value for value in options.values() if isinstance(value, str)))):
        if any("\ud800" <= character <= "\udfff" for character in word):
            raise ImagegenError(Problem(_WHERE, f"{word!a} is not UTF-8", "check the terminal's encoding"))
    backend = project.backend(options["backend"] or project.settings.forced_backend or project.settings.backend)
    values: dict[str, Any] = {
        "backend": backend.name,
        "generate": _given(options, "negative", "width", "height", "steps"),
        "items": [_item(prompt, index, len(prompts), options) for index, prompt in enumerate(prompts)],
        "output": _where_to(options["out"], len(prompts), folder),
    }
    if options["model"]:
        if not backend.model_option:
            raise ImagegenError(Problem(_WHERE, f"--model: the backend {backend.name} has no models", "leave it out"))
        values[backend.name] = {backend.model_option: options["model"]}
    job = check_job(JOB, Document(_WHERE, values, {}), project.sections())
    expansion = project.expand_job(job, job.items)
    if expansion.problems:
        raise ImagegenError(*expansion.problems)
    for note in expansion.notes:
        print(note)
    return expansion.outputs


def _given(options: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: options[name] for name in names if options[name] is not None}


def _item(prompt: str, index: int, count: int, options: dict[str, Any]) -> dict[str, Any]:
    name = options["name"] or short_slug(prompt) or prompt[:60]
    if options["name"] and count > 1:
        name = f"{name}-{index + 1}"
    return {"name": name, "prompt": prompt, **_given(options, "seed")}


def _where_to(out: str | None, count: int, folder: str) -> dict[str, Any]:
    if out is None:
        return {"dir": folder}
    path = PurePosixPath(out)
    formats = {suffix: kind for kind, suffix in FORMATS.items()} | {".jpeg": "jpeg"}
    kind = formats.get(path.suffix.lower())
    if kind is None:
        return {"dir": out}
    if count > 1:
        raise ImagegenError(Problem(_WHERE, f"--out={out} is one file, for {count} prompts", "name a folder"))
    if path.suffix != FORMATS[kind]:
        raise ImagegenError(Problem(_WHERE, f"--out={out}: write the ending as {FORMATS[kind]}"))
    return {"dir": str(path.parent), "name": path.stem, "format": kind}


def _refuse_jobs_files(outputs: Sequence[Output], taken: Mapping[str, str]) -> None:
    for output in outputs:
        if output.path in taken:
            raise ImagegenError(
                Problem(_WHERE, f"{output.path} belongs to {taken[output.path]}", "choose another --out or --name")
            )
