"""`doit sd:setup` and `doit sd:update`: stable-diffusion.cpp in tools/sd, and a model for it."""

from __future__ import annotations

from collections.abc import Callable

from imagegen.commands.build import Build
from imagegen.commands.command import YES, command, option, report_setup, require
from imagegen.config.settings import SD_DEVICES
from imagegen.plan.request import Request

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
)
def setup(build: Build, *, device: str, model: str, yes: bool) -> None:
    """Install and download what is missing, and say how to go on."""
    from imagegen.backends.sd.install import install
    from imagegen.backends.sd.model_setup import check_name, setup_model

    root, settings = build.root, build.settings
    words = [f"--device={device}"] if device != "auto" else []
    line = " ".join(["doit sd:setup", *words, *([f"--model={model}"] if model else [])])
    check_name(model)
    requests = _list_requests(build)
    with report_setup(build, line) as progress:
        install(root, settings, progress, _ask("nothing was downloaded", line, yes=yes), device)
        if model or not settings.sd_server_url:  # that one has its model
            ask = _ask("no model was downloaded", line, yes=yes)
            setup_model(root, settings, model, progress, ask, requests)
    print(f"next: {_suggest_next(build, is_used=bool(requests))}", flush=True)


@command(
    "sd:update",
    "Replace the stable-diffusion.cpp in tools/sd by the build that this imagegen is made for.",
    {"doit sd:update": "says how much it downloads, and asks"},
    [YES],
)
def update(build: Build, *, yes: bool) -> None:
    """Replace it, by one for the same device."""
    from imagegen.backends.sd.install import install

    line = "doit sd:update"
    with report_setup(build, line) as progress:
        install(build.root, build.settings, progress, _ask("nothing was downloaded", line, yes=yes), updates=True)


def _suggest_next(build: Build, *, is_used: bool) -> str:
    """Return the command that generates. is_used: whether jobs use sd."""
    is_default = build.settings.backend == "sd"
    if not build.plans:
        return f'doit image{"" if is_default else " --backend sd"} --prompt "a raven on a standing stone"'
    if is_used or is_default:
        return "doit"
    return 'doit backend=sd; or for good: backend = "sd" under [tool.imagegen] in pyproject.toml'


def _list_requests(build: Build) -> list[Request]:
    """Return the images of sound jobs that use sd, with a server of this project."""
    for plan in build.plans:
        if plan.problems:
            print(f"{plan.file} is broken, and its models, if any, are left out: doit doctor says why", flush=True)
    found = [output.request for plan in build.plans for output in plan.outputs]
    return [one for one in found if one.backend == "sd" and not one.extra.get("server")]


def _ask(otherwise: str, line: str, *, yes: bool) -> Callable[[], None]:
    """Return what asks before a download. line: the command line, without --yes."""

    def ask() -> None:
        if not yes:
            require("Go on?", otherwise, f"{line} --yes")

    return ask
