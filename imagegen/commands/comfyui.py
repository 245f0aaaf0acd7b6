"""`doit comfyui`: install ComfyUI, start it, build its jobs; `comfyui:setup` and `comfyui:update` do parts of that."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, cast

from imagegen.commands.build import Build
from imagegen.commands.command import YES, Answer, command, option, require
from imagegen.config.setting_types import TORCH_BUILDS
from imagegen.errors import InputError, Problem

if TYPE_CHECKING:
    from imagegen.backends.comfyui import ComfyUIBackend
    from imagegen.report.results.programs import ComfyUISetup

__all__ = ["comfyui", "setup", "update"]

_BACKEND = "comfyui"


def _jobs(build: Build) -> list[str]:
    """Return the jobs that use ComfyUI; broken ones are among them, so that they are reported."""
    if _BACKEND not in build.invocation.words:
        return []  # it is not selected, and perhaps nothing is planned
    default = build.settings.forced_backend or build.settings.backend
    return [
        plan.task
        for plan in build.plans
        if any(output.request.backend == _BACKEND for output in plan.outputs)
        or (plan.problems and (build.settings.forced_backend or plan.backend or default) == _BACKEND)
    ]


@command(
    "comfyui",
    "Install ComfyUI if needed, start it, and build every job that uses it.",
    {"doit comfyui": "asks before it installs", "doit comfyui --yes": "does not ask"},
    [YES],
    jobs=_jobs,
    result="imagegen.report.results.programs:ComfyUIJobs",
)
def comfyui(build: Build, *, yes: bool) -> Answer:
    """Install ComfyUI if the project's own is to serve a job and no server does; a run starts it."""
    from imagegen.backends.address import is_startable
    from imagegen.backends.comfyui.server import get_status, launch_of
    from imagegen.report.results.programs import ComfyUIJobs

    if not _jobs(build):
        raise InputError(Problem("", "no job uses comfyui", "write backend: comfyui in jobs/NAME.yaml"))
    backend = cast("ComfyUIBackend", build.project.backends[_BACKEND])
    requests = [output.request for plan in build.plans for output in plan.outputs]
    machines = [backend.localize(one).extra for one in requests if one.backend == _BACKEND]
    jobs = {tuple(machine["urls"]) for machine in machines if machine["start"] != "never"}
    launch = launch_of(build.root, build.settings)
    # if one of a job's servers is not started here, the job can do without one that is
    own = {url for urls in jobs if all(map(is_startable, urls)) for url in urls}
    states = {url: get_status(replace(launch, url=url)).state for url in own}
    is_needed = any(all(states.get(url) == "stopped" for url in urls) for urls in jobs)
    installed = _install(build, "doit comfyui", yes=yes) if is_needed else None
    return Answer(ComfyUIJobs(tuple(_jobs(build)), installed))


@command(
    "comfyui:setup",
    "Install or complete ComfyUI in tools/ComfyUI.",
    {
        "doit comfyui:setup": "says how much it downloads, and asks",
        "doit comfyui:setup --torch=cpu --yes": "without a GPU; does not ask",
    },
    [option("torch", str, "", "the PyTorch build, in place of what the settings say", choices=TORCH_BUILDS), YES],
    needs_jobs=False,
    result="imagegen.report.results.programs:ComfyUISetup",
)
def setup(build: Build, *, torch: str, yes: bool) -> Answer:
    """Install it."""
    return Answer(_install(build, "doit comfyui:setup" + (f" --torch={torch}" if torch else ""), torch, yes=yes))


@command(
    "comfyui:update",
    "Bring tools/ComfyUI to the newest commit of the pinned revision.",
    {"doit comfyui:update": "asks before it installs anything else"},
    [YES],
    needs_jobs=False,
    result="imagegen.report.results.programs:ComfyUISetup",
)
def update(build: Build, *, yes: bool) -> Answer:
    """Update it."""
    return Answer(_install(build, "doit comfyui:update", newest=True, yes=yes))


def _install(build: Build, line: str, torch: str = "", *, newest: bool = False, yes: bool) -> ComfyUISetup:
    """line: the command line, without --yes."""
    from imagegen.backends.comfyui.install import setup
    from imagegen.backends.comfyui.server import launch_of
    from imagegen.backends.models import FOLDER
    from imagegen.report.results.programs import ComfyUISetup

    def ask() -> None:
        if not yes:
            require("Go on?", "nothing was installed", f"{line} --yes")

    settings = build.settings
    found = setup(build.root, settings, torch, newest, ask)
    return ComfyUISetup(
        path=FOLDER.as_posix(),
        repository=settings.comfyui_repository,
        revision=settings.comfyui_revision,
        commit=found.commit,
        python=found.python,
        torch=found.torch,
        url=launch_of(build.root, settings).url,
        is_changed=found.is_changed,
    )
