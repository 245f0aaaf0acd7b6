"""Its rows of `doit doctor`: servers, the key, and what images cost. They cost nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from imagegen.backends.base import Diagnosis
from imagegen.backends.openai.section import find_dialect, find_key, is_openai
from imagegen.backends.text import list_first
from imagegen.config.money import dollars
from imagegen.errors import Problem
from imagegen.plan.request import Request

if TYPE_CHECKING:
    from imagegen.backends.openai.backend import OpenAIBackend

__all__ = ["describe"]


def describe(requests: Sequence[Request], backend: OpenAIBackend) -> Iterator[Diagnosis]:
    """Yield the rows for these requests, but for what is wrong with them."""
    for url, request in {backend.url(one): one for one in requests}.items():
        is_set = "set, and not for" if os.environ.get("OPENAI_API_KEY") else "not set, for"
        yield Diagnosis(True, "OPENAI_API_KEY", f"{'set, for' if find_key(url) else is_set} {url}")
        if isinstance(server := backend.find_server(request), Problem):
            continue
        named = find_dialect(request.extra, backend.context)
        how = "by its address" if is_openai(url) else "as job or settings say" if named else "as it says itself"
        program = f"{server.program or 'a program that does not say which'} {server.version}".strip()
        models = f"; models: {list_first(server.models, 5)}" if server.models else ""
        yield Diagnosis(True, f"server {url}", f"{program}, dialect {named or server.dialect}, {how}{models}")
    hosted = dict.fromkeys((one.model, backend.price(one)) for one in requests if backend.is_hosted(one))
    for model, price in hosted:
        budget = backend.context.settings.budget
        cost = "unknown: list it in [tool.imagegen.openai.prices]" if price is None else f"{dollars(price)} an image"
        limit = "no budget" if budget is None else f"a budget of {dollars(budget)} for a run"
        yield Diagnosis(True, f"price of {model or 'its model'}", f"{cost}; {limit}")
