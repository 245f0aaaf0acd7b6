"""What a job's section `ollama` may say."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagegen.backends.ollama.options import DEFAULT_MODEL, OPTIONS
from imagegen.config.checking import check_job
from imagegen.config.document import read_document
from imagegen.errors import ImagegenError
from tests.backends.ollama.standin.names import parse

SECTIONS: Mapping[str, Mapping[str, Any]] = {"ollama": OPTIONS}


def problems(model: str) -> list[str]:
    text = f"items: [{{name: A, prompt: a}}]\nollama: {{model: {model}}}"
    try:
        check_job("j", read_document("jobs/j.yaml", text.encode()), SECTIONS)
    except ImagegenError as error:
        return [problem.what for problem in error.problems]
    return []


@pytest.mark.parametrize(
    "model",
    [
        DEFAULT_MODEL,
        "x/flux2-klein:9b",
        "llama3",
        "hf.co/a/b:Q4_K_M",
        "'host:5000/ns/name:tag'",
        "registry.ollama.ai/x/y",
        "_a/_b",
    ],
)
def test_names_of_models_are_taken(model: str) -> None:
    assert problems(model) == []


@pytest.mark.parametrize(
    "model",
    [
        "../../etc/passwd",
        "../../x:..",
        "x/y:..",
        "x/..",
        "'./x'",
        "'a b'",
        "'-x'",
        "'x/y:'",
        "a/b/c/d",
        "'x//y'",
        "'http://h/x/y'",
        "'x/zß'",
        "'٣'",
        '"x/y\\n"',
        f"x/{'y' * 81}",
    ],
)
def test_what_is_no_name_is_refused(model: str) -> None:
    (what,) = problems(model)
    assert what.startswith("ollama.model: '")
    assert "is no model ID, such as x/z-image-turbo" in what


@given(st.from_regex(re.compile(OPTIONS["model"]["regex"]), fullmatch=True))
def test_whatever_is_taken_is_a_name_to_ollama_too(model: str) -> None:
    known = parse(model)
    assert known is not None
