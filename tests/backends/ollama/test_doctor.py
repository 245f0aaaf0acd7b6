"""Ollama's rows for `doit doctor`."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from pathlib import Path

import pytest

from imagegen.backends.base import Diagnosis
from imagegen.plan.request import Request
from tests.backends.ollama.fake_ollama.fixture import FakeOllama
from tests.backends.ollama.parts import MODEL, backend_at, request, script


def rows(root: Path, host: str, *requests: Request) -> Sequence[Diagnosis]:
    return backend_at(root, host).diagnose(requests or [request()])


def found(rows: Sequence[Diagnosis]) -> dict[str, str]:
    return {row.what: f"{'' if row.ok else 'NOT OK: '}{row.found}" for row in rows}


@pytest.fixture
def on_path(shared: FakeOllama, monkeypatch: pytest.MonkeyPatch) -> FakeOllama:
    monkeypatch.setenv("PATH", shared.environment["PATH"])
    monkeypatch.setenv("OLLAMA_MODELS", str(shared.models))
    return shared


def test_a_row_for_each_thing_that_an_image_takes(on_path: FakeOllama, tmp_path: Path) -> None:
    reported = found(rows(tmp_path, on_path.host, request(), request(model="x/flux2-klein"), request(name="again")))
    digest = on_path.model()
    assert list(reported) == ["command line", "version", "platform", "memory", f"model {MODEL}", "model x/flux2-klein"]
    assert reported["command line"] == str(on_path.bin / "ollama")
    assert reported["version"] == f"client 0.32.5, server 0.32.5 at {on_path.host}: generates images"
    assert reported["platform"].startswith(f"{platform.system()} on ")
    assert reported[f"model {MODEL}"] == f"12 GB, ID {digest[:12]}; its manifest is not known on this disk yet"
    assert reported["model x/flux2-klein"].startswith("missing; a run pulls it: about 5.7 GB; ")


def test_it_changes_nothing(on_path: FakeOllama, tmp_path: Path) -> None:
    rows(tmp_path, on_path.host)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("on_path")
def test_one_that_does_not_run_is_a_row_with_the_way_to_start_it(tmp_path: Path) -> None:
    reported = rows(tmp_path, "127.0.0.1:9")
    (wrong,) = [row for row in reported if not row.ok and row.blocks]
    assert (wrong.what, wrong.found) == ("version", "client 0.32.5, which generates images, and no server")
    assert "'ollama serve'" in wrong.hint


def test_none_at_all_is_one_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (row,) = rows(tmp_path, "127.0.0.1:9")
    assert (row.ok, row.what) == (False, "Ollama")
    assert row.found.startswith("Ollama ")
    assert row.hint


def test_versions_that_differ_are_a_warning(
    on_path: FakeOllama, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_path.install(tmp_path / "older", "0.32.4")
    monkeypatch.setenv("PATH", f"{tmp_path / 'older'}:{on_path.environment['PATH']}")
    (row,) = [row for row in rows(tmp_path, on_path.host) if row.what == "version"]
    assert (row.ok, row.found, row.hint) == (
        True,
        f"client 0.32.4, server 0.32.5 at {on_path.host}: they differ",
        "have both of one version",
    )


def test_what_is_wrong_with_a_request_or_a_model_is_a_row_too(
    ollama: FakeOllama, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", ollama.environment["PATH"])
    ollama.model("x/words", capability="completion")
    reported = found(rows(tmp_path, ollama.host, request("./x.png", name="b"), request(model="x/words")))
    assert reported["b"].startswith("NOT OK: the prompt has './x.png'")
    assert reported["its jobs"] == "NOT OK: x/words does not generate images: it can do completion"


def test_a_list_that_fails_is_a_row_and_no_crash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = 'case "$1" in run) echo "--width int";; list) echo Error: no >&2; exit 1;; *) echo ollama version is 0.32.5;; esac'
    script(tmp_path, text)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    reported = rows(tmp_path, "mac.lan")
    assert found(reported)["Ollama"] == "NOT OK: ollama list: no"
    assert found(reported)["platform"] == "the server is on another machine: mac.lan"
