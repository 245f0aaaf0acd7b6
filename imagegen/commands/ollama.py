"""`doit ollama:setup`: an Ollama that generates images, and the models of the jobs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from imagegen.commands.build import Build
from imagegen.commands.command import YES, Answer, command, report_setup, require

__all__ = ["OllamaSetup", "setup"]


@dataclass(frozen=True)
class OllamaSetup:
    """An Ollama that generates images.

    Attributes:
        path: the program.
        version: of the server that generates.
        is_own: whether it is the one in tools/ollama, which runs start and stop.
        host: the server that it talks to, as OLLAMA_HOST has it.
        models: that the jobs need, all of which it has now.
        pulled: those of them that were downloaded now.
    """

    path: str
    version: str
    is_own: bool
    host: str
    models: tuple[str, ...]
    pulled: tuple[str, ...]


@command(
    "ollama:setup",
    "Get an Ollama that generates images (on Apple silicon in tools/ollama), and pull the jobs' models.",
    {"doit ollama:setup": "says how much it downloads, and asks", "doit ollama:setup --yes": "does not ask"},
    [YES],
    result=OllamaSetup,
)
def setup(build: Build, *, yes: bool) -> Answer:
    """Install what is missing, and pull the models that sound jobs name."""
    from imagegen.backends.models import display_path
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
