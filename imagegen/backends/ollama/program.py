"""Which Ollama draws: the project's own in tools/ollama, or the user's; and what keeps it from that."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from imagegen.backends.ollama.archive import executable
from imagegen.backends.ollama.command import Command
from imagegen.backends.ollama.host import is_local
from imagegen.backends.ollama.names import models_folder
from imagegen.backends.ollama.queries import Versions, has_image_flags, versions
from imagegen.backends.ollama.server import is_there
from imagegen.backends.ollama.verdict import (
    Machine,
    has_payload,
    not_installed,
    not_running,
    verdict,
)
from imagegen.errors import ImagegenError, Problem

__all__ = ["Program", "find_program"]


@dataclass(frozen=True)
class Program:
    """An Ollama. versions: the server is empty where none answers.

    machine: the server's; None where that is another one. is_own: whether it is the one in tools/ollama. unable: why
    it can make no images, whether it runs or not. starts: whether a run starts a server of its own, or takes over
    what a killed one left.
    """

    command: Command
    versions: Versions
    machine: Machine | None
    is_own: bool
    unable: Problem | None
    starts: bool = False

    @property
    def problem(self) -> Problem | None:
        """What keeps it from making images now."""
        if self.unable or self.versions.server or self.starts:
            return self.unable
        return not_running(self.command.host, self.machine)

    @property
    def version(self) -> str:
        """Of the server that draws."""
        return self.versions.client if self.starts else self.versions.server

    @property
    def folder(self) -> Path | None:
        """Where its models are, as far as one can tell from here; None for a server that keeps them elsewhere.

        A server makes its folder when it starts: where one runs and the folder is not there, it is another user's.
        """
        folder = models_folder() if self.machine else None
        if folder and self.versions.server and not os.path.isdir(folder):  # noqa: PTH112 - False where it may not look
            return None
        return folder


def find_program(root: Path, host: str, here: Machine) -> Program:
    """The Ollama for the project at `root`: its own where it has one, else the one on PATH.

    Its own is served by the server at `host` only if that is of the same version; a run starts another beside it
    otherwise. here: this machine. Raises ImagegenError where there is none at all, or it cannot be started.
    """
    machine = here if is_local(host) else None
    own = executable(root)
    path = str(own) if own else shutil.which("ollama")
    if path is None:
        raise ImagegenError(not_installed(here))
    command = Command(path, host)
    found = versions(command)
    starts = bool(own and machine and (found.server != found.client or is_there(root.absolute())))
    judged = replace(found, server=found.client) if starts or not found.server else found
    unable = verdict(judged, has_image_flags(command), machine, has_payload(Path(path)))
    return Program(command, found, machine, bool(own), unable, starts and not unable)
