"""The backend `openai`: each image is one call of /v1/images/generations."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from imagegen.backends.base import Backend, GeneratedImage, GenerationError, Progress, Resolved
from imagegen.backends.openai.dialects import DIALECTS, HOSTED_URL, Dialect
from imagegen.backends.openai.section import LOCAL_OPTIONS, OPTIONS, PARAMETERS, find_dialect, find_url, resolve
from imagegen.errors import Problem
from imagegen.plan.request import Request

if TYPE_CHECKING:
    from imagegen.backends.openai.client import Client

__all__ = ["OpenAIBackend"]


class OpenAIBackend(Backend):
    """One object serves a whole run."""

    name = "openai"
    parameters = PARAMETERS | {
        *("prompt", "negative", "width", "height", "steps", "cfg", "sampler", "scheduler", "seed")
    }
    options: Mapping[str, Any] = OPTIONS
    model_option = "model"

    def __init__(self) -> None:
        self._clients: dict[str, Client] = {}
        self._dialects: dict[str, str] = {}

    def resolve(self, section: Mapping[str, Any]) -> Resolved:
        """Name the model, and what the dialect does not honour."""
        return resolve(section, self.context)

    def recover_section(self, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the options that were recorded."""
        return {key: fields[key] for key in PARAMETERS if key in fields}

    def strip_local(self, request: Request) -> Request:
        """Remove what the job says of its own machine."""
        extra = {key: value for key, value in request.extra.items() if key not in LOCAL_OPTIONS}
        return replace(request, extra=extra)

    def preflight(self, requests: Sequence[Request]) -> Sequence[Problem]:
        """Find out the dialect, and compare what the jobs ask for with it and with the server's models."""
        del requests
        return []

    def generate(self, request: Request, progress: Progress) -> GeneratedImage:
        """Generate the image at its server."""
        from imagegen.backends.json_api import Refused, Unreachable

        dialect = self._dialect(request)
        progress.begin_attempt()
        try:
            body = dialect.build_body(request)
            image, _ = self._client(request).generate(body, progress.check, progress.timeout_s + 60)
        except Refused as refused:
            raise GenerationError(f"the server says: {refused.what}", refused.hint or "look at its own log") from None
        except Unreachable as error:
            raise GenerationError(f"the server does not answer: {error}", "see whether it still runs") from None
        return GeneratedImage(image)

    def _dialect(self, request: Request) -> Dialect:
        """Return the dialect that is named, or that the server tells. Raises GenerationError."""
        url = find_url(request.extra, self.context)
        name = find_dialect(request.extra, self.context) or self._dialects.get(url)
        if not name:
            name = self._dialects[url] = self._client(request).detect_dialect()
        if not name:
            what = f"{url} does not tell which program it is"
            raise GenerationError(what, f"name it: openai.dialect: {' | '.join(DIALECTS)}")
        return DIALECTS[name]

    def _client(self, request: Request) -> Client:
        """Return the request's server. OPENAI_API_KEY is for OpenAI's, and for that of OPENAI_BASE_URL."""
        from imagegen.backends.openai.client import Client

        url = find_url(request.extra, self.context)
        if url not in self._clients:
            is_for_it = url in (HOSTED_URL, os.environ.get("OPENAI_BASE_URL", "").rstrip("/"))
            self._clients[url] = Client(url, os.environ.get("OPENAI_API_KEY", "") if is_for_it else "")
        return self._clients[url]
