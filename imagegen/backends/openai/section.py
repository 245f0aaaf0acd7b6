"""A job's section `openai`: its options, and what they resolve to. Contacts nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from imagegen.backends.base import Context, Resolved
from imagegen.backends.openai.dialects import DIALECTS, HONOURED, HOSTED_URL
from imagegen.backends.options import NAME, address, option
from imagegen.config.settings import DIALECTS as NAMES
from imagegen.errors import ImagegenError, Problem

__all__ = ["LOCAL_OPTIONS", "OPTIONS", "PARAMETERS", "find_dialect", "find_url", "resolve"]

OPTIONS: Mapping[str, Any] = {
    "model": option("The model's name, as the server lists it.", **NAME),
    "dialect": option(
        "Which program the server is, as far as it decides what a request may have.", type="text", allowed=list(NAMES)
    ),
    "true_cfg": option(
        "CFG of models that have distilled guidance besides (vLLM, SGLang).", type="number", min=0, max=20
    ),
    "quality": option("How much work goes into the picture (hosted); it decides the price.", **NAME),
    "background": option(
        "Whether the background is transparent (hosted).", type="text", allowed=["transparent", "opaque", "auto"]
    ),
    "server": option(
        "The server of this job's images.",
        type="mapping",
        schema={"url": option("What stands before /images/generations.", **address("http://127.0.0.1:8000/v1"))},
    ),
}
LOCAL_OPTIONS = ("dialect", "server")
"""Options that are about the server, and no pixels follow from them but through what it honours."""
PARAMETERS = frozenset({"true_cfg", "quality", "background"})
"""Options that decide the pixels."""


def resolve(section: Mapping[str, Any], context: Context) -> Resolved:
    """Resolve a checked section. Raises ImagegenError: each problem's `where` is the key in the section."""
    extra = {key: section[key] for key in (*PARAMETERS, *LOCAL_OPTIONS) if key in section}
    if "true_cfg" in extra:
        extra["true_cfg"] = float(extra["true_cfg"])
    unused: frozenset[str] = frozenset()
    if dialect := DIALECTS.get(find_dialect(extra, context)):
        unused = HONOURED - dialect.honoured
        if wrong := sorted(PARAMETERS & unused & extra.keys()):
            raise ImagegenError(*(Problem(key, f"{dialect.program} does not take it", "remove it") for key in wrong))
    return Resolved(
        extra,
        model=section.get("model", context.settings.openai_model) or None,
        only_if_given=frozenset({"steps", "cfg", "negative", "sampler", "scheduler"}),
        unused=unused,
    )


def find_url(extra: Mapping[str, Any], context: Context) -> str:
    """Return the address of the server that these options of a job mean."""
    return str(extra.get("server", {}).get("url", context.settings.openai_server_url)).rstrip("/")


def find_dialect(extra: Mapping[str, Any], context: Context) -> str:
    """Return the dialect that the job or the settings name, or that follows from the address; empty if none does."""
    url, settings = find_url(extra, context), context.settings
    if named := extra.get("dialect") or (settings.openai_dialect if url == settings.openai_server_url else ""):
        return str(named)
    return "hosted" if url == HOSTED_URL else ""
