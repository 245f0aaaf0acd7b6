"""Names of models, and where their manifests lie."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from imagegen.backends.ollama.names import manifest_of, models_folder, plain, tagged
from imagegen.backends.ollama.options import OPTIONS
from tests.backends.ollama.standin.names import parse

NAMES = st.from_regex(re.compile(OPTIONS["model"]["regex"]), fullmatch=True)


@pytest.mark.parametrize(
    ("model", "shown"),
    [
        ("x/z-image-turbo", "x/z-image-turbo:latest"),
        ("x/flux2-klein:9b", "x/flux2-klein:9b"),
        ("llama3", "llama3:latest"),
        ("library/llama3", "llama3:latest"),
        ("registry.ollama.ai/library/llama3:8b", "llama3:8b"),
        ("registry.ollama.ai/x/z-image-turbo", "x/z-image-turbo:latest"),
        ("Registry.Ollama.AI/Library/llama3", "llama3:latest"),
        ("hf.co/library/b:Q4", "hf.co/library/b:Q4"),
        ("library/x/y", "library/x/y:latest"),
        ("host:5000/ns/name", "host:5000/ns/name:latest"),
    ],
)
def test_a_name_is_written_as_ollama_lists_it(model: str, shown: str) -> None:
    assert tagged(model) == shown
    assert str(parse(model)) == shown, "as its stand-in does"


@pytest.mark.parametrize(
    "model",
    [
        "x/z-image-turbo",
        "x/z-image-turbo:latest",
        "registry.ollama.ai/x/z-image-turbo",
        "registry.ollama.ai/x/z-image-turbo:latest",
    ],
)
def test_one_model_has_one_plain_name(model: str) -> None:
    assert plain(model) == "x/z-image-turbo"


@given(NAMES)
def test_a_name_that_was_made_plain_or_tagged_stays_so(model: str) -> None:
    assert tagged(tagged(model)) == tagged(model) == tagged(plain(model))
    assert plain(plain(model)) == plain(model) == plain(tagged(model))


@given(NAMES)
def test_every_name_that_a_job_may_give_has_its_manifest_within_the_folder(model: str) -> None:
    path = manifest_of(model, Path("/models"))
    assert path.parts[:3] == ("/", "models", "manifests")
    assert len(path.parts) == 7
    assert not {"..", "."} & set(path.parts)


@given(NAMES)
def test_the_manifest_is_where_ollama_writes_it(model: str) -> None:
    known = parse(model)
    assume(known is not None)
    assert known is not None
    if known.host.lower() == "registry.ollama.ai":  # what everybody leaves out may be written in any case
        assume(known.host.islower() and (known.namespace.islower() or known.namespace.lower() != "library"))
    assert manifest_of(model, Path("/models")) == Path("/models/manifests") / known.path


def test_models_are_in_the_home_folder_unless_the_environment_says_where(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("OLLAMA_MODELS", raising=False)
    assert models_folder() == tmp_path / ".ollama/models"
    monkeypatch.setenv("OLLAMA_MODELS", ' "/big disk/models" ')
    assert models_folder() == Path("/big disk/models")
    monkeypatch.setenv("OLLAMA_MODELS", "  ")
    assert models_folder() == tmp_path / ".ollama/models"
