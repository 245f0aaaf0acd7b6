"""The backend: what decides an image, what is found out once, and whose fault fails more than one image."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagegen.backends.base import Context, GenerationError
from imagegen.backends.ollama import OllamaBackend
from imagegen.backends.ollama.backend import DEFAULT_MODEL, OPTIONS
from imagegen.config.checking import check_job
from imagegen.config.document import read_document
from imagegen.config.settings import Settings
from imagegen.errors import ImagegenError
from imagegen.plan.request import canonical_fields, fingerprint
from tests.backends.ollama.fake_ollama.fixture import FakeOllama
from tests.backends.ollama.fake_ollama.store import parse
from tests.backends.ollama.parts import MODEL, RecordedProgress, backend_at, request, script


def never_read(_path: str) -> bytes:
    raise AssertionError


def planned(root: Path, section: Mapping[str, Any], **settings: Any) -> dict[str, Any]:
    """What decides the pixels of an image of a job with this section."""
    backend = OllamaBackend()
    backend.context = Context(root, Settings(**settings), never_read)
    resolved = backend.resolve(section)
    assert resolved.model is not None
    return canonical_fields(request(model=resolved.model, extra=resolved.extra), backend.parameters)


@pytest.fixture
def on_path(shared: FakeOllama, monkeypatch: pytest.MonkeyPatch) -> FakeOllama:
    monkeypatch.setenv("PATH", shared.environment["PATH"])
    monkeypatch.setenv("OLLAMA_MODELS", str(shared.models))
    return shared


def counting(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> Path:
    """An `ollama` on PATH that is a script. Returns the file that gets a line for each call of it."""
    script(folder, f'echo "$@" >> {folder}/calls; {text}')
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return folder / "calls"


@pytest.mark.parametrize(
    "section", [{}, {"model": MODEL}, {"model": f"{MODEL}:latest"}, {"model": f"registry.ollama.ai/{MODEL}"}]
)
def test_a_model_has_one_fingerprint_by_all_its_names(tmp_path: Path, section: dict[str, str]) -> None:
    assert fingerprint(planned(tmp_path, section)) == fingerprint(planned(tmp_path, {}))
    assert planned(tmp_path, section)["model"] == MODEL


def test_another_tag_is_another_model(tmp_path: Path) -> None:
    assert planned(tmp_path, {"model": "x/flux2-klein:9b"}) != planned(tmp_path, {"model": "x/flux2-klein"})


def test_neither_the_machine_nor_the_server_decides_an_image_or_is_recorded(tmp_path: Path) -> None:
    here = planned(tmp_path, {})
    assert here == planned(tmp_path / "elsewhere", {}, ollama_host="10.0.0.1:1")
    assert str(tmp_path) not in json.dumps(here)
    assert "11434" not in json.dumps(here)


def test_an_image_comes_with_the_servers_version_and_nothing_of_this_machine(
    on_path: FakeOllama, tmp_path: Path
) -> None:
    backend = backend_at(tmp_path, on_path.host)
    one = request()
    assert backend.preflight([one]) == []
    assert backend.prepare([one], RecordedProgress()) == []
    made = backend.generate(one, RecordedProgress())
    assert made.facts == {"ollama": "0.32.5"}
    assert backend.model_identity(one).digest == on_path.model()
    assert MODEL in {name.removesuffix(":latest") for name in on_path.loaded}
    backend.close()
    assert f"{MODEL}:latest" not in on_path.loaded


def test_an_ollama_that_is_none_is_asked_once_for_all_jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = counting(tmp_path, monkeypatch, "echo no llama")
    backend = backend_at(tmp_path, "127.0.0.1:9")
    problems = [backend.preflight([request(name=name)]) for name in ("a", "b", "c")]
    assert calls.read_text() == "--version\n"
    assert len({str(found) for (found,) in problems}) == 1


def test_an_ollama_that_fails_to_list_its_models_is_asked_once_for_all_jobs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = 'case "$*" in "run --help") echo "--width int";; list) exit 1;; *) echo ollama version is 0.32.5;; esac'
    calls = counting(tmp_path, monkeypatch, text)
    backend = backend_at(tmp_path, "mac.lan")
    for name in ("a", "b", "c"):
        (problem,) = backend.preflight([request(name=name)])
        assert problem.what == "ollama list: failed"
    assert calls.read_text().splitlines() == ["--version", "run --help", "list"]


def test_what_is_wrong_with_a_request_is_told_beside_what_is_wrong_with_ollama(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    first, second = backend_at(tmp_path, "h").preflight([request(prompt="./x.png")])
    assert "takes that for an image file" in first.what
    assert "Ollama" in second.what


def test_what_would_fail_every_image_is_asked_of_ollama_once_and_it_is_not_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = "echo \"Error: could not connect to ollama server, run 'ollama serve' to start it\" >&2; exit 1"
    calls = counting(
        tmp_path,
        monkeypatch,
        f'case "$*" in "run --help") echo "--width int";; --version) echo ollama version is 0.32.5;; *) {gone};; esac',
    )
    backend = backend_at(tmp_path, "mac.lan")
    for _ in range(3):
        with pytest.raises(GenerationError, match="Ollama does not answer any more"):
            backend.generate(request(), RecordedProgress())
    backend.close()
    assert [line.split()[0] for line in calls.read_text().splitlines()] == ["--version", "run", "run"]


def test_what_fails_one_image_leaves_the_others_theirs(
    ollama: FakeOllama, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", ollama.environment["PATH"])
    ollama.fault("memory", "wolf")
    backend = backend_at(tmp_path, ollama.host)
    with pytest.raises(GenerationError, match="out of memory"):
        backend.generate(request(prompt="a wolf"), RecordedProgress())
    assert backend.generate(request(), RecordedProgress()).data


def test_a_pull_that_ends_without_a_model_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = 'case "$*" in "run --help") echo "--width int";; --version) echo ollama version is 0.32.5;; esac'
    counting(tmp_path, monkeypatch, text)
    (problem,) = backend_at(tmp_path, "mac.lan").prepare([request(model="x/ghost")], RecordedProgress())
    assert problem.what == "Ollama pulled x/ghost, but does not list it"


@pytest.mark.parametrize("form", [":PORT", "0.0.0.0:PORT", "http://localhost:PORT/path"])
def test_the_projects_own_server_starts_wherever_ollama_host_names_this_machine(
    fake: FakeOllama, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    root = tmp_path / "project"
    fake.model()
    fake.install(root / "tools/ollama", "0.32.5")
    (root / "tools/ollama/imagegen.json").write_text(json.dumps({"version": "0.32.5", "archive_sha256": "0" * 64}))
    (root / "tools/ollama/mlx_metal_v3").mkdir()
    (root / "tools/ollama/mlx_metal_v3/libmlxc.dylib").touch()
    for name in ("HOME", "OLLAMA_MODELS", "PATH"):
        monkeypatch.setenv(name, fake.environment[name])
    backend = backend_at(root, form.replace("PORT", fake.host.rpartition(":")[2]))
    one = request()
    assert backend.preflight([one]) == []
    try:
        assert backend.prepare([one], RecordedProgress()) == []
        assert backend.generate(one, RecordedProgress()).data
        (call,) = [call for call in fake.called("run") if "--help" not in call.argv]
        assert call.environment["OLLAMA_HOST"] in (fake.host, fake.host.replace("127.0.0.1", "localhost"))
    finally:
        backend.close()
    with pytest.raises(OSError, match="refused"):
        fake.ask("/api/version")


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
    assert "is not a valid model ID, such as x/z-image-turbo" in what


@given(st.from_regex(re.compile(OPTIONS["model"]["regex"]), fullmatch=True))
def test_whatever_is_taken_is_a_name_to_ollama_too(model: str) -> None:
    known = parse(model)
    assert known is not None
