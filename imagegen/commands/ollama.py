"""`doit ollama:setup`: an Ollama that generates images, and the models of the jobs."""

from __future__ import annotations

from pathlib import Path

from imagegen.commands.build import Build
from imagegen.commands.command import YES, Answer, command, report_setup, require

__all__ = ["setup"]


@command(
    "ollama:setup",
    "Get an Ollama that generates images (on Apple silicon in tools/ollama), and pull the jobs' models.",
    {"doit ollama:setup": "says how much it downloads, and asks", "doit ollama:setup --yes": "does not ask"},
    [YES],
    result="imagegen.report.results.programs:OllamaSetup",
)
def setup(build: Build, *, yes: bool) -> Answer:
    """Install what is missing, and pull the models that sound jobs name."""
    from imagegen.backends.models import display_path
    from imagegen.backends.ollama.install import setup
    from imagegen.report.results.programs import OllamaSetup

    def ask() -> None:
        if not yes:
            require("Go on?", "nothing was downloaded", "doit ollama:setup --yes")

    requests = [output.request for plan in build.plans for output in plan.outputs]
    models = sorted({request.model for request in requests if request.backend == "ollama"})
    for plan in build.plans:
        if plan.problems:
            print(f"{plan.file} is broken, and its models, if any, are left out: doit doctor says why", flush=True)
    with report_setup(build, "doit ollama:setup") as progress:
        found = setup(build.root, build.settings, models, progress, ask=ask)
    program = found.program
    return Answer(
        OllamaSetup(
            path=display_path(build.root, Path(program.command.executable)),
            version=program.version,
            is_own=program.is_own,
            host=program.command.host,
            models=tuple(models),
            pulled=tuple(found.pulled),
        )
    )
