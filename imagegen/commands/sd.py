"""`doit sd:setup` and `doit sd:update`: stable-diffusion.cpp in tools/sd."""

from __future__ import annotations

from imagegen.commands.build import Build
from imagegen.commands.command import YES, command, option, report_setup, require
from imagegen.config.settings import SD_DEVICES

__all__ = ["setup", "update"]


@command(
    "sd:setup",
    "Install stable-diffusion.cpp in tools/sd, to generate images on this machine.",
    {
        "doit sd:setup": "says how much it downloads, and asks",
        "doit sd:setup --device=cpu --yes": "without a GPU; does not ask",
    },
    [option("device", str, "auto", "what to generate on, in place of what the settings say", choices=SD_DEVICES), YES],
)
def setup(build: Build, *, device: str, yes: bool) -> None:
    """Install what is missing, and say how to go on."""
    _install(build, "doit sd:setup" + (f" --device={device}" if device != "auto" else ""), device, yes=yes)
    if build.settings.backend == "sd":
        print("next: doit", flush=True)
    else:
        print('next: doit backend=sd; or for good: backend = "sd" under [tool.imagegen] in pyproject.toml', flush=True)


@command(
    "sd:update",
    "Replace the stable-diffusion.cpp in tools/sd by the build that this imagegen is made for.",
    {"doit sd:update": "says how much it downloads, and asks"},
    [YES],
)
def update(build: Build, *, yes: bool) -> None:
    """Replace it, by one for the same device."""
    _install(build, "doit sd:update", updates=True, yes=yes)


def _install(build: Build, line: str, device: str = "auto", *, updates: bool = False, yes: bool) -> None:
    """line: the command line, without --yes."""
    from imagegen.backends.sd.install import install

    def ask() -> None:
        if not yes:
            require("Go on?", "nothing was downloaded", f"{line} --yes")

    with report_setup(build, line) as progress:
        install(build.root, build.settings, progress, ask, device, updates)
