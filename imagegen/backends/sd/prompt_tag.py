"""Parameters in a prompt: sd-server takes them from a JSON object between two tags, for OpenAI's images API.

Source: stable-diffusion.cpp of July and August 2026 (examples/server/main.cpp), and a real server.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from imagegen.errors import Problem

__all__ = ["add_parameters", "check_length", "check_text"]

_TAG = "sd_cpp_extra_args>"
"""Ends both tags; there is no escape for it."""
_MOST = 4000
"""Characters of parameters: 50,000 of them kill it."""
_OF_IMAGE = ("seed", "negative_prompt")
"""What is not about the steps."""


def add_parameters(prompt: str, given: Mapping[str, Any]) -> str:
    """Return the prompt with these parameters, which have sd-server's own names."""
    sample = {key: value for key, value in given.items() if key not in (*_OF_IMAGE, "txt_cfg")}
    sample |= {"guidance": {"txt_cfg": given["txt_cfg"]}} if "txt_cfg" in given else {}
    of_image = {key: given[key] for key in _OF_IMAGE if key in given}
    parameters = json.dumps({**of_image, "sample_params": sample})  # with a line break, it would be words
    return f"{prompt}<{_TAG}{parameters}</{_TAG}"


def check_text(field: str, text: str) -> Iterator[Problem]:
    """Yield the problem of a text that has such a tag in it. field: which text."""
    if _TAG in text:
        yield Problem("", f"the {field} has <{_TAG}, where sd-server looks for parameters", "remove it")


def check_length(prompt: str, sent: str) -> Iterator[Problem]:
    """Yield the problem of parameters that are too long. sent: the prompt with them."""
    if len(sent) - len(prompt) > _MOST:
        what = f"the negative prompt makes more than {_MOST:,} characters of parameters: sd-server may crash"
        yield Problem("", what, "shorten it")
