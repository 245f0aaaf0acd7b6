"""`doit image --prompt "…"`: one-off images, without a job file."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

from doit.exceptions import TaskFailed

from imagegen.config.checking import check_job
from imagegen.config.document import Document
from imagegen.config.encoding import FORMATS
from imagegen.errors import ImagegenError, Problem
from imagegen.execute.outcome import Outcome
from imagegen.execute.run import Wanted, run
from imagegen.plan.naming import short_slug
from imagegen.plan.output import Output
from imagegen.project import Project
from imagegen.report.console import failures, outcome_line, problem_lines
from imagegen.tasks.build import current_build
from imagegen.tasks.reporter import OURS

__all__ = ["task_image"]

JOB = "image"
"""One-off images have a lock file as a job's have; no job can have this name, since the task has it."""
FOLDER = "assets/images"
_WHERE = "doit image"


def _option(name: str, kind: type, text: str, default: Any = None) -> dict[str, Any]:
    return {"name": name, "long": name, "type": kind, "default": default, "help": text}


_OPTIONS = [
    _option("prompt", list, "what to draw; several make a small batch (--prompt='a=b' where it has a = in it)", []),
    _option("name", str, "name of the image, and of its file [the prompt's first words]"),
    _option("negative", str, "negative prompt"),
    _option("width", int, "pixels"),
    _option("height", int, "pixels"),
    _option("steps", int, "sampling steps"),
    _option("seed", int, "the seed [it follows from the name]"),
    _option("backend", str, "placeholder, comfyui or ollama [as the settings say]"),
    _option("model", str, "the checkpoint or model ID, for a backend that has them"),
    _option("out", str, f"the file to write, or the folder [{FOLDER}]"),
]


def task_image() -> dict[str, Any]:
    """Make one-off images: doit image --prompt "a raven on a standing stone"."""
    return {
        "actions": [_image],
        "params": _OPTIONS,
        "uptodate": [False],
        "verbosity": 2,
        "meta": {OURS: {}},
    }


def _image(prompt: list[str], **options: Any) -> TaskFailed | None:
    """doit hands in the parameters by these names."""
    build = current_build()
    outcomes: list[Outcome] = []

    def tell(outcome: Outcome) -> None:
        outcomes.append(outcome)
        seed = outcome.output.request.seed
        print(outcome_line(outcome) + (f"  seed {seed}" if outcome.state != "failed" else ""))
        sys.stdout.flush()

    try:
        outputs = _outputs(build.project, prompt, options)
        _refuse_jobs_files(outputs, build.planned)
        ending = run(build.project, [Wanted(output, build.invocation.always) for output in outputs], tell)
    except ImagegenError as error:
        text = "\n".join(problem_lines(error.problems))
    else:
        if ending.stopped:
            raise SystemExit(130)
        text = "\n".join([*failures(outcomes), *problem_lines(ending.problems)])
    if not text:
        return None
    print(text)
    return TaskFailed(text, report=False)


def _outputs(project: Project, prompts: Sequence[str], options: dict[str, Any]) -> tuple[Output, ...]:
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
        "output": _where_to(options["out"], len(prompts)),
    }
    if options["model"]:
        if not backend.model_option:
            raise ImagegenError(Problem(_WHERE, f"--model: the backend {backend.name} has no models", "leave it out"))
        values[backend.name] = {backend.model_option: options["model"]}
    sections = {name: make().options for name, make in project.registry.items()}
    job = check_job(JOB, Document(_WHERE, values, {}), sections)
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


def _where_to(out: str | None, count: int) -> dict[str, Any]:
    if out is None:
        return {"dir": FOLDER}
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


def _refuse_jobs_files(outputs: Sequence[Output], planned: dict[str, Any]) -> None:
    taken = {one.output.path: task for task, one in planned.items()}
    for output in outputs:
        if output.path in taken:
            raise ImagegenError(
                Problem(_WHERE, f"{output.path} belongs to {taken[output.path]}", "choose another --out or --name")
            )
