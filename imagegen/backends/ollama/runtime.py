"""Which Ollama draws: the project's own in tools/ollama, or the user's; and what keeps it from that."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from imagegen.backends.base import Progress
from imagegen.backends.ollama import server
from imagegen.backends.ollama.cli import (
    Command,
    ListedModel,
    ModelDetails,
    Versions,
    has_image_flags,
    listed,
    shown,
    versions,
)
from imagegen.backends.ollama.compatibility import (
    Machine,
    explain_not_installed,
    explain_not_running,
    has_mlx_libraries,
    this_machine,
    verdict,
)
from imagegen.backends.ollama.image import delete_old_calls
from imagegen.backends.ollama.models import (
    check_disk_space,
    describe_pull,
    models_folder,
    pull,
    remember_manifest,
    tagged_name,
)
from imagegen.backends.ollama.server import connect_address, is_running, is_this_machine
from imagegen.errors import ImagegenError, Problem

__all__ = [
    "FOLDER",
    "MARK",
    "OllamaRuntime",
    "Program",
    "executable",
    "find_program",
    "installed",
    "installed_version",
]

FOLDER = "tools/ollama"
"""Where it is, from the project's root."""
MARK = "imagegen.json"
"""In the folder: which version and archive this put there."""
_STOP_S = 20.0


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
        return explain_not_running(self.command.host, self.machine)

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


def executable(root: Path) -> Path | None:
    """The installed `ollama` of the project at `root`; None where none is installed whole. Contacts nothing."""
    path = root / FOLDER / "ollama"
    return path if installed(root) and path.is_file() and os.access(path, os.X_OK) else None


def installed_version(root: Path) -> str | None:
    """Its version, as it was pinned when it was installed; None where none is."""
    return installed(root).get("version") if executable(root) else None


def installed(root: Path) -> dict[str, str]:
    """What this put there; empty where it put nothing."""
    with contextlib.suppress(OSError, ValueError):
        found = json.loads((root / FOLDER / MARK).read_bytes())
        if isinstance(found, dict) and isinstance(found.get("version"), str):
            return found
    return {}


def find_program(root: Path, host: str, here: Machine) -> Program:
    """The Ollama for the project at `root`: its own where it has one, else the one on PATH.

    Its own is served by the server at `host` only if that is of the same version; a run starts another beside it
    otherwise. here: this machine. Raises ImagegenError where there is none at all, or it cannot be started.
    """
    machine = here if is_this_machine(host) else None
    own = executable(root)
    path = str(own) if own else shutil.which("ollama")
    if path is None:
        raise ImagegenError(explain_not_installed(here))
    command = Command(path, host)
    found = versions(command)
    starts = bool(own and machine and (found.server != found.client or is_running(root.absolute())))
    judged = replace(found, server=found.client) if starts or not found.server else found
    unable = verdict(judged, has_image_flags(command), machine, has_mlx_libraries(Path(path)))
    return Program(command, found, machine, bool(own), unable, starts and not unable)


@dataclass
class OllamaRuntime:
    """root: the project. host: of the settings. program: what draws. command: with the server that it asks."""

    root: Path
    host: str
    program: Program
    command: Command
    _there: Mapping[str, ListedModel] | None = None
    _shown: dict[str, ModelDetails] = field(default_factory=dict)
    _started: bool = False
    _start_failed: ImagegenError | None = None

    @classmethod
    def find(cls, root: Path, host: str) -> OllamaRuntime:
        """The one for this project. Raises ImagegenError where there is none at all."""
        program = find_program(root, host, this_machine())
        return cls(root, host, program, program.command)

    def problems(self, models: Collection[str]) -> list[Problem]:
        """What keeps it from drawing with these models, as far as that can be known before it is started."""
        if self.program.problem:
            return [self.program.problem]
        if self.program.starts:
            return []
        there = self.models()
        return [problem for model in sorted(models) for problem in self._of_model(model, there)]

    def _of_model(self, model: str, there: Mapping[str, ListedModel]) -> Iterator[Problem]:
        if tagged_name(model) in there:
            capabilities = self._what_it_is(model).capabilities
            if capabilities and "image" not in capabilities:
                what = f"{model} makes no images: it can {', '.join(capabilities)}"
                yield Problem("", what, "name one that does: ollama.model: x/z-image-turbo")
        elif problem := check_disk_space(model, self.program.folder):
            yield problem

    def models(self) -> Mapping[str, ListedModel]:
        """Those that the server has, by name and tag: asked once, and again after a pull. Raises ImagegenError."""
        there = self._there
        return self._listed() if there is None else there

    def _listed(self) -> Mapping[str, ListedModel]:
        self._there = there = listed(self.command)
        return there

    def _what_it_is(self, model: str) -> ModelDetails:
        if model not in self._shown:
            self._shown[model] = shown(self.command, model)
        return self._shown[model]

    def start(self, progress: Progress) -> None:
        """Start the project's own server where that is to serve. Raises ImagegenError, for a second job the same."""
        if self._start_failed:
            raise self._start_failed
        if not self.program.starts or self._started:
            return
        if not server.is_running(self.root.absolute()):
            progress.event("note", text=f"starting Ollama {self.program.version} from tools/ollama")
        try:
            root, executable = self.root.absolute(), Path(self.command.executable)
            host = server.start(root, executable, connect_address(self.host), _waiting(progress), progress.check)
        except ImagegenError as error:
            self._start_failed = error
            raise
        progress.event("waiting", text="")
        self._started = True
        self.command = replace(self.command, host=host)

    def bring(self, model: str, progress: Progress) -> None:
        """Have the model there, pulled where it is missing, and know its digest. Raises ImagegenError."""
        there = self.models()
        if tagged_name(model) not in there:
            if problem := check_disk_space(model, self.program.folder):
                raise ImagegenError(problem)
            progress.event("note", text=f"pulling {describe_pull(model, self.program.folder)}")
            try:
                pull(self.command, model, self.program.folder, _waiting(progress), progress.check)
            finally:
                with contextlib.suppress(Exception):
                    progress.event("waiting", text="")
            there = self._listed()
            if tagged_name(model) not in there:
                raise ImagegenError(Problem("", f"Ollama pulled {model} and does not list it", "see: ollama list"))
            licence = self._what_it_is(model).licence
            said = f"; its licence: {licence}" if licence else ""
            progress.event("note", text=f"pulled {model}, {there[tagged_name(model)].size}{said}")
        for problem in self._of_model(model, there):
            raise ImagegenError(problem)
        remember_manifest(self.root, self.host, model, there[tagged_name(model)])

    def describe_end(self) -> str:
        """Of the project's own server, if this run draws with that: how it ended; empty while it is alive."""
        return server.describe_end(self.root) if self._started else ""

    def close(self, used: Collection[str]) -> None:
        """Have Ollama let go of these models, as far as it answers; stop the server that this run started."""
        for model in sorted(used):
            with contextlib.suppress(ImagegenError):
                self.command.ask("stop", tagged_name(model), timeout_s=_STOP_S)
        delete_old_calls(self.root)
        if self._started:
            server.release(self.root)


def _waiting(progress: Progress) -> Callable[[str], None]:
    return lambda text: progress.event("waiting", text=text)
