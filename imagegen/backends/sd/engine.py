"""The server of a run: which command an image needs, one server at a time, and what becomes of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path

from imagegen.backends.base import (
    Cancelled,
    Context,
    GeneratedImage,
    GenerationError,
    MayBeRunningError,
    OverdueError,
    Progress,
)
from imagegen.backends.json_api import Refused, Unreachable
from imagegen.backends.managed_server import ServerRecord, exit_code, wait_for_end
from imagegen.backends.models import Folders, list_model_folders
from imagegen.backends.sd.client import Capabilities, Client
from imagegen.backends.sd.errors import describe_end, explain_image, is_beyond_use
from imagegen.backends.sd.files import find_lora_folder, find_model_file, get_files
from imagegen.backends.sd.image import build_body
from imagegen.backends.sd.job import ImageJob, JobNotes
from imagegen.backends.sd.program import Program, inspect_program
from imagegen.backends.sd.section import PARTS
from imagegen.backends.sd.server import Launch, lora_arguments, managed_server, start, stop
from imagegen.backends.sd.server_log import ServerLog
from imagegen.backends.text import one_line
from imagegen.errors import ImagegenError, Problem
from imagegen.plan.request import Request

__all__ = ["Engine"]

_MOST_CRASHES = 3
"""So many times in a row a server may end while it generates; then no other is started for that model in this run."""
_LONGEST_ENGINE = 160
"""Characters that an image may say of what generated it."""
_ENDING_S = 5.0
"""Seconds that a server which is silent may take to end, so that it can be said how."""


class Engine:
    """One object serves a whole run, one image at a time."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self._is_used = False
        self._crashes: Counter[Hashable] = Counter()
        """By launch, how many of its servers ended in a row."""
        self._failed_starts: dict[Hashable, GenerationError] = {}
        """By launch, why its server cannot be started."""
        self._capabilities: dict[str, Capabilities | Refused | Unreachable] = {}
        """By the address of a server of the user's own, what it said of itself, or why it did not."""
        self._has_noted_gpu = False

    @property
    def root(self) -> Path:
        """The project's folder, absolute."""
        return self.context.root.absolute()

    @property
    def program(self) -> Program:
        """The program. Raises ImagegenError if there is none that can be used."""
        if isinstance(self._program, ImagegenError):
            raise self._program
        return self._program

    @cached_property
    def _program(self) -> Program | ImagegenError:
        try:
            return inspect_program(self.root, self.context.settings)
        except ImagegenError as error:
            return error

    @cached_property
    def folders(self) -> Folders:
        """Where model files are looked for."""
        return list_model_folders(self.root, self.context.settings)

    @cached_property
    def _notes(self) -> JobNotes:
        return JobNotes(self.root)

    def server_url(self, request: Request) -> str:
        """Return the address of a server of the user's own; empty if this project starts one."""
        url: str = request.extra.get("server", {}).get("url", self.context.settings.sd_server_url)
        return url.rstrip("/")

    def find_file(self, part: str, name: str) -> str:
        """Return the path of a model file; empty if it isn't there."""
        return find_model_file(self.root, self.folders, part, name)

    def find_lora_folder(self, request: Request) -> tuple[str, Mapping[str, str]]:
        """Return the folder that has all LoRAs of a request, and each one's path in it. Raises ImagegenError."""
        return find_lora_folder(self.root, self.folders, request.extra["loras"])

    def capabilities(self, url: str) -> Capabilities:
        """Return what a server of the user's own says of itself. Raises Refused and Unreachable."""
        if url not in self._capabilities:
            try:
                self._capabilities[url] = Client(url).capabilities()
            except (Refused, Unreachable) as error:
                self._capabilities[url] = error
        if isinstance(found := self._capabilities[url], Exception):
            raise found
        return found

    def launch_key(self, request: Request) -> Hashable:
        """Return what decides how a server is started for this request. Raises ImagegenError."""
        return self.server_url(request) or self._launch(request).command

    def generate(self, request: Request, progress: Progress) -> GeneratedImage:
        """Generate an image. Raises GenerationError, and what `progress` does."""
        try:
            if url := self.server_url(request):
                return self._generate_at(url, request, progress)
            return self._generate_here(request, progress)
        except ImagegenError as error:
            raise GenerationError(error.problems[0].what, error.problems[0].hint) from None

    def close(self) -> None:
        """Stop the server that this run started or took over."""
        if self._is_used:
            stop(self.root)

    def _generate_at(self, url: str, request: Request, progress: Progress) -> GeneratedImage:
        """Have a server of the user's own generate it."""
        job = ImageJob(Client(url), self._notes, progress)
        loras = {name: name for name in request.extra.get("loras", ())}
        try:
            data = job.run(build_body(request, loras, progress.file))
        except (Cancelled, OverdueError) as error:
            if job.cancel():
                raise error from None
            what = f"the sd-server at {url} goes on with it, since only its end stops an image; the next run takes it"
            self._note(what, progress)
            known = Problem("", "it was cancelled") if isinstance(error, Cancelled) else error.problem
            raise MayBeRunningError(known.what, known.hint) from None
        return GeneratedImage(data, {"server": url}, on_stored=job.forget)

    def _generate_here(self, request: Request, progress: Progress) -> GeneratedImage:
        """Have this project's server generate it."""
        launch = self._launch(request)
        record = self._start(launch, progress)
        log = ServerLog(self.root)
        self._note_missing_gpu(log, progress)
        job = ImageJob(Client(record.url), self._notes, progress, log, record.process)
        loras = self.find_lora_folder(request)[1] if request.extra.get("loras") else {}
        try:
            data = job.run(build_body(request, loras, progress.file))
        except (Cancelled, OverdueError):
            self._stop()  # in no other way can it be made to stop
            raise
        except GenerationError as error:
            raise self._explain(error, launch, record, log) from None
        del self._crashes[launch.command]
        if idle := log.read_idle_loras():
            job.forget()
            raise GenerationError(f"{idle[0]} has no effect on this model", "take a LoRA that was made for it")
        facts, engine = self._describe_engine(log)
        return GeneratedImage(data, facts, on_stored=job.forget, engine=engine)

    def _start(self, launch: Launch, progress: Progress) -> ServerRecord:
        """Return the server for the launch, its model loaded. Raises ImagegenError and GenerationError."""
        if self._crashes[launch.command] >= _MOST_CRASHES:
            what = f"not started: sd-server ended {_MOST_CRASHES} times in a row while it generated with this model"
            raise GenerationError(what, "see the images before; a smaller size or model may help")
        if failed := self._failed_starts.get(launch.command):
            raise failed
        left = managed_server(self.root).read_record()
        if left and self._notes.is_unclear(left.url):
            self._stop()  # it may be busy with an image of which nobody can ask it
        has_waited = False

        def check() -> None:
            progress.restart_clock()  # loading the model is not the image's own time
            progress.check()

        def wait(text: str) -> None:
            nonlocal has_waited
            has_waited = True
            progress.restart_clock()
            progress.event("waiting", text=text)

        self._is_used = True
        try:
            record = start(launch, wait, check)
        except ImagegenError as error:
            self._failed_starts[launch.command] = GenerationError(error.problems[0].what, error.problems[0].hint)
            raise
        if has_waited:
            wait("")
        return record

    def _explain(self, error: GenerationError, launch: Launch, record: ServerRecord, log: ServerLog) -> GenerationError:
        """Return the error in the engine's own words; a server that cannot be used any more is ended."""
        is_silent = isinstance(error, MayBeRunningError)
        has_ended = wait_for_end(record.process, _ENDING_S if is_silent else 0)
        errors, ended = log.read_errors(), describe_end(exit_code(record.process)) if has_ended else ""
        if has_ended or is_silent or is_beyond_use(errors):
            self._crashes[launch.command] += 1
            self._stop()
        if problem := explain_image(errors, ended):
            return GenerationError(problem.what, problem.hint)
        return GenerationError(error.problem.what, "run doit again") if is_silent else error

    def _launch(self, request: Request) -> Launch:
        settings, extra, files = self.context.settings, request.extra, get_files(request)
        words = [str(self.program.path)]
        for part, argument in PARTS.items():
            if name := files.get(part):
                words += [argument, self.find_file(part, name) or name]
        words += lora_arguments(self._lora_folder(request))
        if rng := extra.get("rng"):
            words += ["--rng", rng]
        if extra.get("offload", settings.sd_offload):
            words.append("--offload-to-cpu")
        words.append("--verbose")  # only then it names the device
        command = (*words, *settings.sd_arguments)
        return Launch(self.root, command, settings.sd_server_ready_timeout_s, tuple(settings.sd_arguments))

    def _lora_folder(self, request: Request) -> str:
        """Return the folder of its LoRAs; if it has none, the first one that there is. Raises ImagegenError."""
        if request.extra.get("loras"):
            return self.find_lora_folder(request)[0]
        folders = self.folders["loras"]
        return next((folder for folder in folders if Path(folder).is_dir()), folders[0])

    def _describe_engine(self, log: ServerLog) -> tuple[dict[str, str], str]:
        """Return the facts of an image of this project's server, and the same in words."""
        facts = {
            "build": self.program.build,
            "device": log.read_device() or self.program.device,
            "arguments": " ".join(map(self._shorten, self.context.settings.sd_arguments)),
        }
        said = " ".join(filter(None, ("stable-diffusion.cpp", facts["build"])))
        words = ", ".join(filter(None, (said, facts["device"], facts["arguments"])))
        return {name: fact for name, fact in facts.items() if fact}, one_line(words, _LONGEST_ENGINE)

    def _shorten(self, argument: str) -> str:
        """Return an argument without the folders of this machine, which must not get into an image."""
        with suppress(OSError, ValueError):
            return (Path(argument).name or argument) if (self.root / argument).exists() else argument
        return argument

    def _note_missing_gpu(self, log: ServerLog, progress: Progress) -> None:
        """Say once in a run that a program for a GPU generates on the CPU."""
        if not self._has_noted_gpu and log.has_no_gpu():
            self._has_noted_gpu = True
            what = (
                f"sd-server, built for {self.program.device or 'a GPU'}, finds no GPU: it generates on the CPU, slowly"
            )
            self._note(f"{what}; check the GPU's driver, and see doit doctor", progress)

    def _note(self, text: str, progress: Progress) -> None:
        try:
            progress.event("note", text=text)
        except (Cancelled, OverdueError):  # which is known already
            return

    def _stop(self) -> None:
        """Stop the server, whose jobs end with it."""
        if record := managed_server(self.root).read_record():
            self._notes.forget(url=record.url)
        stop(self.root)
