"""`doit sd:setup` and `doit sd:update`: stable-diffusion.cpp in tools/sd, and a model for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from imagegen.commands.build import Build
from imagegen.commands.command import YES, Answer, command, option, report_setup, require
from imagegen.commands.models import describe_model
from imagegen.config.setting_types import SD_DEVICES

if TYPE_CHECKING:
    from imagegen.backends.sd.program import Program
    from imagegen.plan.output import Output
    from imagegen.project import JobPlan, Project
    from imagegen.report.results.programs import SdProgram

__all__ = ["setup", "update"]


@command(
    "sd:setup",
    "Install stable-diffusion.cpp in tools/sd, and download a model for it.",
    {
        "doit sd:setup": "says how much it downloads, and asks",
        "doit sd:setup --device=cpu --yes": "without a GPU; does not ask",
        "doit sd:setup --model=flux2-klein-4b": "downloads that model",
    },
    [
        option("device", str, "auto", "what to generate on, in place of what the settings say", choices=SD_DEVICES),
        option("model", str, "", "the model, in place of the one that suits this machine", value="NAME"),
        YES,
    ],
    result="imagegen.report.results.programs:SdSetup",
)
def setup(build: Build, *, device: str, model: str, yes: bool) -> Answer:
    """Install and download what is missing, and say how to go on."""
    from imagegen.backends.sd.install import install
    from imagegen.backends.sd.model_setup import ModelsInPlace, check_name, setup_model
    from imagegen.report.results.programs import SdSetup

    root, settings = build.root, build.settings
    words = [f"--device={device}"] if device != "auto" else []
    line = " ".join(["doit sd:setup", *words, *([f"--model={model}"] if model else [])])
    check_name(root, settings, model)
    project, plans = _plan_for_sd(build)
    outputs = _list_outputs(plans, "doit doctor" if settings.backend == "sd" else "doit doctor backend=sd")
    with report_setup(build, line) as progress:
        program = install(root, settings, progress, _ask("nothing was downloaded", line, yes=yes), device)
        found = ModelsInPlace((), (), "")
        if model or not settings.sd_server_url:  # that one has its model
            ask = _ask("no model was set up", line, yes=yes)
            requests = [output.request for output in outputs]
            recorded = _count_recorded(project, outputs)
            found = setup_model(root, settings, model, progress, ask, requests, recorded)
    result = SdSetup(
        program=_describe(build, program),
        model=settings.sd_model or found.default or None,
        models=tuple(describe_model(root, one) for one in found.files),
        downloaded=tuple(found.downloaded),
        next=_suggest_next(build),
    )
    return Answer(result, [f"next: {result.next}"])


@command(
    "sd:update",
    "Replace the stable-diffusion.cpp in tools/sd by the build that this imagegen is made for.",
    {"doit sd:update": "says how much it downloads, and asks"},
    [YES],
    needs_jobs=False,
    result="imagegen.report.results.programs:SdProgram",
)
def update(build: Build, *, yes: bool) -> Answer:
    """Replace it, by one for the same device."""
    from imagegen.backends.sd.install import install

    line = "doit sd:update"
    with report_setup(build, line) as progress:
        ask = _ask("nothing was downloaded", line, yes=yes)
        program = install(build.root, build.settings, progress, ask, updates=True)
    return Answer(_describe(build, program))


def _describe(build: Build, program: Program | None) -> SdProgram:
    from imagegen.backends.models import display_path
    from imagegen.report.results.programs import SdProgram

    url = build.settings.sd_server_url or None
    if program is None:
        return SdProgram(None, "", "", url)
    return SdProgram(display_path(build.root, program.path), program.build, program.device, url)


def _suggest_next(build: Build) -> str:
    """Return the command that generates."""
    is_default = build.settings.backend == "sd"
    if not build.plans:
        return f'doit image{"" if is_default else " --backend sd"} --prompt "a raven on a standing stone"'
    if is_default or any(output.request.backend == "sd" for plan in build.plans for output in plan.outputs):
        return "doit"
    return 'doit backend=sd; or for good: backend = "sd" under [tool.imagegen] in pyproject.toml'


def _plan_for_sd(build: Build) -> tuple[Project, list[JobPlan]]:
    """Return the project as a run with `backend=sd` plans it, for the jobs that name no backend."""
    if build.settings.backend == "sd":
        return build.project, build.plans
    from imagegen.project import Project

    settings = replace(build.settings, backend="sd", forced_backend=None)
    project = Project(build.root, settings, build.project.registry, build.project.reserved)
    return project, project.plans()


def _list_outputs(plans: Sequence[JobPlan], doctor: str) -> list[Output]:
    """Return the images of sound jobs that use sd, with a server of this project.

    doctor: the command line that says what is wrong with the others.
    """
    for plan in plans:
        if plan.problems:
            print(f"{plan.file} is broken, and its models, if any, are left out: {doctor} says why", flush=True)
    found = [output for plan in plans for output in plan.outputs]
    return [one for one in found if one.request.backend == "sd" and not one.request.extra.get("server")]


def _count_recorded(project: Project, outputs: Sequence[Output]) -> Counter[str]:
    """Return the models that were recorded for jobs that name none, with how many images each generated."""
    found: Counter[str] = Counter()
    for output in outputs:
        if output.has_open_model and (model := output.request.model):
            lines = project.lock(output.job).lines.get(output.path, ())
            found[model] += any(line.backend == "sd" and line.request.get("model") == model for line in lines)
    return found


def _ask(otherwise: str, line: str, *, yes: bool) -> Callable[[], None]:
    """Return what asks before a download. line: the command line, without --yes."""

    def ask() -> None:
        if not yes:
            require("Go on?", otherwise, f"{line} --yes")

    return ask
