"""Setting Ollama up: one that makes images, where this machine has none, and the models that the jobs name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from imagegen.backends.base import Progress
from imagegen.backends.ollama import archive
from imagegen.backends.ollama.names import tagged
from imagegen.backends.ollama.program import Program, find_program
from imagegen.backends.ollama.pull import announcement
from imagegen.backends.ollama.serving import Serving
from imagegen.backends.ollama.verdict import Machine, not_installed, this_machine
from imagegen.config.settings import Settings
from imagegen.errors import ImagegenError

__all__ = ["setup"]


def setup(
    root: Path,
    settings: Settings,
    models: Sequence[str],
    progress: Progress,
    here: Machine | None = None,
    ask: Callable[[], None] = lambda: None,
) -> None:
    """Have an Ollama that can make images, and these models in it. What is done already is left alone.

    here: this machine, where that is known. ask: called each time it was said what comes, before it does; may raise.
    An Ollama that the user has is never replaced.
    Raises ImagegenError; what was done stays.
    """
    host, machine = settings.ollama_host, here or this_machine()
    program = _usable(root, host, machine)
    if program is None or program.is_own:
        archive.bring(root, settings, ask)  # one that is there already may be of another version than the settings say
        program = find_program(root, host, machine)
    if program.problem:
        raise ImagegenError(program.problem)
    print(f"Ollama {program.version} makes images: {program.command.executable}", flush=True)
    serving = Serving(root, host, program, program.command)
    try:
        serving.start(progress)
        there = serving.models()
        if missing := [model for model in models if tagged(model) not in there]:
            print("\n".join(f"to be pulled: {announcement(model, program.folder)}" for model in missing), flush=True)
            ask()
        for model in models:
            if tagged(model) in there:
                print(f"{model} is there, {there[tagged(model)].size}", flush=True)
            serving.bring(model, progress)
    finally:
        serving.close(())


def _usable(root: Path, host: str, machine: Machine) -> Program | None:
    """The one there is; None where one is to be installed. Raises ImagegenError where that cannot be done from here."""
    try:
        program = find_program(root, host, machine)
    except ImagegenError:
        if archive.executable(root):
            raise
        if machine.is_apple_silicon:
            return None
        raise ImagegenError(not_installed(machine)) from None
    if program.unable and not program.is_own:
        if machine.is_apple_silicon and program.machine:
            return None
        raise ImagegenError(program.unable)
    return program
