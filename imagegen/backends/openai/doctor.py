"""Its rows of `doit doctor`: server, program, models, key and prices, and what preflight finds. It costs nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from imagegen.backends.base import Diagnosis
from imagegen.backends.json_api import Refused, Unreachable
from imagegen.backends.openai.dialects import DIALECTS
from imagegen.backends.openai.section import find_dialect, find_key, is_openai
from imagegen.backends.text import list_first
from imagegen.plan.request import Request

if TYPE_CHECKING:
    from imagegen.backends.openai.backend import OpenAIBackend

__all__ = ["diagnose"]


def diagnose(requests: Sequence[Request], backend: OpenAIBackend) -> Iterator[Diagnosis]:
    """Yield the rows for these requests."""
    said: set[str] = set()
    for request in {backend.batch_key(one)[0]: one for one in requests}.values():
        yield from _diagnose_server(request, backend, said)
    hosted = {one.model: one for one in requests if backend.is_hosted(one)}
    for model, request in hosted.items():
        price = backend.price(request)
        found = "unknown: list it in [tool.imagegen.openai.prices]" if price is None else f"${price} an image"
        yield Diagnosis(True, f"price of {model or 'its model'}", found)
    problems = [one for one in backend.preflight(requests) if one.what not in said]
    for problem in problems:
        yield Diagnosis(False, problem.where or "its jobs", problem.what, problem.hint or "correct it")
    if not problems and not said:
        yield Diagnosis(True, "its jobs", "preflight finds nothing wrong")


def _diagnose_server(request: Request, backend: OpenAIBackend, said: set[str]) -> Iterator[Diagnosis]:
    """Yield the rows of a request's server, and of the key; remember what is wrong."""
    url, named = backend.url(request), find_dialect(request.extra, backend.context)
    yield Diagnosis(True, "OPENAI_API_KEY", _describe_key(url))
    try:
        server = backend.inspect(request)
    except (Refused, Unreachable) as error:
        problem = backend.explain_silence(request, error)
        said.add(problem.what)
        yield Diagnosis(False, f"server {url}", problem.what, problem.hint)
        return
    program = f"{server.program} {server.version}".strip() or "does not say which program it is"
    how = "by its address" if is_openai(url) else "as job or settings say" if named else "as the server says"
    dialect = named or server.dialect
    found = f"{program}; dialect {dialect}, {how}" if dialect in DIALECTS else program
    models = f"; models: {list_first(server.models, 5)}" if server.models else ""
    yield Diagnosis(True, f"server {url}", f"{found}{models}")


def _describe_key(url: str) -> str:
    if find_key(url):
        return f"set, and sent to {url}"
    if os.environ.get("OPENAI_API_KEY"):
        return f"set, and not sent to {url}: it is for https://api.openai.com, and for the server of OPENAI_BASE_URL"
    return "not set"
