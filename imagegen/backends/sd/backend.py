"""The backend `sd`: each image is a job of `sd-server`, one at a time, those of one model together.

What contacts the server is imported where it is used: a run with nothing to do needs none of it.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
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
from imagegen.backends.models import list_model_folders
from imagegen.backends.options import remove_options
from imagegen.backends.sd.files import find_digest, list_digest_files, list_files, list_models
from imagegen.backends.sd.section import LOCAL_OPTIONS, OPTIONS, PARAMETERS, recover_section, resolve
from imagegen.errors import ImagegenError, Problem
from imagegen.plan.request import Request

if TYPE_CHECKING:
    from imagegen.backends.sd.engine import Engine

__all__ = ["SdBackend"]


class SdBackend(Backend):
    """One object serves a whole run."""

    name = "sd"
    version = "1"
    parameters = PARAMETERS | {
        *("prompt", "negative", "width", "height", "steps", "cfg", "sampler", "scheduler", "clip_skip", "seed")
    }
    options: Mapping[str, Any] = OPTIONS
    model_option = "model"

    def __init__(self) -> None:
        self._engine: Engine | None = None
        self._noted: set[str] = set()

    @property
    def engine(self) -> Engine:
        """The server of this run."""
        if self._engine is None:
            from imagegen.backends.sd.engine import Engine

            self._engine = Engine(self.context)
        return self._engine

    def resolve(self, section: Mapping[str, Any]) -> Resolved:
        """Name the model's files, and read the reference images."""
        return resolve(section, self.context)

    def recover_section(self, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the options that were recorded."""
        return recover_section(fields)

    def strip_local(self, request: Request) -> Request:
        """Remove what the job says of its own machine."""
        return remove_options(request, LOCAL_OPTIONS)

    def model_identity(self, request: Request) -> ModelIdentity:
        """Return the model, and the digest of its files, LoRAs too, if they are all on this machine."""
        parts = self.context.root, self.context.settings, list_files(request)
        return ModelIdentity(request.model, find_digest(*parts), list_digest_files(*parts))

    def choose_model(self, request: Request) -> str:
        """Return the model that a server of the user's own has, or the only checkpoint that there is."""
        if url := self.engine.server_url(request):
            return self._ask_for_model(url)
        found = list_models(list_model_folders(self.context.root, self.context.settings))
        if len(found) == 1:
            return found[0]
        if not found:
            raise GenerationError("the job names no model, and there is none", "doit sd:setup")
        what = f"the job names no model, and there are {len(found)}"
        raise GenerationError(what, f"name one: sd.model, or model in [tool.imagegen.sd]: {', '.join(found[:5])}")

    def _ask_for_model(self, url: str) -> str:
        from imagegen.backends.json_api import Refused, Unreachable
        from imagegen.backends.text import file_name

        try:
            model = file_name(self.engine.capabilities(url).model)
        except Refused as refused:
            raise GenerationError(refused.what, refused.hint) from None
        except Unreachable as error:
            what = f"no sd-server answers at {url}: {error}"
            raise GenerationError(what, "start it, or correct sd.server.url") from None
        if not model:
            raise GenerationError(f"the server at {url} does not name its model", "name it: sd.model")
        return model

    def preflight(self, requests: Sequence[Request]) -> Sequence[Problem]:
        """Check the program and its arguments or the server, the model's files, samplers, sizes and memory."""
        from imagegen.backends.sd.checks import check_requests
        from imagegen.backends.sd.server import find_argument_problem, find_other_run

        found = []
        if not all(map(self.engine.server_url, requests)):
            found = [find_argument_problem(self.context.settings.sd_arguments), find_other_run(self.engine.root)]
        return [*filter(None, found), *check_requests(requests, self.engine)]

    def prepare(self, requests: Sequence[Request], progress: Progress) -> Sequence[Problem]:
        """Say once in a run where memory, CFG or size may not suit, and what a server of the user's own must have."""
        from imagegen.backends.sd.checks import list_notes

        for line in list_notes(requests, self.engine):
            if line not in self._noted:
                self._noted.add(line)
                progress.event("note", text=line)
        return []

    def batch_key(self, request: Request) -> Hashable:
        """Return what decides how the server is started: images that share it need no new one."""
        try:
            return self.engine.launch_key(request)
        except ImagegenError:  # a file has gone since preflight: its image will say so
            return request.model

    def generate(self, request: Request, progress: Progress) -> GeneratedImage:
        """Generate the image, with a server that has its model."""
        return self.engine.generate(request, progress)

    def close(self) -> None:
        """Stop the server that this run started."""
        if self._engine:
            self._engine.close()

    def diagnose(self, requests: Sequence[Request]) -> Sequence[Diagnosis]:
        """Return rows for the program, the device and memory, the models and the port."""
        from imagegen.backends.sd.doctor import diagnose

        return list(diagnose(requests, self.engine))
