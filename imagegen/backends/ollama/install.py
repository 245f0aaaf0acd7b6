"""Setting Ollama up: a pinned version in tools/ollama, from its standalone archive, and the models that the jobs name.

Only `install` ever changes tools/ollama, and a folder there that it did not make is left as it is.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from imagegen.backends import pinned_program
from imagegen.backends.base import Progress
from imagegen.backends.machine import Machine, this_machine
from imagegen.backends.ollama.compatibility import explain_not_installed
from imagegen.backends.ollama.models import describe_pull, tagged_name
from imagegen.backends.ollama.runtime import FOLDER, MARK, OllamaRuntime, Program, executable, find_program
from imagegen.backends.ollama.server import managed_server
from imagegen.backends.pinned_program import PinnedArchive, PinnedProgram
from imagegen.config.settings import Settings
from imagegen.errors import ImagegenError, InputError, NotBegunError, Problem

__all__ = ["OllamaInPlace", "install", "setup"]

_ARCHIVE = "ollama-darwin.tgz"
_BUILT_IN = Settings()


@dataclass(frozen=True)
class OllamaInPlace:
    """An Ollama that generates images, and the models that were missing in it."""

    program: Program
    pulled: Sequence[str]


def setup(
    root: Path,
    settings: Settings,
    models: Sequence[str],
    progress: Progress,
    here: Machine | None = None,
    ask: Callable[[], None] = lambda: None,
) -> OllamaInPlace:
    """Get an Ollama that generates images, and these models in it. What is done already is left alone.

    An Ollama that the user has is never replaced.

    Args:
        here: this machine, if that is known.
        ask: called before each download, once it was reported how much there is; may raise.

    Raises:
        ImagegenError: what was done stays.
    """
    host, machine = settings.ollama_host, here or this_machine()
    program = _find_usable(root, host, machine)
    if program is None or program.is_own:
        install(
            root, settings, progress, ask
        )  # one that is there already may be of another version than the settings say
        program = find_program(root, host, machine)
    if program.problem:
        raise ImagegenError(program.problem)
    progress.event("note", text=f"Ollama {program.version} generates images: {program.command.executable}")
    runtime = OllamaRuntime(root, host, program, program.command)
    try:
        runtime.start(progress)
        installed = runtime.models()
        missing = [model for model in models if tagged_name(model) not in installed]
        if missing:
            for model in missing:
                progress.event("note", text=f"to be pulled: {describe_pull(model, program.folder)}")
            ask()
        for model in models:
            if tagged_name(model) in installed:
                progress.event("note", text=f"{model} is installed, {installed[tagged_name(model)].size}")
            runtime.pull(model, progress)
    finally:
        runtime.close(())
    return OllamaInPlace(program, missing)


def _find_usable(root: Path, host: str, machine: Machine) -> Program | None:
    """Return the Ollama there is; None if one is to be installed. Raises ImagegenError if that cannot be done here."""
    try:
        program = find_program(root, host, machine)
    except ImagegenError:
        if executable(root):
            raise
        if machine.is_apple_silicon:
            return None
        raise NotBegunError(explain_not_installed(machine)) from None
    if program.unable and not program.is_own:
        if machine.is_apple_silicon and program.machine:
            return None
        raise NotBegunError(program.unable)
    return program


def install(root: Path, settings: Settings, progress: Progress, ask: Callable[[], None] = lambda: None) -> None:
    """Install the pinned version in tools/ollama of the project at `root`.

    Contacts nobody if that is done already. After a kill at any moment the next call continues.

    Args:
        ask: called before the download, once it was reported how much there is; may raise.

    Raises:
        ImagegenError: what was installed before is there then.
    """
    pinned_program.install(_pin(root, settings), progress, ask, settings.wait_s)


def _pin(root: Path, settings: Settings) -> PinnedProgram:
    version, sha256, archive = settings.ollama_version, settings.ollama_archive_sha256, settings.ollama_archive
    page = f"https://github.com/ollama/ollama/releases/tag/v{version}"
    if version != _BUILT_IN.ollama_version and sha256 == _BUILT_IN.ollama_archive_sha256:
        what = f"the sha256 in the settings is that of {_BUILT_IN.ollama_version}, and {version} is to be installed"
        hint = f"set ollama.archive_sha256 too: {page} shows it beside {_ARCHIVE}"
        raise InputError(Problem("ollama.version", what, hint))
    source = archive or f"https://github.com/ollama/ollama/releases/download/v{version}/{_ARCHIVE}"
    return PinnedProgram(
        root,
        FOLDER,
        name="Ollama",
        version=version,
        source=source.partition("?")[0],  # the rest may be a signature
        archives=[PinnedArchive(_ARCHIVE, source if "://" in source else root / source, sha256)],
        page=page,
        executables=["ollama"],
        mark_file=MARK,
        mark={"version": version, "archive_sha256": sha256},
        command="doit ollama:setup",
        setting="ollama.archive",
        compared="ollama.version, ollama.archive and ollama.archive_sha256",
        if_foreign="an Ollama in it can be used by PATH",
        arrange=lambda folder: _check_unpacked(folder, page),
        stop=lambda: managed_server(root.absolute()).stop_left_over(FOLDER),
    )


def _check_unpacked(folder: Path, page: str) -> None:
    program = folder / "ollama"
    if program.is_symlink() or not program.is_file() or not os.access(program, os.X_OK):
        what = "the archive has no program 'ollama' at its top"
        raise InputError(Problem("ollama.archive", what, f"name {_ARCHIVE} of {page}"))
