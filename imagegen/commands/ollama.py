"""`doit ollama:setup`: an Ollama that generates images, and the models of the jobs."""

from __future__ import annotations

from imagegen.commands.build import Build
from imagegen.commands.command import YES, command, report_setup, require

__all__ = ["setup"]


@command(
    "ollama:setup",
    "Get an Ollama that generates images (on Apple silicon in tools/ollama), and pull the jobs' models.",
    {"doit ollama:setup": "says how much it downloads, and asks", "doit ollama:setup --yes": "does not ask"},
    [YES],
)
def setup(build: Build, *, yes: bool) -> None:
    """Install what is missing, and pull the models that sound jobs name."""
    from imagegen.backends.ollama.install import setup

    def ask() -> None:
        if not yes:
            require("Go on?", "nothing was downloaded", "doit ollama:setup --yes")

    requests = [output.request for plan in build.plans for output in plan.outputs]
    models = sorted({request.model for request in requests if request.backend == "ollama"})
    for plan in build.plans:
        if plan.problems:
            print(f"{plan.file} is broken, and its models, if any, are left out: doit doctor says why", flush=True)
    with report_setup(build, "doit ollama:setup") as progress:
        setup(build.root, build.settings, models, progress, ask=ask)
