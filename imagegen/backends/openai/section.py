"""A job's section `openai`: its options, what they resolve to, and which server they mean. Contacts nothing."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from imagegen.backends.address import get_origin, is_below, is_private
from imagegen.backends.base import Context, Resolved
from imagegen.backends.openai.dialects import DIALECTS, HONOURED
from imagegen.backends.options import NAME, address, find_url, option
from imagegen.config.setting_types import DIALECTS as NAMES
from imagegen.errors import InputError, Problem

__all__ = ["LOCAL_OPTIONS", "OPTIONS", "PARAMETERS", "find_dialect", "find_key", "is_openai", "is_paid"]

_SERVER = {"url": option("What stands before /images/generations.", **address("http://127.0.0.1:8000/v1"))}
OPTIONS: Mapping[str, Any] = {
    "model": option("The model's name, as the server lists it.", **NAME),
    "dialect": option("Which program the server is; by default, it is asked.", type="text", allowed=list(NAMES)),
    "true_cfg": option("CFG of models that have distilled guidance too (vLLM, SGLang).", type="number", min=0, max=20),
    "quality": option("How much work goes into the picture (hosted); it decides the price.", **NAME),
    "background": option("The background (hosted).", type="text", allowed=["transparent", "opaque", "auto"]),
    "server": option("The server of this job's images.", type="mapping", schema=_SERVER),
}
LOCAL_OPTIONS = frozenset({"dialect", "server"})
"""Options that are about the server, and no pixels follow from them but through what it honours."""
PARAMETERS = frozenset({"true_cfg", "quality", "background"})


def resolve(section: Mapping[str, Any], context: Context) -> Resolved:
    """Resolve a checked section. Raises ImagegenError: each problem's `where` is the key in the section."""
    extra = {key: section[key] for key in (*PARAMETERS, *LOCAL_OPTIONS) if key in section}
    if model := section.get("model", context.settings.openai_model):
        extra["model"] = model
    if "true_cfg" in extra:
        extra["true_cfg"] = float(extra["true_cfg"])
    problems, unused = [], frozenset[str]()
    if dialect := DIALECTS.get(find_dialect(extra, context)):
        unused = HONOURED - dialect.fields.keys()
        wrong = sorted(PARAMETERS & unused & extra.keys())
        problems = [Problem(key, f"{dialect.program} does not take it", "remove it") for key in wrong]
        if is_openai(find_url(extra, context.settings.openai_server_url)) and dialect.name != "hosted":
            hint = "name the server: openai.server.url in the job, or in [tool.imagegen]"
            problems.append(Problem("dialect", f"https://api.openai.com is not {dialect.program}", hint))
    if problems:
        raise InputError(*problems)
    return Resolved(
        extra,
        model=model or None,
        only_if_given=frozenset({"steps", "cfg", "negative", "sampler", "scheduler"}),
        unused=unused,
    )


def find_dialect(extra: Mapping[str, Any], context: Context) -> str:
    """Return the dialect that the job or the settings name, or that follows from the address; empty if none does."""
    settings, url = context.settings, find_url(extra, context.settings.openai_server_url)
    if named := extra.get("dialect") or (settings.openai_dialect if url == settings.openai_server_url else ""):
        return str(named)
    return "hosted" if is_openai(url) else ""


def is_openai(url: str) -> bool:
    """Return whether the address is OpenAI's own."""
    return get_origin(url) == ("https", "api.openai.com", 443)


def find_key(url: str) -> str:
    """Return OPENAI_API_KEY if it is for this server; else nothing.

    Jobs and pyproject.toml come from others: the key is for OpenAI, and for the address that the environment names.
    """
    is_for_it = is_openai(url) or is_below(url, os.environ.get("OPENAI_BASE_URL", ""))
    return os.environ.get("OPENAI_API_KEY", "") if is_for_it else ""


def is_paid(url: str, dialect: str) -> bool:
    """Return whether images may cost something there: whatever the dialect, a server with the key may charge."""
    return dialect == "hosted" or (bool(find_key(url)) and not is_private(url))
