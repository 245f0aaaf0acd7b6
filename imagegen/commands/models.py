"""`doit models` and `doit models:pull`: the model files that the project lists, what is there, and getting the rest."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

from doit.exceptions import TaskFailed

from imagegen.commands.acting import command
from imagegen.commands.build import current_build
from imagegen.commands.command import define
from imagegen.config.settings import Settings
from imagegen.errors import ImagegenError, Problem

__all__ = [
    "task_models",
]


_MODELS = define(
    "models",
    "Show the models that pyproject.toml lists, with their sizes and what is there.",
    {"doit models": ""},
)
_PULL = define(
    "models:pull",
    "Download the listed models that are missing.",
    {"doit models:pull": "all of them", "doit models:pull sdxl": "the one that is listed as sdxl"},
    words="[NAME...]",
)
_HOW = "no models are listed; they are in [tool.imagegen.models] of pyproject.toml: see docs/comfyui.md"


def task_models() -> Iterator[dict[str, Any]]:
    """Two commands, and no group of them: looking must not download."""
    yield command(_MODELS, _models)
    yield command(_PULL, _pull)


def _models() -> TaskFailed | None:
    def work(settings: Settings) -> list[Problem]:
        from imagegen.backends.comfyui.models import inspect_model
        from imagegen.report.models import model_lines

        root = current_build().root
        listed = [inspect_model(root, settings, model) for model in settings.models]
        print("\n".join(model_lines(root, listed) if listed else [_HOW]))
        return []

    return _told(work)


def _pull(words: list[str]) -> TaskFailed | None:
    try:
        return _told(lambda settings: _download(settings, words))
    except KeyboardInterrupt:
        print("stopped; what came stays, and doit models:pull goes on from there", flush=True)
        raise SystemExit(130) from None


def _download(settings: Settings, names: list[str]) -> list[Problem]:
    """Get those that are missing, one after another; what kept any of them from it."""
    from imagegen.backends.comfyui.hugging_face import HuggingFace, remote_of
    from imagegen.backends.comfyui.models import (
        digest_cache,
        find_obstacles,
        inspect_model,
        remember_digest,
        select_models,
    )
    from imagegen.backends.download import download
    from imagegen.report.models import PullReport, model_lines, pull_line

    root = current_build().root
    wanted = [inspect_model(root, settings, model) for model in select_models(settings.models, names)]
    if problems := list(find_obstacles(root, wanted)):
        return problems
    if all(one.state == "there" for one in wanted):
        print("\n".join(model_lines(root, wanted) if wanted else [_HOW]))
        return []
    hub = HuggingFace(settings.hf_endpoint, os.environ.get("HF_TOKEN", "").strip())
    print(pull_line(wanted), flush=True)
    with PullReport(root, sys.stdout) as report:
        for one in wanted:
            if one.state == "there":
                continue
            report.begin(one)
            try:
                download(remote_of(one.model, hub), one.path, report.tell, report.say)
            except ImagegenError as error:
                problems += error.problems
                report.say(f"failed   {one.model.key}")
            else:
                remember_digest(str(one.path), one.model.sha256, digest_cache(root))
                report.end(one)
    return problems


def _told(work: Callable[[Settings], list[Problem]]) -> TaskFailed | None:
    """Do it with the settings, and tell what is wrong, if anything."""
    build = current_build()
    try:
        problems = build.problems or work(build.settings)
    except ImagegenError as error:
        problems = list(error.problems)
    if not problems:
        return None
    print("\n".join(map(str, problems)), flush=True)
    return TaskFailed("a model is not there", report=False)
