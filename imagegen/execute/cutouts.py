"""Cutting out in a run: checks that the models are there, loads each once, and looks at each picture once."""

from __future__ import annotations

import functools
import hashlib
import io
import json
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from imagegen.backends.base import Cancelled, GenerationError
from imagegen.backends.models import display_path, inspect_model
from imagegen.backends.text import one_line, size_text
from imagegen.config.cutout_models import describe_licence, list_cutout_models
from imagegen.config.job import Encoding
from imagegen.config.models import ModelFile
from imagegen.config.steps import step_model
from imagegen.errors import Problem
from imagegen.execute.events import Event, ProgressEvent
from imagegen.images.image_file import read_image
from imagegen.images.steps import list_models
from imagegen.images.steps.cutout import INSTALL, FindAlpha, is_installed, load_model
from imagegen.plan.output import STEPS_FIELD, Output
from imagegen.project import Project
from imagegen.state.store import StoreEntry
from imagegen.state.timestamps import timestamp

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Cutouts", "check_models", "list_needed"]

_SLOW_S = 3.0
"""Seconds after which a run says that a model is being loaded."""
_AS_PNG = Encoding("png", 100, "none")


def check_models(project: Project, outputs: Sequence[Output]) -> dict[str, list[Problem]]:
    """Return, by task, what is missing of the models that an output takes, unless it can be restored."""
    needed = {
        output.task: (output.job, names)
        for output in outputs
        if (names := list_needed(output)) and not _can_be_restored(project, output)
    }
    by_job: dict[str, dict[str, None]] = defaultdict(dict)
    for job, names in needed.values():
        by_job[job].update(dict.fromkeys(names))
    missing = {job: _find_missing(project, job, names) for job, names in by_job.items()}
    found = {task: [missing[job][one] for one in names if one in missing[job]] for task, (job, names) in needed.items()}
    return {task: problems for task, problems in found.items() if problems}


def list_needed(output: Output) -> list[str]:
    """Return the names of the models that deriving the output takes."""
    steps = output.request.extra.get(STEPS_FIELD, []) if output.is_derived else []
    return [name for name, _ in list_models(steps)]


def _can_be_restored(project: Project, output: Output) -> bool:
    return any(project.store.has(entry.sha256) for entry in project.store.entries(output.fingerprint))


def _find_missing(project: Project, job: str, names: Iterable[str]) -> dict[str, Problem]:
    """Return what is missing of these models, by their names, with the first step of the job that takes each."""
    models = list_cutout_models(project.settings.models)
    # a report begins with the names of the outputs, so the position is in the text
    wrong = {name: problem for name in names if (problem := _check_model(project, models[name], name))}
    steps = project.planner.locate_steps(job) if wrong else []
    for name, problem in wrong.items():
        step = next((one for one in steps if one.parameters.get(step_model(one.name, one.parameters)) == name), None)
        place = f"{step.where}: {step.key}" if step else job
        wrong[name] = replace(problem, what=f"{place}: {problem.what}")
    return wrong


def _check_model(project: Project, model: ModelFile, name: str) -> Problem | None:
    """Return what is missing of a model; None if nothing is."""
    if not is_installed():
        return Problem("", "needs the extra cutout, which is not installed", INSTALL)
    one = inspect_model(project.root, project.settings, model)
    if one.state == "other":
        what = f"{display_path(project.root, one.path)} is not the model {name}"
        return Problem("", what, f"move it away, then doit models:pull {name}")
    if one.state != "there":
        hint = f"doit models:pull {name}  ({size_text(model.size)}, licence: {describe_licence(model)})"
        return Problem("", f"the model {name} is not here", hint)
    return None


class Cutouts:
    """Finds what to cut out of pictures, one after another: a model takes all cores, and gigabytes for some.

    What a model found in a picture is kept in the store, as any image there: it is removed if the store is full and
    nothing has used it for long.
    """

    def __init__(self, project: Project, on_event: Callable[[Event], None], stop: threading.Event) -> None:
        self._project, self._on_event, self._stop = project, on_event, stop
        self._mutex = threading.Lock()
        self._loaded: dict[tuple[str, str], Callable[[Image], Image]] = {}
        """By sha256 and what it works like."""

    def find_with(self, steps: Sequence[tuple[str, Mapping[str, Any]]]) -> dict[str, FindAlpha]:
        """Return what finds with each model that steps name, by its name."""
        return {name: functools.partial(self._find, name, sha256) for name, sha256 in list_models(steps)}

    def _find(self, name: str, sha256: str, picture: Image, like: str) -> Image:
        like = like or name
        pixels = hashlib.sha256(picture.tobytes()).hexdigest()
        subject = {"cutout": sha256, "like": like, "mode": picture.mode, "size": picture.size, "pixels": pixels}
        key = hashlib.sha256(json.dumps(subject, sort_keys=True).encode()).hexdigest()
        if (stored := self._restore(key)) is not None:
            return stored
        with self._mutex:
            if (stored := self._restore(key)) is not None:  # another file of this image has waited with this one
                return stored
            if self._stop.is_set():  # several may have waited here since before that
                raise Cancelled
            start = time.monotonic()
            find = self._load(name, sha256, like)
            try:
                found = find(picture)
            except Exception as error:  # whatever onnxruntime says of a model that takes another input
                raise _failure(f"the model {name} does not work like {like}", error, "correct like") from None
            self._keep(key, sha256, found, round(time.monotonic() - start, 3))
            return found

    def _restore(self, key: str) -> Image | None:
        for entry in self._project.store.entries(key):
            if data := self._project.store.get(entry.sha256):
                return read_image(data).upright.convert("L")
        return None

    def _keep(self, key: str, sha256: str, found: Image, seconds: float) -> None:
        from importlib.metadata import version

        data = io.BytesIO()
        found.save(data, "PNG")
        blob = self._project.store.put(data.getvalue())
        self._project.store.add(
            StoreEntry(key, blob, sha256, f"rembg {version('rembg')}", seconds, timestamp(), _AS_PNG)
        )

    def _load(self, name: str, sha256: str, like: str) -> Callable[[Image], Image]:
        if (sha256, like) not in self._loaded:
            project = self._project
            model = list_cutout_models(project.settings.models)[name]
            one = inspect_model(project.root, project.settings, model)
            text = f"loading the model {name}; the first time, this takes a minute or two"
            note = threading.Timer(_SLOW_S, self._on_event, [ProgressEvent(None, "note", {"text": text})])
            note.daemon = True
            note.start()
            try:
                self._loaded[sha256, like] = load_model(one.path, like)
            except ImportError as error:
                raise _failure("rembg cannot be loaded", error, f"install it again: {INSTALL}") from None
            except Exception as error:  # whatever onnxruntime says of a file
                what = f"{display_path(project.root, one.path)} cannot be loaded"
                raise _failure(what, error, "use another model") from None
            finally:
                note.cancel()
        return self._loaded[sha256, like]


def _failure(what: str, error: Exception, hint: str) -> GenerationError:
    return GenerationError(f"{what}: {one_line(f'{type(error).__name__}: {error}')}", hint)
