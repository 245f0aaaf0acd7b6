"""The backend `ollama`: each image is a call of `ollama run`, one at a time.

What contacts Ollama is imported where it is used: a run with nothing to do needs none of it.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from imagegen.backends.base import (
    Backend,
    Diagnosis,
    GeneratedImage,
    GenerationError,
    ModelIdentity,
    Progress,
    Resolved,
)
from imagegen.backends.ollama.models import canonical_name, find_digest, list_digest_files
from imagegen.errors import ImagegenError, Problem
from imagegen.plan.request import Request

if TYPE_CHECKING:
    from imagegen.backends.ollama.runtime import OllamaRuntime

__all__ = ["DEFAULT_MODEL", "OPTIONS", "OllamaBackend"]

DEFAULT_MODEL = "x/z-image-turbo"
_NAME = (
    r"(?:(?:[A-Za-z0-9_][A-Za-z0-9_.-]*(?::[0-9]+)?/)?[A-Za-z0-9_][A-Za-z0-9_-]{0,79}/)?"
    r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,79})?"
)
"""HOST/NAMESPACE/MODEL:TAG as Ollama 0.32.5 takes it. No part begins with a dot, so none leads out of a folder."""

OPTIONS: Mapping[str, Any] = {
    "model": {
        "type": "text",
        "minlength": 1,
        "maxlength": 350,
        "regex": _NAME,
        "meta": {
            "description": "The ID of the model that generates.",
            "expected": f"model ID, such as {DEFAULT_MODEL}",
        },
    }
}


class OllamaBackend(Backend):
    """One object serves a whole run."""

    name = "ollama"
    version = "1"
    parameters = frozenset({"prompt", "width", "height", "steps", "seed"})
    options: Mapping[str, Any] = OPTIONS
    model_option = "model"
    default_model = DEFAULT_MODEL
    is_generator = True

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._pulling: dict[str, threading.Lock] = defaultdict(threading.Lock)
        self._runtime: OllamaRuntime | None = None
        self._used_models: set[str] = set()
        self._fatal_error: GenerationError | None = None
        self._preflight_error: ImagegenError | None = None

    def resolve(self, section: Mapping[str, Any]) -> Resolved:
        """Resolve the section to its model. Steps that the job does not give are the model's own."""
        return Resolved({}, canonical_name(section.get("model", DEFAULT_MODEL)), frozenset({"steps"}))

    def preflight(self, requests: Sequence[Request]) -> Sequence[Problem]:
        """Check what Ollama would change or refuse, whether it and the models generate images, and the disk space."""
        from imagegen.backends.ollama.compatibility import check_requests

        problems = check_requests(requests)
        if self._preflight_error is None:
            try:
                return problems + self.runtime().problems({one.model for one in requests})
            except ImagegenError as error:
                self._preflight_error = error  # to find that out takes long: once, and not again for each job
        return [*problems, *self._preflight_error.problems]

    def prepare(self, requests: Sequence[Request], progress: Progress) -> Sequence[Problem]:
        """Start the project's own server if it is needed, and pull the models that are missing."""
        runtime = self.runtime()
        try:
            with self._mutex:
                runtime.start(progress)
            for model in sorted({request.model for request in requests}):
                with self._pulling[model]:  # of two jobs that need it, the second waits for the first
                    runtime.pull(model, progress)
        except ImagegenError as error:
            return error.problems
        return []

    def close(self) -> None:
        """Have Ollama unload the models that were used, and stop the server that this run started."""
        if self._runtime:  # after a fatal error it holds none, and on a Mac asking would start it again
            self._runtime.close(() if self._fatal_error else self._used_models)

    def model_identity(self, request: Request) -> ModelIdentity:
        """Return the model, and the sha256 of its manifest if that is known to be on this disk."""
        root, host, model = self.context.root, self._host, request.model
        return ModelIdentity(model, find_digest(root, host, model), list_digest_files(root, host, model))

    def generate(self, request: Request, progress: Progress) -> GeneratedImage:
        """Have Ollama generate the image."""
        from imagegen.backends.ollama.image import OllamaError, call_folder, delete_call, generate

        if self._fatal_error:
            raise self._fatal_error
        runtime = self.runtime()
        loads = request.model not in self._used_models
        self._used_models.add(request.model)
        folder = call_folder(self.context.root, progress.begin_attempt())
        try:
            data = generate(runtime.command, runtime.program.machine, request, folder, progress, loads=loads)
        except OllamaError as error:
            if error.is_permanent:
                self._fatal_error = error
                if ended := runtime.describe_end():
                    self._fatal_error = OllamaError(ended, "fix what its log says, if anything; then run doit again")
            raise self._fatal_error or error from None
        facts = {"ollama": runtime.program.version}
        return GeneratedImage(data, facts, may_be_flat=False, on_stored=lambda: delete_call(folder))

    def diagnose(self, requests: Sequence[Request]) -> Sequence[Diagnosis]:
        """Return rows for the command line, the versions, the machine, and each job's models."""
        from imagegen.backends.ollama.doctor import diagnose

        return list(diagnose(requests, self))

    def runtime(self) -> OllamaRuntime:
        """Return the Ollama that this run uses; it is looked for once. Raises ImagegenError."""
        from imagegen.backends.ollama.runtime import OllamaRuntime

        with self._mutex:
            if self._runtime is None:
                self._runtime = OllamaRuntime.find(self.context.root, self._host)
            return self._runtime

    @property
    def _host(self) -> str:
        return self.context.settings.ollama_host
