"""The Ollama of one run: what keeps it from drawing, its start, its models, its end."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from imagegen.backends.base import Progress
from imagegen.backends.ollama import server
from imagegen.backends.ollama.command import Command
from imagegen.backends.ollama.digests import note_agreement
from imagegen.backends.ollama.drawing import forget_old
from imagegen.backends.ollama.host import dialled
from imagegen.backends.ollama.names import tagged
from imagegen.backends.ollama.program import Program, find_program
from imagegen.backends.ollama.pull import announcement, lacks_room, pull
from imagegen.backends.ollama.queries import Listed, Shown, listed, shown
from imagegen.backends.ollama.verdict import this_machine
from imagegen.errors import ImagegenError, Problem

__all__ = ["Serving"]

_STOP_S = 20.0


@dataclass
class Serving:
    """root: the project. host: of the settings. program: what draws. command: with the server that it asks."""

    root: Path
    host: str
    program: Program
    command: Command
    _there: Mapping[str, Listed] | None = None
    _shown: dict[str, Shown] = field(default_factory=dict)
    _started: bool = False
    _start_failed: ImagegenError | None = None

    @classmethod
    def find(cls, root: Path, host: str) -> Serving:
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

    def _of_model(self, model: str, there: Mapping[str, Listed]) -> Iterator[Problem]:
        if tagged(model) in there:
            capabilities = self._what_it_is(model).capabilities
            if capabilities and "image" not in capabilities:
                what = f"{model} makes no images: it can {', '.join(capabilities)}"
                yield Problem("", what, "name one that does: ollama.model: x/z-image-turbo")
        elif problem := lacks_room(model, self.program.folder):
            yield problem

    def models(self) -> Mapping[str, Listed]:
        """Those that the server has, by name and tag: asked once, and again after a pull. Raises ImagegenError."""
        there = self._there
        return self._listed() if there is None else there

    def _listed(self) -> Mapping[str, Listed]:
        self._there = there = listed(self.command)
        return there

    def _what_it_is(self, model: str) -> Shown:
        if model not in self._shown:
            self._shown[model] = shown(self.command, model)
        return self._shown[model]

    def start(self, progress: Progress) -> None:
        """Start the project's own server where that is to serve. Raises ImagegenError, for a second job the same."""
        if self._start_failed:
            raise self._start_failed
        if not self.program.starts or self._started:
            return
        if not server.is_there(self.root.absolute()):
            progress.event("note", text=f"starting Ollama {self.program.version} from tools/ollama")
        try:
            root, executable = self.root.absolute(), Path(self.command.executable)
            host = server.start(root, executable, dialled(self.host), _waiting(progress), progress.check)
        except ImagegenError as error:
            self._start_failed = error
            raise
        progress.event("waiting", text="")
        self._started = True
        self.command = replace(self.command, host=host)

    def bring(self, model: str, progress: Progress) -> None:
        """Have the model there, pulled where it is missing, and know its digest. Raises ImagegenError."""
        there = self.models()
        if tagged(model) not in there:
            if problem := lacks_room(model, self.program.folder):
                raise ImagegenError(problem)
            progress.event("note", text=f"pulling {announcement(model, self.program.folder)}")
            try:
                pull(self.command, model, self.program.folder, _waiting(progress), progress.check)
            finally:
                with contextlib.suppress(Exception):
                    progress.event("waiting", text="")
            there = self._listed()
            if tagged(model) not in there:
                raise ImagegenError(Problem("", f"Ollama pulled {model} and does not list it", "see: ollama list"))
            licence = self._what_it_is(model).licence
            said = f"; its licence: {licence}" if licence else ""
            progress.event("note", text=f"pulled {model}, {there[tagged(model)].size}{said}")
        for problem in self._of_model(model, there):
            raise ImagegenError(problem)
        note_agreement(self.root, self.host, model, there[tagged(model)])

    def how_it_ended(self) -> str:
        """Of the project's own server, if this run draws with that: how it ended; empty while it is alive."""
        return server.how_it_ended(self.root) if self._started else ""

    def close(self, used: Collection[str]) -> None:
        """Have Ollama let go of these models, as far as it answers; stop the server that this run started."""
        for model in sorted(used):
            with contextlib.suppress(ImagegenError):
                self.command.ask("stop", tagged(model), timeout_s=_STOP_S)
        forget_old(self.root)
        if self._started:
            server.release(self.root)


def _waiting(progress: Progress) -> Callable[[str], None]:
    return lambda text: progress.event("waiting", text=text)
