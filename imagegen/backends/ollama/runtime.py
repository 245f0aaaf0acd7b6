"""The Ollama that generates: the project's own in tools/ollama or the user's, and one run with it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from imagegen.backends.base import Progress
from imagegen.backends.machine import Machine, this_machine
from imagegen.backends.ollama import server
from imagegen.backends.ollama.cli import (
    Command,
    ListedModel,
    ModelDetails,
    Versions,
    has_image_flags,
    list_models,
    read_versions,
    show_model,
)
from imagegen.backends.ollama.compatibility import (
    check_compatibility,
    explain_not_installed,
    explain_not_running,
    has_mlx_libraries,
)
from imagegen.backends.ollama.image import delete_old_calls
from imagegen.backends.ollama.models import (
    check_disk_space,
    describe_pull,
    models_folder,
    pull_model,
    remember_manifest,
    tagged_name,
)
from imagegen.errors import ImagegenError, NotBegunError, Problem

__all__ = ["FOLDER", "MARK", "OllamaRuntime", "Program", "executable", "find_program", "read_mark"]

FOLDER = "tools/ollama"
"""The project's own Ollama, from its root."""
MARK = "imagegen.json"
"""In that folder: which version and archive `install` put there."""
_STOP_S = 20.0


@dataclass(frozen=True)
class Program:
    """An Ollama, and the server that it talks to."""

    command: Command
    versions: Versions
    machine: Machine | None
    """The server's; None if that is not this one."""
    is_own: bool
    """Whether it is the one in tools/ollama."""
    unable: Problem | None
    """Why it cannot generate images, whether it runs or not."""
    starts: bool = False
    """Whether a run starts a server of its own, or takes over what a killed one left."""

    @property
    def problem(self) -> Problem | None:
        """The problem that keeps it from generating images now; None if there is none."""
        if self.unable or self.versions.server or self.starts:
            return self.unable
        return explain_not_running(self.command.host, self.machine)

    @property
    def version(self) -> str:
        """The version of the server that generates."""
        return self.versions.client if self.starts else self.versions.server

    @property
    def folder(self) -> Path | None:
        """Where its models are; None if that cannot be known from here.

        A server makes its folder when it starts: if one runs and the folder is not there, it is another user's.
        """
        folder = models_folder() if self.machine else None
        if folder and self.versions.server and not os.path.isdir(folder):  # noqa: PTH112 - False if it may not look
            return None
        return folder


def executable(root: Path) -> Path | None:
    """Return the `ollama` in tools/ollama of the project at `root`; None if none is completely installed."""
    path = root / FOLDER / "ollama"
    return path if read_mark(root) and path.is_file() and os.access(path, os.X_OK) else None


def read_mark(root: Path) -> dict[str, str]:
    """Return the version and archive that are installed in tools/ollama; empty if `install` put nothing there."""
    with contextlib.suppress(OSError, ValueError):
        found = json.loads((root / FOLDER / MARK).read_bytes())
        if isinstance(found, dict) and isinstance(found.get("version"), str):
            return found
    return {}


def find_program(root: Path, host: str, here: Machine) -> Program:
    """Return the Ollama for the project at `root`: its own if it has one, else the one on PATH.

    Its own works with the server at `host` only if that is of the same version; otherwise a run starts another one
    beside it. here: this machine.

    Raises:
        ImagegenError: there is none at all, or it cannot be started.
    """
    machine = here if server.is_this_machine(host) else None
    own = executable(root)
    path = str(own) if own else shutil.which("ollama")
    if path is None:
        raise NotBegunError(explain_not_installed(here))
    command = Command(path, host)
    found = read_versions(command)
    is_running = server.managed_server(root.absolute()).is_running()
    starts = bool(own and machine and (found.server != found.client or is_running))
    judged = replace(found, server=found.client) if starts or not found.server else found
    unable = check_compatibility(judged, has_image_flags(command), machine, has_mlx_libraries(Path(path)))
    return Program(command, found, machine, bool(own), unable, starts and not unable)


@dataclass
class OllamaRuntime:
    """The Ollama of one run: what keeps it from generating, its start, its models, its end."""

    root: Path
    host: str
    """The host in the settings."""
    program: Program
    command: Command
    """Talks to the server that generates."""
    _installed: Mapping[str, ListedModel] | None = None
    _details: dict[str, ModelDetails] = field(default_factory=dict)
    _is_started: bool = False
    _start_failed: ImagegenError | None = None

    @classmethod
    def find(cls, root: Path, host: str) -> OllamaRuntime:
        """Return the one for this project. Raises ImagegenError if there is no Ollama at all."""
        program = find_program(root, host, this_machine())
        return cls(root, host, program, program.command)

    def problems(self, models: Collection[str]) -> list[Problem]:
        """Return what keeps it from generating with these models, as far as that is known before it is started."""
        if self.program.problem:
            return [self.program.problem]
        if self.program.starts:
            return []
        installed = self.models()
        return [problem for model in sorted(models) for problem in self._problems_of(model, installed)]

    def _problems_of(self, model: str, installed: Mapping[str, ListedModel]) -> Iterator[Problem]:
        if tagged_name(model) in installed:
            capabilities = self._show(model).capabilities
            if capabilities and "image" not in capabilities:
                what = f"{model} does not generate images: it can do {', '.join(capabilities)}"
                yield Problem("", what, "name one that does: ollama.model: x/z-image-turbo")
        elif problem := check_disk_space(model, self.program.folder):
            yield problem

    def models(self) -> Mapping[str, ListedModel]:
        """Return the models that the server has, by name and tag: asked once, and again after a pull.

        Raises ImagegenError.
        """
        return self._list() if self._installed is None else self._installed

    def _list(self) -> Mapping[str, ListedModel]:
        self._installed = installed = list_models(self.command)
        return installed

    def _show(self, model: str) -> ModelDetails:
        if model not in self._details:
            self._details[model] = show_model(self.command, model)
        return self._details[model]

    def start(self, progress: Progress) -> None:
        """Start the project's own server if it is needed. Raises ImagegenError, for a second job the same."""
        if self._start_failed:
            raise self._start_failed
        if not self.program.starts or self._is_started:
            return
        root = self.root.absolute()
        if not server.managed_server(root).is_running():
            progress.event("note", text=f"starting Ollama {self.program.version} from tools/ollama")
        try:
            address = server.connect_address(self.host)
            host = server.start(root, Path(self.command.executable), address, _waiting(progress), progress.check)
        except ImagegenError as error:
            self._start_failed = error
            raise
        progress.event("waiting", text="")
        self._is_started = True
        self.command = replace(self.command, host=host)

    def pull(self, model: str, progress: Progress) -> None:
        """Pull the model if it is missing, and remember its manifest. Raises ImagegenError."""
        installed = self.models()
        if tagged_name(model) not in installed:
            if problem := check_disk_space(model, self.program.folder):
                raise ImagegenError(problem)
            progress.event("note", text=f"pulling {describe_pull(model, self.program.folder)}")
            try:
                pull_model(self.command, model, self.program.folder, _waiting(progress), progress.check)
            finally:
                with contextlib.suppress(Exception):
                    progress.event("waiting", text="")
            installed = self._list()
            if tagged_name(model) not in installed:
                raise ImagegenError(Problem("", f"Ollama pulled {model}, but does not list it", "see: ollama list"))
            licence = self._show(model).licence
            of_licence = f"; its licence: {licence}" if licence else ""
            progress.event("note", text=f"pulled {model}, {installed[tagged_name(model)].size}{of_licence}")
        for problem in self._problems_of(model, installed):
            raise ImagegenError(problem)
        remember_manifest(self.root, self.host, model, installed[tagged_name(model)])

    def describe_end(self) -> str:
        """Say how the project's own server ended, if this run uses that; empty while it runs."""
        return server.managed_server(self.root).describe_end() if self._is_started else ""

    def close(self, used: Collection[str]) -> None:
        """Have Ollama unload these models, if it answers, and stop the server that this run started."""
        for model in sorted(used):
            with contextlib.suppress(ImagegenError):
                self.command.run("stop", tagged_name(model), timeout_s=_STOP_S)
        delete_old_calls(self.root)
        if self._is_started:
            server.managed_server(self.root).release()


def _waiting(progress: Progress) -> Callable[[str], None]:
    return lambda text: progress.event("waiting", text=text)
