"""`doit comfyui`: ComfyUI there, started, and its jobs drawn; `comfyui:setup` and `comfyui:update`: parts of that."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from doit.exceptions import TaskFailed

from imagegen.commands.acting import command, demand
from imagegen.commands.build import Build, current_build
from imagegen.commands.command import OURS, YES, define, option
from imagegen.config.settings import TORCH_BUILDS
from imagegen.errors import ImagegenError, Problem

__all__ = [
    "task_comfyui",
]


_BACKEND = "comfyui"
_COMFYUI = define(
    "comfyui",
    "Install ComfyUI if needed, start it, and build every job that uses it.",
    {"doit comfyui": "asks before it installs", "doit comfyui --yes": "does not ask"},
    [YES],
)
_SETUP = define(
    "comfyui:setup",
    "Install ComfyUI in tools/ComfyUI, or what is missing of it.",
    {
        "doit comfyui:setup": "says how much it downloads, and asks",
        "doit comfyui:setup --torch=cpu --yes": "without a GPU; does not ask",
    },
    [option("torch", str, "", "the PyTorch build, in place of what the settings say", choices=TORCH_BUILDS), YES],
)
_UPDATE = define(
    "comfyui:update",
    "Bring tools/ComfyUI to the newest commit of the pinned revision.",
    {"doit comfyui:update": "asks where something is to be installed besides"},
    [YES],
)


def task_comfyui() -> Iterator[dict[str, Any]]:
    """Three commands, and no group of them: to draw is not to set up anew, or to update."""
    # `before` is called ahead of the first image
    meta = {OURS: {"before": _ensure}}
    yield command(_COMFYUI, _nothing_more, task_dep=_jobs(), meta=meta)
    yield command(_SETUP, _setup)
    yield command(_UPDATE, _update)


def _jobs() -> list[str]:
    """The jobs that ComfyUI draws; those that are broken are among them, so that it is told."""
    build = current_build()
    if _BACKEND not in build.invocation.words:
        return []  # it is not selected, and perhaps nothing is planned
    default = build.settings.forced_backend or build.settings.backend
    return [
        plan.task
        for plan in build.plans
        if any(output.request.backend == _BACKEND for output in plan.outputs)
        or (plan.problems and (build.settings.forced_backend or plan.backend or default) == _BACKEND)
    ]


def _nothing_more(yes: bool) -> None:
    """The images are made by then, as the jobs' own."""


def _ensure(build: Build, options: Mapping[str, Any]) -> list[Problem]:
    """Set ComfyUI up where the project's own is to serve a job, and no server does. What kept it from that."""
    from imagegen.backends.address import is_local
    from imagegen.backends.comfyui.server import get_status, launch_of

    if not _jobs():
        return [Problem("", "no job uses comfyui", "give one: backend: comfyui in jobs/NAME.yaml")]
    requests = [output.request for plan in build.plans for output in plan.outputs]
    jobs = {tuple(one.extra["urls"]) for one in requests if one.backend == _BACKEND and one.extra["start"] != "never"}
    launch = launch_of(build.root, build.settings)
    # where one of a job's servers is elsewhere, the job can do without one here
    own = {url for urls in jobs if all(map(is_local, urls)) for url in urls}
    states = {url: get_status(replace(launch, url=url)).state for url in own}
    if not any(all(states.get(url) == "stopped" for url in urls) for urls in jobs):
        return []
    failed = _bring("doit comfyui --yes", yes=options["yes"])
    return [Problem("", "ComfyUI is not set up: see above", "doit comfyui:setup goes on from there")] if failed else []


def _setup(torch: str, yes: bool) -> TaskFailed | None:
    chosen = f" --torch={torch}" if torch else ""
    return _bring(f"doit comfyui:setup{chosen} --yes", torch, yes=yes)


def _update(yes: bool) -> TaskFailed | None:
    return _bring("doit comfyui:update --yes", newest=True, yes=yes)


def _bring(form: str, torch: str = "", *, newest: bool = False, yes: bool) -> TaskFailed | None:
    """form: the command line that does not ask."""
    from imagegen.backends.comfyui.install import setup  # what they need, no other task does

    def ask() -> None:
        if not yes:
            demand("Go on?", "nothing is installed", form)

    build = current_build()
    try:
        if build.problems:
            raise ImagegenError(*build.problems)
        setup(build.root, build.settings, torch, newest, ask)
    except ImagegenError as error:
        print(error)
        return TaskFailed(str(error), report=False)
    return None
