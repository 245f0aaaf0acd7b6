"""The model files that steps of derived files name: known by name, or listed by the project. No file is looked at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from imagegen.config.cutout_models import CUTOUT_FOLDER, CUTOUT_MODELS, list_cutout_models
from imagegen.config.job import Job, Step
from imagegen.config.models import ModelFile
from imagegen.config.steps import model_key, step_model
from imagegen.errors import Problem, did_you_mean

__all__ = ["find_step_models"]


def find_step_models(job: Job, listed: Sequence[ModelFile]) -> tuple[dict[str, str], list[Problem]]:
    """Return the sha256 of each model that the job's steps name, by its `model_key`; and what is wrong with them.

    listed: the models of the project.
    """
    found: dict[str, str] = {}
    problems: list[Problem] = []
    for step in (step for rules in job.derive for step in rules.steps):
        if parameter := step_model(step.name, step.parameters):
            name = step.parameters[parameter]
            model = list_cutout_models(listed).get(name)
            if model is None:
                problems.append(_unknown_model(step, name, listed))
            else:
                problems += _check_likeness(step, model)
                found[model_key(name)] = model.sha256
    return found, problems


def _unknown_model(step: Step, name: str, listed: Sequence[ModelFile]) -> Problem:
    known = list_cutout_models(listed)
    what = f"{step.key}: there is no model '{name}' to cut out with{did_you_mean(name, known)}"
    if any(model.key == name for model in listed):
        hint = f'if it is one, give it folder = "{CUTOUT_FOLDER}" in [tool.imagegen.models] of pyproject.toml'
        return Problem(step.where, what, hint)
    hint = f'known are {", ".join(known)}; list another in [tool.imagegen.models], with folder = "{CUTOUT_FOLDER}"'
    return Problem(step.where, what, hint)


def _check_likeness(step: Step, model: ModelFile) -> Iterator[Problem]:
    """Say what is wrong with `like`: an own model needs it, a known one has it by its name."""
    if CUTOUT_MODELS.get(model.key) == model:
        if "like" in step.parameters:
            yield Problem(step.where, f"{step.key}: like is for a model that the project lists, not for {model.key}")
    elif not model.name.lower().endswith(".onnx"):
        yield Problem(step.where, f"{step.key}: the file of {model.key}, {model.name}, is not an ONNX model")
    elif "like" not in step.parameters and model.key not in CUTOUT_MODELS:
        what = f"{step.key}: say which known model {model.key} works like"
        hint = f"- cutout: {{model: {model.key}, like: isnet-general-use}}, or {', '.join(CUTOUT_MODELS)}"
        yield Problem(step.where, what, hint)
